"""A run that is killed at any moment and started again ends as if it had not been killed.

The environment variable R1KIT_KILLS sets how often each run is killed (default 1).
"""

import os
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import (
    EVAL,
    GENERATE,
    ON_POLICY,
    RL,
    SFT,
    largest_difference,
    r1kit,
    read_data,
    read_info,
    read_metrics,
    read_weights,
    start_r1kit,
    write_recipe,
)

from r1kit.training.checkpoints import checkpoint_step, complete_checkpoints

KILLS = int(os.environ.get("R1KIT_KILLS", "1"))
pytestmark = pytest.mark.slow


def kill_then_finish(stage: str, file: Path, run: Path, count_progress: Callable[[Path], int], seed: int) -> None:
    """Start the stage and kill it at a random moment after some progress, KILLS times; then let it end."""
    rng = random.Random(seed)
    for kill in range(KILLS):
        process = start_r1kit(stage, file, f"output={run}")
        goal = count_progress(run) + rng.randint(1, 3)
        while count_progress(run) < goal and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        assert kill or process.poll() is None
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    out, err = r1kit(stage, file, f"output={run}")
    assert out == f"{run}\n"
    assert "[transformers]" not in err  # transformers has nothing to warn of


def last_saved_step(run: Path) -> int:
    """Return the step of a run's last complete checkpoint; 0 without one."""
    return max((checkpoint_step(folder) for folder in complete_checkpoints(run / "checkpoints")), default=0)


def count_shards(run: Path) -> int:
    """Return the number of shards of samples that a run has finished."""
    return len(list(run.rglob("shard-*")))


