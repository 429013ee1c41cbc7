"""Run test code (kind `assert`) in one process, and the program that it tests in another.

HumanEval's and MBPP's tests contain the expected values. What this defends against: a program that reads them, or
that replaces the comparison. The test code runs in the tester's process (`run_test_code`), which uses the program's
functions and objects in the program's process (`serve_program`) over pipes (objects.py, stand_ins.py).

What it does NOT defend against: a program that recognises the arguments of the test's calls and answers by them. It
sees those of every call of a test.

The tester sends the judge one word at the end: PASSED, or what kept it from a verdict (FAULT, MISSING_MODULE). A
program cannot send any of them. This file runs inside the box (boot.py).
"""

import builtins
import io
import marshal
import os
import sys

from r1kit.sandbox.objects import INPUT, MAX_PRINTED, READ, Peer
from r1kit.sandbox.pipes import write_all
from r1kit.sandbox.pytest_stand_in import run_tests
from r1kit.sandbox.stand_ins import Reference, build_stand_in, guard_class

# File descriptors of both processes (see boot.py). What arrives on 0 is the other process's.
INPUT_FD, ANSWER_FD, REQUEST_FD = 0, 3, 4
PASSED = b"passed"  # what the tester sends the judge at the end of the test code
FAULT = b"fault:"  # and a reason: there is no verdict
MISSING_MODULE = b"missing:"  # and a name: a module that test or program imports is not in the box


# --- the program's process --------------------------------------------------------------------------------------------


def serve_program(load_program, request_fd):
    """Run a program, and answer the tester's requests about it until the tester ends.

    `load_program()` runs it and returns its global names. Its standard input is the tester's while it is asked
    something, and empty before.
    """
    peer = Peer(request_fd, ANSWER_FD, build_stand_in, "program", is_tester=False)
    try:
        names = load_program()
    except ModuleNotFoundError as error:
        peer.write(("raise", ModuleNotFoundError, error.args, str(error), {"name": error.name}, ""))
        return
    peer.collect_printed = _collect_printed()
    sys.stdin = _TesterInput(peer)
    builtins.input = lambda prompt="": peer.request(INPUT, None, (str(prompt),))
    peer.number_of(_ProgramNames(names))  # object 0, the first that the tester asks
    peer.answer_until_reply()


class _ProgramNames:
    """The program's global names, as the tester asks for them."""

    def __init__(self, names):
        self.names = names

    def __call__(self, requested):
        """Return the values of those names that the program has, but for modules, which are never its answer."""
        values = {}
        for name in requested:
            if name in self.names and not isinstance(self.names[name], type(sys)):
                values[name] = self.names[name]
        return values


def _collect_printed():
    """Let prints go into memory; return a function that returns what was printed since its last call."""
    buffer = io.BytesIO()
    sys.stdout = stream = io.TextIOWrapper(buffer, encoding="utf-8", errors="replace", newline="\n")

    def take_printed():
        stream.flush()
        printed = buffer.getvalue()
        if not printed:
            return ""
        buffer.seek(0)
        buffer.truncate()
        return printed.decode("utf-8", "replace")[:MAX_PRINTED]

    return take_printed


class _TesterInput:
    """Standard input of a program under test: what the tester's sys.stdin is, which a test may have replaced."""

    encoding = "utf-8"

    def __init__(self, peer):
        self._peer = peer

    def read(self, *size):
        """Return the rest, or so many characters."""
        return self._peer.request(READ, "read", size)

    def readline(self, *size):
        """Return the next line."""
        return self._peer.request(READ, "readline", size)

    def readlines(self):
        """Return the lines that are left."""
        return self._peer.request(READ, "readlines")

    def __iter__(self):
        return iter(self.readline, "")


# --- the tester's process ---------------------------------------------------------------------------------------------


def run_test_code(test_frame):
    """Run test code in the tester's process; send PASSED when it has come to its end.

    `test_frame`: the judge's {"code": marshalled code, "names": which names are the program's, "imports": {name:
    module of the standard library}, "classes": names that test code writes as a class's, "calls_check": whether to
    call `check` for it, "runs_tests": whether to run its functions and classes of tests} (assert_code.py).
    """
    response_fd = os.dup(INPUT_FD)
    os.dup2(os.open("/dev/null", os.O_RDONLY), INPUT_FD)  # test code that reads finds the end of its input
    peer = Peer(response_fd, REQUEST_FD, build_stand_in, "__main__", is_tester=True, report_fault=_end_without_verdict)
    peer.trusted_classes = frozenset(test_frame["classes"])
    try:
        names = _prepare_names(peer, test_frame)
        try:
            exec(marshal.loads(test_frame["code"]), names)
        except SystemExit as error:  # as in sys.exit(pytest.main()), which runs nothing here
            is_of_program = "_r1kit_text" in error.__dict__
            if is_of_program or not test_frame["runs_tests"]:
                raise
        if test_frame["calls_check"]:
            names["check"](names[test_frame["calls_check"]])
        if test_frame["runs_tests"]:
            run_tests(names, _end_without_verdict)
    except ModuleNotFoundError as error:
        write_all(ANSWER_FD, MISSING_MODULE + str(error.name).encode())
        raise
    if peer.failed_callback is not None:
        raise peer.failed_callback
    write_all(ANSWER_FD, PASSED)


def _end_without_verdict(reason):
    """End the tester's process: what the test asks for cannot be judged."""
    write_all(ANSWER_FD, FAULT + reason.encode("utf-8", "replace"))
    os._exit(0)


def _prepare_names(peer, test_frame):
    """Return the global names of test code: Python's, and those of the program."""
    names = {"__name__": "__main__", "__file__": "test.py", "__builtins__": builtins}
    described = peer.request("call", Reference(0), (test_frame["names"],))
    sys.modules.setdefault("pytest", sys.modules["r1kit.sandbox.pytest_stand_in"])
    for name, module_name in test_frame["imports"].items():
        module = __import__(module_name)
        names[name] = module if module_name == name else getattr(module, name)
    for name, value in described.items():
        names[name] = guard_class(peer, value)
    if test_frame["modules"]:
        for module_name in test_frame["modules"]:
            module = sys.modules[module_name] = type(sys)(module_name)
            module.__dict__.update({name: value for name, value in names.items() if name in described})
            module.__all__ = list(described)
    if test_frame["uses_unittest"]:
        import unittest

        unittest.main = lambda *args, **options: None  # run_tests does it, and does not end the process
    return names
