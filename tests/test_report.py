"""The report as data: what is collected from real runs, its words, and what the server gives."""

import base64
import fcntl
import gzip
import json
import os
import re
import threading
import urllib.error
import urllib.request
from importlib.resources import files

import pytest
from helpers import r1kit, read_data, read_info, write_recipe

from r1kit.errors import UserError
from r1kit.report.curves import read_curves
from r1kit.report.gather import collect_runs, find_run_dirs, name_runs
from r1kit.report.metrics import NOT_SHOWN, describe_metric, describe_metrics
from r1kit.report.model_size import count_parameters
from r1kit.report.page import PAGE_SCRIPTS, page_script, to_script_json, write_report
from r1kit.report.recipe_text import drop_defaults
from r1kit.report.rollouts import SCRIPTS, main_script
from r1kit.report.serve import make_server
from r1kit.report.summary import format_count, join_words, summarise_runs

RL = {
    "model": {"path": "tiny:base"},
    "data": {"train": [{"path": "world:arithmetic", "rows": 64}]},
    "prompt": {"template": "tiny"},
    "sampling": {"group_size": 4, "max_tokens": 24},
    "training": {"steps": 3, "batch_size": 16, "learning_rate": 1e-5, "kl": 0.0},
}
EVAL = {
    "data": {"eval": [{"path": "world:arithmetic", "rows": 20, "split": "test"}]},
    "prompt": {"template": "tiny"},
    "sampling": {"samples": 2, "max_tokens": 24, "batch_size": 40},
}
DATA = {
    "model": {"path": "tiny:base"},
    "data": {"train": [{"path": "world:arithmetic", "rows": 30}]},
    "prompt": {"template": "tiny"},
    "sampling": {"samples": 2, "max_tokens": 24},
}


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """R1-Zero in three steps, data of it, and both models on the same questions."""
    folder, before = tmp_path_factory.mktemp("chain"), os.getcwd()
    os.chdir(folder)
    try:
        r1kit("rl-zero", write_recipe(folder / "r.yaml", **RL), "output=runs/zero")
        r1kit("generate", write_recipe(folder / "g.yaml", **DATA), "output=runs/made", "model.path=runs/zero")
        models = {"base </script>": "tiny:base", "zero": "runs/zero"}
        r1kit("eval", write_recipe(folder / "e.yaml", **EVAL, models=models), "output=runs/ladder")
        yield folder
    finally:
        os.chdir(before)


@pytest.mark.slow
def test_runs_and_their_parents_are_collected(chain):
    run_dirs = find_run_dirs([chain / "runs/ladder", chain / "runs/made"])
    assert [run_dir.name for run_dir in run_dirs] == ["zero", "ladder", "made"]
    runs, rollout_sets = collect_runs(run_dirs)
    assert runs[0]["curves"]["step"] == [1, 2, 3]
    parent = {"role": "model", "path": "runs/zero", "run": "zero", "parameters": None}
    assert runs[1]["parents"][1] == parent
    assert [(each.name, each.kind, each.count) for each in rollout_sets] == [
        ("zero", "training", 48),
        ("ladder: base___script_", "samples", 40),
        ("ladder: zero", "samples", 40),
        ("made", "samples", 60),
    ]
    rollouts = read_data(chain / "runs/zero/completions")
    training = rollout_sets[0]
    texts = [text["completion"] for chunk in training.iterate_chunks() for text in chunk]
    assert texts == [row["completion"] for row in rollouts]
    assert training.columns["reward"] == pytest.approx([row["reward"] for row in rollouts], abs=1e-3)
    assert training.columns["correct"] == [int(row["accuracy"]) for row in rollouts]
    assert len(set(training.columns["group"])) == 12
    assert rollout_sets[3].read_chunk(0) == next(rollout_sets[3].iterate_chunks())
    card = (chain / "runs/zero/model/README.md").read_text()
    assert "library_name: transformers" in card
    assert "| rewards/accuracy/mean |" in card
    assert rollout_sets[1].question_ids == rollout_sets[2].question_ids


@pytest.mark.slow
def test_the_page_is_one_file_that_carries_everything(chain):
    out, _ = r1kit("report", chain / "runs/ladder", "-o", chain / "page.html")
    assert out.strip() == str(chain / "page.html")
    page = (chain / "page.html").read_text()
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    head = json.loads(re.search(r'id="head">(.*?)</script>', page, re.S)[1])
    assert [run["name"] for run in head["runs"]] == ["zero", "ladder"]
    assert "base </script>" in [line["model"] for line in head["runs"][1]["ladder"]]
    blob = re.search(r'id="s0c0">(.*?)</script>', page)[1]
    texts = json.loads(gzip.decompress(base64.b64decode(blob)))
    assert len(texts) == 48
    assert texts[0]["completion"] == read_data(chain / "runs/zero/completions")[0]["completion"]
    before = page
    write_report([str(chain / "runs/ladder")], chain / "page.html")
    assert (chain / "page.html").read_text() == before


