"""Every shipped recipe is parsed and dry-run; the scripts name recipes that exist."""

import re
import sys
from io import StringIO
from pathlib import Path

import pytest
import yaml

from r1kit.commands.dry_run import count_parameters, print_dry_run
from r1kit.recipe import load_recipe

RECIPES = Path(__file__).parent.parent / "recipes"
STAGES = {
    "rl_zero": "rl-zero",
    "student_rl": "rl-zero",
    "cold_start": "generate",
    "reasoning_data": "generate",
    "facts_data": "generate",
    "sft_data": "generate",
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
    "distill": "distill",
    "eval": "eval",
    "ladder": "eval",
    "scaling": "eval",
    "search": "eval",
    "verifier": "verifier",
}
FILES = sorted(p for p in RECIPES.glob("*/*.yaml") if p.parent.name != "accelerate")
CONFIGS = sorted((RECIPES / "accelerate").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_recipe_dry_runs(file, monkeypatch):
    monkeypatch.chdir(RECIPES.parent)
    monkeypatch.setattr(sys, "stdout", out := StringIO())
    recipe = load_recipe(STAGES[file.stem], str(file), {})
    print_dry_run(STAGES[file.stem], recipe, None, None)
    assert "\nlaunch: in this process\n" in out.getvalue()
    assert "\nwork: " in out.getvalue()


@pytest.mark.parametrize("file", CONFIGS, ids=lambda p: p.stem)
def test_accelerate_configs_are_launched_with_as_many_processes_as_they_name(file):
    from r1kit.launch import launch_command

    command = launch_command(None, str(file))
    values = yaml.safe_load(file.read_text())
    if values["distributed_type"] == "MULTI_CPU":
        assert command[-1] == str(values["num_processes"])
    else:
        assert command[-2:] == ["--config_file", str(file)]


def test_there_is_a_script_for_each_model_and_it_names_recipes_that_exist():
    for folder in {p.parent for p in FILES}:
        script = (folder / "run.sh").read_text()
        assert script.startswith("#!/usr/bin/env bash")
        staged = re.findall(r"^\w+=\$\(stage [\w-]+ (\w+)", script, re.MULTILINE)
        named = staged or re.findall(r"(?<!accelerate/)\b(\w+)\.yaml", script)
        assert named
        for name in named:
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
    import json

    from r1kit.runs.paths import PACKAGE_DIR

    config = json.loads((PACKAGE_DIR / f"configs/Qwen--{name}.json").read_text())
    assert count_parameters(config) / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.slow
def test_the_chain_of_the_readme_runs_on_the_output_of_each_stage(tmp_path):
    """Two steps a stage, through real commands; every stdout line is the next one's input."""
    from helpers import info, r1kit

    def stage(name, file, *changes):
        out, _ = r1kit(name, RECIPES / f"tiny/{file}.yaml", f"output={tmp_path / file}", *changes)
        assert out.count("\n") == 1
        assert info(Path(out.strip()))["status"] == "finished"
        return out.strip()

    few = ["training.steps=2", "training.batch_size=16", "data.train.0.rows=20", "data.train.1.rows=20"]
    loose = [
        "keep.correct=false",
        "keep.format=false",
        "keep.language=0",
        "keep.finished=false",
        "keep.max_repetition=1",
    ]
    small = ["data.train.0.rows=8", "data.train.1.rows=8", *loose]
    sft = ["training.epochs=null", "training.steps=2"]
    zero = stage("rl-zero", "rl_zero", *few)
    cold = stage("generate", "cold_start", f"model.path={zero}", *small)
    dev1 = stage("sft", "dev1", f"data.train={cold}", *sft)
    dev2 = stage("rl", "dev2", f"model.path={dev1}", *few)
    data = stage("generate", "reasoning_data", f"model.path={dev2}", *small)
    dev3 = stage("sft", "dev3", f"data.train={data}", *sft)
    r1 = stage("rl", "r1", f"model.path={dev3}", *few)
    student = stage("distill", "distill", f"data.train={data}", *sft)
    counts = [f"data.eval.{i}.rows=8" for i in range(3)]
    ladder = stage("eval", "ladder", f"models={{R1: {r1}, Distill: {student}}}", *counts)
    import json

    rungs = json.loads((Path(ladder) / "eval.json").read_text())["models"]
    assert [r["model"] for r in rungs] == ["R1", "Distill"]
    for rung in rungs:
        assert set(rung["accuracy"]) == {"arithmetic", "facts", "code"}
        assert all(0 <= rung[k] <= 1 for k in ("thinking", "format"))
    assert info(Path(r1))["parents"][0]["path"] == dev3
