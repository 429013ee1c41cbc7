"""Judge programs by tests: from a program and its tests to a verdict. The judge stands outside the box.

What it defends against: a program that looks at expected values, forges an answer, replaces the comparison, or ends
early with exit code 0, which alone is never a pass. There are three kinds of tests, and each runs in a fresh process
of the program:

- `stdio`, {"input": ..., "output": ...}: what the program prints for an input, compared token by token and numbers by
  value (outputs.py); its exit code must be 0 as well. Both may be a list of lines.
- `call`, {"function": ..., "args": [...], "expected": ...}: what a function (or a method of LeetCode's `class
  Solution`) returns, which leaves the box as data (values.py) and is compared by type, length and value. Linked lists
  and trees are written as LeetCode writes them (leetcode.py). Of a function whose signature says `-> None`, the first
  argument after the call is compared with `expected`; `args_after` are what all arguments must be after the call.
  Expected values and outputs of these two kinds never enter the box.
- `checker`, {"code": ..., and "input" or "function" and "args"}: for problems with more than one right answer. The
  program runs first; then its output or result goes, in another process, to the row's own code (checkers.py).
- `assert`, {"code": ..., "function": ... or nothing}: test code (HumanEval, MBPP), which necessarily contains
  expected values. It runs in the box, but in a process of its own, which uses the program's functions and objects in
  another process (remote.py, objects.py).

`stdio` and `call` take an `order`: with "any", lines, or the members of the outer list, may come in any order; with
"any_nested", the members of inner lists as well.

What it does NOT defend against: a program that recognises the arguments of a test's calls and answers by them. It
sees the arguments of all calls of an `assert` test, but no expected value, and cannot touch the comparison.

Where there is no verdict (no box starts, a package is missing, test code asks for what two processes cannot have, tests
of a function that works in place expect None), the verdict is a fault with a reason, and never a failed program.
"""

import hashlib
import json
import os
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace
from typing import Any

from r1kit.ranks import cores_of_rank
from r1kit.sandbox.assert_code import PROGRAM_MODULES, UnjudgeableTest, imported_modules
from r1kit.sandbox.boot import EXIT_MISSING_MODULE, TYPING_NAMES
from r1kit.sandbox.box import Box, BoxDied, BoxFault, Reply
from r1kit.sandbox.checkers import CHECKER_PROGRAM, CheckerFault, checker_input, read_checker_output
from r1kit.sandbox.leetcode import LEETCODE_MARK, NODE_NAMES, PACKAGE_NAMES
from r1kit.sandbox.outputs import is_same_output, is_same_value, join_lines
from r1kit.sandbox.packages import DEFAULT_PACKAGES, find_package_files, missing_package_reason
from r1kit.sandbox.pipes import MAX_OUTPUT_BYTES
from r1kit.sandbox.pool import open_box
from r1kit.sandbox.remote import FAULT, MISSING_MODULE, PASSED
from r1kit.sandbox.script import SCRIPT_MARKS, TEMPORARY_DIRECTORY
from r1kit.sandbox.test_compiler import compile_test
from r1kit.sandbox.values import JSON_LETTERS, decode_value, encode_value

SECONDS_PER_TEST = 3.0
MAX_TIMEOUTS = 3  # after so many tests that took too long, a program fails its other tests unrun
KEPT_VERDICTS = 65536  # the same program with the same tests is run once
TRIES = 2  # for a program whose box does not start, or dies
MIN_TESTS_PER_THREAD = 4  # fewer are not worth a box of their own
# `call` tests: a right answer is encoded in about as many bytes as the expected value has in JSON.
_ANSWER_BYTES_PER_JSON_BYTE, _ANSWER_BYTES_AT_LEAST = 16, 256
_NAMES_WITHOUT_IMPORT = TYPING_NAMES | NODE_NAMES | PACKAGE_NAMES
_CHECKER_SECONDS = 10.0
MAX_INPUT_BYTES = 64 * 2**20  # of a program's standard input, and of what a program may be expected to print


