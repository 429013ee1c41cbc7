"""What `r1kit runs` says of a run: its result, and its line in the table."""

import json
from pathlib import Path

from r1kit.runs.listing import list_runs
from r1kit.runs.results import describe_result
from r1kit.runs.run import Run


def make_run(folder: Path, metrics: list[dict] = (), **info) -> Run:
    """Write a finished run with these lines of metrics.jsonl and these fields of run.json."""
    folder.mkdir(parents=True)
    fields = {"stage": "sft", "status": "finished", "started": "2026-01-02T03:04:05+00:00", "seconds": 29.4}
    (folder / "run.json").write_text(json.dumps(fields | info))
    if metrics:
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    return Run(folder)


def test_the_result_of_fine_tuning_is_its_length_and_its_last_loss(tmp_path):
    metrics = [{"step": 1, "loss": 2.0, "epoch": 0.1}, {"step": 66, "loss": 0.4127, "epoch": 2.0}]
    assert describe_result(make_run(tmp_path / "run", metrics)) == "66 steps, 2 epochs, loss 0.413"
    metrics = [{"step": 3, "loss": 1.5, "epoch": 1.0}, {"step": 3, "eval_loss": 1.25}, {"step": 3, "train_loss": 1.9}]
    assert describe_result(make_run(tmp_path / "held_out", metrics)) == (
        "3 steps, 1 epoch, loss 1.5, held-out loss 1.25"
    )


def test_the_result_of_rl_is_its_last_reward_and_accuracy(tmp_path):
    metrics = [{"step": 60, "loss": 0.03, "reward": 1.9688, "rewards/accuracy/mean": 0.9844}]
    assert describe_result(make_run(tmp_path / "run", metrics)) == "60 steps, reward 1.97, accuracy 0.98"


def test_the_result_of_rl_may_have_no_verdict_in_the_last_step(tmp_path):
    metrics = [{"step": 7, "loss": 0.0, "reward": None, "rewards/accuracy/mean": None}]
    assert describe_result(make_run(tmp_path / "run", metrics)) == "7 steps, no verdict in the last"


def test_only_the_end_of_long_metrics_is_read_and_broken_lines_are_left_out(tmp_path):
    run = make_run(tmp_path / "run", [{"step": step, "loss": 1.0, "note": "x" * 1000} for step in range(200)])
    with open(run.metrics_file, "a") as file:
        file.write('{"step": 200, "loss": 0.5, "epoch": 1}\n{"step": 201, "lo')
    assert describe_result(run) == "200 steps, 1 epoch, loss 0.5"


def test_the_result_of_data_is_its_rows(tmp_path):
    assert describe_result(make_run(tmp_path / "data", rows=1234)) == "1,234 rows"
    assert describe_result(make_run(tmp_path / "generate", rows=302, samples=2416)) == "302 rows of 2,416 samples"


def test_the_result_of_an_evaluation_is_the_best_pass_rate(tmp_path):
    def row(model, rate):
        return {"model": model, "statistics": {"pass@1": rate}}

    run = make_run(tmp_path / "ladder", stage="eval")
    (run.path / "eval.json").write_text(json.dumps({"models": [row("base", 0.25), row("R1", 0.5), row("none", None)]}))
    assert describe_result(run) == "3 models, best R1: pass@1 0.500"
    (run.path / "eval.json").write_text(json.dumps({"models": [row("base", 0.25)]}))
    assert describe_result(run) == "pass@1 0.250"
    (run.path / "eval.json").write_text('{"models"')
    assert describe_result(run) == ""


def test_the_result_of_a_verifier_is_its_auroc(tmp_path):
    run = make_run(tmp_path / "verifier", stage="verifier")
    (run.path / "verifier.json").write_text(json.dumps({"samples": 640, "measures": {"head2toe": {"auroc": 0.9126}}}))
    assert describe_result(run) == "held-out AUROC 0.913"
    (run.path / "verifier.json").write_text(json.dumps({"samples": 640, "measures": {}}))
    assert describe_result(run) == "640 samples"


def test_a_run_without_a_result_has_none(tmp_path):
    assert describe_result(make_run(tmp_path / "run")) == ""


PARENTS = [
    {"role": "data", "path": "runs/cold_start", "stage": "generate"},
    {"role": "model", "path": "tiny:base"},
    {"role": "teacher", "path": "tiny:base"},
]


def test_each_run_is_one_line_of_the_table_unless_a_terminal_is_too_narrow(here):
    make_run(Path("runs/data"), stage="generate", rows=1041, samples=2400, started="2026-01-01T00:00:00+00:00")
    metrics = [{"step": 60, "reward": 1.97, "rewards/accuracy/mean": 0.98}]
    make_run(Path("runs/r1_zero"), metrics, stage="rl-zero", parents=PARENTS)
    header, first, second = list_runs(Path("runs")).splitlines()
    assert header.split() == ["run", "stage", "state", "started", "time", "result", "from"]
    assert first.split("  ")[0] == "runs/data"
    assert "1,041 rows of 2,400 samples" in first
    for words in ("rl-zero", "finished", "2026-01-02 03:04", "29 s", "60 steps, reward 1.97, accuracy 0.98"):
        assert f"  {words}" in second
    assert second.endswith("  cold_start, tiny:base")

    narrow = list_runs(Path("runs"), width=60).splitlines()
    assert max(map(len, narrow[:-1])) <= 60
    assert narrow[0].split() == ["run", "stage", "state", "time", "result"]
    assert "accuracy" in "\n".join(narrow)
    assert narrow[-1].startswith("(a terminal of 120 columns ")
