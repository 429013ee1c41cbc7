"""The page of runs as data: what is gathered of real runs, and what the server gives."""

import base64
import fcntl
import gzip
import json
import os
import re
import threading
import urllib.error
import urllib.request

import pytest
from helpers import info, r1kit, recipe, table

from r1kit.errors import UserError
from r1kit.report.gather import closure, collect, script
from r1kit.report.page import write_report
from r1kit.report.serve import make_server

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
        r1kit("rl-zero", recipe(folder / "r.yaml", **RL), "output=runs/zero")
        r1kit("generate", recipe(folder / "g.yaml", **DATA), "output=runs/made", "model.path=runs/zero")
        models = {"base </script>": "tiny:base", "zero": "runs/zero"}
        r1kit("eval", recipe(folder / "e.yaml", **EVAL, models=models), "output=runs/ladder")
        yield folder
    finally:
        os.chdir(before)


@pytest.mark.slow
def test_runs_and_what_they_come_from_are_gathered(chain):
    paths = closure([chain / "runs/ladder", chain / "runs/made"])
    assert [path.name for path in paths] == ["zero", "ladder", "made"]
    runs, sets = collect(paths)
    assert runs[0]["curves"]["step"] == [1, 2, 3]
    assert runs[1]["parents"][1] == {"role": "model", "path": "runs/zero", "run": "zero"}
    assert [(one.name, one.kind, one.count) for one in sets] == [
        ("zero", "training", 48),
        ("ladder: base___script_", "samples", 40),
        ("ladder: zero", "samples", 40),
        ("made", "samples", 60),
    ]
    rollouts = table(chain / "runs/zero/completions")
    assert [text[1] for part in sets[0].chunks() for text in part] == [row["completion"] for row in rollouts]
    assert sets[0].columns["reward"] == pytest.approx([row["reward"] for row in rollouts], abs=1e-3)
    assert sets[0].columns["right"] == [int(row["accuracy"]) for row in rollouts]
    assert len(set(sets[0].columns["group"])) == 12
    assert sets[3].chunk(0) == next(sets[3].chunks())
    card = (chain / "runs/zero/model/README.md").read_text()
    assert "library_name: transformers" in card
    assert "| rewards/accuracy/mean |" in card
    assert sets[1].questions == sets[2].questions


@pytest.mark.slow
def test_the_page_is_one_file_that_carries_everything(chain):
    out, _ = r1kit("report", chain / "runs/ladder", "-o", chain / "page.html")
    assert out.strip() == str(chain / "page.html")
    page = (chain / "page.html").read_text()
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    told = json.loads(re.search(r'id="head">(.*?)</script>', page, re.S)[1])
    assert [run["name"] for run in told["runs"]] == ["zero", "ladder"]
    assert "base </script>" in [line["model"] for line in told["runs"][1]["ladder"]]
    blob = re.search(r'id="s0c0">(.*?)</script>', page)[1]
    texts = json.loads(gzip.decompress(base64.b64decode(blob)))
    assert len(texts) == 48
    assert texts[0][1] == table(chain / "runs/zero/completions")[0]["completion"]
    before = page
    write_report([str(chain / "runs/ladder")], chain / "page.html")
    assert (chain / "page.html").read_text() == before


@pytest.mark.slow
def test_a_server_follows_the_run(chain, monkeypatch):
    monkeypatch.setattr("r1kit.report.serve.EVERY", 0.0)
    with make_server([str(chain / "runs/zero")], 0) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{serving.server_address[1]}"

        def get(path, **headers):
            return urllib.request.urlopen(urllib.request.Request(address + path, headers=headers), timeout=30).read()

        assert b'"live":true' in get("/")
        first = json.loads(get("/version"))
        assert json.loads(get("/version")) == first
        told = {**info(chain / "runs/zero"), "steps": 4}
        (chain / "runs/zero/run.json").write_text(json.dumps(told))
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
        (chain / "runs/zero/run.json").write_text(json.dumps({**told, "status": "running"}))
        assert json.loads(get("/version")) == seen + 1
        assert json.loads(get("/head"))["runs"][-1]["status"] == "killed"  # no process holds it
        lock = os.open(chain / "runs/zero/.lock", os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert json.loads(get("/version")) == seen + 2
        run = json.loads(get("/head"))["runs"][-1]
        assert run["status"] == "running"
        assert run["seconds"] > told["seconds"]
        os.close(lock)
        (chain / "runs/zero/run.json").write_text(json.dumps(told))
        serving.shutdown()


def test_what_cannot_be_shown_is_said(here):
    with pytest.raises(UserError, match="RUN = nowhere; must be a run directory"):
        closure(["nowhere"])
    _, err = r1kit("report", "nowhere", code=2)
    assert err.startswith("error: RUN = nowhere; must be a run directory, with a run.json; check the path")
    (here / "run").mkdir()
    (here / "run/run.json").write_text('{"stage": "sft", "status": "finished"}')
    _, err = r1kit("report", "run", "-o", "run", code=2)
    assert err.startswith("error: --output = run; must be a file that can be written")
    r1kit("watch", "run", "--port", "80000", code=2)


@pytest.mark.parametrize(
    ("text", "found"),
    [("<think> 3 plus</think>", 1), ("\u0633\u0644\u0627\u0645 a", 2), ("\u4f60\u597d", 3), ("1 + 2", 0)],
)
def test_scripts(text, found):
    assert script(text) == found
