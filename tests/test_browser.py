"""The page in a real browser: every view, filter and toggle, without a line on the console; and 100,000 rollouts.

Needs Debian's chromium and `pip install playwright` (its driver alone): `make test-browser`. After `make demo` it also
goes through that report (REPORT=FILE: through another).
"""

import json
import os
import random
import re
import time
from pathlib import Path

import pytest

from r1kit.data.writing.parquet import write_parquet
from r1kit.report.page import write_report

pytestmark = pytest.mark.browser
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
DEMO = Path(os.environ.get("REPORT", Path(__file__).parents[1] / "runs/tiny/report.html"))
VIEWS = ["Overview", "Curves", "Distributions", "Data", "Scaling", "Completions", "Compare", "Recipes"]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync"]
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield found
        found.close()


@pytest.fixture
def page(browser):
    """A page whose console must stay empty, and which reaches nothing."""
    context = browser.new_context(viewport={"width": 1360, "height": 900})
    found, said = context.new_page(), []
    found.on("console", lambda message: said.append(message.text))
    found.on("pageerror", lambda error: said.append(str(error)))
    outside = lambda url: url.startswith("http") and not url.startswith("http://127.0.0.1:")  # noqa: E731
    found.on("request", lambda request: said.append(request.url) if outside(request.url) else None)
    yield found
    context.close()
    assert said == []


def rollouts(count: int, step: int, group: int, seed: int):
    draw = random.Random(seed)
    rows = []
    for i in range(count):
        a, b, right = draw.randint(1, 9), draw.randint(1, 9), draw.random() < 0.3 + step / 1000
        thought = f" {a} بعلاوه {b} برابر {a + b}." if draw.random() < 0.2 else f" {a} plus {b} is {a + b}."
        said = f"<think>{thought * draw.randint(1, 9)}</think><answer> {a + b if right else 0}</answer>"
        rows.append(
            {
                "id": f"q{draw.randint(0, 400)}",
                "question": f"What is {a} + {b}?",
                "prompt": f"Q: What is {a} + {b}?\nA:",
                "completion": said,
                "answer": str(a + b),
                "domain": "arithmetic",
                "tokens": len(said) // 4,
                "finish_reason": "stop",
                "accuracy": float(right),
                "format": 1.0,
                "step": step,
                "group": i // group,
                "reward": 1.0 + right,
                "advantage": 0.0,
            }
        )
    return rows


