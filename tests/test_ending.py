"""What a stage says at its end: what came of it, where it is, what to type next, or how far it came."""

import json
import shlex
import signal
import time
from pathlib import Path

import pytest
from helpers import EVAL, GENERATE, RL, SFT, r1kit, start_r1kit, write_recipe
from test_results import make_run

from r1kit.messages import set_verbosity
from r1kit.recipe import dump_recipe, load_recipe
from r1kit.runs.ending import describe_outcome, describe_progress, print_finished, print_interrupted
from r1kit.runs.next_commands import next_commands
from r1kit.runs.run import Run


def add_recipe(run: Run, stage: str, **values) -> Run:
    """Write the recipe of a stage into a run's directory."""
    (run.path / "recipe.yaml").write_text(dump_recipe(load_recipe(stage, None, {"output": str(run.path), **values})))
    return run


def end_lines(run: Run, capsys, **options) -> list[str]:
    print_finished(run, **options)
    return capsys.readouterr().err.splitlines()


RL_METRICS = [
    {"step": 1, "reward": 0.664, "rewards/accuracy/mean": 0.461, "completions/mean_length": 11.9, "num_tokens": 3600.0},
    {"step": 2, "reward": None, "rewards/accuracy/mean": None},
    {
        "step": 60,
        "reward": 1.9688,
        "rewards/accuracy/mean": 0.98,
        "completions/mean_length": 27.1,
        "num_tokens": 216000,
    },
    {"step": 60, "train_loss": -0.39},
]


def test_rl_ends_with_its_first_and_last_reward_and_the_next_stage(here, capsys):
    run = make_run(Path("runs/zero"), RL_METRICS, stage="rl-zero", steps=60)
    (run.path / "model").mkdir()
    values = {"model.path": "tiny:base", "data.train": "world:arithmetic", "sampling.max_tokens": 48}
    add_recipe(run, "rl-zero", **values)
    first, *others = end_lines(run, capsys)
    assert first == (
        "done: rl-zero, 60 steps in 29 s: reward 0.66 to 1.97, accuracy 0.46 to 0.98, length 12 to 27 tokens, "
        "216,000 tokens"
    )
    assert others == [
        "model: runs/zero/model",
        "next: r1kit chat runs/zero, or r1kit report runs/zero, or r1kit generate --model runs/zero --dataset "
        "world:arithmetic --output runs/zero_data sampling.max_tokens=48",
    ]
    assert end_lines(run, capsys, earlier=True)[0].startswith("done already: rl-zero, 60 steps in 29 s: ")


def test_fine_tuning_ends_with_its_first_and_last_loss(tmp_path):
    metrics = [
        {"step": 1, "loss": 2.513, "epoch": 0.1},
        {"step": 3, "eval_loss": 1.5},
        {"step": 6, "eval_loss": 1.25},
        {"step": 6, "loss": 0.41, "epoch": 2.0},
    ]
    run = make_run(tmp_path / "run", metrics, steps=6, tokens=81920)
    assert describe_outcome(run) == "loss 2.51 to 0.41, held-out loss 1.5 to 1.25, 81,920 tokens"
    assert describe_outcome(make_run(tmp_path / "one", [{"step": 1, "loss": 2.5}])) == "loss 2.5"
    nothing = make_run(tmp_path / "none", [{"step": 7, "loss": 0.0, "reward": None}])
    assert describe_outcome(nothing) == "no completion of the last step had a verdict"


def test_data_ends_with_what_was_dropped_and_paid(tmp_path):
    run = make_run(tmp_path / "data", stage="generate", rows=302, samples=2416, tokens=48000, cost=1.5)
    (run.path / "drops.json").write_text(json.dumps({"dropped": {"correct": 2000, "format": 114}}))
    assert describe_outcome(run) == "most were dropped by correct (2,000), 48,000 tokens, 1.50 paid"


def statistics(rate: float | None, **others) -> dict:
    return {"pass@1": rate, "interval": 0.061, "maj@k": 0.5, "samples": 80, "questions": 40, "tokens": 21.4, **others}


def test_an_evaluation_ends_with_the_accuracy_of_the_best_model(tmp_path):
    run = make_run(tmp_path / "eval", stage="eval")
    models = [{"model": "base", "path": "tiny:base", "statistics": statistics(0.25)}]
    (run.path / "eval.json").write_text(json.dumps({"models": models}))
    expected = "pass@1 25.0% +- 6.1, majority vote 50.0%, 80 samples of 40 questions, length 21 tokens"
    assert describe_outcome(run) == expected
    models += [{"model": "R1", "path": "runs/r1", "statistics": statistics(0.4375, samples=40)}]
    models += [{"model": "none", "path": "x", "statistics": statistics(None)}]
    (run.path / "eval.json").write_text(json.dumps({"models": models}))
    expected = "R1 is the best of 2 models, pass@1 43.8% +- 6.1, 40 samples of 40 questions, length 21 tokens"
    assert describe_outcome(run) == expected
    add_recipe(run, "eval", **{"models": {"base": "tiny:base", "R1": "runs/r1"}, "data.eval": "world:arithmetic"})
    assert next_commands(run, load_recipe("eval", str(run.path / "recipe.yaml"), {}))[0] == "r1kit chat runs/r1"


