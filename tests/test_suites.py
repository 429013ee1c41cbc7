"""Benchmarks by name: what each measures on a server whose answers are known, and how mistakes are reported."""

import inspect
import json
from dataclasses import replace
from pathlib import Path

import pytest
from benchmark_rows import ROWS
from helpers import r1kit, read_data, read_info, write_recipe
from servers import loopback_server, request_counts

from r1kit.data.adapters.code_tests import MAX_TESTS
from r1kit.data.benchmarks import load_benchmark, split_prompt
from r1kit.errors import UserError
from r1kit.recipe import load_recipe
from r1kit.rewards import accuracy
from r1kit.sampling.benchmarks import Figure, format_figures
from r1kit.suites import BENCHMARKS, LEFT_OUT_OF_R1, SUITES, expand_suite, suite_name

CHOICE_TABLE = {"gpqa-diamond": "carbon dioxide"}


def write_rows(folder: Path, name: str) -> Path:
    """Write the rows of a benchmark as a file, and return it."""
    file = folder / f"{name}.jsonl"
    file.write_text("".join(json.dumps(scripted.row, ensure_ascii=False) + "\n" for scripted in ROWS[name]))
    return file


def read_suite(folder: Path, name: str, **settings):
    """Return a recipe's block of one benchmark that is read from its file, with the settings of its protocol."""
    overrides = {"suite": {name: {"path": str(write_rows(folder, name)), **settings}}, "output": "run"}
    return load_recipe("eval", None, {"model.path": "m", **overrides}).suite[name]


def gold_letter(folder: Path, name: str) -> str:
    """Return the letter that a row of shuffled choices has for its right choice."""
    [problem] = load_benchmark(name, read_suite(folder, name)).to_list()
    [letter] = [line[0] for line in problem["prompt"].splitlines() if line.endswith(f". {CHOICE_TABLE[name]}")]
    assert letter == problem["answer"]
    return letter


def write_script(folder: Path, names) -> Path:
    """Write what the server answers to the rows of some benchmarks."""
    script = {}
    for name in names:
        for scripted in ROWS[name]:
            gold = gold_letter(folder, name) if name in CHOICE_TABLE else ""
            script[scripted.text] = [text.replace("{gold}", gold) for text in scripted.completions]
    file = folder / "script.json"
    file.write_text(json.dumps(script))
    return file


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def expected_figures(name: str) -> dict[str, float]:
    """Return the figures that the rows of a benchmark make, computed from their scores alone."""
    rows = [scripted for scripted in ROWS[name] if scripted.scores]
    # The completions of a row take turns, and k is a multiple of their number.
    figures = {BENCHMARKS[name].metrics[0]: mean(mean(scripted.scores) for scripted in rows)}
    for metric in BENCHMARKS[name].metrics[1:]:
        if metric == "cons@k":  # most completions of each problem are right
            figures[metric] = 1.0
        elif metric.startswith("instruction"):
            figures[metric] = mean(score for scripted in rows for score in scripted.others[metric])
        else:
            figures[metric] = mean(mean(scripted.others[metric]) for scripted in rows)
    return figures


def server_settings(url: str) -> list[str]:
    return ["sampling.engine=openai", f"sampling.server.urls={url}", "sampling.server.backoff=0.01"]


def test_every_benchmark_scores_a_scripted_server_as_it_must(here):
    assert set(ROWS) == set(BENCHMARKS)
    suite = ",".join(f"{name}={write_rows(here, name)}" for name in ROWS)
    dates = 'suite.livecodebench.dates=["2024-08-01", "2025-01-31"]'
    with loopback_server(here, script=str(write_script(here, ROWS))) as url:
        out, err = r1kit("eval", "some-model", "--suite", suite, dates, *server_settings(url))
        requests = request_counts(url)["requests"]
    run = Path("runs/some-model-aime24-and-15-more")
    assert out.strip() == str(run)
    figures = json.loads((run / "eval.json").read_text())["suite"]
    measured: dict[str, dict[str, float]] = {}
    for figure in figures:
        assert figure["model"] == "some-model"
        assert figure["samples"] == BENCHMARKS[figure["benchmark"]].samples
        measured.setdefault(figure["benchmark"], {})[figure["metric"]] = figure["score"]
    expected = {name: expected_figures(name) for name in ROWS}
    assert {name: pytest.approx(figures, abs=1e-12) for name, figures in expected.items()} == measured
    asked = sum(BENCHMARKS[name].samples * sum(bool(row.scores) for row in rows) for name, rows in ROWS.items())
    assert requests == asked
    # The table shows each figure with published ones beside it, and says where those stand.
    assert "DeepSeek-R1 79.8" in err
    assert "published in arXiv 2501.12948" in err
    # The samples of all sets stand in one table of statistics by domain.
    [ladder_row] = json.loads((run / "eval.json").read_text())["models"]
    assert set(ladder_row["statistics"]["domains"]) == set(ROWS)
    assert ladder_row["statistics"]["faults"] == 0


