"""The judge: from a program and its tests to a verdict. It stands outside the box, and trusts nothing in it.

Three kinds of tests (DESIGN: rows), each in a fresh process of the program:

- `stdio`: what the program prints for an input, compared line by line; it must also end with exit code 0.
- `call`: what a function (or a method of LeetCode's `class Solution`) returns, sent out as data and compared
  by type, length and value. Expected values and outputs never enter the box.
- `assert`: test code (HumanEval, MBPP) in which expected values necessarily stand. It runs in the box too, but
  in a process of its own, which calls the program's functions in another process and gets plain data back.
  A hostile program sees the arguments of all calls of a test, and can answer by them; it sees no expected
  value and cannot touch the comparison. Objects of the program's own classes stay in its process: the test
  calls their methods there, and cannot compare them with `==`. Arguments must be data: a test that passes
  functions or objects of its own fails.

An exit code alone is never a pass.
"""

import ast
import builtins
import json
import marshal
import math
import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from r1kit.sandbox.box import Box, BoxFault, open_box
from r1kit.sandbox.values import decode

SECONDS = 3.0
KEPT = 65536  # verdicts kept: the same program for the same tests is run once
COUNTS: Counter = Counter()  # of this process: runs, timeouts, floods, faults


@dataclass(frozen=True)
class Verdict:
    """How many tests a program passed, of how many; whether its time ran out; whether no verdict could be had."""

    passed: int
    total: int
    timed_out: bool = False
    fault: bool = False

    @property
    def ok(self) -> bool:
        return self.total > 0 and self.passed == self.total


def judge(program: str, tests: Sequence[dict[str, Any]], seconds: float = SECONDS, **settings: Any) -> Verdict:
    """Run `program` against `tests`, up to `seconds` each; see judge_all."""
    return judge_all([(program, tests)], seconds, **settings)[0]


def judge_all(
    jobs: Sequence[tuple[str, Sequence[dict[str, Any]]]],
    seconds: float = SECONDS,
    *,
    count_all: bool = False,
    isolation: str = "auto",
) -> list[Verdict]:
    """Judge several programs at once, on all cores. A program's tests end at the first failure, but for `count_all`.

    Raises ValueError for a test of no known kind, UserError where there is no isolation.
    """
    keys = [(p, json.dumps(list(t), sort_keys=True), seconds, count_all, isolation) for p, t in jobs]
    open_keys = [k for k in dict.fromkeys(keys) if _kept.get(k) is None]
    found: dict[tuple, Verdict] = {}
    if len(open_keys) > 1:
        found.update(zip(open_keys, _pool().map(lambda k: _judge(*k), open_keys), strict=True))
    elif open_keys:
        found[open_keys[0]] = _judge(*open_keys[0])
    verdicts = [found.get(k) or _kept.get(k) or _judge(*k) for k in keys]
    for key, verdict in found.items():
        if not verdict.fault:
            _kept.put(key, verdict)
    return verdicts


class _Kept:
    """The newest verdicts."""

    def __init__(self) -> None:
        self._verdicts: OrderedDict[tuple, Verdict] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple) -> Verdict | None:
        return self._verdicts.get(key)

    def put(self, key: tuple, verdict: Verdict) -> None:
        with self._lock:
            self._verdicts[key] = verdict
            while len(self._verdicts) > KEPT:
                self._verdicts.popitem(last=False)


_kept = _Kept()
_pools: dict[int, ThreadPoolExecutor] = {}


