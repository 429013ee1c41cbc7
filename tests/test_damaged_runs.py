"""Damaged files of runs: `report`, `watch` and `runs` name them in a line and show the rest; stages refuse them."""

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r1kit.errors import UserError
from r1kit.report.page import write_report
from r1kit.report.serve import RunFollower
from r1kit.runs.listing import list_runs
from r1kit.runs.reading import read_json_lines, read_run_info, read_state, warn_of_damage
from r1kit.runs.run import Run
from r1kit.sampling.shards import Shards
from r1kit.training.card import last_metrics

RUN_INFO = {"stage": "rl", "status": "finished", "seconds": 1.5, "started": "2026-01-01T00:00:00+00:00", "parents": []}
MODEL_ROW = {"model": "m", "path": "runs/first", "statistics": {"pass@1": 0.5, "domains": {"math": {"pass@1": 0.5}}}}
ROLLOUT = {"prompt": "What is 2 + 2?", "completion": "<answer>4</answer>", "reward": 1.0, "step": 1, "group": 0}
NESTED = "[" * 1000 + "]" * 1000
ODD_JSON = {
    "empty": "",
    "cut": '{"stage": "rl", "sta',
    "no UTF-8": b"\xff\xfe\x00",
    "a list": "[]",
    "a number": "3",
    "null": "null",
    "nested 900 levels": '{"a": ' + "[" * 900 + "]" * 900 + "}",
    "nested 1,000 levels": NESTED,
    "nested 100,000 levels": "[" * 100_000,
    "of 5,000 digits": '{"step": ' + "7" * 5000 + "}",
    "a key of half a pair": '{"\\ud800": 1}',
}


@pytest.fixture(autouse=True)
def _warn_again():
    warn_of_damage.cache_clear()


def write_run(folder: Path, name: str = "first") -> Path:
    """Write a run with every file that `report` reads."""
    run = folder / "runs" / name
    (run / "completions").mkdir(parents=True, exist_ok=True)
    (run / "run.json").write_text(json.dumps(RUN_INFO))
    (run / "recipe.yaml").write_text("output: o\nmodel: {path: tiny:base}\n")
    (run / "metrics.jsonl").write_text('{"step": 1, "reward": 0.5}\n{"step": 2, "reward": 0.75}\n')
    (run / "warnings.jsonl").write_text('{"step": 1, "name": "flat", "text": "flat"}\n')
    (run / "eval.json").write_text(json.dumps({"models": [MODEL_ROW]}))
    (run / "drops.json").write_text(json.dumps({"train": {"sampled": 2}}))
    points = [{"method": "majority", "score": None, "n": 1, "accuracy": 0.5}]
    (run / "scaling.json").write_text(json.dumps({"models": [{"model": "m", "points": points}]}))
    (run / "verifier").mkdir(exist_ok=True)
    (run / "verifier/verifier.json").write_text("{}")
    for step in (1, 2):
        pq.write_table(pa.table({key: [value] for key, value in ROLLOUT.items()}), run / f"completions/{step}.parquet")
    return run


def read_page(run: Path) -> str:
    return write_report([str(run)], run.parent.parent / "page.html").read_text()


JSON_FILES = ("run.json", "metrics.jsonl", "warnings.jsonl", "eval.json", "drops.json", "scaling.json")


@pytest.mark.parametrize("file", [*JSON_FILES, "verifier/verifier.json", "recipe.yaml"])
@pytest.mark.parametrize("content", ODD_JSON.values(), ids=ODD_JSON.keys())
def test_a_damaged_file_is_named_and_the_rest_is_shown(file, content, tmp_path, capsys):
    run = write_run(tmp_path)
    write_run(tmp_path, "second")
    (run / file).write_bytes(content.encode() if isinstance(content, str) else content)
    assert '"first"' in read_page(run)
    shown = capsys.readouterr().err
    # Nothing is lost by a file of lines that is empty, or whose only line a kill has cut.
    is_harmless = file.endswith("jsonl") or (content == '{"\\ud800": 1}' and file != "run.json")
    assert is_harmless or f"{run / file} is damaged" in shown
    assert shown.count("warning:") == len(shown.splitlines())
    table = list_runs(tmp_path / "runs")
    assert "second" in table
    assert "first" in table
    assert (" damaged " in table) == (file == "run.json")


@pytest.mark.parametrize("damage", ["cut short", "empty", "other columns", "a folder"])
def test_a_damaged_parquet_file_is_named_and_the_others_are_shown(damage, tmp_path, capsys):
    run = write_run(tmp_path)
    file = run / "completions/1.parquet"
    if damage == "cut short":
        file.write_bytes(file.read_bytes()[:-50])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "other columns":
        pq.write_table(pa.table({"text": ["a"]}), file)
    else:
        file.unlink()
        file.mkdir()
    assert '"count":1' in read_page(run)
    assert f"{file} is damaged" in capsys.readouterr().err
    follower = RunFollower([str(run)])
    for path in ("/", "/head", "/s0", "/s0c0", "/s0c9"):
        assert follower.respond(path) is not None


