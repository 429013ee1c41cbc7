"""Trackers such as TensorBoard, set by `trl.report_to`, hold the same curves as metrics.jsonl, and the completions."""

import json
import os
from pathlib import Path

import pytest
from helpers import r1kit, write_recipe

from r1kit.runs.run import Run
from r1kit.training.trackers import tracker_environment

ZERO = {
    "model": {"path": "tiny:base"},
    "data": {"train": [{"path": "world:arithmetic", "rows": 16}]},
    "prompt": {"template": "tiny"},
    "sampling": {"group_size": 4, "max_tokens": 24},
    "rewards": [{"name": "accuracy"}, {"name": "format"}],
    "training": {"steps": 3, "batch_size": 8, "learning_rate": 1e-4},
}


MAX_TERMINAL_CHARS = 10_000
"""More than this no training of three steps prints, whichever tracker it has."""


def read_metric(run: Path, name: str) -> dict[int, float]:
    """Return the values of one metric in metrics.jsonl, by step."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}


@pytest.mark.slow
def test_tensorboard_holds_the_curves(here):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    r1kit("rl-zero", write_recipe(here / "z.yaml", **ZERO, trl={"report_to": ["tensorboard"]}), f"output={here}/run")
    [file] = here.rglob("events.out.tfevents.*")
    assert file.parent == here / "run/tensorboard"
    events = EventAccumulator(str(file.parent)).Reload()
    for name in ("reward", "rewards/accuracy/mean", "completions/mean_length"):
        values = {event.step: event.value for event in events.Scalars(f"train/{name}")}
        assert values == pytest.approx(read_metric(here / "run", name), rel=1e-6)
        assert sorted(values) == [1, 2, 3]


@pytest.mark.slow
def test_weights_and_biases_hold_the_curves_and_the_completions(here, monkeypatch):
    """wandb runs offline: it asks no server, and writes its files into the run."""
    from wandb.proto.wandb_internal_pb2 import RunRecord

    monkeypatch.setenv("WANDB_MODE", "offline")
    trl = {"report_to": ["wandb"], "log_completions": True}
    _, err = r1kit("rl-zero", write_recipe(here / "z.yaml", **ZERO, trl=trl), "output=zero/first")
    assert len(err) < MAX_TERMINAL_CHARS
    assert not (here / "wandb").exists()
    [run] = here.glob("zero/first/wandb/offline-run-*")
    sent = next(run.glob("*.wandb")).read_bytes()
    assert RunRecord(project="r1kit").SerializeToString() in sent
    assert RunRecord(display_name="first").SerializeToString() in sent
    tables = sorted(run.glob("files/media/table/completions*.table.json"))
    table = json.loads(tables[-1].read_text())
    assert {"prompt", "completion", "accuracy", "format"} <= set(table["columns"])
    assert len(table["data"]) >= 8
    assert os.path.getsize(next(run.glob("*.wandb"))) > 0


def test_variables_of_trackers_are_set_for_the_training_alone_and_those_of_the_user_are_kept(tmp_path, monkeypatch):
    for name in ("WANDB_PROJECT", "WANDB_QUIET", "TENSORBOARD_LOGGING_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_DIR", "mine")
    run = Run(tmp_path / "run")
    with tracker_environment(["wandb", "tensorboard"], run):
        assert os.environ["WANDB_PROJECT"] == "r1kit"
        assert os.environ["WANDB_DIR"] == "mine"
        assert os.environ["TENSORBOARD_LOGGING_DIR"] == str(tmp_path / "run/tensorboard")
    assert os.environ["WANDB_DIR"] == "mine"
    assert "WANDB_PROJECT" not in os.environ
    with tracker_environment(None, run):
        assert "WANDB_PROJECT" not in os.environ


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("wandbb", "error: trl.report_to = wandbb; must be a tracker that transformers knows; did you mean wandb?"),
        ("mlflow", "error: trl.report_to = mlflow; needs the tracker's own library; run pip install mlflow"),
    ],
)
def test_an_unknown_or_missing_tracker_is_refused_in_one_line(here, name, line):
    _, err = r1kit(
        "rl-zero", write_recipe(here / "z.yaml", **ZERO, trl={"report_to": [name]}), f"output={here}/run", code=2
    )
    assert line in err
    assert "Traceback" not in err