def _pool() -> ThreadPoolExecutor:
    """Return this process's threads, one a core; ranks on one machine share the cores."""
    if os.getpid() not in _pools:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        ranks = max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
        _pools.clear()
        _pools[os.getpid()] = ThreadPoolExecutor(max(1, cores // ranks), thread_name_prefix="judge")
    return _pools[os.getpid()]


def _judge(program: str, tests: str, seconds: float, count_all: bool, isolation: str) -> Verdict:
    """Judge one program; a box that dies gets a second try, then there is no verdict."""
    parsed = json.loads(tests)
    unknown = [t["kind"] for t in parsed if t["kind"] not in KINDS]
    if unknown:
        raise ValueError(f"a test of kind {unknown[0]!r}: use {', '.join(KINDS)}")
    for _ in range(2):
        try:
            return _run(program, parsed, seconds, count_all, isolation)
        except BoxFault:
            COUNTS["box faults"] += 1
    return Verdict(0, len(parsed), fault=True)


def _run(program: str, tests: list[dict[str, Any]], seconds: float, count_all: bool, isolation: str) -> Verdict:
    passed, timed_out, left = 0, False, list(tests)
    while left:
        with open_box(program, isolation) as box:
            if not box.runs:
                return Verdict(passed, len(tests), timed_out)
            while left:
                test = left.pop(0)
                COUNTS["runs"] += 1
                ok, state = KINDS[test["kind"]](box, test, seconds)
                COUNTS[state] += 1
                passed, timed_out = passed + ok, timed_out or state == "timeout"
                if not ok and not count_all:
                    return Verdict(passed, len(tests), timed_out)
                if state == "timeout" or not box.clean:
                    break  # it may be gone, or hold files of this test: the next one gets a box of its own
    return Verdict(passed, len(tests), timed_out)


def _stdio(box: Box, test: dict[str, Any], seconds: float) -> tuple[bool, str]:
    given = str(test["input"]).encode(errors="replace")
    reply = box.run({"kind": "stdio", "stdin": given}, seconds)
    right = _lines(reply.printed.decode(errors="replace")) == _lines(str(test["output"]))
    return right and reply.state == "ended" and reply.code == 0, reply.state


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def _call(box: Box, test: dict[str, Any], seconds: float) -> tuple[bool, str]:
    reply = box.run({"kind": "call", "function": test["function"], "args": test["args"]}, seconds)
    try:
        answer = decode(reply.answer)
    except ValueError:
        return False, reply.state
    return reply.state == "ended" and reply.code == 0 and _same(answer, test["expected"]), reply.state


def _assert(box: Box, test: dict[str, Any], seconds: float) -> tuple[bool, str]:
    hidden = _test_code(test["code"])
    if hidden is None:
        return False, "broken test"
    reply = box.run({"kind": "assert"}, seconds, hidden)
    return reply.state == "ended" and reply.code == 0 and reply.answer == b"passed", reply.state


KINDS = {"stdio": _stdio, "call": _call, "assert": _assert}


@lru_cache(maxsize=1024)
def _test_code(text: str) -> dict[str, Any] | None:
    """Return what a tester needs of test code: itself compiled, and the names it wants. None where it is no Python."""
    try:
        tree = ast.parse(text)
        code = compile(tree, "test", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return {"code": marshal.dumps(code), "names": _names(tree)}


def _names(tree: ast.Module) -> list[str]:
    """Return the names in test code that the program may give: all that it uses and does not define itself.

    Python's own names are among them only where nothing else is (MBPP asks for a function `sum`): else a
    program could bring an `all` of its own.
    """
    nodes = list(ast.walk(tree))
    used = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    own = {n.id for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    own |= {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    own |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    own |= {
        (a.asname or a.name).split(".")[0] for n in nodes if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names
    }
    own |= {n.name for n in nodes if isinstance(n, ast.ExceptHandler) and n.name}
    free = sorted(used - own)
    foreign = [name for name in free if not hasattr(builtins, name)]
    return foreign or free


def _same(answer: Any, expected: Any) -> bool:
    """Whether a decoded answer is the JSON value `expected`, in type, length and value.

    JSON has no tuples and no keys but strings: a tuple counts as a list, and other keys as json.dumps writes
    them. Where a float is expected, an int will do, and both may differ by 1e-6, relative above 1.
    """
    if isinstance(expected, float) and type(answer) in (int, float):
        return answer == expected or math.isclose(answer, expected, rel_tol=1e-6, abs_tol=1e-6)
    if isinstance(expected, list):
        pairs = type(answer) in (list, tuple) and len(answer) == len(expected)
        return pairs and all(map(_same, answer, expected))
    if isinstance(expected, dict):
        if type(answer) is not dict or len(answer) != len(expected):
            return False
        keyed = {k if type(k) is str else json.dumps(k, default=str): v for k, v in answer.items()}
        return keyed.keys() == expected.keys() and all(_same(keyed[k], expected[k]) for k in expected)
    return type(answer) is type(expected) and answer == expected