ODD_FIELDS = (True, -1, "x", float("nan"), 10**400, [{"role": 3, "path": []}])


@pytest.mark.parametrize("value", ODD_FIELDS, ids=lambda value: repr(value)[:20])
def test_values_of_other_types_are_left_out(value, tmp_path, capsys):
    for number, (file, content) in enumerate(
        [("run.json", RUN_INFO), ("eval.json", {"models": [MODEL_ROW]}), ("drops.json", {}), ("scaling.json", {})]
    ):
        for key in (*content, "steps", "rows", "samples", "tokens", "models"):
            run = write_run(tmp_path / f"{number}-{key}")
            (run / file).write_text(json.dumps({**content, key: value}))
            assert '"first"' in read_page(run)
            assert "first" in list_runs(run.parent)
        for key in ("model", "path", "statistics", "faults"):
            run = write_run(tmp_path / f"{number}-row-{key}")
            (run / "eval.json").write_text(json.dumps({"models": [{**MODEL_ROW, key: value}]}))
            assert '"first"' in read_page(run)
            assert "first" in list_runs(run.parent)
    for key in ("pass@1", "interval", "questions", "unanswered", "truncated", "domains"):
        run = write_run(tmp_path / f"statistics-{key}")
        statistics = {**MODEL_ROW["statistics"], key: value}
        (run / "eval.json").write_text(json.dumps({"models": [{**MODEL_ROW, "statistics": statistics}]}))
        assert '"first"' in read_page(run)
        assert "first" in list_runs(run.parent)
    for metric in ("step", "reward", "loss", "epoch", "rewards/accuracy/mean", "eval_loss"):
        run = write_run(tmp_path / f"metrics-{metric.replace('/', '-')}")
        (run / "eval.json").unlink()
        (run / "metrics.jsonl").write_text(json.dumps({"step": 1, "reward": 0.5, metric: value}) + "\n")
        assert '"first"' in read_page(run)
        assert "first" in list_runs(run.parent)


def test_a_line_that_a_kill_has_cut_is_no_damage_and_another_is_named(tmp_path, capsys):
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert read_json_lines(file) == [{"step": 1}, {"step": 2}]
    assert capsys.readouterr().err == ""
    file.write_text('{"step": 1}\n[3]\n{"step": 2}\n')
    assert read_json_lines(file) == [{"step": 1}, {"step": 2}]
    assert "line 2 of it is no JSON object" in capsys.readouterr().err


def test_a_run_is_resumed_from_damaged_metrics(tmp_path):
    run = Run(tmp_path)
    run.metrics_file.write_bytes(
        b'{"step": 1, "loss": NaN}\n\xff\n3\n{"step": "x"}\n{"step": 2}\n{"n": ' + b"7" * 5000 + b"}\n"
    )
    run.cut_metrics(1)
    assert run.metrics_file.read_text() == '{"step": 1, "loss": NaN}\n'
    run.metrics_file.write_text('{"step": 1, "loss": 0.5}\n[]\n')
    assert last_metrics(run) == {"loss": 0.5}


@pytest.mark.parametrize("content", ['{"a', "[]", NESTED, "9" * 5000])
def test_a_stage_refuses_a_damaged_state(content, tmp_path):
    file = tmp_path / "manifest.json"
    file.write_text(content)
    with pytest.raises(UserError, match=r"is damaged: .*pass --overwrite"):
        read_state(file)
    with pytest.raises(UserError, match="is damaged"):
        Shards(tmp_path, 1).check_manifest(fingerprint="a", settings={})


def test_folders_of_names_that_are_no_utf8(tmp_path):
    run = write_run(tmp_path)
    odd_folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")
    shutil.move(tmp_path / "runs", odd_folder)
    assert "first" in list_runs(Path(odd_folder))
    page = write_report([f"{odd_folder}/{run.name}"], tmp_path / "page.html")
    assert "first" in page.read_text()


def test_what_is_shown_of_a_run_keeps_its_right_fields(tmp_path, capsys):
    (tmp_path / "run.json").write_text(json.dumps({**RUN_INFO, "seconds": "x", "rows": True, "own": [1]}))
    assert read_run_info(tmp_path) == {"own": [1]} | {k: v for k, v in RUN_INFO.items() if k != "seconds"}
    assert capsys.readouterr().err.count("warning:") == 2