def test_of_equal_models_none_is_the_best(tmp_path):
    run = make_run(tmp_path / "eval", stage="eval")
    models = [{"model": name, "path": name, "statistics": statistics(0.0)} for name in ("base", "R1")]
    (run.path / "eval.json").write_text(json.dumps({"models": models}))
    assert describe_outcome(run).startswith("none of 2 models differs, pass@1 0.0%")


def test_a_verifier_ends_with_its_auroc(tmp_path):
    run = make_run(tmp_path / "verifier", stage="verifier")
    values = {"samples": 640, "right": 0.624, "measures": {"head2toe": {"auroc": 0.9126}}}
    (run.path / "verifier.json").write_text(json.dumps(values))
    assert describe_outcome(run) == "held-out AUROC 0.913, 640 completions, 62% of them right"


def test_what_cannot_be_read_is_left_out(tmp_path, capsys):
    run = make_run(tmp_path / "run", [{"step": "many", "reward": {}}], seconds=None)
    (run.path / "recipe.yaml").write_text("[")
    assert end_lines(run, capsys) == [
        "done: sft, in 0 s: no completion of the last step had a verdict",
        f"run: {run.path}",
    ]
    (run.path / "eval.json").write_text('{"models": 3}')
    assert describe_outcome(run) == ""


@pytest.fixture
def quiet():
    set_verbosity(quiet=True)
    yield
    set_verbosity()


@pytest.mark.usefixtures("quiet")
def test_a_quiet_stage_prints_nothing_at_its_end(tmp_path, capsys):
    print_finished(make_run(tmp_path / "run"))
    print_interrupted(make_run(tmp_path / "other"))
    assert capsys.readouterr() == ("", "")


# What to type next


def commands_of(stage: str, folder: str, parents: list[dict] = (), **values) -> list[str]:
    run = add_recipe(make_run(Path(folder), stage=stage, parents=list(parents)), stage, **values)
    return next_commands(run, load_recipe(stage, str(run.path / "recipe.yaml"), {}))


def test_data_are_followed_by_fine_tuning_of_the_model_that_the_pipeline_started_from(here):
    parents = [{"role": "model", "path": "tiny:base"}, {"role": "data", "path": "world:code"}]
    commands_of("rl-zero", "runs/zero", parents, **{"model.path": "tiny:base", "data.train": "world:code"})
    parents = [{"role": "model", "path": "runs/zero"}, {"role": "data", "path": "my problems.jsonl"}]
    values = {
        "model.path": "runs/zero",
        "data.train": "my problems.jsonl",
        "prompt.template": "tiny",
        "sampling.max_tokens": 64,
    }
    *_, command = commands_of("generate", "runs/cold", parents, **values)
    assert command == ("r1kit sft --model tiny:base --dataset runs/cold --output runs/cold_sft prompt.template=tiny")
    # Fine-tuning is followed by RL on the problems from which its rows were sampled.
    *_, command = commands_of("sft", "runs/dev1", **{"model.path": "tiny:base", "data.train": "runs/cold"})
    assert command == (
        "r1kit rl --model runs/dev1 --dataset 'my problems.jsonl' --output runs/dev1_rl prompt.template=auto "
        "sampling.max_tokens=64"
    )
    *_, command = commands_of("distill", "runs/small", **{"model.path": "m", "data.train": "rows.jsonl"})
    assert command == "r1kit eval --model runs/small --dataset DATA --output runs/small_eval"


def test_settings_of_sources_stand_in_the_next_command_as_yaml(here):
    source = {"path": "p.csv", "columns": {"prompt": "Question"}, "rows": 20}
    *_, command = commands_of("rl", "runs/r1", **{"model.path": "m", "data.train": [source]})
    [word] = [word for word in shlex.split(command) if word.startswith("data.eval=")]
    assert word == "data.eval=[{path: p.csv, rows: 20, columns: {prompt: Question}}]"
    *_, command = commands_of("rl", "runs/r2", **{"model.path": "m", "data.train": "world:arithmetic"})
    assert "data.eval=[{path: 'world:arithmetic', split: test}]" in shlex.split(command)