@dataclass(frozen=True)
class ProgramVerdict:
    """How many tests a program passed.

    `timed_out`: whether a test took too long. `fault`: there is no verdict, for the `reason` given.
    """

    passed: int
    total: int
    timed_out: bool = False
    fault: bool = False
    reason: str | None = None

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
            self.reason or other.reason,
        )


@dataclass(frozen=True)
class Program:
    """A program with what its prompt gives it.

    `preamble`: statements that run before it, such as the prompt's imports. `types`: the annotations of the prompt's
    signature, {"args": [...], "returns": ...}, for linked lists and trees (leetcode.py).
    """

    text: str
    preamble: tuple[str, ...] = ()
    types: dict[str, Any] | None = None


def judge_program(
    program: str | Program, tests: Sequence[dict[str, Any]], seconds: float = SECONDS_PER_TEST, **settings: Any
) -> ProgramVerdict:
    """Judge one program by `tests`, with up to `seconds` for each; see judge_programs for the settings.

    judge_program("print(input()[::-1])", [{"kind": "stdio", "input": "abc", "output": "cba"}]).ok     True
    """
    return judge_programs([(program, tests)], seconds, **settings)[0]


def judge_programs(
    programs: Sequence[tuple[str | Program, Sequence[dict[str, Any]]]],
    seconds: float = SECONDS_PER_TEST,
    *,
    count_all: bool = False,
    isolation: str = "auto",
    packages: Sequence[str] = DEFAULT_PACKAGES,
) -> list[ProgramVerdict]:
    """Judge several (program, tests) pairs at once, on all cores; return a verdict for each.

    A program's tests end at the first that fails, unless `count_all`. `packages`: what programs and tests may import
    beside the standard library, if it is installed. If there are fewer programs than cores, the tests of one program
    are divided among several boxes. Raises ValueError for a test of an unknown kind, UserError where no isolation
    works.
    """
    settings = _Settings(seconds, count_all, isolation, tuple(packages))
    keys = [_verdict_key(program, tests, settings) for program, tests in programs]
    verdicts: dict[str, ProgramVerdict] = {}
    new_programs: dict[str, tuple[Program, list[dict[str, Any]]]] = {}
    for key, (program, tests) in zip(keys, programs, strict=True):
        kept_verdict = _kept_verdicts.get(key)
        if kept_verdict is not None:
            verdicts[key] = kept_verdict
        else:
            whole_program = program if isinstance(program, Program) else Program(program)
            new_programs[key] = (whole_program, _as_plain_json(list(tests)))
    jobs: list[tuple[str, _Job]] = []
    for key, (whole_program, plain_tests) in new_programs.items():
        _check_test_kinds(plain_tests)
        if _all_expect_nothing(plain_tests):
            verdicts[key] = ProgramVerdict(0, len(plain_tests), fault=True, reason=_NOTHING_EXPECTED)
            continue
        jobs += [(key, job) for job in _divide_tests(whole_program, plain_tests, len(new_programs), settings)]
    if len(jobs) > 1:
        job_verdicts = list(_judge_threads().map(_judge_job, [job for _, job in jobs]))
    else:
        job_verdicts = [_judge_job(job) for _, job in jobs]
    for (key, job), verdict in zip(jobs, job_verdicts, strict=True):
        verdicts[key] = verdicts[key] + verdict if key in verdicts else verdict
        if job.has_failed.is_set() and not count_all and not verdicts[key].ok:
            # One test was answered wrongly, and so the program is wrong, whatever became of the other tests.
            verdicts[key] = replace(verdicts[key], fault=False, reason=None)
    _keep_verdicts({key: verdicts[key] for key in new_programs})
    return [verdicts[key] for key in keys]


@dataclass(frozen=True)
class _Settings:
    """The settings of judge_programs."""

    seconds: float
    count_all: bool
    isolation: str
    packages: tuple[str, ...]


