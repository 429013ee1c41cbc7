"""`--smoke`: any recipe in two minutes, in an output of its own, and what this machine lacks replaced."""

import json
import time
from pathlib import Path

import pytest
import torch
from helpers import EVAL, GENERATE, RL, SFT, r1kit, read_info, read_metrics, write_recipe
from test_recipes import RECIPE_FILES, RECIPES, STAGE_OF_FILE

from r1kit.commands.smoke import LARGEST_CPU_MODEL, make_smoke_recipe
from r1kit.recipe import check_recipe, load_recipe
from r1kit.recipe.smoke import shrink_recipe

needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU keeps settings that a CPU has no use for")


@pytest.mark.parametrize("file", RECIPE_FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
@pytest.mark.parametrize("processes", [1, 2, 8])
def test_every_shipped_recipe_becomes_small(file, processes):
    recipe = load_recipe(STAGE_OF_FILE[file.stem], str(file), {})
    small = shrink_recipe(recipe, processes)
    check_recipe(small)
    assert small.output == f"{recipe.output}.smoke"
    if hasattr(small, "training"):
        assert small.training.steps <= 8
        assert small.training.batch_size % processes == 0
        assert small.training.batch_size <= 8 * processes
    if hasattr(small, "prompts_per_rollout"):
        assert small.sampling.max_tokens <= 32
        assert 2 <= small.prompts_per_rollout <= 32  # the rows of one source
        # The code paths are those of the recipe: updates, schedules, steps of rewards, accumulation.
        assert (small.training.updates_per_rollout > 1) == (recipe.training.updates_per_rollout > 1)
        assert bool(small.sampling.schedule) == bool(recipe.sampling.schedule)
        for reward, original in zip(small.rewards, recipe.rewards, strict=True):
            assert (reward.from_step, reward.last_steps) == (0, None) or original != reward
        micro_batch_size = recipe.training.micro_batch_size
        is_accumulated = bool(micro_batch_size) and micro_batch_size * processes < recipe.training.batch_size
        assert bool(small.training.micro_batch_size) == is_accumulated


def test_nothing_of_a_smoke_run_leaves_the_machine():
    values = {"output": "x", "model.path": "m", "data.train": "d"}
    trl = {"report_to": "wandb", "hub_token": "hf_1", "log_completions": True, "log_completions_hub_repo": "org/x"}
    recipe = load_recipe("rl", None, {**values, "trl": trl, "card.push_to_hub": "org/model"})
    small = shrink_recipe(recipe)
    assert small.card.push_to_hub is None
    assert small.trl == {"report_to": []}


@needs_no_gpu
def test_what_the_machine_lacks_is_replaced_and_named(here):
    values = {
        "output": "runs/zero",
        "model": {"path": "Qwen/Qwen2.5-7B", "attention": "flash_attention_2", "dtype": "bfloat16"},
        "data.train": ["org/problems", "runs/cold"],
        "trl": {"use_vllm": True, "vllm_mode": "colocate", "loss_type": "grpo"},
        "rewards": [{"name": "accuracy"}, {"name": "preference", "model": "org/judge"}],
    }
    small, notes = make_smoke_recipe(load_recipe("rl-zero", None, values))
    text = "\n".join(notes)
    assert "runs/zero is not touched" in text
    assert "model.path = Qwen/Qwen2.5-7B has 7,616M parameters: in its place is a qwen2 model of two" in text
    assert "model.attention = flash_attention_2 is left out" in text
    assert "model.dtype = bfloat16 is left out" in text
    assert "data.train.0 = org/problems: rows of world:arithmetic take its place" in text
    assert "data.train.1 = runs/cold: rows of world:arithmetic take its place, because neither this run nor " in text
    assert "trl.use_vllm is left out" in text
    assert "the reward preference is left out: its model org/judge is not on this machine" in text
    config = json.loads((here / "runs/zero.smoke.models/Qwen-Qwen2.5-7B/config.json").read_text())
    assert (config["model_type"], config["num_hidden_layers"]) == ("qwen2", 2)
    assert small.model.path == "runs/zero.smoke.models/Qwen-Qwen2.5-7B"
    assert small.trl == {"loss_type": "grpo"}
    assert [reward.name for reward in small.rewards] == ["accuracy"]


JUDGE = {"name": "judge", "model": "judge", "rubric": "It is polite.", "server": {"urls": "http://127.0.0.1:9/v1"}}


@pytest.mark.parametrize(
    ("stage", "values", "expected"),
    [
        ("rl", {"rewards": ["accuracy", JUDGE]}, ["accuracy"]),
        ("rl", {"rewards": [JUDGE]}, ["format"]),
        ("generate", {"rewards": ["accuracy", JUDGE], "keep.per_prompt": 1, "keep.prefer": "judge"}, ["accuracy"]),
        ("eval", {"rewards": ["accuracy", JUDGE], "scaling.by": ["judge"]}, ["accuracy"]),
    ],
)
def test_a_smoke_run_asks_no_judge(stage, values, expected, here):
    values = {"output": "run", "model.path": "tiny:base", "data.train": "world:arithmetic", **values}
    small, notes = make_smoke_recipe(load_recipe(stage, None, values))
    assert [reward.name for reward in small.rewards] == expected
    assert [note for note in notes if "judge" in note] == [
        "the reward judge is left out: its server, which may cost money, is not asked"
    ]


def test_smoke_runs_of_earlier_stages_take_the_place_of_missing_runs(here):
    for folder in ("runs/zero.smoke/model", "runs/cold.smoke/data", "runs/made/model", "runs/made.smoke/model"):
        Path(folder).mkdir(parents=True)
    Path("runs/made/run.json").write_text("{}")
    values = {"output": "runs/dev1", "model.path": "runs/zero", "data.train": "runs/cold"}
    small, notes = make_smoke_recipe(load_recipe("generate", None, values))
    assert small.data.train[0].path == "runs/cold.smoke"
    assert "data.train.0.path = runs/cold is not there yet: its smoke run runs/cold.smoke takes its place" in notes
    assert "model.path = runs/zero is not there yet: its smoke run runs/zero.smoke takes its place" in notes


def test_benchmarks_of_the_hub_are_left_out_without_a_network(here):
    recipe = load_recipe("eval", None, {"model.path": "tiny:student", "suite": "aime24,math500", "output": "run"})
    small, notes = make_smoke_recipe(recipe)
    assert small.suite == {}
    assert [source.path for source in small.data.eval] == ["world:arithmetic"]
    assert sum("is left out, because the hub cannot be reached" in note for note in notes) == 2
    (here / "rows.jsonl").write_text('{"problem": "1 + 1?", "answer": "2"}\n')
    recipe = load_recipe("eval", None, {"model.path": "tiny:student", "suite": "math500=rows.jsonl", "output": "run"})
    small, _ = make_smoke_recipe(recipe)
    assert (small.suite["math500"].rows, small.suite["math500"].max_tokens) == (8, 32)


ARCHITECTURES = (
    *("qwen2", "qwen3", "llama", "gemma3_text", "mixtral", "qwen3_moe", "deepseek_v3", "gpt_neox", "phi3"),
    *("qwen3_5_text", "gemma4_text", "smollm3", "olmo3", "glm4", "gpt_oss", "lfm2"),
)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_a_small_copy_is_a_model_of_the_same_architecture(tmp_path, model_type):
    from transformers import AutoConfig, AutoModelForCausalLM

    from r1kit.models.load import load_tokenizer
    from r1kit.models.small_copy import write_small_copy
    from r1kit.recipe import ModelConfig

    config = AutoConfig.for_model(model_type)
    tokenizer = load_tokenizer(ModelConfig(path="tiny:student"))
    write_small_copy(config, tokenizer, tmp_path / "small")
    small = AutoModelForCausalLM.from_pretrained(tmp_path / "small")
    assert small.config.model_type == model_type
    assert sum(parameter.numel() for parameter in small.parameters()) < LARGEST_CPU_MODEL
    assert small.config.vocab_size > len(tokenizer)


SMALL_SCALING = {**EVAL, "scaling": {"direct": 2, "budgets": [16]}, "sampling": {"samples": 16, "max_tokens": 64}}


@pytest.mark.parametrize(
    ("stage", "values"),
    [("rl-zero", RL), ("sft", SFT), ("generate", GENERATE), ("eval", SMALL_SCALING)],
)
def test_a_smoke_run_runs_and_leaves_the_run_alone(here, stage, values):
    values = json.loads(json.dumps(values))
    values.setdefault("training", {})
    if "kl" in values["training"]:
        values["training"] |= {"steps": 10_000, "batch_size": 256, "save_steps": 100}
    if not values["training"]:
        del values["training"]
    file = write_recipe(here / "recipe.yaml", output="run", **values)
    (here / "run").mkdir()
    (here / "run/notes.txt").write_text("mine")
    started = time.monotonic()
    out, err = r1kit(stage, file, "--smoke")
    assert time.monotonic() - started < 120
    assert out == "run.smoke\n"
    assert [path.name for path in (here / "run").iterdir()] == ["notes.txt"]
    assert read_info(here / "run.smoke")["smoke"] is True
    assert err.splitlines()[-1] == "next: the same command without --smoke, which makes the run itself"
    if stage == "rl-zero":
        assert [line["step"] for line in read_metrics(here / "run.smoke") if "reward" in line] == [1, 2]
    # The same command tries again, and does not print the path of the smoke run that is there.
    _, err = r1kit(stage, file, "--smoke")
    assert "done already" not in err


def test_smoke_replaces_smoke_runs_alone(here):
    file = write_recipe(here / "recipe.yaml", output="run", **SFT)
    (here / "run.smoke").mkdir()
    (here / "run.smoke/notes.txt").write_text("mine")
    _, err = r1kit("sft", file, "--smoke", code=2)
    assert "error: output = run.smoke; is no smoke run of r1kit, and --smoke writes here; move it, or set output" in err
    assert (here / "run.smoke/notes.txt").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rl_zero", "dev1", "cold_start"])
def test_a_recipe_for_a_large_model_smokes_without_a_network(here, name):
    file = RECIPES / "qwen2.5-7b" / f"{name}.yaml"
    out, err = r1kit(STAGE_OF_FILE[name], file, "--smoke", "output=run")
    assert out == "run.smoke\n"
    assert "its place" in err
