"""Judge programs by tests: from a program and its tests to a verdict. The judge stands outside the box.

What it defends against: a program that looks at expected values, forges an answer, replaces the comparison, or ends
early with exit code 0, which alone is never a pass. There are three kinds of tests, and each runs in a fresh process
of the program:

- `stdio`, {"input": ..., "output": ...}: what the program prints for an input, compared line by line; its exit code
  must be 0 as well.
- `call`, {"function": ..., "args": [...], "expected": ...}: what a function (or a method of LeetCode's `class
  Solution`) returns, which leaves the box as data (values.py) and is compared by type, length and value. Expected
  values and outputs of these two kinds never enter the box.
- `assert`, {"code": ..., "function": ... or nothing}: test code (HumanEval, MBPP), which necessarily contains
  expected values. It runs in the box, but in a process of its own, which calls the program's functions in another
  process and gets plain data back (remote.py).

What it does NOT defend against: a program that recognises the arguments of a test's calls and answers by them. It
sees the arguments of all calls of an `assert` test, but no expected value, and cannot touch the comparison.

Limits of `assert`: objects of the program's own classes stay in its process; the test calls their methods there, and
cannot compare them with `==`. Arguments must be data: a test that passes functions or objects of its own fails.
"""

import hashlib
import json
import math
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from r1kit.ranks import cores_of_rank
from r1kit.sandbox.assert_code import prepare_test_code
from r1kit.sandbox.box import Box, BoxDied, BoxFault
from r1kit.sandbox.pool import open_box
from r1kit.sandbox.values import JSON_LETTERS, decode_value

SECONDS_PER_TEST = 3.0
MAX_TIMEOUTS = 3  # after so many tests that took too long, a program fails its other tests unrun
KEPT_VERDICTS = 65536  # the same program with the same tests is run once
TRIES = 2  # for a program whose box does not start, or dies
MIN_TESTS_PER_THREAD = 4  # fewer are not worth a box of their own
# `call` tests: a right answer is encoded in about as many bytes as the expected value has in JSON.
_ANSWER_BYTES_PER_JSON_BYTE, _ANSWER_BYTES_AT_LEAST = 16, 256
_RELATIVE_TOLERANCE, _ABSOLUTE_TOLERANCE = 1e-6, 1e-12  # of an expected float


@dataclass(frozen=True)
class ProgramVerdict:
    """How many tests a program passed.

    `timed_out`: whether a test took too long. `fault`: there is no verdict, because no box could be had.
    """

    passed: int
    total: int
    timed_out: bool = False
    fault: bool = False

    @property
    def ok(self) -> bool:
        """Whether there are tests and the program passed all of them."""
        return self.total > 0 and self.passed == self.total

    def __add__(self, other: "ProgramVerdict") -> "ProgramVerdict":
        """Return the verdict on the tests of both."""
        return ProgramVerdict(
            self.passed + other.passed,
            self.total + other.total,
            self.timed_out or other.timed_out,
            self.fault or other.fault,
        )


def judge_program(
    program: str, tests: Sequence[dict[str, Any]], seconds: float = SECONDS_PER_TEST, **settings: Any
) -> ProgramVerdict:
    """Judge one program by `tests`, with up to `seconds` for each; see judge_programs for the settings.

    judge_program("print(input()[::-1])", [{"kind": "stdio", "input": "abc", "output": "cba"}]).ok     True
    """
    return judge_programs([(program, tests)], seconds, **settings)[0]