_kept_verdicts: dict[str, ProgramVerdict] = {}  # the newest, oldest first
_threads_by_pid: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()  # guards both


def _verdict_key(program: str | Program, tests: Sequence[dict[str, Any]], settings: _Settings) -> str:
    parts = [astuple(program) if isinstance(program, Program) else program, list(tests), astuple(settings)]
    try:
        text = json.dumps(parts, sort_keys=True).encode()
    except ValueError:  # a whole number of more digits than Python writes
        text = encode_value(parts)
    return hashlib.sha256(text).hexdigest()


def _as_plain_json(tests: Any) -> Any:
    """Return tests as JSON has them, which is how they are compared: lists for tuples, text for keys."""
    try:
        return json.loads(json.dumps(tests))
    except ValueError:  # a whole number of more digits than Python writes
        return decode_value(encode_value(tests), letters=JSON_LETTERS)


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

    program: Program
    tests: list[dict[str, Any]]
    settings: _Settings
    has_failed: threading.Event


def _check_test_kinds(tests: list[dict[str, Any]]) -> None:
    for test in tests:
        if test["kind"] not in TEST_KINDS:
            raise ValueError(f"a test of kind {test['kind']!r}: use {', '.join(TEST_KINDS)}")


_NOTHING_EXPECTED = (
    "every test gives a list or a dict and expects None, as a program that does nothing returns; "
    "add args_after, what the arguments must be after the call"
)


def _all_expect_nothing(tests: list[dict[str, Any]]) -> bool:
    """Return whether tests are those of a function that works in place, and do not say what it must do."""
    return bool(tests) and all(map(_expects_nothing, tests))


def _expects_nothing(test: dict[str, Any]) -> bool:
    """Return whether a test passes a list or a dict, and expects neither a result nor a change of it."""
    expects_none = test["kind"] == "call" and test["expected"] is None and "args_after" not in test
    return expects_none and any(isinstance(argument, list | dict) for argument in test["args"])


