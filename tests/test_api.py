"""`r1kit.run_stage`, in the process that calls it: as a notebook has it."""

import json
import os
import signal
import subprocess
import sys

import pytest

import r1kit
from r1kit.errors import UserError

RECIPE = {
    "model": {"path": "tiny:student"},
    "data": {"train": "rows.jsonl"},
    "prompt": {"template": "tiny"},
    "training": {"steps": 2, "batch_size": 4, "learning_rate": 1e-3, "save_steps": 1},
}
HEAVY = "{'torch', 'transformers', 'trl', 'datasets', 'pydantic', 'yaml', 'rich', 'typer'}"


@pytest.fixture
def rows(here):
    row = {"prompt": "What is 1 + 2?", "completion": "<think> 1 plus 2 is 3.</think><answer> 3</answer>"}
    (here / "rows.jsonl").write_text(f"{json.dumps(row)}\n" * 8)


def test_importing_r1kit_imports_nothing_heavy():
    code = f"import sys, r1kit\nfrom r1kit import run_stage\nprint(sorted({HEAVY} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_a_users_mistake_is_an_exception(here, rows):
    with pytest.raises(UserError, match="stage = sfft; no such stage; did you mean sft"):
        r1kit.run_stage("sfft", RECIPE, output="run")
    with pytest.raises(UserError, match=r"training\.step = 5; no such key; did you mean steps"):
        r1kit.run_stage("sft", RECIPE, output="run", **{"training.step": 5})
    with pytest.raises(UserError, match="must be a YAML file that can be read"):
        r1kit.run_stage("sft", "none.yaml")
    with pytest.raises(UserError, match=r"none\.jsonl"):
        r1kit.run_stage("data", {"data": {"train": "none.jsonl"}}, output="run")
    assert json.loads((here / "run/run.json").read_text())["status"] == "failed"


def test_overrides_reach_a_source_that_is_a_path_and_leave_the_dictionary_as_it_was(here, rows):
    recipe = {"data": {"train": "rows.jsonl"}}
    run = r1kit.run_stage("data", recipe, output="run", **{"data.train.0.rows": 3})
    assert recipe == {"data": {"train": "rows.jsonl"}}
    assert json.loads((run / "run.json").read_text())["rows"] == 3


@pytest.mark.slow
def test_a_stage_runs_resumes_and_leaves_the_process_as_it_was(here, rows, capfd):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    environment = dict(os.environ)
    run = r1kit.run_stage("sft", RECIPE, output="run")
    assert str(run) == "run"
    assert (run / "model/model.safetensors").exists()
    assert json.loads((run / "run.json").read_text())["status"] == "finished"

    print("still on stdout")
    output, messages = capfd.readouterr()
    assert output == "still on stdout\n"
    assert "done: sft, " in messages
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert dict(os.environ) == environment

    assert r1kit.run_stage("sft", RECIPE, output="run") == run
    assert "done already: sft, " in capfd.readouterr().err

    r1kit.run_stage("sft", RECIPE, output="run", **{"training.steps": 3})
    assert json.loads((run / "run.json").read_text())["steps"] == 3
    with pytest.raises(UserError, match=r"training\.learning_rate"):
        r1kit.run_stage("sft", RECIPE, output="run", **{"training.learning_rate": 1e-4})