@pytest.mark.slow
def test_a_server_follows_the_run(chain, monkeypatch):
    monkeypatch.setattr("r1kit.report.serve.REFRESH_SECONDS", 0.0)
    with make_server([str(chain / "runs/zero")], 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def get(path, **headers):
            address = server.address.replace("/?", f"{path}?")
            return urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30).read()

        assert b'"live":true' in get("/")
        first = json.loads(get("/version"))
        assert json.loads(get("/version")) == first
        changed = {**read_info(chain / "runs/zero"), "steps": 4}
        (chain / "runs/zero/run.json").write_text(json.dumps(changed))
        assert json.loads(get("/version")) == first + 1
        assert json.loads(get("/head"))["runs"][-1]["steps"] == 4
        assert len(json.loads(get("/s0"))["reward"]) == len(json.loads(get("/s0c0"))) == 48
        for path, headers in (("/s9", {}), ("/../run.json", {}), ("/", {"Host": "evil.example"})):
            with pytest.raises(urllib.error.HTTPError):
                get(path, **headers)
        (chain / "runs/zero").rename(chain / "runs/moved")
        with pytest.raises(urllib.error.HTTPError, match="503"):
            get("/version")
        (chain / "runs/moved").rename(chain / "runs/zero")
        seen = json.loads(get("/version"))
        (chain / "runs/zero/run.json").write_text(json.dumps({**changed, "status": "running"}))
        assert json.loads(get("/version")) == seen + 1
        assert json.loads(get("/head"))["runs"][-1]["status"] == "killed"  # no process holds it
        lock = os.open(chain / "runs/zero/.lock", os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert json.loads(get("/version")) == seen + 2
        run = json.loads(get("/head"))["runs"][-1]
        assert run["status"] == "running"
        assert run["seconds"] > changed["seconds"]
        os.close(lock)
        (chain / "runs/zero/run.json").write_text(json.dumps(changed))
        server.shutdown()


def test_errors_name_the_run_and_the_output(here):
    with pytest.raises(UserError, match="RUN = nowhere; must be a run directory"):
        find_run_dirs(["nowhere"])
    _, err = r1kit("report", "nowhere", code=2)
    assert err.startswith("error: RUN = nowhere; must be a run directory, with a run.json; check the path")
    (here / "run").mkdir()
    (here / "run/run.json").write_text('{"stage": "sft", "status": "finished"}')
    _, err = r1kit("report", "run", "-o", "run", code=2)
    assert err.startswith("error: --output = run; must be a file that can be written")
    r1kit("watch", "run", "--port", "80000", code=2)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("<think> 3 plus</think>", "Latin"),
        ("\u0633\u0644\u0627\u0645 a", "Arabic"),
        ("\u4f60\u597d", "Han"),
        ("1 + 2", "other"),
    ],
)
def test_main_script_of_a_text(text, script):
    assert SCRIPTS[main_script(text)] == script


def run_data(name, stage, parents=(), **fields):
    """Return a run as `collect_runs` does, with only what a test names."""
    empty = {"steps": None, "tokens": None, "rows": None, "samples": None, "seconds": 60.0, "status": "finished"}
    empty |= {"curves": {}, "warnings": [], "ladder": None, "started": "2026-01-01", "method": None}
    described = [{"role": role, "path": path, "run": run, "parameters": size} for role, path, run, size in parents]
    return {**empty, "name": name, "stage": stage, "parents": described, **fields}


def ladder_row(model, path, run, accuracy, facts):
    domains = {"facts": {"pass@1": facts, "interval": 0.02}, "math": {"pass@1": accuracy, "interval": 0.02}}
    statistics = {"questions": 1200, "pass@1": accuracy, "interval": 0.03, "domains": domains}
    return {"model": model, "path": path, "run": run, "faults": 0, "statistics": statistics}


def test_summary_says_what_was_trained_and_what_came_of_it():
    base = ("model", "tiny:base", None, 984_000)
    zero = run_data(
        "zero", "rl-zero", [base, ("data", "world:math", None, None)], method="rl", steps=60, tokens=2_000_000
    )
    r1 = run_data("r1", "rl", [("model", "runs/zero", "zero", None)], method="rl", steps=30, started="2026-01-02")
    rows = [
        ladder_row("base", "tiny:base", None, 0.5, 0.9),
        ladder_row("Zero", "runs/zero", "zero", 0.8, 0.7),
        ladder_row("R1", "runs/r1", "r1", 0.75, 0.87),
    ]
    evaluation = run_data("ladder", "eval", [base, ("data", "world:math", None, None)], ladder=rows)
    summary = summarise_runs([zero, r1, evaluation])
    assert summary["totals"] == [
        "Trained from tiny:base (984K parameters).",
        "2 training runs, 90 optimizer steps, 2M tokens.",
        "All 3 runs together took 3 min.",
    ]
    assert summary["stages"][0]["text"] == (
        "reinforcement learning on tiny:base alone, without fine-tuning first, on problems from world:math; 60 steps"
    )
    assert summary["results"] == [
        "On 1,200 held-out questions, base answers 50.0% (\u00b13.0) correctly, and R1, the last model trained from "
        "it, 75.0% (\u00b13.0); the best is Zero, with 80.0% (\u00b13.0)."
    ]
    # R1 lost 3 points, less than both half intervals of 2 together.
    assert summary["warnings"] == [
        "On facts questions, Zero (70.0%) answers fewer correctly than base, its base model (90.0%)."
    ]