def test_a_suite_is_resumed_and_not_measured_twice(here):
    names = ("gsm8k", "mmlu")
    suite = ",".join(f"{name}={write_rows(here, name)}" for name in names)
    script = write_script(here, names)
    with loopback_server(here, script=str(script), error_text="Which is a") as url:
        arguments = ("eval", "m", "--suite", suite, "--output", "run", *server_settings(url))
        _, err = r1kit(*arguments, "sampling.server.retries=0", code=2)
        assert "finished work is kept" in err
    with loopback_server(here, script=str(script)) as url:
        arguments = ("eval", "m", "--suite", suite, "--output", "run", *server_settings(url))
        r1kit(*arguments)
        assert request_counts(url)["requests"] == len(ROWS["mmlu"]), "the set that was finished is not asked again"
        _, err = r1kit(*arguments)
        assert "done already" in err
        _, err = r1kit(*arguments, "sampling.samples=2", code=2)
        assert "samples" in err
    figures = {f["benchmark"]: f["score"] for f in json.loads(Path("run/eval.json").read_text())["suite"]}
    assert figures == {"gsm8k": 0.5, "mmlu": pytest.approx(2 / 3)}
    assert read_info(Path("run"))["status"] == "finished"
    roles = {(parent["role"], Path(parent["path"]).name) for parent in read_info(Path("run"))["parents"]}
    assert ("data", "gsm8k.jsonl") in roles


def test_settings_of_a_recipe_replace_those_of_the_protocol(here):
    file = write_rows(here, "aime24")
    recipe = write_recipe(
        here / "eval.yaml",
        model={"path": "m"},
        output="run",
        suite={"aime24": {"path": str(file), "max_tokens": 100}, "math500": None},
        sampling={"samples": 8},
        answers="boxed",
    )
    suite = load_recipe("eval", str(recipe), {"suite.math500.samples": 2}).suite
    aime, math = suite["aime24"], suite["math500"]
    assert (aime.samples, aime.max_tokens, aime.temperature, aime.answers, aime.split) == (8, 100, 0.6, "boxed", None)
    assert (math.samples, math.max_tokens, math.path, math.split) == (2, 32_768, "HuggingFaceH4/MATH-500", "test")
    # What a run directory records is read as the same recipe, whatever the table says then.
    from r1kit.recipe import dump_recipe

    whole = load_recipe("eval", str(recipe), {})
    (here / "again.yaml").write_text(dump_recipe(whole))
    assert load_recipe("eval", str(here / "again.yaml"), {}) == whole


def test_names_of_suites_are_expanded():
    assert list(expand_suite("r1")) == list(SUITES["r1"])
    assert expand_suite("gsm8k,math500=a=b.jsonl") == {"gsm8k": {}, "math500": {"path": "a=b.jsonl"}}
    assert list(expand_suite(["r1", "gsm8k"])) == [*SUITES["r1"], "gsm8k"]
    assert suite_name(list(SUITES["r1"])) == "r1"
    assert suite_name(["gsm8k", "mmlu", "mbpp"]) == "gsm8k-and-2-more"


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_cites_its_protocol_and_its_paper(name):
    benchmark = BENCHMARKS[name]
    assert "{question}" in benchmark.prompt
    assert benchmark.protocol
    assert benchmark.citation
    assert benchmark.scoring.endswith(".")
    assert "arXiv" in benchmark.protocol or "arXiv" in benchmark.citation
    for report in benchmark.published:
        assert report.source
        assert report.metric in benchmark.metrics
        assert all(0 < score <= 100 for score in report.scores.values())


