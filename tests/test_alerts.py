"""Each alert where something really goes wrong, and none where nothing does."""

import pytest
from helpers import r1kit, read_info, read_metrics, write_recipe

from r1kit.training.alerts import find_alerts

RECIPE = {
    "model": {"path": "tiny:student"},
    "data": {"train": [{"path": "world:arithmetic", "rows": 64}]},
    "prompt": {"template": "tiny"},
    "sampling": {"group_size": 4, "max_tokens": 24},
    "rewards": [{"name": "accuracy"}],
    "training": {"steps": 22, "batch_size": 8, "learning_rate": 1e-5, "kl": 0.0},
}


def always_zero(completions, **columns):
    return [0.0] * len(completions)


def train_and_read_warnings(here, **changes):
    values = {**RECIPE, **changes}
    values["training"] = {**RECIPE["training"], **changes.get("training", {})}
    _, err = r1kit("rl-zero", write_recipe(here / "r.yaml", **values), "output=run")
    return [line for line in err.splitlines() if line.startswith("warning:")]


@pytest.mark.slow
def test_a_reward_that_is_always_0_is_reported_once(here):
    [line] = train_and_read_warnings(here, rewards=[{"name": "test_alerts.always_zero"}])
    assert "step 20: in 20 steps no group had two different rewards (all 0)" in line


@pytest.mark.slow
def test_a_format_that_is_never_rewarded_and_completions_that_are_cut_off_are_reported(here):
    """In two tokens nobody has written tags and an answer."""
    lines = train_and_read_warnings(here, rewards=[{"name": "format"}], sampling={"group_size": 4, "max_tokens": 2})
    assert any("not one completion of 20 steps had the format" in line for line in lines)
    assert any("over 50% of the completions of the last 5 steps were cut off" in line for line in lines)


@pytest.mark.slow
def test_a_training_that_diverges_stops_and_keeps_what_was_good(here):
    changes = {"learning_rate": 1e18, "save_steps": 1, "steps": 12, "max_grad_norm": 1e9, "warmup_steps": 0}
    values = {**RECIPE, "rewards": [{"name": "test_alerts.one_in_two"}], "training": {**RECIPE["training"], **changes}}
    _, err = r1kit("rl-zero", write_recipe(here / "r.yaml", **values), "output=run", code=2)
    assert "error: training.learning_rate = 1e+18; " in err
    assert "the training has diverged" in err
    assert read_info(here / "run")["status"] == "failed"
    names = {path.name for path in (here / "run/checkpoints").iterdir()}
    step = read_metrics(here / "run")[-1]["step"]
    assert f"diverged-{step}" in names
    assert all(int(name.rpartition("-")[2]) < step for name in names if name.startswith("checkpoint"))


def one_in_two(completions, **columns):
    return [float(i % 2) for i in range(len(completions))]


def thirty_steps(**values):
    return {name: [value] * 30 for name, value in values.items()}


@pytest.mark.parametrize(
    ("history", "alert"),
    [
        ({"completions/mean_length": [10.0] * 10 + [40.0] * 5}, "length"),
        ({"rewards/language/mean": [0.9] * 10 + [0.6] * 5}, "language"),
        ({"kl": [0.01] * 20 + [1.5]}, "kl"),
        ({"grad_norm": [0.5] * 20 + [11.0]}, "grad_norm"),
        ({"kl": [1.5]}, None),
        ({"grad_norm": [0.01] * 20 + [0.5]}, None),  # not much by itself
        ({"grad_norm": [0.0] * 16 + [0.9, 0.8, 0.9, 1.0] + [1.2]}, None),  # most groups give no signal
        ({"grad_norm": [0.0, 0.5] * 10 + [11.0]}, "grad_norm"),
        ({"completions/mean_length": [10.0] * 10 + [25.0] * 5}, None),
        (thirty_steps(reward=1.0, frac_reward_zero_std=0.9, **{"rewards/format/mean": 0.1}), None),
        ({"completions/clipped_ratio": [0.6] * 4 + [0.4]}, None),
    ],
)
def test_what_makes_an_alert(history, alert):
    assert list(find_alerts(history)) == ([alert] if alert else [])


def test_values_of_several_steps_count_as_such():
    history = {"reward": [0.0] * 2, "frac_reward_zero_std": [1.0] * 2, "completions/clipped_ratio": [0.9]}
    assert "in 20 steps no group" in find_alerts(history, steps_per_value=10)["reward"]
    assert "of the last 10 steps were cut off" in find_alerts(history, steps_per_value=10)["cut"]
    assert find_alerts(history, steps_per_value=1) == {}


def test_a_resumed_run_knows_what_it_logged_before(capsys, tmp_path):
    from types import SimpleNamespace

    from r1kit.runs.run import Run
    from r1kit.runs.warning_log import read_warnings, record_warnings
    from r1kit.training.alerts import AlertCallback

    line = {"reward": 0.0, "frac_reward_zero_std": 1.0}
    state = SimpleNamespace(log_history=[{**line, "step": n} for n in range(1, 20)], global_step=20)
    state.is_world_process_zero = True
    callback, args = AlertCallback("rl"), SimpleNamespace(fp16=False, logging_steps=1)
    callback.on_train_begin(args, state, None)
    with record_warnings(Run(tmp_path)):
        callback.on_log(args, state, None, logs=line)
    assert "step 20: in 20 steps no group" in capsys.readouterr().err
    [warning] = [warning for warning in read_warnings(tmp_path) if "name" in warning]
    assert (warning["step"], warning["name"]) == (20, "reward")
    assert warning["text"].startswith("in 20 steps no group")