def judge_programs(
    programs: Sequence[tuple[str, Sequence[dict[str, Any]]]],
    seconds: float = SECONDS_PER_TEST,
    *,
    count_all: bool = False,
    isolation: str = "auto",
) -> list[ProgramVerdict]:
    """Judge several (program, tests) pairs at once, on all cores; return a verdict for each.

    A program's tests end at the first that fails, unless `count_all`. If there are fewer programs than cores, the
    tests of one program are divided among several boxes. Raises ValueError for a test of an unknown kind, UserError
    where no isolation works.
    """
    keys = [_verdict_key(program, tests, seconds, count_all, isolation) for program, tests in programs]
    verdicts: dict[str, ProgramVerdict] = {}
    new_programs: dict[str, tuple[str, list[dict[str, Any]]]] = {}
    for key, (program, tests) in zip(keys, programs, strict=True):
        kept_verdict = _kept_verdicts.get(key)
        if kept_verdict is not None:
            verdicts[key] = kept_verdict
        else:
            new_programs[key] = (program, json.loads(json.dumps(list(tests))))  # as they are compared: plain JSON
    jobs: list[tuple[str, _Job]] = []
    for key, (program, tests) in new_programs.items():
        _check_test_kinds(tests)
        jobs += [(key, job) for job in _divide_tests(program, tests, len(new_programs), seconds, count_all, isolation)]
    if len(jobs) > 1:
        job_verdicts = list(_judge_threads().map(_judge_job, [job for _, job in jobs]))
    else:
        job_verdicts = [_judge_job(job) for _, job in jobs]
    for (key, job), verdict in zip(jobs, job_verdicts, strict=True):
        verdicts[key] = verdicts[key] + verdict if key in verdicts else verdict
        if job.has_failed.is_set() and not count_all and not verdicts[key].ok:
            # One test was answered wrongly, and so the program is wrong, whatever became of the other tests.
            verdicts[key] = replace(verdicts[key], fault=False)
    _keep_verdicts({key: verdicts[key] for key in new_programs})
    return [verdicts[key] for key in keys]


_kept_verdicts: dict[str, ProgramVerdict] = {}  # the newest, oldest first
_threads_by_pid: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()  # guards both


def _verdict_key(program: str, tests: Sequence[dict[str, Any]], *settings: Any) -> str:
    return hashlib.sha256(json.dumps([program, list(tests), *settings], sort_keys=True).encode()).hexdigest()


def _keep_verdicts(verdicts: dict[str, ProgramVerdict]) -> None:
    """Keep verdicts that another try would not change: the machine may have been busy when a test timed out."""
    with _lock:
        for key, verdict in verdicts.items():
            if not verdict.fault and not verdict.timed_out:
                _kept_verdicts[key] = verdict
        while len(_kept_verdicts) > KEPT_VERDICTS:
            del _kept_verdicts[next(iter(_kept_verdicts))]


def parallel_programs() -> int:
    """Return how many programs may run at once in this process: the ranks on one machine share its cores."""
    return cores_of_rank()


def _judge_threads() -> ThreadPoolExecutor:
    """Return this process's threads; a forked child has none of its parent's."""
    with _lock:
        if os.getpid() not in _threads_by_pid:
            _threads_by_pid.clear()
            _threads_by_pid[os.getpid()] = ThreadPoolExecutor(parallel_programs(), thread_name_prefix="judge")
        return _threads_by_pid[os.getpid()]


@dataclass(frozen=True)
class _Job:
    """A program and some of its tests. `has_failed` is set once the program's other tests need not be run."""

    program: str
    tests: list[dict[str, Any]]
    seconds: float
    count_all: bool
    isolation: str
    has_failed: threading.Event


def _check_test_kinds(tests: list[dict[str, Any]]) -> None:
    for test in tests:
        if test["kind"] not in TEST_KINDS:
            raise ValueError(f"a test of kind {test['kind']!r}: use {', '.join(TEST_KINDS)}")