def test_summary_without_an_evaluation_says_how_the_samples_went():
    accuracy = [0.1, 0.2, 0.3, 0.4, 0.5, None, 0.6, 0.7, 0.8, 0.9, 1.0]
    curves = {"step": list(range(1, 12)), "rewards/accuracy/mean": accuracy}
    warning = {"step": 7, "name": "cut", "text": "over 50% of the completions were cut off"}
    zero = run_data("zero", "rl-zero", method="rl", curves=curves, status="killed", warnings=[warning])
    summary = summarise_runs([zero])
    assert summary["results"] == [
        "While zero trained, the accuracy of its own samples went from 30.0% to 80.0% (means of the first and last 5 "
        "steps). Only `r1kit eval` measures it on held-out questions."
    ]
    assert summary["warnings"] == [
        "zero did not finish: it was killed.",
        "zero, step 7: over 50% of the completions were cut off",
    ]


def test_words_of_the_summary():
    assert [format_count(count) for count in (7, 984_000, 1_500_000, 30_500_000_000)] == ["7", "984K", "1.5M", "30.5B"]
    assert [join_words(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]


def test_metrics_are_named_in_words():
    length = describe_metric("completions/mean_length")
    assert (length.label, length.unit) == ("Mean length of a completion", "tokens")
    assert describe_metric("rewards/accuracy/mean").fraction
    assert describe_metric("rewards/brevity/std").label == "Reward brevity: standard deviation"
    assert describe_metric("loss", "sft").label != describe_metric("loss", "rl").label
    assert describe_metric("my_own").label == "my_own"


@pytest.mark.slow
def test_every_metric_of_a_training_has_words(chain):
    runs, _ = collect_runs(find_run_dirs([chain / "runs/zero"]))
    metrics = describe_metrics(runs)["rl"]
    assert {key for key in metrics if metrics[key]["label"] == key} == set()
    assert set(runs[0]["curves"]) - NOT_SHOWN == set(metrics)


def test_long_curves_are_thinned_and_rare_metrics_kept(tmp_path):
    lines = [{"step": step, "loss": 1.0, **({"eval_loss": 2.0} if step % 1000 == 7 else {})} for step in range(1, 6001)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 6')
    curves = read_curves(tmp_path / "metrics.jsonl")
    assert 1500 <= len(curves["step"]) <= 1510
    assert curves["step"][-1] == 6000
    assert [step for step, loss in zip(curves["step"], curves["eval_loss"], strict=True) if loss] == list(
        range(7, 6001, 1000)
    )


def test_a_recipe_is_shown_without_its_defaults():
    resolved = "output: runs/x\nseed: 0\nmodel:\n  path: tiny:base\n  lora: null\ntraining:\n  steps: 7\n  clip: 0.2\n"
    assert drop_defaults("rl-zero", resolved) == "output: runs/x\nmodel:\n  path: tiny:base\ntraining:\n  steps: 7\n"
    assert drop_defaults("rl-zero", "no_such_key: 1\n") is None
    assert drop_defaults(None, resolved) is None


def test_parameters_are_counted_from_the_headers_of_safetensors(tmp_path):
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"a": np.zeros((3, 4), np.float32), "b": np.zeros(5, np.float32)}, tmp_path / "one.safetensors")
    save_file({"c": np.zeros((2, 2), np.float32)}, tmp_path / "two.safetensors")
    assert count_parameters(tmp_path) == 3 * 4 + 5 + 2 * 2
    assert count_parameters(tmp_path / "nowhere") is None


def test_runs_of_one_name_are_told_apart(tmp_path):
    for path in ("a/zero", "b/zero", "c/r1"):
        (tmp_path / path).mkdir(parents=True)
    paths = [tmp_path / "a/zero", tmp_path / "b/zero", tmp_path / "c/r1"]
    assert list(name_runs(paths).values()) == ["a/zero", "b/zero", "r1"]


def test_the_page_has_every_script_and_no_text_can_end_its_element():
    assets = files("r1kit.report") / "assets"
    scripts = [path.relative_to(assets).as_posix() for path in assets.rglob("*.js")]
    assert sorted([*PAGE_SCRIPTS, "uPlot.iife.min.js"]) == sorted(scripts)
    assert page_script().count("startPage()") == 2
    assert to_script_json({"a": "</script>", "b": float("nan")}) == '{"a":"\\u003c/script>","b":null}'