def test_the_suite_of_the_report_has_its_sets_or_says_why_not():
    # The table of the R1 report, in its order, with the name of each set in r1kit.
    table = ["MMLU", "MMLU-Redux", "MMLU-Pro", "DROP", "IFEval", "GPQA Diamond", "SimpleQA", "FRAMES", "AlpacaEval"]
    table += ["ArenaHard", "LiveCodeBench", "Codeforces", "SWE-bench", "Aider", "AIME 2024", "MATH-500", "CNMO"]
    table += ["CLUEWSC", "C-Eval", "C-SimpleQA"]
    titles = [BENCHMARKS[name].title for name in SUITES["r1"]]
    for entry in table:
        is_measured = any(title.startswith(entry) for title in titles)
        is_left_out = any(entry in names for names in LEFT_OUT_OF_R1)
        assert is_measured or is_left_out, entry


def test_choices_are_shuffled_by_the_seed(here):
    def letter(seed: int) -> str:
        [problem] = load_benchmark("gpqa-diamond", read_suite(here, "gpqa-diamond", seed=seed)).to_list()
        return problem["answer"]

    letters = [letter(seed) for seed in range(5)]
    assert len(set(letters)) > 1
    assert letter(0) == letters[0]


def test_prompts_are_those_of_the_protocol(here):
    [problem] = load_benchmark("mmlu-pro", read_suite(here, "mmlu-pro")).to_list()
    assert problem["prompt"].startswith("The following is a multiple choice question.")
    assert problem["prompt"].endswith(
        "Which is the tenth letter?\n\nA. a\nB. b\nC. c\nD. d\nE. e\nF. f\nG. g\nH. h\nI. i\nJ. j"
    )

    twice, doubled = load_benchmark(
        "livecodebench", read_suite(here, "livecodebench", dates=["2024-08-01", "2025-01-31"])
    )["prompt"]
    assert "Read the inputs from stdin" in twice
    assert "read a number and print its double." in twice
    assert "You will use the following starter code" in doubled
    assert "```python\nclass Solution:\n    def double(self, n: int) -> int:\n```" in doubled
    [problem] = load_benchmark("humaneval", read_suite(here, "humaneval")).to_list()
    assert problem["prompt"].endswith('```python\ndef add_two(n):\n    """Return n plus two."""\n```')


def test_instructions_of_adapters_are_taken_off():
    assert split_prompt("2?\n\nA. 1\nB. 2\n\nAnswer with the letter of the correct choice.") == ("2?\n\nA. 1\nB. 2", "")
    assert split_prompt("What?") == ("What?", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--suite", "math50"], ["suite = math50; no such benchmark", "did you mean math500?"]),
        (["--suite", "math500=none.jsonl"], ["suite.math500.path = none.jsonl"]),
        (["--suite", "r1=rows.jsonl"], ["suite", "r1 is several benchmarks"]),
        (["--suite", "math500={mmlu}"], ["suite.math500.path", "judged by math", "(choice)", "HuggingFaceH4/MATH-500"]),
        (
            ["--suite", "livecodebench={humaneval}", "suite.livecodebench.dates=[2024-08-01, 2025-01-31]"],
            ["contest_date"],
        ),
        (["--suite", "livecodebench={livecodebench}", "suite.livecodebench.dates=[2020-01-01, 2020-02-01]"], ["dates"]),
        (["--suite", "gsm8k={gsm8k}", "--dataset", "{mmlu}"], ["suite", "data.eval"]),
        (["--suite", "gsm8k={gsm8k}", "scaling={}"], ["scaling"]),
        (["--suite", "aime24={aime24}", "sampling.temperature=0"], ["suite.aime24.samples = 64"]),
        (["--suite", "gsm8k={gsm8k}", "rewards=[{name: format}]"], ["suite", "add accuracy to rewards"]),
        (["--suite", "gsm8k", "suite.gsm8k.prompt=Solve it."], ["suite.gsm8k.prompt", "{question}"]),
        (["--suite", "gsm8k", "suite.gsm8k.sample=3"], ["suite.gsm8k.sample", "did you mean samples?"]),
        (["--model", "other", "--suite", "gsm8k"], ["--model = other", "m is a model too"]),
    ],
)
def test_mistakes_are_one_line(here, arguments, words):
    files = {name: str(write_rows(here, name)) for name in ROWS}
    for name, file in files.items():
        arguments = [argument.replace(f"{{{name}}}", file) for argument in arguments]
    _, err = r1kit("eval", "m", *arguments, *server_settings("http://127.0.0.1:1/v1"), code=2)
    [line] = [line for line in err.splitlines() if line.startswith("error: ")]
    for word in words:
        assert word in line, line


