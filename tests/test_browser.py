"""The report in a real browser: every view, filter and toggle, with nothing on the console; and 100,000 rollouts.

Needs Debian's chromium and `pip install playwright` (only its driver): `make test-browser`. After `make demo` the
report of the demo is tested too; `REPORT=FILE make test-browser` tests another one.
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
from r1kit.scaling.methods import method_name

pytestmark = pytest.mark.browser
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
DEMO = Path(os.environ.get("REPORT", Path(__file__).parents[1] / "runs/tiny/report.html"))
VIEWS = ["Overview", "Curves", "Rollouts", "Compare", "Distributions", "Data", "Scaling", "Recipes"]
PHONE = {"width": 390, "height": 800}


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync"]
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """A page whose console must stay empty, and which reaches nothing."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    new_page, messages = context.new_page(), []
    new_page.on("console", lambda message: messages.append(message.text))
    new_page.on("pageerror", lambda error: messages.append(str(error)))
    is_outside = lambda url: url.startswith("http") and not url.startswith("http://127.0.0.1:")  # noqa: E731
    new_page.on("request", lambda request: messages.append(request.url) if is_outside(request.url) else None)
    yield new_page
    context.close()
    assert messages == []


def rollouts(count: int, step: int, group: int, seed: int):
    draw = random.Random(seed)
    rows = []
    for i in range(count):
        a, b, is_correct = draw.randint(1, 9), draw.randint(1, 9), draw.random() < 0.3 + step / 1000
        thinking = f" {a} بعلاوه {b} برابر {a + b}." if draw.random() < 0.2 else f" {a} plus {b} is {a + b}."
        completion = f"<think>{thinking * draw.randint(1, 9)}</think><answer> {a + b if is_correct else 0}</answer>"
        rows.append(
            {
                "id": f"q{draw.randint(0, 400)}",
                "question": f"What is {a} + {b}?",
                "prompt": f"Q: What is {a} + {b}?\nA:",
                "completion": completion,
                "answer": str(a + b),
                "domain": "arithmetic",
                "tokens": len(completion) // 4,
                "finish_reason": "stop",
                "accuracy": float(is_correct),
                "format": 1.0,
                "step": step,
                "group": i // group,
                "reward": 1.0 + is_correct,
                "advantage": 0.0,
            }
        )
    return rows