def _divide_tests(program: Program, tests: list[dict[str, Any]], program_count: int, settings: _Settings) -> list[_Job]:
    """Return one job with all tests, or several if cores would be idle otherwise."""
    has_failed = threading.Event()
    threads_per_program = max(1, parallel_programs() // program_count)
    job_count = max(1, min(threads_per_program, len(tests) // MIN_TESTS_PER_THREAD))
    return [_Job(program, tests[first::job_count], settings, has_failed) for first in range(job_count)]


def _judge_job(job: _Job) -> ProgramVerdict:
    """Judge a program by a job's tests; if its box does not start, or dies, try once more.

    After that, a box that does not start is a fault. A box that dies under the program each time fails the program, or
    policies would learn to break their boxes.
    """
    reason = None
    for _ in range(TRIES):
        try:
            return _run_tests(job)
        except BoxFault as error:
            reason = str(error)
        except BoxDied:
            reason = None
        except NoVerdict as fault:
            return ProgramVerdict(0, len(job.tests), fault=True, reason=str(fault))
    if reason is None:
        job.has_failed.set()
    return ProgramVerdict(0, len(job.tests), fault=reason is not None, reason=reason)


_SPECIAL_NAME = re.compile(
    "|".join((LEETCODE_MARK, *sorted(SCRIPT_MARKS), *(rf"\b{name}\b" for name in sorted(_NAMES_WITHOUT_IMPORT))))
)
_NAME_IN_TEST = re.compile("|".join((TEMPORARY_DIRECTORY, *(rf"\b{name}\b" for name in sorted(NODE_NAMES)))))
# Programs whose arguments or results may be no plain data.
_NODE_OR_ARRAY = re.compile("|".join((*sorted(NODE_NAMES), "numpy")))


class NoVerdict(Exception):
    """A test that cannot be judged; the text says why."""


def _run_tests(job: _Job) -> ProgramVerdict:
    """Run a job's tests, each in a fresh process. Raises NoVerdict for the first that cannot be judged."""
    settings = job.settings
    passed = 0
    timeouts = 0
    waiting_tests = list(job.tests)
    package_modules = find_package_files(settings.packages).modules
    texts = [job.program.text, *job.program.preamble, *(test["code"] for test in job.tests if "code" in test)]
    all_text = "\n".join(texts)
    modules = [name for name in package_modules if name in all_text]
    names = sorted(set(_SPECIAL_NAME.findall(job.program.text)) | set(_NAME_IN_TEST.findall(all_text)))
    while waiting_tests and timeouts < MAX_TIMEOUTS and not job.has_failed.is_set():
        program = job.program
        with open_box(program.text, settings.isolation, settings.packages, program.preamble, modules, names) as box:
            if not box.is_python:
                break
            while waiting_tests and not job.has_failed.is_set():
                test = waiting_tests.pop(0)
                is_passed, state = TEST_KINDS[test["kind"]](box, test, job)
                passed += is_passed
                timeouts += state == "timeout"
                if not is_passed and not settings.count_all:
                    job.has_failed.set()
                # The box may have been ended, or hold files of this test: the next test gets another box.
                if state == "timeout" or not box.is_unchanged:
                    break
    return ProgramVerdict(passed, len(job.tests), timeouts > 0)


def _run_stdio_test(box: Box, test: dict[str, Any], job: _Job) -> tuple[bool, str]:
    """Return whether the program passed, and how its run ended (Reply.state)."""
    expected = join_lines(test["output"])
    reply = _run_with_input(box, test, job, expected_bytes=len(expected.encode(errors="replace")))
    has_ended_well = reply.state == "ended" and reply.exit_code == 0
    order = test.get("order")
    return has_ended_well and is_same_output(reply.printed.decode(errors="replace"), expected, order), reply.state


def _run_with_input(box: Box, test: dict[str, Any], job: _Job, expected_bytes: int) -> Reply:
    """Run the program with a test's standard input. Raises NoVerdict for what is too long, and for missing packages."""
    stdin = join_lines(test["input"]).encode(errors="replace")
    if max(len(stdin), expected_bytes) > MAX_INPUT_BYTES:
        raise NoVerdict(f"a test has more than {MAX_INPUT_BYTES >> 20} MiB of input or output")
    max_bytes = max(MAX_OUTPUT_BYTES, 2 * expected_bytes)
    reply = box.run_test({"kind": "stdio", "stdin": stdin, "max_bytes": max_bytes}, job.settings.seconds)
    _require_packages(reply, job)
    return reply


def _require_packages(reply: Reply, job: _Job) -> None:
    """Raise NoVerdict if a program has ended because a package is missing that it may expect."""
    if reply.exit_code != EXIT_MISSING_MODULE:
        return
    names = imported_modules("\n".join((job.program.text, *job.program.preamble)))
    if "Sorted" in job.program.text:
        names.append("sortedcontainers")
    for name in names:
        _refuse_missing_module(name, job)


def _refuse_missing_module(name: str, job: _Job) -> None:
    """Raise NoVerdict if a package is not in the box, but would be if it were installed or allowed."""
    if name in find_package_files(job.settings.packages).modules:
        return
    reason = missing_package_reason(name, job.settings.packages)
    if reason is not None:
        raise NoVerdict(reason)


def _run_call(box: Box, test: dict[str, Any], job: _Job, max_bytes: int) -> Reply:
    """Call the program's function. Raises NoVerdict for arguments that have no form here, and for missing packages."""
    if job.program.types and re.search(r"\bNode\b", str(job.program.types)):
        raise NoVerdict("a function takes a Node, of which a test cannot write the neighbours")
    frame = {"kind": "call", "function": test["function"], "args": test["args"], "types": job.program.types}
    frame["is_one_value"] = isinstance(test.get("expected"), int | str)
    frame["expects_none"] = test.get("expected", "") is None
    frame["sends_args"] = "args_after" in test
    frame["is_plain"] = not job.program.types and not _NODE_OR_ARRAY.search(job.program.text)
    reply = box.run_test({**frame, "max_bytes": max(MAX_OUTPUT_BYTES, max_bytes)}, job.settings.seconds)
    _require_packages(reply, job)
    return reply


def _run_call_test(box: Box, test: dict[str, Any], job: _Job) -> tuple[bool, str]:
    """Return whether the program passed, and how its run ended (Reply.state)."""
    expected = test["expected"]
    order = test.get("order")
    if "args_after" in test:
        expected = [expected, test["args_after"]]
    max_bytes = _ANSWER_BYTES_AT_LEAST + _ANSWER_BYTES_PER_JSON_BYTE * len(encode_value(expected))
    reply = _run_call(box, test, job, max_bytes)
    try:
        # An answer that is far too long is wrong, and decoding it would cost the judge time.
        has_likely_size = len(reply.answer) <= max_bytes
        answer: Any = decode_value(reply.answer, letters=JSON_LETTERS) if has_likely_size else None
        if has_likely_size and "args_after" in test:
            is_right = is_same_value(answer[0], expected[0], order) and is_same_value(answer[1], expected[1])
        else:
            is_right = has_likely_size and is_same_value(answer, expected, order)
    except Exception:  # the answer may be made to break the comparison
        is_right = False
    return is_right and reply.state == "ended" and reply.exit_code == 0, reply.state


def _run_checker_test(box: Box, test: dict[str, Any], job: _Job) -> tuple[bool, str]:
    """Return whether the row's checker accepts what the program printed or returned, and how its run ended."""
    if "function" in test:
        reply = _run_call(box, test, job, MAX_OUTPUT_BYTES)
    else:
        reply = _run_with_input(box, test, job, expected_bytes=len(str(test.get("output", ""))))
    if reply.state != "ended" or reply.exit_code != 0:
        return False, reply.state
    output: Any = reply.printed.decode(errors="replace")
    if "function" in test:
        try:
            output = decode_value(reply.answer, letters=JSON_LETTERS)
        except ValueError:
            return False, reply.state
    try:
        stdin = checker_input(test, output)
        with open_box(CHECKER_PROGRAM, job.settings.isolation, job.settings.packages) as checker_box:
            checker_reply = checker_box.run_test({"kind": "stdio", "stdin": stdin}, _CHECKER_SECONDS)
        return read_checker_output(checker_reply.state, checker_reply.printed), reply.state
    except CheckerFault as fault:
        raise NoVerdict(str(fault)) from None
    except BoxDied:
        raise NoVerdict("the box of a row's checker died") from None


def _run_assert_test(box: Box, test: dict[str, Any], job: _Job) -> tuple[bool, str]:
    """Return whether the program passed, and how its run ended (Reply.state)."""
    try:
        test_code = compile_test(test["code"], test.get("function"), job.program.preamble)
    except UnjudgeableTest as error:
        raise NoVerdict(str(error)) from None
    reply = box.run_test({"kind": "assert"}, job.settings.seconds, test_code)
    if reply.answer.startswith(FAULT):
        raise NoVerdict(reply.answer.removeprefix(FAULT).decode(errors="replace"))
    if reply.answer.startswith(MISSING_MODULE):
        name = reply.answer.removeprefix(MISSING_MODULE).decode(errors="replace")
        if name in imported_modules(test["code"]) and name not in PROGRAM_MODULES:
            raise NoVerdict(
                missing_package_reason(name, job.settings.packages) or f"a test imports {name}, which is missing"
            )
        _refuse_missing_module(name.partition(".")[0], job)
    return reply.state == "ended" and reply.exit_code == 0 and reply.answer == PASSED, reply.state


TEST_KINDS = {
    "stdio": _run_stdio_test,
    "call": _run_call_test,
    "checker": _run_checker_test,
    "assert": _run_assert_test,
}