def test_a_verifier_is_followed_by_an_evaluation_with_it(here):
    values = {"model.path": "runs/small", "data.train": "world:arithmetic", "data.eval": "held.jsonl"}
    *_, command = commands_of("verifier", "runs/v", **values)
    assert command == (
        "r1kit eval --model runs/small --dataset held.jsonl --output runs/v_eval scaling.verifier=runs/v"
    )


def test_a_served_model_cannot_be_chatted_with(here):
    values = {"model.path": "gpt", "data.eval": "p.jsonl", "sampling.engine": "openai"}
    assert commands_of("eval", "runs/e", **values) == ["r1kit report runs/e"]


@pytest.mark.slow
def test_the_next_commands_can_be_typed(here):
    """The whole way from R1-Zero to an evaluation, by the commands that each stage names."""
    small = ["training.steps=2", "training.batch_size=8", "sampling.group_size=4", "sampling.max_tokens=16"]
    _, err = r1kit("rl-zero", write_recipe(here / "rl.yaml", **RL), "output=zero", *small)
    for own in (["keep.correct=false", "keep.format=false", "data.train.0.rows=8"], ["training.steps=2"], small):
        [line] = [line for line in err.splitlines() if line.startswith("next: ")]
        command = line.rpartition(", or r1kit ")[2]
        out, err = r1kit(*shlex.split(command), *own)
    assert out == "zero_data_sft_rl\n"


# Interrupted runs


def test_an_interrupted_training_says_at_which_step(here, capsys):
    run = make_run(Path("run"), stage="rl-zero", status="interrupted")
    assert describe_progress(run) == "before anything was saved"
    for step in (20, 100):
        (run.path / f"checkpoints/checkpoint-{step}").mkdir(parents=True)
    assert describe_progress(run) == "at step 100"
    (run.path / "checkpoints/checkpoint-100/trainer_state.json").write_text('{"max_steps": 150}')
    assert describe_progress(run) == "at step 100 of 150"
    add_recipe(run, "rl-zero", **{"model.path": "m", "data.train": "d", "training.steps": 1000})
    print_interrupted(run)
    assert capsys.readouterr().err == (
        "note: rl-zero was interrupted at step 100 of 1,000; run is saved, and the same command goes on from there\n"
    )


def write_shards(folder: Path, written: int, total: int) -> None:
    """Write the manifest of a set of samples, and some of its shards, which are empty."""
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"shards": total}))
    for index in range(written):
        (folder / f"shard-{index:06d}.parquet").touch()


def test_interrupted_sampling_says_after_how_many_batches_of_which_set(here):
    run = make_run(Path("run"), stage="generate", status="interrupted")
    write_shards(run.path / "samples", 3, 12)
    assert describe_progress(run) == "after 3 of 12 batches"
    add_recipe(run, "generate", **{"model.path": "m", "data.train": "d", "refine": {}})
    assert describe_progress(run) == "after 3 of 12 batches of set 1 of 2"


def test_sets_that_have_not_begun_are_counted(here):
    """Two models on nine benchmarks have 18 sets; with scaling, each model has its plain and its other samples."""
    run = make_run(Path("run"), stage="eval", status="interrupted")
    add_recipe(run, "eval", **{"models": {"base": "b", "R1": "r"}, "suite": "r1"})
    write_shards(run.path / "samples/base-mmlu", 3, 3)
    assert describe_progress(run) == "after 1 of 18 sets of samples"
    write_shards(run.path / "samples/base-ifeval", 1, 4)
    assert describe_progress(run) == "after 1 of 4 batches of set 2 of 18"
    scaling = {"direct": 2, "budgets": [8, 16], "waits": 1}
    values = {"model.path": "m", "data.eval": "d", "sampling.samples": 16, "scaling": scaling}
    recipe = load_recipe("eval", None, {**values, "output": "run"})
    assert (
        describe_progress(run, recipe) == "after 1 of 4 batches of set 2 of 6"
    )  # plain, greedy, direct, 2 cut, 1 longer


@pytest.mark.parametrize(("stage", "values"), [("eval", EVAL), ("generate", GENERATE), ("sft", SFT)])
def test_ctrl_c_says_how_far_the_stage_came(here, stage, values):
    values = json.loads(json.dumps(values))
    source = (values["data"].get("eval") or values["data"]["train"])[0]
    source["rows"] = 2000
    file = write_recipe(here / "recipe.yaml", **values)
    process = start_r1kit(stage, file, "output=run")
    made = "run/checkpoints/*/complete.json" if stage == "sft" else "run/samples/**/shard-*.parquet"
    while not list(here.glob(made)):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert f"note: {stage} was interrupted {'at step' if stage == 'sft' else 'after'} " in err
    assert err.endswith("run is saved, and the same command goes on from there\n")