def write_run(path, stage, steps, count, parents=(), **files):
    path.mkdir(parents=True, exist_ok=True)
    info = {"stage": stage, "status": "finished", "seconds": 90.0, "steps": steps, "seed": 0, "parents": list(parents)}
    (path / "run.json").write_text(json.dumps({**info, "started": f"2026-01-0{len(parents) + 1}T00:00:00+00:00"}))
    (path / "recipe.yaml").write_text("output: runs/x\nseed: 0\n")
    lines = [
        {
            "step": i,
            "reward": i / steps,
            "rewards/accuracy/mean": i / steps,
            "completions/clipped_ratio": 0.0,
            "loss": 1 / i,
            "grad_norm": 0.5,
            "time": i,
        }
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
    write_run(folder / "zero", "rl-zero", 12, 64, [{"role": "model", "path": "tiny:base"}])
    parent = {"role": "model", "path": str(folder / "zero"), "stage": "rl-zero", "status": "finished"}
    line = {"thinking": 0.5, "format": 0.9, "language_consistency": 0.8, "tokens": 12.0}
    models = []
    for name, path, accuracy in (("base", "tiny:base", 0.3), ("R1", str(folder / "zero"), 0.9)):
        statistics = {"questions": 400, "pass@1": accuracy, "interval": 0.03, "vote@k": 0.6}
        models.append(
            {"model": name, "path": path, "accuracy": {"arithmetic": accuracy}, **line, "statistics": statistics}
        )
    points = [
        {
            "name": method_name(m, None, k),
            "method": m,
            "score": None,
            "samples": k,
            "sure": None,
            "at": None,
            "accuracy": 0.5 + k / 40,
            "low": 0.45 + k / 40,
            "high": 0.55 + k / 40,
            "tokens": 20.0 * k,
        }
        for m in ("pass", "vote")
        for k in (1, 2, 4, 8)
    ]
    files = {"drops": DROPS, "eval": {"models": models}, "scaling": {"models": [{"model": "R1", "points": points}]}}
    write_run(folder / "r1", "rl", 12, 64, [parent], **files)
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
    assert shown == 5
    page.get_by_label("metrics").select_option("all")
    assert page.locator(".chart").count() >= shown
    page.get_by_label("smoothing").select_option("0.9")
    page.get_by_label("zero", exact=True).uncheck()
    assert page.locator(".chart").count() >= shown
    page.get_by_role("tab", name="Distributions", exact=True).click()
    page.wait_for_function("document.querySelectorAll('.chart').length === 3")
    page.get_by_role("tab", name="Rollouts", exact=True).click()
    page.wait_for_selector("#rollout-list button")
    total = lambda: int(page.locator("#rollout-count").inner_text().split()[0])  # noqa: E731
    assert total() == 768
    page.get_by_label("verdict").select_option("1")
    page.wait_for_function("!document.querySelector('#rollout-count').innerText.startsWith('768')")
    right = total()
    assert 0 < right < 768
    page.get_by_label("script").select_option("2")
    page.wait_for_function(f"!document.querySelector('#rollout-count').innerText.startsWith('{right} ')")
    assert 0 < total() < right
    completion = page.locator("#rollout-detail .card.chosen .text").first
    assert completion.get_attribute("dir") == "auto"
    page.locator("#rollout-detail .card.chosen summary").click()
    persian = page.locator("#rollout-detail .card.chosen details .text")
    assert persian.evaluate("node => getComputedStyle(node).unicodeBidi") == "plaintext"
    for label, value in (("first step", "2"), ("last step", "9"), ("least reward", "2")):
        page.get_by_label(label, exact=True).fill(value)
        page.keyboard.press("Enter")
    page.get_by_label("script").select_option("any")
    page.get_by_label("sort by").select_option("long")
    page.locator("#view-Rollouts h2").click()
    page.keyboard.press("/")
    page.keyboard.type("7 plus")
    page.keyboard.press("Enter")
    page.wait_for_selector("#rollout-detail mark")
    first = page.locator("#rollout-list [aria-current=true]").get_attribute("data-index")
    page.locator("#view-Rollouts h2").click()
    page.keyboard.press("j")
    assert page.locator("#rollout-list [aria-current=true]").get_attribute("data-index") != first
    page.get_by_role("tab", name="Compare", exact=True).click()
    page.wait_for_selector(".compared")
    page.get_by_label("show").select_option("broken")
    page.get_by_role("tab", name="Recipes", exact=True).click()
    assert page.locator("pre").inner_text() == "output: runs/x\n"
    page.get_by_label("fields at their defaults, too").check()
    assert "seed: 0" in page.locator("pre").inner_text()
    before = page.evaluate("document.documentElement.dataset.theme")
    page.locator("#theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") != before


def test_summary_comes_first_and_says_what_came_of_the_runs(page, small):
    page.goto(f"file://{small}")
    summary = page.locator("#summary")
    assert "2 training runs, 24 optimizer steps" in summary.inner_text()
    assert "R1, the last model trained from it, 90.0% (\u00b13.0)" in summary.inner_text()
    graph = page.locator("#graph").bounding_box()
    assert summary.bounding_box()["y"] < graph["y"]
    summary.get_by_role("link", name="zero").click()
    assert page.locator("#view-Recipes select").input_value() == "zero"


CROSSINGS = """() => {
    const boxes = [...document.querySelectorAll('#graph svg rect')].map(rect => [rect, rect.getBBox()]);
    const crossings = [];
    for (const path of document.querySelectorAll('#graph > svg > path.edge')) {
        const length = path.getTotalLength();
        for (let at = 0; at <= length; at += 1) {
            const {x, y} = path.getPointAtLength(at);
            for (const [rect, box] of boxes)
                if (x > box.x + 1 && x < box.x + box.width - 1 && y > box.y + 1 && y < box.y + box.height - 1)
                    crossings.push([path.getAttribute('d'), rect.parentNode.textContent]);
        }
    }
    return crossings;
}"""
OVERLAPS = """() => {
    const boxes = [...document.querySelectorAll('#graph svg rect')].map(rect => rect.getBBox());
    const before = (a, b) => a.x + a.width <= b.x || a.y + a.height <= b.y;
    const apart = (a, b) => before(a, b) || before(b, a);
    return boxes.filter((box, i) => boxes.some((other, j) => j > i && !apart(box, other))).length;
}"""


def check_graph(page):
    """Hold that no line runs through a box, no box over another, and no text out of its box."""
    assert page.locator("#graph > svg > path.edge").count() > 0
    assert page.evaluate(CROSSINGS) == []
    assert page.evaluate(OVERLAPS) == 0
    outside = """() => [...document.querySelectorAll('#graph svg rect')].filter(rect =>
        [...rect.parentNode.querySelectorAll('text')].some(text =>
            text.getBBox().x + text.getBBox().width > rect.getBBox().x + rect.getBBox().width)).length"""
    assert page.evaluate(outside) == 0


@pytest.fixture(scope="module")
def branched(tmp_path_factory):
    """The page of a pipeline with long edges: the base is trained again late, on data of a late model."""
    folder = tmp_path_factory.mktemp("branched")
    parents = {
        "zero": [("model", "tiny:base")],
        "cold": [("model", "zero"), ("data", "world:arithmetic")],
        "dev1": [("model", "tiny:base"), ("data", "cold")],
        "dev2": [("model", "dev1")],
        "dev2_with_a_rather_long_name": [("model", "dev1")],
        "facts": [("model", "tiny:base"), ("data", "world:facts")],
        "reasoning": [("model", "dev2")],
        "dev3": [("model", "tiny:base"), ("data", "reasoning"), ("data", "facts")],
        "distill": [("model", "tiny:student"), ("data", "reasoning"), ("data", "facts"), ("teacher", "dev2")],
        "student_rl": [("model", "tiny:student")],
    }
    stages = {"cold": "generate", "facts": "generate", "reasoning": "generate", "distill": "distill"}
    for name, roles in parents.items():
        described = []
        for role, path in roles:
            is_run = path in parents
            described.append(
                {"role": role, "path": str(folder / path) if is_run else path, "stage": "rl" if is_run else None}
            )
        write_run(folder / name, stages.get(name, "rl"), 2, 0, described)
    write_report(
        [str(folder / name) for name in ("dev3", "distill", "dev2_with_a_rather_long_name", "student_rl")],
        folder / "page.html",
    )
    return folder / "page.html"


@pytest.mark.parametrize("width", [1400, 1024, 390])
def test_no_edge_of_the_pipeline_runs_through_a_box(page, branched, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"file://{branched}")
    assert page.locator("#graph a").count() == 10
    check_graph(page)
    if width == 1400:
        svg, view = page.locator("#graph > svg").bounding_box(), page.locator("main").bounding_box()
        assert svg["width"] <= view["width"]


def test_data_sets_and_evaluations_are_no_boxes_of_the_pipeline(page, branched):
    page.goto(f"file://{branched}")
    titles = page.locator("#graph svg text.title").all_text_contents()
    assert len(titles) == 12  # ten runs and two base models
    assert not any("world:" in title for title in titles)
    assert "world:facts" in page.locator("#graph a", has_text="facts").first.locator("title").text_content()


def test_curves_have_names_units_and_readings_and_sft_stands_apart(page, tmp_path):
    write_run(tmp_path / "zero", "rl-zero", 12, 0)
    parent = {"role": "model", "path": str(tmp_path / "zero"), "stage": "rl-zero"}
    write_run(tmp_path / "dev1", "sft", 12, 0, [parent])
    write_report([str(tmp_path / "dev1")], tmp_path / "page.html")
    page.goto(f"file://{tmp_path}/page.html#Curves")
    titles = page.locator(".chart h4").all_inner_texts()
    assert "Accuracy of the sampled completions" in titles
    assert "Loss of reinforcement learning" in titles
    assert "Loss of supervised fine-tuning" in titles
    assert page.locator(".chart .reading").count() == len(titles)
    assert page.locator(".metric-key").first.inner_text() == "reward"
    loss = page.locator(".chart", has=page.get_by_text("Loss of supervised fine-tuning"))
    assert loss.locator(".u-label").all_inner_texts() == ["optimizer step", "dev1"]


def test_a_flat_curve_of_zeros_is_drawn_at_the_bottom(page, small):
    page.goto(f"file://{small}#Curves")
    chart = page.locator(".chart", has=page.get_by_text("Completions cut off at the token limit"))
    # Among the pixels of the plot in a run's colour, all lie in the lowest tenth.
    heights = chart.locator("canvas").evaluate("""canvas => {
        const over = canvas.parentNode.querySelector('.u-over'), ratio = canvas.width / canvas.clientWidth;
        const [left, top] = [over.offsetLeft, over.offsetTop].map(x => Math.round(x * ratio));
        const [width, height] = [over.offsetWidth, over.offsetHeight].map(x => Math.round(x * ratio));
        const {data} = canvas.getContext('2d').getImageData(left, top, width, height), heights = [];
        for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
            const [r, g, b, a] = data.slice(4 * (y * width + x), 4 * (y * width + x) + 4);
            if (a > 200 && Math.max(r, g, b) - Math.min(r, g, b) > 80) heights.push(y / height);
        }
        return heights;
    }""")
    assert heights
    assert min(heights) > 0.9


def test_scaling_has_the_names_of_its_methods_and_intervals(page, small):
    page.goto(f"file://{small}#Scaling")
    assert page.locator(".u-label").all_inner_texts()[1:] == ["one of N is right (pass@N)", "vote"]
    page.get_by_text("the same as a table").click()
    assert page.locator("#view-Scaling td", has_text="47.5 to 57.5").count() == 2


def test_a_mixed_completion_has_a_label_for_each_language(page, small):
    page.goto(f"file://{small}#Rollouts")
    page.get_by_label("script").select_option("2")
    page.wait_for_function("!document.querySelector('#rollout-count').innerText.startsWith('768')")
    page.locator("#rollout-detail .card.chosen summary").click()
    segment = page.locator("#rollout-detail .card.chosen .language-segment").first
    assert segment.locator(".language-label").inner_text().endswith(", right to left")
    assert segment.locator(".segment-text").get_attribute("dir") == "rtl"


def test_a_formula_runs_left_to_right_in_a_persian_text(page, tmp_path):
    write_run(tmp_path / "zero", "rl-zero", 1, 1)
    row = {**rollouts(1, 1, 1, 0)[0], "question": "\u062d\u0627\u0635\u0644 (6 - 4) * 2 \u0686\u06cc\u0633\u062a\u061f"}
    write_parquet([row], tmp_path / "zero/completions/step-00000001.parquet", ["accuracy", "format"])
    write_report([str(tmp_path / "zero")], tmp_path / "page.html")
    page.goto(f"file://{tmp_path}/page.html#Rollouts")
    question = page.locator("#rollout-detail .segment-text").first
    assert question.get_attribute("dir") == "rtl"
    # The signs of the formula in the order in which they stand on the screen, from the left.
    signs = question.evaluate("""node => {
        const signs = [], walker = document.createTreeWalker(node, 4), range = document.createRange();
        for (let text = walker.nextNode(); text; text = walker.nextNode())
            [...text.data].forEach((sign, i) => {
                range.setStart(text, i);
                range.setEnd(text, i + 1);
                if (/[-()*\\d]/.test(sign)) signs.push([range.getBoundingClientRect().left, sign]);
            });
        return signs.sort((a, b) => a[0] - b[0]).map(([, sign]) => sign).join("");
    }""")
    assert signs == "(6-4)*2"


def test_a_tapped_completion_opens_under_the_finger_on_a_phone(page, small):
    page.set_viewport_size(PHONE)
    page.goto(f"file://{small}#Rollouts")
    page.wait_for_selector("#rollout-list button")
    assert not page.locator("#rollout-detail").is_visible()
    assert page.locator("#rollout-list .row-question").first.inner_text().startswith("What is ")
    for number in (2, 9, 5):
        row = page.locator("#rollout-list button").nth(number)
        row.scroll_into_view_if_needed()
        before = row.bounding_box()["y"]
        row.click()
        page.wait_for_function(
            f"document.querySelectorAll('#rollout-list button')[{number}].nextElementSibling?.id === 'rollout-detail'"
        )
        after, detail = row.bounding_box(), page.locator("#rollout-detail").bounding_box()
        assert after["y"] == pytest.approx(before, abs=2)
        assert detail["y"] == pytest.approx(after["y"] + after["height"], abs=2)
        assert page.locator("#rollout-detail .card.chosen").is_visible()
    page.locator("#rollout-list button").nth(5).click()
    assert not page.locator("#rollout-detail").is_visible()


def test_a_recipe_is_shown_without_defaults_until_asked(page, tmp_path):
    write_run(tmp_path / "zero", "rl-zero", 2, 0)
    (tmp_path / "zero/recipe.yaml").write_text("output: runs/x\nseed: 0\nmodel:\n  path: tiny:base\n  lora: null\n")
    write_report([str(tmp_path / "zero")], tmp_path / "page.html")
    page.goto(f"file://{tmp_path}/page.html#Recipes")
    assert page.locator("pre").inner_text() == "output: runs/x\nmodel:\n  path: tiny:base\n"
    page.get_by_label("fields at their defaults, too").check()
    assert "lora: null" in page.locator("pre").inner_text()


@pytest.mark.parametrize("width", [390, 1024, 1400])
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
    assert page.locator("#graph a").count() >= 10
    check_graph(page)
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
            for value in choice.locator("option").evaluate_all("options => options.map(option => option.value)"):
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
    assert {"Curves", "Data", "Rollouts", "Compare", "Recipes"} <= {name for name in VIEWS if used[name]}
    page.get_by_role("tab", name="Rollouts", exact=True).click()
    page.get_by_label("script").select_option("2")
    page.wait_for_selector("#rollout-list button")
    page.locator("#rollout-detail .card.chosen summary").first.click()
    thinking = page.locator("#rollout-detail .card.chosen details .text").first
    assert re.search("[\u0600-\u06ff]{2}", thinking.inner_text())
    assert thinking.evaluate("node => getComputedStyle(node).unicodeBidi") == "plaintext"
    assert "Persian, right to left" in thinking.inner_text()
    sides = """node => { const range = document.createRange(), walker = document.createTreeWalker(node, 4);
        let text = walker.nextNode();
        while (!/[\\u0600-\\u06ff]{2}/.test(text.data)) text = walker.nextNode();
        const at = text.data.search(/[\\u0600-\\u06ff]{2}/);
        const x = i => (range.setStart(text, i), range.setEnd(text, i + 1), range.getBoundingClientRect().left);
        return [x(at), x(at + 1)]; }"""
    first, second = thinking.evaluate(sides)
    assert first > second  # Persian letters go from right to left


def test_a_hundred_thousand_rollouts(page, tmp_path):
    write_run(tmp_path / "zero", "rl-zero", 100, 1000)
    started = time.time()
    write_report([str(tmp_path / "zero")], tmp_path / "page.html")
    size = (tmp_path / "page.html").stat().st_size
    print(f"written in {time.time() - started:.1f} s, {size / 2**20:.1f} MiB")
    assert size < 30 * 2**20
    page.goto(f"file://{tmp_path}/page.html", wait_until="commit")
    page.wait_for_selector("#graph svg")
    print(f"first view after {page.evaluate('performance.now()'):.0f} ms")
    page.get_by_role("tab", name="Rollouts", exact=True).click()
    page.wait_for_selector("#rollout-list button")
    assert page.locator("#rollout-count").inner_text().startswith("100000 of 100000")


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
            step = lambda: page.locator("#status").inner_text()  # noqa: E731
            first = step()
            assert "running: run, step" in first
            page.wait_for_function(
                f"document.getElementById('status').innerText !== {json.dumps(first)}", timeout=30000
            )
            page.get_by_role("tab", name="Rollouts", exact=True).click()
            page.wait_for_selector("#rollout-list button")
            count = page.locator("#rollout-count").inner_text()
            page.wait_for_function(
                f"document.getElementById('rollout-count').innerText !== {json.dumps(count)}", timeout=30000
            )
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
            page.wait_for_function(
                f"document.getElementById('status').innerText !== {json.dumps(steps)}", timeout=30000
            )
            assert page.evaluate("window.seen === document.querySelector('#view-Curves canvas')")  # zoomed as it was
            page.route("**/version?*", lambda route: route.fulfill(body="?"))
            status_has = "document.getElementById('status').innerText.includes('{}')"
            page.wait_for_function(status_has.format("server is gone"), timeout=30000)
            page.unroute("**/version?*")
            page.wait_for_function(status_has.format("live"), timeout=30000)
            page.goto("about:blank")
        finally:
            watch.terminate()
    finally:
        stage.terminate()
        stage.wait()


def test_the_chosen_rollouts_stay_when_another_run_writes_its_first(page, tmp_path, monkeypatch):
    """`watch a b` shows b while a writes its first rollouts; and shows rollouts that come where there were none."""
    import threading

    from r1kit.report.serve import make_server

    monkeypatch.setattr("r1kit.report.serve.REFRESH_SECONDS", 0.0)
    for name in ("a", "b"):
        write_run(tmp_path / name, "rl-zero", 2, 0)
    with make_server([str(tmp_path / "a"), str(tmp_path / "b")], 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.goto(server.address)
        page.get_by_role("tab", name="Rollouts", exact=True).click()
        page.wait_for_selector("text=No rollouts are kept here.")
        write_run(tmp_path / "b", "rl-zero", 2, 16)
        page.wait_for_selector("#rollout-list button")
        chosen_text = page.locator("#rollout-detail").inner_text()
        write_run(tmp_path / "a", "rl-zero", 2, 8)
        page.wait_for_function("document.querySelector('#view-Rollouts select').options.length === 2")
        chosen = page.evaluate("document.querySelector('#view-Rollouts select').selectedOptions[0].text")
        assert chosen.startswith("b ")
        page.wait_for_selector("#rollout-list button")
        assert page.locator("#rollout-detail").inner_text() == chosen_text
        page.goto("about:blank")
        server.shutdown()
