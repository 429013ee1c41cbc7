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

import builtins
import hashlib
import json
import marshal
import math
import os
import symtable
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from r1kit.sandbox.box import Box, BoxDied, BoxFault, open_box
from r1kit.sandbox.values import JSON_CODEC, decode_value

SECONDS = 3.0
TIMEOUTS = 3  # after so many tests that took too long, a program fails the rest
KEPT = 65536  # verdicts kept: the same program for the same tests is run once


@dataclass(frozen=True)
class ProgramVerdict:
    """How many tests a program passed, of how many; whether its time ran out; whether no verdict could be had."""

    passed: int
    total: int
    timed_out: bool = False
    fault: bool = False

    @property
    def ok(self) -> bool:
        return self.total > 0 and self.passed == self.total

    def __add__(self, other: "ProgramVerdict") -> "ProgramVerdict":
        """The verdict on both parts of the tests."""
        return ProgramVerdict(
            self.passed + other.passed,
            self.total + other.total,
            self.timed_out or other.timed_out,
            self.fault or other.fault,
        )


def judge_program(
    program: str, tests: Sequence[dict[str, Any]], seconds: float = SECONDS, **settings: Any
) -> ProgramVerdict:
    """Run `program` against `tests`, up to `seconds` each; see judge_all."""
    return judge_programs([(program, tests)], seconds, **settings)[0]


