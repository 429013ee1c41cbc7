"""Trackers such as TensorBoard, set by `trl.report_to`, hold the same curves as metrics.jsonl, and the completions."""

import json
import os
from pathlib import Path

import pytest
from helpers import r1kit, write_recipe

ZERO = {
    "model": {"path": "tiny:base"},
    "data": {"train": [{"path": "world:arithmetic", "rows": 16}]},
    "prompt": {"template": "tiny"},
    "sampling": {"group_size": 4, "max_tokens": 24},
    "rewards": [{"name": "accuracy"}, {"name": "format"}],
    "training": {"steps": 3, "batch_size": 8, "learning_rate": 1e-4},
}


def read_metric(run: Path, name: str) -> dict[int, float]:
    """Return the values of one metric in metrics.jsonl, by step."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}


@pytest.mark.slow
def test_tensorboard_holds_the_curves(here):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    r1kit("rl-zero", write_recipe(here / "z.yaml", **ZERO, trl={"report_to": ["tensorboard"]}), f"output={here}/run")
    [file] = here.rglob("events.out.tfevents.*")
    assert here / "run" in file.parents
    events = EventAccumulator(str(file.parent)).Reload()
    for name in ("reward", "rewards/accuracy/mean", "completions/mean_length"):
        values = {event.step: event.value for event in events.Scalars(f"train/{name}")}
        assert values == pytest.approx(read_metric(here / "run", name), rel=1e-6)
        assert sorted(values) == [1, 2, 3]


@pytest.mark.slow
def test_weights_and_biases_hold_the_curves_and_the_completions(here, monkeypatch):
    """wandb runs offline: it asks no server and writes its files to WANDB_DIR."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(here))
    trl = {"report_to": ["wandb"], "log_completions": True}
    r1kit("rl-zero", write_recipe(here / "z.yaml", **ZERO, trl=trl), f"output={here}/run")
    [run] = here.glob("wandb/offline-run-*")
    tables = sorted(run.glob("files/media/table/completions*.table.json"))
    table = json.loads(tables[-1].read_text())
    assert {"prompt", "completion", "accuracy", "format"} <= set(table["columns"])
    assert len(table["data"]) >= 8
    assert os.path.getsize(next(run.glob("*.wandb"))) > 0


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
