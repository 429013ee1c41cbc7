"""Every shipped recipe loads and passes a dry run, and the scripts name recipes that exist."""

import json
import re
import sys
from io import StringIO
from pathlib import Path

import pytest
import yaml

from r1kit.commands.dry_run import print_dry_run
from r1kit.recipe import load_recipe
from r1kit.runs.paths import PACKAGE_DIR

RECIPES = Path(__file__).parent.parent / "recipes"
STAGE_OF_FILE = {  # of every name of a recipe file
    "rl_zero": "rl-zero",
    "student_rl": "rl-zero",
    "cold_start": "generate",
    "reasoning_data": "generate",
    "facts_data": "generate",
    "sft_data": "generate",
    "own_rows": "generate",
    "own_sft": "sft",
    "journeys": "generate",
    "problems": "data",
    "sft": "sft",
    "base": "sft",
    "student": "sft",
    "dev1": "sft",
    "dev2": "rl",
    "dev2_no_language": "rl",
    "dev3": "sft",
    "r1": "rl",
    "r1_preference": "rl",
    "preference_data": "generate",
    "reward_model": "reward-model",
    "calculator_sft": "sft",
    "calculator": "rl",
    "distill": "distill",
    "on_policy": "distill",
    "eval": "eval",
    "ladder": "eval",
    "scaling": "eval",
    "search": "eval",
    "verifier": "verifier",
}
RECIPE_FILES = sorted(p for p in RECIPES.glob("*/*.yaml") if p.parent.name != "accelerate")
ACCELERATE_CONFIGS = sorted((RECIPES / "accelerate").glob("*.yaml"))


@pytest.mark.parametrize("file", RECIPE_FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_recipe_dry_runs(file, monkeypatch):
    monkeypatch.chdir(RECIPES.parent)
    monkeypatch.setattr(sys, "stdout", out := StringIO())
    recipe = load_recipe(STAGE_OF_FILE[file.stem], str(file), {})
    print_dry_run(STAGE_OF_FILE[file.stem], recipe, None, None)
    assert "\nlaunch: in this process\n" in out.getvalue()
    assert "\nwork: " in out.getvalue()


@pytest.mark.parametrize("file", ACCELERATE_CONFIGS, ids=lambda p: p.stem)
def test_accelerate_configs_are_launched_with_as_many_processes_as_they_name(file):
    from r1kit.launchers import launch_command

    command = launch_command(None, str(file))
    values = yaml.safe_load(file.read_text())
    if values["distributed_type"] == "MULTI_CPU":
        assert command[-1] == str(values["num_processes"])
    else:
        assert command[-2:] == ["--config_file", str(file)]


def test_there_is_a_script_for_each_model_and_it_names_recipes_that_exist():
    for folder in {p.parent for p in RECIPE_FILES}:
        script = (folder / "run.sh").read_text()
        assert script.startswith("#!/usr/bin/env bash")
        stage_recipes = re.findall(r"^\w+=\$\(stage [\w-]+ (\w+)", script, re.MULTILINE)
        names = stage_recipes or re.findall(r"(?<!accelerate/)\b(\w+)\.yaml", script)
        assert names
        for name in names:
            assert (folder / f"{name}.yaml").exists(), name


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("Qwen2.5-0.5B", 494.03),
        ("Qwen2.5-1.5B", 1543.71),
        ("Qwen2.5-7B", 7615.62),
        ("Qwen2.5-32B-Instruct", 32763.88),
    ],
)
def test_parameters_of_the_qwen_configs_are_those_of_their_model_cards(name, millions):
    from transformers import AutoConfig

    from r1kit.models.size import count_parameters

    settings = json.loads((PACKAGE_DIR / f"configs/Qwen--{name}.json").read_text())
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    assert count_parameters(config).total / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.slow
def test_the_chain_of_the_readme_runs_on_the_output_of_each_stage(tmp_path):
    """Each stage runs two steps by its real command, and the line it prints is the input of the next stage."""
    from helpers import r1kit, read_info

    def stage(name, file, *changes):
        out, _ = r1kit(name, RECIPES / f"tiny/{file}.yaml", f"output={tmp_path / file}", *changes)
        assert out.count("\n") == 1
        assert read_info(Path(out.strip()))["status"] == "finished"
        return out.strip()

    two_steps = ["training.steps=2", "training.batch_size=16", "data.train.0.rows=20", "data.train.1.rows=20"]
    keep_all = [
        "keep.correct=false",
        "keep.format=false",
        "keep.language=0",
        "keep.finished=false",
        "keep.max_repetition=1",
    ]
    few_problems = ["data.train.0.rows=8", "data.train.1.rows=8", *keep_all]
    two_sft_steps = ["training.epochs=null", "training.steps=2"]
    zero = stage("rl-zero", "rl_zero", *two_steps)
    cold = stage("generate", "cold_start", f"model.path={zero}", *few_problems)
    dev1 = stage("sft", "dev1", f"data.train={cold}", *two_sft_steps)
    dev2 = stage("rl", "dev2", f"model.path={dev1}", *two_steps)
    data = stage("generate", "reasoning_data", f"model.path={dev2}", *few_problems)
    dev3 = stage("sft", "dev3", f"data.train={data}", *two_sft_steps)
    r1 = stage("rl", "r1", f"model.path={dev3}", *two_steps)
    student = stage("distill", "distill", f"data.train={data}", *two_sft_steps)
    counts = [f"data.eval.{i}.rows=8" for i in range(3)]
    ladder = stage("eval", "ladder", f"models={{R1: {r1}, Distill: {student}}}", *counts)
    results = json.loads((Path(ladder) / "eval.json").read_text())["models"]
    assert [r["model"] for r in results] == ["R1", "Distill"]
    for result in results:
        assert set(result["accuracy"]) == {"arithmetic", "facts", "code"}
        assert all(0 <= result[k] <= 1 for k in ("thinking", "format"))
    assert read_info(Path(r1))["parents"][0]["path"] == dev3
