"""ZeRO 2 and ZeRO 3 of DeepSpeed, in two processes on the CPU: `make test-deepspeed`.

The first test compiles DeepSpeed's communication for the CPU, which takes half a minute once.
"""

import shutil
from pathlib import Path

import pytest
from helpers import RL, SFT, largest_difference, r1kit, read_data, read_info, read_metrics, read_weights, write_recipe

from r1kit.runs.run import Run

pytestmark = pytest.mark.deepspeed
ROOT = Path(__file__).parent.parent
ACCELERATE_CONFIGS = ROOT / "recipes/accelerate"
COSINE = {"schedule": "cosine", "learning_rate": 1e-3, "min_learning_rate": 1e-4}
SFT_TRAINING = {**SFT["training"], **COSINE, "epochs": None, "steps": 6, "save_steps": 3}
RL_TRAINING = {**RL["training"], **COSINE, "steps": 4, "save_steps": 2, "reference_reset_steps": None}


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    """Let DeepSpeed run on the CPU, wherever there is a GPU too."""
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a function that trains once for all tests, and returns the run: stage, `zero` (None: alone), LoRA."""
    runs = {}

    def train(stage, zero=None, lora=None):
        key = (stage, zero, str(lora))
        if key not in runs:
            folder = tmp_path_factory.mktemp("deepspeed")
            values = {**SFT, "training": SFT_TRAINING} if stage == "sft" else {**RL, "training": RL_TRAINING}
            values["model"] = {"path": "tiny:student", "lora": lora}
            recipe = write_recipe(folder / "recipe.yaml", **values)
            launch = launch_of(zero) if zero else []
            r1kit(stage, recipe, f"output={folder / 'run'}", *launch)
            runs[key] = folder / "run"
        return runs[key]

    return train


def launch_of(zero):
    return ["--accelerate-config", ACCELERATE_CONFIGS / f"zero{zero}_cpu.yaml"]


def interrupt_after(run, checkpoint, target):
    """Copy a finished run as it stood after a checkpoint."""
    shutil.copytree(run, target)
    shutil.rmtree(target / "model")
    for path in (target / "checkpoints").iterdir():
        if path.name != checkpoint:
            shutil.rmtree(path)
    Run(target).update(status="interrupted", steps=None)
    return target


def logged(run, name):
    return [line[name] for line in read_metrics(run) if name in line]


@pytest.mark.parametrize("zero", [2, 3])
def test_sft_with_a_cosine_is_that_of_one_process(trained, zero):
    alone, run = trained("sft"), trained("sft", zero)
    assert [rank["type"] for rank in read_info(run)["ranks"]] == ["DEEPSPEED", "DEEPSPEED"]
    assert logged(run, "learning_rate") == pytest.approx(logged(alone, "learning_rate"), rel=1e-12)
    assert logged(run, "loss") == pytest.approx(logged(alone, "loss"), abs=1e-5)
    assert largest_difference(read_weights(ROOT / "r1kit/tiny/student"), read_weights(alone / "model")) > 3e-3
    # The same names, too: a tied head is saved once. Adam makes a step of a gradient's last bits where it is nearly 0.
    assert largest_difference(read_weights(alone / "model"), read_weights(run / "model")) < 1e-3
    assert {path.name for path in (run / "model").iterdir()} == {path.name for path in (alone / "model").iterdir()}


@pytest.mark.parametrize("zero", [2, 3])
def test_rl_with_a_cosine_trains_to_the_end(trained, zero):
    run = trained("rl-zero", zero)
    assert [rank["type"] for rank in read_info(run)["ranks"]] == ["DEEPSPEED", "DEEPSPEED"]
    assert read_info(run)["steps"] == 4
    assert len(read_data(run / "completions")) == 4 * 16
    half_cosine = [1.0, 0.8682, 0.55, 0.2318]  # (1 + 9 (1 + cos(pi n / 4)) / 2) / 10 after n steps
    assert logged(run, "learning_rate") == pytest.approx([rate * 1e-3 for rate in half_cosine], rel=1e-4)
    other = trained("rl-zero", 5 - zero)
    assert logged(run, "grad_norm") == pytest.approx(logged(other, "grad_norm"), rel=1e-4)
    assert read_weights(run / "model").keys() == read_weights(ROOT / "r1kit/tiny/student").keys()


@pytest.mark.parametrize("zero", [2, 3])
def test_a_merged_adapter_is_that_of_one_process(trained, zero):
    lora = {"r": 4, "alpha": 8, "merge": True}
    alone, run = trained("sft", lora=lora), trained("sft", zero, lora)
    assert largest_difference(read_weights(alone / "model"), read_weights(run / "model")) < 1e-4
    assert (run / "adapter/adapter_model.safetensors").exists()


@pytest.mark.parametrize("zero", [2, 3])
@pytest.mark.parametrize(("stage", "checkpoint"), [("sft", "checkpoint-3"), ("rl-zero", "checkpoint-2")])
def test_a_run_is_resumed(trained, tmp_path, zero, stage, checkpoint):
    whole = trained(stage, zero)
    resumed = interrupt_after(whole, checkpoint, tmp_path / "run")
    r1kit(stage, whole.parent / "recipe.yaml", f"output={resumed}", *launch_of(zero))
    assert read_info(resumed)["steps"] == read_info(whole)["steps"]
    assert largest_difference(read_weights(whole / "model"), read_weights(resumed / "model")) < 1e-6


def test_a_run_is_not_resumed_without_the_state_of_its_optimizer(trained, tmp_path):
    whole = trained("sft", 2)
    resumed = interrupt_after(whole, "checkpoint-3", tmp_path / "run")
    words = ["sft", whole.parent / "recipe.yaml", f"output={resumed}"]
    _, err = r1kit(*words, code=2)
    saved = f"error: output = {resumed}; its checkpoint has the optimizer's state as DeepSpeed's ZeRO 1 or 2 saves it, "
    saved += "for 2 processes, and "
    assert f"{saved}this launch reads it in one file; launch it as before, or pass" in err
    _, err = r1kit(*words, *launch_of(2), "--num-processes", "1", code=2)
    assert f"{saved}this launch reads it as DeepSpeed's ZeRO 1 or 2 saves it, for 1 process;" in err
    _, err = r1kit(*words, *launch_of(3), code=2)
    assert f"{saved}this launch reads it as DeepSpeed's ZeRO 3 saves it, for 2 processes; " in err
