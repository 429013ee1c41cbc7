"""Compile test code in a worker process with limits of its own, and not in the process that trains.

What this defends against: test code that costs Python's compiler minutes and gigabytes, by nested `finally` blocks
(each doubles the code) or constants that it computes. Nothing here runs the code. What it does NOT do: judge it;
assert_code.py says what is worked out.

    compile_test("assert add(1, 2) == 3", None)     what the tester in the box needs (remote.py)
"""

import base64
import resource
import sys
from functools import lru_cache
from typing import Any

from r1kit.answers.verdict import AnswerVerdict
from r1kit.answers.workers import read_message, shared_pool, take_verdict_pipe, write_message
from r1kit.sandbox.assert_code import UnjudgeableTest, prepare_test_code

COMPILE_SECONDS = 5.0  # for one test, enough on a busy machine
MEMORY_BYTES = 512 * 2**20  # of address space: a test of usual size takes a few MiB
_KEPT_TESTS = 1024  # compiled test codes: a group of completions is judged by the same tests
_WORKER_COMMAND = (sys.executable, "-P", "-c", "from r1kit.sandbox.test_compiler import serve; serve()")


def compile_test(text: str, function_name: str | None, preamble: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what a tester needs for test code; see prepare_test_code. Raises UnjudgeableTest."""
    prepared = _prepare(text, function_name, preamble)
    if isinstance(prepared, str):
        raise UnjudgeableTest(prepared)
    return prepared


@lru_cache(maxsize=_KEPT_TESTS)
def _prepare(text: str, function_name: str | None, preamble: tuple[str, ...]) -> dict[str, Any] | str:
    """Return what a tester needs, or a reason as text. No exception, so that the cache keeps reasons as well."""
    reply = _pool().ask([text, function_name, preamble], COMPILE_SECONDS)
    if reply is AnswerVerdict.TIMEOUT:
        return f"the code of an assert test takes more than {COMPILE_SECONDS:g} seconds to compile"
    if reply is AnswerVerdict.FAULT:
        return "the code of an assert test makes Python's compiler crash"
    if isinstance(reply, str):
        return reply
    return {**reply, "code": base64.b64decode(reply["code"])}


@lru_cache(maxsize=1)
def _pool() -> Any:
    return shared_pool(_WORKER_COMMAND, 1)


def serve() -> None:
    """Be a worker process: prepare the test codes that come on stdin until it ends."""
    verdict_file = take_verdict_pipe()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    write_message(verdict_file, "ready")
    while (message := read_message()) is not None:
        text, function_name, preamble = message
        try:
            prepared = prepare_test_code(text, function_name, tuple(preamble))
        except UnjudgeableTest as error:
            write_message(verdict_file, str(error))
            continue
        if prepared is None:
            write_message(verdict_file, "the code of an assert test is not Python, or too much for its compiler")
            continue
        prepared["code"] = base64.b64encode(prepared["code"]).decode()
        write_message(verdict_file, prepared)