def a_run(path, stage, steps, count, parents=(), **files):
    path.mkdir(parents=True, exist_ok=True)
    told = {"stage": stage, "status": "finished", "seconds": 90.0, "steps": steps, "seed": 0, "parents": list(parents)}
    (path / "run.json").write_text(json.dumps({**told, "started": f"2026-01-0{len(parents) + 1}T00:00:00+00:00"}))
    (path / "recipe.yaml").write_text("output: runs/x\nseed: 0\n")
    lines = [
        {"step": i, "reward": i / steps, "rewards/accuracy/mean": i / steps, "loss": 1 / i, "grad_norm": 0.5, "time": i}
        for i in range(1, steps + 1)
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for i in range(1, steps + 1 if count else 1):
        write_parquet(rollouts(count, i, 8, i), path / "completions" / f"step-{i:08d}.parquet", ["accuracy", "format"])
    for name, value in files.items():
        (path / f"{name}.json").write_text(json.dumps(value))


DROPS = {
    "sampled": 100,
    "dropped": {"incorrect": 30, "mixed_language": 12, "repetition": 0},
    "examples": {"incorrect": [{"prompt": "1 + 1?", "completion": "<think> 1</think><answer> 3</answer>"}]},
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    a_run(folder / "zero", "rl-zero", 12, 64)
    parent = {"role": "model", "path": str(folder / "zero"), "stage": "rl-zero", "status": "finished"}
    stats = {"interval": 0.03, "maj@k": 0.6}
    line = {"thinking": 0.5, "format": 0.9, "language_consistency": 0.8, "tokens": 12.0, "statistics": stats}
    models = [{"model": name, "accuracy": {"arithmetic": v}, **line} for name, v in (("base", 0.3), ("R1", 0.9))]
    points = [
        {
            "method": m,
            "score": None,
            "samples": k,
            "sure": None,
            "at": None,
            "accuracy": 0.5 + k / 40,
            "tokens": 20.0 * k,
        }
        for m in ("pass", "vote")
        for k in (1, 2, 4, 8)
    ]
    files = {"drops": DROPS, "eval": {"models": models}, "scaling": {"models": [{"model": "R1", "points": points}]}}
    a_run(folder / "r1", "rl", 12, 64, [parent], **files)
    write_report([str(folder / "r1")], folder / "page.html")
    return folder / "page.html"


def test_every_view_filter_and_toggle(page, small, tmp_path):
    page.goto(f"file://{small}")
    for name in VIEWS:
        page.get_by_role("tab", name=name, exact=True).click()
        assert page.locator(f"#view-{name} h2").first.is_visible()
    page.get_by_role("tab", name="Overview", exact=True).click()
    assert page.locator("#graph a").count() == 2
    page.keyboard.press("Tab")
    page.get_by_role("tab", name="Overview", exact=True).focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#view-Curves").is_visible()
    shown = page.locator(".chart").count()
    assert shown == 4
    page.get_by_label("metrics").select_option("all")
    assert page.locator(".chart").count() >= shown
    page.get_by_label("smoothing").select_option("0.9")
    page.get_by_label("zero", exact=True).uncheck()
    assert page.locator(".chart").count() >= shown
    page.get_by_role("tab", name="Distributions", exact=True).click()
    page.wait_for_function("document.querySelectorAll('.chart').length === 3")
    page.get_by_role("tab", name="Completions", exact=True).click()
    page.wait_for_selector("#rows button")
    total = lambda: int(page.locator("#count").inner_text().split()[0])  # noqa: E731
    assert total() == 768
    page.get_by_label("verdict").select_option("1")
    page.wait_for_function("!document.querySelector('#count').innerText.startsWith('768')")
    right = total()
    assert 0 < right < 768
    page.get_by_label("script").select_option("2")
    page.wait_for_function(f"!document.querySelector('#count').innerText.startsWith('{right} ')")
    assert 0 < total() < right
    said = page.locator("#detail .card.this .text").first
    assert said.get_attribute("dir") == "auto"
    page.locator("#detail .card.this summary").click()
    persian = page.locator("#detail .card.this details .text")
    found = persian.evaluate("node => [getComputedStyle(node).direction, getComputedStyle(node).unicodeBidi]")
    assert found[1] == "plaintext"
    for label, value in (("first step", "2"), ("last step", "9"), ("least reward", "2")):
        page.get_by_label(label, exact=True).fill(value)
        page.keyboard.press("Enter")
    page.get_by_label("script").select_option("any")
    page.get_by_label("sort by").select_option("long")
    page.locator("#view-Completions h2").click()
    page.keyboard.press("/")
    page.keyboard.type("7 plus")
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail mark")
    first = page.locator("#rows [aria-current=true]").get_attribute("data-i")
    page.locator("#view-Completions h2").click()
    page.keyboard.press("j")
    assert page.locator("#rows [aria-current=true]").get_attribute("data-i") != first
    page.get_by_role("tab", name="Compare", exact=True).click()
    page.wait_for_selector(".compared")
    page.get_by_label("show").select_option("broken")
    page.get_by_role("tab", name="Recipes", exact=True).click()
    assert "seed: 0" in page.locator("pre").inner_text()
    before = page.evaluate("document.documentElement.dataset.theme")
    page.locator("#theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") != before


@pytest.mark.parametrize("width", [390, 1360])
def test_nothing_is_wider_than_the_window(page, small, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"file://{small}")
    for name in VIEWS:
        page.get_by_role("tab", name=name, exact=True).click()
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name


@pytest.mark.skipif(not DEMO.exists(), reason="make demo first")
def test_every_control_over_the_report_of_the_demo(page):
    """Real runs: each option of each choice, each toggle, each fold, each range, in each view."""
    page.goto(f"file://{DEMO.resolve()}", wait_until="commit")
    page.wait_for_selector("#graph svg")
    print(f"first view after {page.evaluate('performance.now()'):.0f} ms")
    stages = page.locator("#graph a").all_inner_texts()
    assert len(stages) >= 10
    used = dict.fromkeys(VIEWS, 0)
    for name in VIEWS:
        tab = page.get_by_role("tab", name=name, exact=True)
        if not tab.count():  # a view of what these runs do not have
            continue
        tab.click()
        view = page.locator(f"#view-{name}")
        assert view.is_visible()
        for i in range(view.locator("select").count()):
            choice = view.locator("select").nth(i)
            first = choice.input_value()
            for value in choice.locator("option").evaluate_all("found => found.map(one => one.value)"):
                choice.select_option(value)
                page.wait_for_timeout(50)
                used[name] += 1
            choice.select_option(first)
        for i in range(view.locator("input[type=checkbox]").count()):
            view.locator("input[type=checkbox]").nth(i).click()
            view.locator("input[type=checkbox]").nth(i).click()
            used[name] += 1
        for i in range(min(view.locator("summary:visible").count(), 20)):
            view.locator("summary:visible").nth(i).click()
            used[name] += 1
    assert {"Curves", "Data", "Completions", "Compare", "Recipes"} <= {name for name in VIEWS if used[name]}
    page.get_by_role("tab", name="Completions", exact=True).click()
    page.get_by_label("script").select_option("2")
    page.wait_for_selector("#rows button")
    page.locator("#detail .card.this summary").first.click()
    thought = page.locator("#detail .card.this details .text").first
    assert re.search("[\u0600-\u06ff]{2}", thought.inner_text())
    assert thought.evaluate("node => getComputedStyle(node).unicodeBidi") == "plaintext"
    sides = """node => { const range = document.createRange(), text = document.createTreeWalker(node, 4).nextNode();
        const at = text.data.search(/[\\u0600-\\u06ff]{2}/);
        const x = i => (range.setStart(text, i), range.setEnd(text, i + 1), range.getBoundingClientRect().left);
        return [x(at), x(at + 1)]; }"""
    first, second = thought.evaluate(sides)
    assert first > second  # Persian letters go from right to left


def test_a_hundred_thousand_rollouts(page, tmp_path):
    a_run(tmp_path / "zero", "rl-zero", 100, 1000)
    started = time.time()
    write_report([str(tmp_path / "zero")], tmp_path / "page.html")
    size = (tmp_path / "page.html").stat().st_size
    print(f"written in {time.time() - started:.1f} s, {size / 2**20:.1f} MiB")
    assert size < 30 * 2**20
    page.goto(f"file://{tmp_path}/page.html", wait_until="commit")
    page.wait_for_selector("#graph svg")
    print(f"first view after {page.evaluate('performance.now()'):.0f} ms")
    page.get_by_role("tab", name="Completions", exact=True).click()
    page.wait_for_selector("#rows button")
    assert page.locator("#count").inner_text().startswith("100000 of 100000")


def test_a_running_stage_is_followed(page, tmp_path, monkeypatch):
    """A real stage, watched by the real command."""
    import subprocess
    import sys

    import yaml

    monkeypatch.chdir(tmp_path)
    recipe = {
        "model": {"path": "tiny:base"},
        "data": {"train": [{"path": "world:arithmetic", "rows": 64}]},
        "prompt": {"template": "tiny"},
        "sampling": {"group_size": 4, "max_tokens": 24},
        "training": {"steps": 400, "batch_size": 16, "learning_rate": 1e-5, "kl": 0.0},
    }
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    r1kit = [sys.executable, "-m", "r1kit.cli"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    stage = subprocess.Popen([*r1kit, "rl-zero", "r.yaml", "output=run"], **quiet)
    try:
        while not (tmp_path / "run/metrics.jsonl").exists():
            assert stage.poll() is None
            time.sleep(0.2)
        watch = subprocess.Popen([*r1kit, "watch", "run", "--port", "0"], stdout=subprocess.PIPE, text=True)
        try:
            address = watch.stdout.readline().strip()
            page.goto(address)
            step = lambda: page.locator("#state").inner_text()  # noqa: E731
            first = step()
            assert "going on: run, step" in first
            page.wait_for_function(f"document.getElementById('state').innerText !== {json.dumps(first)}", timeout=30000)
            page.get_by_role("tab", name="Completions", exact=True).click()
            page.wait_for_selector("#rows button")
            count = page.locator("#count").inner_text()
            page.wait_for_function(f"document.getElementById('count').innerText !== {json.dumps(count)}", timeout=30000)
            page.get_by_role("tab", name="Curves", exact=True).click()
            page.get_by_label("smoothing").select_option("0.6")  # the focus stays here
            drawn = page.locator("#view-Curves .u-over").first
            place = drawn.bounding_box()
            page.mouse.move(place["x"] + 10, place["y"] + 20)
            page.mouse.down()
            page.mouse.move(place["x"] + place["width"] / 3, place["y"] + 20, steps=4)
            page.mouse.up()
            page.evaluate("window.seen = document.querySelector('#view-Curves canvas')")
            steps = step()
            page.wait_for_function(f"document.getElementById('state').innerText !== {json.dumps(steps)}", timeout=30000)
            assert page.evaluate("window.seen === document.querySelector('#view-Curves canvas')")  # zoomed as it was
            page.route("**/version", lambda route: route.fulfill(body="?"))
            said = "document.getElementById('state').innerText.includes('{}')"
            page.wait_for_function(said.format("server is gone"), timeout=30000)
            page.unroute("**/version")
            page.wait_for_function(said.format("live"), timeout=30000)
            page.goto("about:blank")
        finally:
            watch.terminate()
    finally:
        stage.terminate()
        stage.wait()


def test_what_is_looked_at_stays_when_another_run_begins(page, tmp_path, monkeypatch):
    """`watch a b`, b looked at, when a writes its first rollouts; and rollouts that come where there were none."""
    import threading

    from r1kit.report.serve import make_server

    monkeypatch.setattr("r1kit.report.serve.EVERY", 0.0)
    for name in ("a", "b"):
        a_run(tmp_path / name, "rl-zero", 2, 0)
    with make_server([str(tmp_path / "a"), str(tmp_path / "b")], 0) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        page.goto(f"http://127.0.0.1:{serving.server_address[1]}")
        page.get_by_role("tab", name="Completions", exact=True).click()
        page.wait_for_selector("text=No rollouts are kept here.")
        a_run(tmp_path / "b", "rl-zero", 2, 16)
        page.wait_for_selector("#rows button")
        asked = page.locator("#detail").inner_text()
        a_run(tmp_path / "a", "rl-zero", 2, 8)
        page.wait_for_function("document.querySelector('#view-Completions select').options.length === 2")
        chosen = page.evaluate("document.querySelector('#view-Completions select').selectedOptions[0].text")
        assert chosen.startswith("b ")
        page.wait_for_selector("#rows button")
        assert page.locator("#detail").inner_text() == asked
        page.goto("about:blank")
        serving.shutdown()