def _divide_tests(
    program: str, tests: list[dict[str, Any]], program_count: int, seconds: float, count_all: bool, isolation: str
) -> list[_Job]:
    """Return one job with all tests, or several if cores would be idle otherwise."""
    has_failed = threading.Event()
    threads_per_program = max(1, parallel_programs() // program_count)
    job_count = max(1, min(threads_per_program, len(tests) // MIN_TESTS_PER_THREAD))
    jobs = []
    for first in range(job_count):
        jobs.append(_Job(program, tests[first::job_count], seconds, count_all, isolation, has_failed))
    return jobs


def _judge_job(job: _Job) -> ProgramVerdict:
    """Judge a program by a job's tests; if its box does not start, or dies, try once more.

    After that, a box that does not start is a fault. A box that dies under the program each time fails the program, or
    policies would learn to break their boxes.
    """
    for _ in range(TRIES):
        try:
            return _run_tests(job)
        except BoxFault:
            is_fault = True
        except BoxDied:
            is_fault = False
    if not is_fault:
        job.has_failed.set()
    return ProgramVerdict(0, len(job.tests), fault=is_fault)


def _run_tests(job: _Job) -> ProgramVerdict:
    passed = 0
    timeouts = 0
    waiting_tests = list(job.tests)
    while waiting_tests and timeouts < MAX_TIMEOUTS and not job.has_failed.is_set():
        with open_box(job.program, job.isolation) as box:
            if not box.is_python:
                break
            while waiting_tests and not job.has_failed.is_set():
                test = waiting_tests.pop(0)
                is_passed, state = TEST_KINDS[test["kind"]](box, test, job.seconds)
                passed += is_passed
                timeouts += state == "timeout"
                if not is_passed and not job.count_all:
                    job.has_failed.set()
                # The box may have been ended, or hold files of this test: the next test gets another box.
                if state == "timeout" or not box.is_unchanged:
                    break
    return ProgramVerdict(passed, len(job.tests), timeouts > 0)


def _run_stdio_test(box: Box, test: dict[str, Any], seconds: float) -> tuple[bool, str]:
    """Return whether the program passed, and how its run ended (Reply.state)."""
    reply = box.run_test({"kind": "stdio", "stdin": str(test["input"]).encode(errors="replace")}, seconds)
    is_right = _output_lines(reply.printed.decode(errors="replace")) == _output_lines(str(test["output"]))
    return is_right and reply.state == "ended" and reply.exit_code == 0, reply.state


def _output_lines(text: str) -> list[str]:
    """Return the lines of an output, without spaces at their ends and empty lines at the end."""
    return [line.rstrip() for line in text.rstrip().split("\n")]


def _run_call_test(box: Box, test: dict[str, Any], seconds: float) -> tuple[bool, str]:
    """Return whether the program passed, and how its run ended (Reply.state)."""
    reply = box.run_test({"kind": "call", "function": test["function"], "args": test["args"]}, seconds)
    expected = test["expected"]
    max_bytes = _ANSWER_BYTES_AT_LEAST + _ANSWER_BYTES_PER_JSON_BYTE * len(json.dumps(expected))
    try:
        # An answer that is far too long is wrong, and decoding it would cost the judge time.
        has_likely_size = len(reply.answer) <= max_bytes
        is_right = has_likely_size and _is_same_value(decode_value(reply.answer, letters=JSON_LETTERS), expected)
    except Exception:  # the answer may be made to break the comparison
        is_right = False
    return is_right and reply.state == "ended" and reply.exit_code == 0, reply.state


def _run_assert_test(box: Box, test: dict[str, Any], seconds: float) -> tuple[bool, str]:
    """Return whether the program passed, and how its run ended (Reply.state)."""
    test_code = prepare_test_code(test["code"], test.get("function"))
    if test_code is None:
        return False, "broken test"
    reply = box.run_test({"kind": "assert"}, seconds, test_code)
    return reply.state == "ended" and reply.exit_code == 0 and reply.answer == b"passed", reply.state


TEST_KINDS = {"stdio": _run_stdio_test, "call": _run_call_test, "assert": _run_assert_test}


def _is_same_value(answer: Any, expected: Any) -> bool:
    """Return whether a decoded answer is the JSON value `expected`, in type, length and value.

    JSON has no tuples and no keys but strings: a tuple counts as a list, and other keys as json.dumps writes them
    (values.py). Where a float is expected an int is right too, and both may differ by a millionth.
    """
    if isinstance(expected, float) and type(answer) in (int, float):
        if answer == expected:
            return True
        return math.isclose(answer, expected, rel_tol=_RELATIVE_TOLERANCE, abs_tol=_ABSOLUTE_TOLERANCE)
    if isinstance(expected, list):
        is_as_long = type(answer) in (list, tuple) and len(answer) == len(expected)
        return is_as_long and all(map(_is_same_value, answer, expected))
    if isinstance(expected, dict):
        has_same_keys = type(answer) is dict and answer.keys() == expected.keys()
        return has_same_keys and all(_is_same_value(answer[key], expected[key]) for key in expected)
    return type(answer) is type(expected) and answer == expected