def test_only_eval_has_suites(here):
    _, err = r1kit("generate", "--suite", "gsm8k", code=2)
    assert "--suite" in err


def test_a_dry_run_names_each_protocol(here):
    out, _ = r1kit("eval", "tiny:base", "--suite", "math500,ifeval", "sampling.max_tokens=256", "--dry-run")
    assert "math500: from HuggingFaceH4/MATH-500, 16 samples of each problem at temperature 0.6, top_p 0.95" in out
    assert "arXiv 2311.07911" in out
    assert not Path("runs").exists()


def test_several_models_stand_side_by_side(here):
    script = write_script(here, ["gsm8k"])
    with loopback_server(here, script=str(script)) as url:
        _, err = r1kit(
            "eval",
            "models={first: a, second: b}",
            "--suite",
            f"gsm8k={write_rows(here, 'gsm8k')}",
            *server_settings(url),
        )
    [line] = [line for line in err.splitlines() if line.startswith("gsm8k      ")]
    assert line.split()[:3] == ["gsm8k", "pass@1", "2"]
    assert line.count("50.0") == 2
    assert len(read_data(Path("runs/first-second-gsm8k/samples/first-gsm8k"))) == 2


def test_the_table_shows_the_published_figure_of_the_measured_model_first():
    published = {"DeepSeek-R1": 97.3, "DeepSeek-R1-Distill-Qwen-7B": 92.8, "other": 1.0}
    figure = Figure("models/DeepSeek-R1-Distill-Qwen-7B", "math500", "pass@1", 0.925, 0.02, 500, 4, published=published)
    [_, line, *_] = format_figures([figure]).splitlines()
    assert line.split("  ")[-1].strip() == "DeepSeek-R1-Distill-Qwen-7B 92.8, DeepSeek-R1 97.3, other 1.0"
    assert "92.5 ±2.0" in line


def test_the_table_says_where_scoring_departs_from_the_set_s_own():
    """The figures are r1kit's own limits; those of another program are not judged by them."""
    own = Figure("m", "livecodebench", "pass@1", 0.5, 0.02, 500, 4)
    table = format_figures([own, Figure("m", "math500", "pass@1", 0.5, 0.02, 500, 4)])
    [line] = [line for line in table.splitlines() if "departs from its protocol" in line]
    assert line.startswith("livecodebench departs from its protocol: ")
    assert f"r1kit gives each test {inspect.signature(accuracy).parameters['seconds'].default:g} seconds" in line
    assert f"at most {MAX_TESTS} of them" in line
    assert "departs" not in format_figures([replace(own, program="lm-evaluation-harness")])


def test_a_model_of_this_machine_is_measured(here):
    file = write_rows(here, "gsm8k")
    r1kit("eval", "tiny:base", "--suite", f"gsm8k={file}", "sampling.max_tokens=16", "prompt.template=tiny")
    [figure] = json.loads(Path("runs/tiny_base-gsm8k/eval.json").read_text())["suite"]
    assert figure["questions"] == 2


def test_a_benchmark_of_code_that_holds_objects_is_refused(here):
    from benchmark_rows import _contest_row, encode_private_tests

    class Evil:
        def __reduce__(self):
            return (Path.touch, (Path(here / "ran"),))

    file = here / "evil.jsonl"
    file.write_text(json.dumps(_contest_row("T", "2024-09-01", private_test_cases=encode_private_tests(Evil()))) + "\n")
    overrides = {"suite": {"livecodebench": {"path": str(file)}}, "model.path": "m", "output": "run"}
    with pytest.raises(UserError, match="no row of it can be used"):
        load_benchmark("livecodebench", load_recipe("eval", None, overrides).suite["livecodebench"])
    assert not (here / "ran").exists()
