"""Public benchmarks as their publishers have them, without a word of configuration: read, inspected, judged, evaluated.

The files do not belong to the project; without them these tests are skipped (`helpers.shared_folder`).
"""

import json

import pyarrow.parquet as pq
import pytest
from helpers import r1kit, shared_folder

from r1kit.data.problems import load_problems
from r1kit.recipe import PromptConfig, SourceConfig
from r1kit.rewards.accuracy import accuracy

# File: rows, checkers, and a gold answer of which the reading is known.
SETS = {
    "gsm8k_test": (1319, {"math"}, "18"),
    "math500": (500, {"math"}, "\\left( 3, \\frac{\\pi}{2} \\right)"),
    "aime24": (30, {"math"}, "204"),
    "asdiv": (2215, {"math", "exact"}, "9"),
    "mawps": (2065, {"math"}, "43.0"),
    "svamp": (1000, {"math"}, "145.0"),
    "mmlu_stem": (3018, {"choice"}, "C"),
}
MAX_WRONG_ACCURACY = 0.02
EVAL_ROWS = 3


def problems_of(name):
    path = str(shared_folder("data") / f"{name}.jsonl")
    return load_problems([SourceConfig(path=path)], PromptConfig(template="r1-zero")).to_list()


def judge(rows, answers):
    completions = [f"<think>\nLet me see.\n</think>\n<answer>{answer}</answer>" for answer in answers]
    columns = {name: [row.get(name) for row in rows] for name in ("answer", "checker", "question")}
    return accuracy(completions, **columns)


@pytest.mark.parametrize("name", SETS)
def test_gold_answers_are_right_and_those_of_the_next_row_are_wrong(name, here):
    count, checkers, first_answer = SETS[name]
    rows = problems_of(name)
    repeated = count - len(rows)
    assert 0 <= repeated <= count // 20, "rows that ask the same as an earlier one are dropped"
    assert {row["checker"] for row in rows} == checkers
    assert rows[0]["answer"] == first_answer
    assert judge(rows, [row["answer"] for row in rows]) == [1.0] * len(rows)
    next_answers = [row["answer"] for row in [*rows[1:], rows[0]]]
    # By chance the next row often has the same answer: one choice in four, and small numbers.
    differ = [i for i, row in enumerate(rows) if _comparable(row["answer"]) != _comparable(next_answers[i])]
    verdicts = judge([rows[i] for i in differ], [next_answers[i] for i in differ])
    assert None not in verdicts
    assert sum(verdicts) <= MAX_WRONG_ACCURACY * len(differ)


def _comparable(answer):
    try:
        return float(answer)
    except ValueError:
        return answer


@pytest.mark.parametrize("name", SETS)
def test_inspect_says_what_a_set_is(name, here):
    stdout, _ = r1kit("data", "inspect", shared_folder("data") / f"{name}.jsonl")
    assert f"{SETS[name][0]} rows: problems with answers or tests, for r1kit rl, generate and eval." in stdout


def test_all_are_evaluated_as_they_are(here):
    sources = [{"path": str(shared_folder("data") / f"{name}.jsonl"), "rows": EVAL_ROWS} for name in SETS]
    recipe = {
        "model": {"path": "tiny:base"},
        "data": {"eval": sources},
        "prompt": {"template": "tiny"},
        "sampling": {"max_tokens": 4, "samples": 1},
        "output": "run",
    }
    (here / "eval.yaml").write_text(json.dumps(recipe))
    r1kit("eval", "eval.yaml")
    rows = []
    for file in (here / "run").rglob("*.parquet"):
        rows += pq.read_table(file).to_pylist()
    assert len(rows) == EVAL_ROWS * len(SETS)
    assert not any(row["fault"] for row in rows)
    assert all(row["correct"] is not None for row in rows)