def modification_times(run: Path) -> dict[Path, int]:
    """Return when each file of a run was last written, in nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}


def test_rl_ends_in_the_same_weights_and_rollouts(tmp_path):
    file, unbroken, killed = write_recipe(tmp_path / "rl.yaml", **RL), tmp_path / "unbroken", tmp_path / "killed"
    r1kit("rl-zero", file, f"output={unbroken}")
    kill_then_finish("rl-zero", file, killed, last_saved_step, seed=1)
    assert largest_difference(read_weights(unbroken / "model"), read_weights(killed / "model")) == 0.0
    assert read_data(unbroken / "completions") == read_data(killed / "completions")
    assert len(read_data(killed / "completions")) == 6 * 16
    assert read_info(killed)["steps"] == 6
    steps = [line["step"] for line in read_metrics(killed) if "reward" in line]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_sft_ends_in_the_same_weights(tmp_path):
    file, unbroken, killed = write_recipe(tmp_path / "sft.yaml", **SFT), tmp_path / "unbroken", tmp_path / "killed"
    r1kit("sft", file, f"output={unbroken}")
    kill_then_finish("sft", file, killed, last_saved_step, seed=2)
    assert largest_difference(read_weights(unbroken / "model"), read_weights(killed / "model")) == 0.0
    assert read_info(killed)["steps"] == read_info(unbroken)["steps"] == 24


def test_a_killed_on_policy_distillation_ends_with_the_same_weights_and_rollouts(tmp_path):
    file = write_recipe(tmp_path / "recipe.yaml", **ON_POLICY)
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    r1kit("distill", file, f"output={unbroken}")
    kill_then_finish("distill", file, killed, last_saved_step, seed=4)
    assert largest_difference(read_weights(unbroken / "model"), read_weights(killed / "model")) == 0.0
    assert read_data(unbroken / "completions") == read_data(killed / "completions")


def test_evaluated_rows_are_neither_lost_nor_doubled(tmp_path):
    file, unbroken, killed = write_recipe(tmp_path / "recipe.yaml", **EVAL), tmp_path / "unbroken", tmp_path / "killed"
    r1kit("eval", file, f"output={unbroken}")
    kill_then_finish("eval", file, killed, count_shards, seed=3)
    folders = [path.relative_to(unbroken) for path in unbroken.rglob("*") if path.is_dir()]
    assert folders
    for folder in folders:
        assert read_data(unbroken / folder) == read_data(killed / folder)


def test_generated_rows_are_neither_lost_nor_doubled(tmp_path):
    """Each kill hits a live process at a random moment after it has finished a few more shards."""
    problems = max(60, 15 * KILLS)
    values = {**GENERATE, "data": {"train": [{"path": "world:arithmetic", "rows": problems}]}}
    values["sampling"] = {**GENERATE["sampling"], "samples": 4, "batch_size": 16}
    file, unbroken, killed = (
        write_recipe(tmp_path / "recipe.yaml", **values),
        tmp_path / "unbroken",
        tmp_path / "killed",
    )
    r1kit("generate", file, f"output={unbroken}")
    rng = random.Random(3)
    for _ in range(KILLS):
        process = start_r1kit("generate", file, f"output={killed}")
        goal = len(list(killed.glob("samples/shard-*"))) + rng.randint(0, 2)
        while len(list(killed.glob("samples/shard-*"))) < goal:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    r1kit("generate", file, f"output={killed}")
    for folder in ("samples", "data"):
        assert read_data(unbroken / folder) == read_data(killed / folder)
    rows = read_data(killed / "samples")
    assert len(rows) == len({(r["id"], r["sample"]) for r in rows}) == 4 * problems


@pytest.mark.parametrize("lora", [None, {"r": 4, "alpha": 64}])
def test_a_reference_model_that_was_replaced_survives(tmp_path, lora):
    """With a strong KL the final weights depend on the reference model, so a lost one would show."""
    import torch
    from safetensors.torch import load_file

    values = {**RL, "training": {**RL["training"], "steps": 5, "kl": 1.0, "reference_reset_steps": 3}}
    if lora:
        values["model"] = {**RL["model"], "lora": lora}
        values["training"]["learning_rate"] = 1e-2
    file = write_recipe(tmp_path / "rl.yaml", **values)
    r1kit("rl-zero", file, f"output={tmp_path / 'unbroken'}")
    first = write_recipe(tmp_path / "first.yaml", **{**values, "training": {**values["training"], "steps": 4}})
    r1kit("rl-zero", first, f"output={tmp_path / 'parts'}")
    saved = torch.load(tmp_path / "parts/checkpoints/checkpoint-4/reference.pt", weights_only=True)
    name = "adapter_model.safetensors" if lora else "model.safetensors"
    policy = load_file(tmp_path / "parts/checkpoints/checkpoint-3" / name)
    saved = {key.replace(".ref.", "."): value for key, value in saved.items()}
    assert all(torch.equal(saved[key], value) for key, value in policy.items())
    r1kit("rl-zero", file, f"output={tmp_path / 'parts'}")  # one step more than before goes on
    unbroken, parts = (load_file(tmp_path / run / "model" / name) for run in ("unbroken", "parts"))
    assert largest_difference(unbroken, parts) == 0.0
    kl = {line["step"]: line["kl"] for line in read_metrics(tmp_path / "unbroken") if "kl" in line}
    assert kl[4] < 1e-4 < kl[3]  # the policy has just become the reference


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_ends_with_130(tmp_path, number):
    values = {**RL, "training": {**RL["training"], "steps": 400, "save_steps": 400}}
    process = start_r1kit("rl-zero", write_recipe(tmp_path / "rl.yaml", **values), f"output={tmp_path / 'run'}")
    while not list((tmp_path / "run").glob("completions/*.parquet")):
        time.sleep(0.2)
        assert process.poll() is None
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert read_info(tmp_path / "run")["status"] == "interrupted"
    assert list((tmp_path / "run/checkpoints").glob("checkpoint-*/complete.json"))


def test_a_finished_run_answers_with_its_path_and_does_nothing(tmp_path):
    file = write_recipe(tmp_path / "sft.yaml", **{**SFT, "training": {**SFT["training"], "epochs": 1}})
    r1kit("sft", file, f"output={tmp_path / 'run'}")
    run = tmp_path / "run"
    before = modification_times(run)
    out, err = r1kit("sft", file, f"output={run}")
    assert out == f"{run}\n"
    assert re.fullmatch(rf"done already: sft, 8 steps in [\d.]+ s: loss .*\nmodel: {run}/model\nnext: .*\n", err)
    assert modification_times(run) == before