def judge_programs(
    jobs: Sequence[tuple[str, Sequence[dict[str, Any]]]],
    seconds: float = SECONDS,
    *,
    count_all: bool = False,
    isolation: str = "auto",
) -> list[ProgramVerdict]:
    """Judge several programs at once, on all cores. A program's tests end at the first failure, but for `count_all`.

    Where there are fewer programs than cores, the tests of one are dealt out. Raises ValueError for a test of no
    known kind, UserError where there is no isolation.
    """
    keys = [_key(p, t, seconds, count_all, isolation) for p, t in jobs]
    found = {key: verdict for key in keys if (verdict := _kept.get(key))}
    new = {
        key: (p, json.loads(json.dumps(list(t)))) for key, (p, t) in zip(keys, jobs, strict=True) if key not in found
    }
    work = []
    for key, (program, tests) in new.items():
        for test in tests:
            if test["kind"] not in TEST_KINDS:
                raise ValueError(f"a test of kind {test['kind']!r}: use {', '.join(TEST_KINDS)}")
        failed, parts = threading.Event(), min(max(1, parallel_programs() // len(new)), len(tests) // 4) or 1
        for part in range(parts):
            work.append((key, _Job(program, tests[part::parts], seconds, count_all, isolation, failed)))
    judged = _pool().map(_judge, [job for _, job in work]) if len(work) > 1 else [_judge(job) for _, job in work]
    for (key, job), verdict in zip(work, judged, strict=True):
        found[key] = found[key] + verdict if key in found else verdict
        if job.failed.is_set() and not count_all and not found[key].ok:
            found[key] = replace(found[key], fault=False)  # wrong is wrong, whatever became of the other tests
    with _lock:  # what took too long may have had a busy machine
        _kept.update({key: found[key] for key in new if not found[key].fault and not found[key].timed_out})
        while len(_kept) > KEPT:
            del _kept[next(iter(_kept))]
    return [found[key] for key in keys]


_kept: dict[str, ProgramVerdict] = {}  # the newest verdicts, oldest first
_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def _key(program: str, tests: Sequence[dict[str, Any]], *settings: Any) -> str:
    return hashlib.sha256(json.dumps([program, list(tests), *settings], sort_keys=True).encode()).hexdigest()


def parallel_programs() -> int:
    """Return how many programs may run at once: ranks on one machine share its cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def _pool() -> ThreadPoolExecutor:
    """Return this process's threads; a forked child has none of its parent's."""
    with _lock:
        if os.getpid() not in _pools:
            _pools.clear()
            _pools[os.getpid()] = ThreadPoolExecutor(parallel_programs(), thread_name_prefix="judge")
        return _pools[os.getpid()]


@dataclass(frozen=True)
class _Job:
    """A program and some of its tests; `failed` is set when the rest need not be run."""

    program: str
    tests: list[dict[str, Any]]
    seconds: float
    count_all: bool
    isolation: str
    failed: threading.Event


def _judge(job: _Job) -> ProgramVerdict:
    """Judge a program. A box that does not start, or dies, gets a second try.

    After that one that does not start is a fault; one that always dies under a program fails it, or programs would
    learn to break their boxes.
    """
    for _ in range(2):
        try:
            return _run(job)
        except BoxFault:
            fault = True
        except BoxDied:
            fault = False
    if not fault:
        job.failed.set()
    return ProgramVerdict(0, len(job.tests), fault=fault)


def _run(job: _Job) -> ProgramVerdict:
    passed, timeouts, left = 0, 0, list(job.tests)
    while left and timeouts < TIMEOUTS and not job.failed.is_set():
        with open_box(job.program, job.isolation) as box:
            if not box.runs:
                break
            while left and not job.failed.is_set():
                test = left.pop(0)
                ok, state = TEST_KINDS[test["kind"]](box, test, job.seconds)
                passed, timeouts = passed + ok, timeouts + (state == "timeout")
                if not ok and not job.count_all:
                    job.failed.set()
                if state == "timeout" or not box.clean:
                    break  # it may be gone, or hold files of this test: the next one gets a box of its own
    return ProgramVerdict(passed, len(job.tests), timeouts > 0)


def _stdio(box: Box, test: dict[str, Any], seconds: float) -> tuple[bool, str]:
    given = str(test["input"]).encode(errors="replace")
    reply = box.run({"kind": "stdio", "stdin": given}, seconds)
    right = _lines(reply.printed.decode(errors="replace")) == _lines(str(test["output"]))
    return right and reply.state == "ended" and reply.code == 0, reply.state


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def _call(box: Box, test: dict[str, Any], seconds: float) -> tuple[bool, str]:
    reply = box.run({"kind": "call", "function": test["function"], "args": test["args"]}, seconds)
    expected = test["expected"]
    likely = len(reply.answer) <= 256 + 16 * len(json.dumps(expected))  # a right one is of its size
    try:
        right = likely and _same(decode_value(reply.answer, letters=JSON_CODEC), expected)
    except Exception:  # the answer may be made to break the comparison
        right = False
    return right and reply.state == "ended" and reply.code == 0, reply.state


def _assert(box: Box, test: dict[str, Any], seconds: float) -> tuple[bool, str]:
    hidden = _test_code(test["code"], test.get("function"))
    if hidden is None:
        return False, "broken test"
    reply = box.run({"kind": "assert"}, seconds, hidden)
    return reply.state == "ended" and reply.code == 0 and reply.answer == b"passed", reply.state


TEST_KINDS = {"stdio": _stdio, "call": _call, "assert": _assert}

# What test code may use without an import, as in the solutions' own preludes: the tester takes it from Python itself.
_MODULES = "bisect collections copy functools heapq itertools math operator random re string sys".split()  # noqa: SIM905
_THINGS = {
    **dict.fromkeys(("Counter", "OrderedDict", "defaultdict", "deque"), "collections"),
    **dict.fromkeys(("Any", "Dict", "List", "Optional", "Set", "Tuple", "Union"), "typing"),
}


@lru_cache(maxsize=1024)
def _test_code(text: str, function: str | None) -> dict[str, Any] | None:
    """Return what a tester needs of test code: itself compiled, the names it wants of the program, and of Python.

    None where it is no Python. Of the program it gets `function` alone, if that is given, else all that it uses
    and does not define itself. Python's own names are among them only where nothing else is (MBPP asks for a
    function `sum`): else a program could bring an `all` of its own.
    """
    try:
        code = compile(text, "test", "exec", dont_inherit=True)
        free = _free(symtable.symtable(text, "test", "exec"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    imports = {
        name: name if name in _MODULES else _THINGS[name] for name in free if name in _MODULES or name in _THINGS
    }
    foreign = [name for name in free if name not in imports and not hasattr(builtins, name)]
    names = [function] if function else foreign or [name for name in free if name not in imports]
    return {"code": marshal.dumps(code), "names": names, "imports": imports}


def _free(top: symtable.SymbolTable) -> list[str]:
    """Return the global names that code uses and does not bind itself."""
    own = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    used = {s.get_name() for s in top.get_symbols() if s.is_referenced()}
    inner = list(top.get_children())
    while inner:
        table = inner.pop()
        used |= {s.get_name() for s in table.get_symbols() if s.is_global() and s.is_referenced()}
        inner += table.get_children()
    return sorted(used - own)


def _same(answer: Any, expected: Any) -> bool:
    """Whether a decoded answer is the JSON value `expected`, in type, length and value.

    JSON has no tuples and no keys but strings: a tuple counts as a list, and other keys as json.dumps writes
    them (values.py). Where a float is expected an int will do, and both may differ by a millionth.
    """
    if isinstance(expected, float) and type(answer) in (int, float):
        return answer == expected or math.isclose(answer, expected, rel_tol=1e-6, abs_tol=1e-12)
    if isinstance(expected, list):
        pairs = type(answer) in (list, tuple) and len(answer) == len(expected)
        return pairs and all(map(_same, answer, expected))
    if isinstance(expected, dict):
        same_keys = type(answer) is dict and answer.keys() == expected.keys()
        return same_keys and all(_same(answer[k], expected[k]) for k in expected)
    return type(answer) is type(expected) and answer == expected
