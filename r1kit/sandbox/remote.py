"""Run test code (kind `assert`) in one process, and the program that it tests in another.

HumanEval's and MBPP's tests contain the expected values. What this defends against: a program that reads them, or
that replaces the comparison. The test code runs in the tester's process (`run_test_code`), which uses the program's
functions and objects in the program's process (`serve_program`) over pipes (objects.py, stand_ins.py).

What it does NOT defend against: a program that recognises the arguments of the test's calls and answers by them. It
sees those of every call of a test.

The tester sends the judge one word at the end: PASSED, or what kept it from a verdict (FAULT, MISSING_MODULE). A
program cannot send any of them. This file runs inside the box (boot.py).
"""

import _warnings
import builtins
import io
import marshal
import os
import sys
import warnings

from r1kit.sandbox.errors import named_loop_ends
from r1kit.sandbox.objects import CALL, DELETE, GET, INPUT, MAX_PRINTED, READ, SET, Peer
from r1kit.sandbox.pipes import write_all
from r1kit.sandbox.pytest_stand_in import run_tests
from r1kit.sandbox.stand_ins import (
    Reference,
    RemoteFunction,
    StandIn,
    StandInClass,
    build_stand_in,
    guard_class,
    may_ask_tainted,
)

# File descriptors of both processes (see boot.py). What arrives on 0 is the other process's.
INPUT_FD, ANSWER_FD, REQUEST_FD = 0, 3, 4
PASSED = b"passed"  # what the tester sends the judge at the end of the test code
FAULT = b"fault:"  # what it sends, with a reason, where there is no verdict
MAX_WARNINGS = 1000  # of a program, which the test gets with one answer
MISSING_MODULE = b"missing:"  # what it sends, with the name, where a module that is imported is not in the box


# --- the program's process --------------------------------------------------------------------------------------------


def serve_program(load_program, request_fd):
    """Run a program, and answer the tester's requests about it until the tester ends.

    `load_program()` runs it and returns its global names. Its standard input is the tester's while it is asked
    something, and empty before.
    """
    peer = _ProgramPeer(request_fd, ANSWER_FD, build_stand_in, "program")
    _collect_warnings(peer.warnings)
    try:
        names = load_program()
    except ModuleNotFoundError as error:
        peer.write("raise", error)
        return
    peer.take_printed, peer.take_complained = _collect_printed("stdout"), _collect_printed("stderr")
    sys.stdin = _TesterInput(peer)
    builtins.input = lambda prompt="": peer.request(INPUT, None, (str(prompt),))
    peer.names = _ProgramNames(names)
    peer.number_of(peer.names)  # object 0, the first that the tester asks
    peer.answer_until_reply()


class _ProgramPeer(Peer):
    """The program's end: its news are global names that are bound anew, what it has printed, and its warnings."""

    def __init__(self, *args):
        super().__init__(*args)
        self.names = None
        self.take_printed = self.take_complained = str  # returns no text
        self.warnings = []

    def take_own_news(self):
        changed_names = self.names.take_changes() if self.names is not None else ()
        printed, complained = self.take_printed(), self.take_complained()
        warnings_given = tuple(self.warnings[:MAX_WARNINGS])
        self.warnings.clear()
        if not (changed_names or printed or complained or warnings_given):
            return None
        return changed_names, printed, complained, warnings_given


class _ProgramNames:
    """The program's global names, as the tester asks for them."""

    def __init__(self, names):
        self.__dict__.update(names=names, sent={})

    def __call__(self, requested):
        """Return the values of those names that the program has, but for modules, which are never its answer."""
        for name in requested:
            if name in self.names and not isinstance(self.names[name], type(sys)):
                self.sent[name] = self.names[name]
        return dict(self.sent)

    def __getattr__(self, name):
        if name not in self.names or isinstance(self.names[name], type(sys)):
            raise AttributeError(name)
        return self.names[name]

    def __setattr__(self, name, value):
        self.names[name] = self.sent[name] = value

    def seed_random(self, *args):
        """Set the state of the module random, as the test has done in its process."""
        import random

        random.seed(*args)

    def take_changes(self):
        """Return (name, value) of each name that has got another value since it was sent."""
        changes = {}
        for name, value in self.sent.items():
            if name in self.names and self.names[name] is not value:
                changes[name] = self.names[name]
        self.sent.update(changes)
        return tuple(changes.items())


def _collect_warnings(collected):
    """Let all warnings of the program go into a list: the test decides what becomes of them."""
    _warnings.filters[:] = [("always", None, Warning, None, 0)]
    _warnings._filters_mutated()
    warnings._showwarnmsg_impl = lambda warning: collected.append(warning.message)


def _collect_printed(name):
    """Let what goes to sys.stdout or sys.stderr go into memory; return a function that returns what is new there."""
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="utf-8", errors="replace", newline="\n")
    setattr(sys, name, stream)

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


class _TesterPeer(Peer):
    """The tester's end, which must not trust the other one.

    `named_classes`: names that the test code uses as those of the program's classes. `trusted_numbers`: objects of
    these classes that the test has made; `tainted_numbers`: objects that operators have made of the test's data
    (stand_ins.py). `failed_callback`: an AssertionError of a test's function that the program has called.
    """

    is_tester = True

    def __init__(self, named_classes, *args):
        super().__init__(*args)
        self.named_classes = named_classes
        self.trusted_numbers = set()
        self.tainted_numbers = set()
        self.failed_callback = None
        self.namespaces = []  # in which names of the program stand
        self.known_names = {}  # the program's names and their values
        self.unseen_news = []

    def report_fault(self, reason):
        _end_without_verdict(reason)

    def request(self, operation, target, args=(), kwargs=None):
        target_object = target[0] if type(target) is tuple else target
        is_tainted = isinstance(target_object, StandIn) and target_object._r1kit_number in self.tainted_numbers
        if is_tainted and not may_ask_tainted(operation, args):
            self.end()
        try:
            return super().request(operation, target, args, kwargs)
        finally:
            self.show_news()

    def unpack(self, content):
        value = super().unpack(content)
        if type(type(value)) is StandInClass:
            self.trusted_numbers.discard(value._r1kit_number)
        return value

    def receive_news(self, news):
        changed_pairs, printed, complained, warnings_given = news
        changed_names = dict(changed_pairs)
        self.unseen_news.append((str(printed), str(complained), list(warnings_given)))
        for name in self.known_names.keys() & changed_names.keys():
            for namespace in self.namespaces:
                if name in namespace and namespace[name] is self.known_names[name]:
                    namespace[name] = guard_class(self, changed_names[name])
            self.known_names[name] = changed_names[name]

    def show_news(self):
        """Print what the program has printed on what sys.stdout and sys.stderr are now, and give its warnings."""
        while self.unseen_news:
            printed, complained, warnings_given = self.unseen_news.pop(0)
            sys.stdout.write(printed)
            sys.stderr.write(complained)
            for warning in warnings_given:
                if isinstance(warning, Warning):
                    warnings.warn_explicit(warning, type(warning), "program", 1, registry={})

    def operate(self, operation, target, args, kwargs):
        if operation in (INPUT, READ):
            return _read_input(operation, target, args)
        return super().operate(operation, target, args, kwargs)

    def check_request(self, operation, target, args):
        is_method = type(target) is tuple
        checked = target[0] if is_method else target
        # Otherwise a program could ask for Python's own functions, such as `eval`, with the test's objects.
        number = self.numbers.get(id(checked))
        if number is None or self.objects[number] is not checked:
            raise TypeError("no object of the test")
        if operation == CALL and is_method:
            self.check_name(*target)
        if operation in (GET, SET, DELETE):
            self.check_name(target, args[0])
            if operation != GET and isinstance(target, type):
                raise TypeError("a class of the test cannot be changed")
            # Otherwise a program that gets the TestCase could replace its assertEqual.
            if operation != GET and callable(getattr(type(target), args[0], None)):
                raise AttributeError(f"{args[0]} is a method of the test and cannot be changed")

    def error_to_send(self, error):
        if isinstance(error, AssertionError):
            self.failed_callback = error
        is_plain = isinstance(error, Exception | SystemExit | KeyboardInterrupt)
        return error if is_plain else RuntimeError(type(error).__name__)


def run_test_code(test_frame):
    """Run test code in the tester's process; send PASSED when it has come to its end.

    `test_frame`: what the judge has worked out of the test code (assert_code.prepare_test_code).
    """
    response_fd = os.dup(INPUT_FD)
    os.dup2(os.open("/dev/null", os.O_RDONLY), INPUT_FD)  # test code that reads finds the end of its input
    named_classes = frozenset(test_frame["classes"])
    peer = _TesterPeer(named_classes, response_fd, REQUEST_FD, build_stand_in, "__main__")
    named_loop_ends.update(test_frame["loop_ends"])
    try:
        names = _prepare_names(peer, test_frame)
        try:
            exec(marshal.loads(test_frame["code"]), names)
        except SystemExit as error:  # as in sys.exit(pytest.main()), which runs nothing here
            is_of_program = "_r1kit_text" in error.__dict__
            if is_of_program or not test_frame["runs_tests"]:
                raise
        if test_frame["calls_check"]:
            names["check"](eval(test_frame["calls_check"], names))
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
    """Return the global names with which test code starts: Python's, and those of the program."""
    names = {"__name__": "__main__", "__file__": "test.py", "__builtins__": builtins}
    requested = (*test_frame["names"], *test_frame["module_names"])
    described = peer.request(CALL, Reference(0), (requested,))
    described = {name: described[name] for name in requested if name in described}
    sys.modules.setdefault("pytest", sys.modules["r1kit.sandbox.pytest_stand_in"])
    for name, module_name in test_frame["imports"].items():
        module = __import__(module_name)
        names[name] = module if module_name == name else getattr(module, name)
    peer.known_names.update(described)
    for name in test_frame["names"]:
        if name in described:
            names[name] = guard_class(peer, described[name])
    peer.namespaces.append(names)
    for module_name in test_frame["modules"]:
        module = sys.modules[module_name] = _ProgramModule(module_name)
        module.__dict__.update((name, guard_class(peer, value)) for name, value in described.items())
        module.__dict__.update(__all__=list(described), _r1kit_peer=peer)
        peer.namespaces.append(module.__dict__)
    if test_frame["seeds_random"]:
        import random

        random.seed = _SeedOfBoth(peer, random.seed)
    if test_frame["uses_unittest"]:
        import unittest

        unittest.main = lambda *args, **options: None  # run_tests does it, and does not end the process
    return names


class _SeedOfBoth:
    """random.seed of a test, which gives the program's process the same seed."""

    def __init__(self, peer, seed):
        self.peer = peer
        self.seed = seed

    def __call__(self, *args):
        self.seed(*args)
        self.peer.request(CALL, (Reference(0), "seed_random"), args)


class _ProgramModule(type(sys)):  # type: ignore[misc]
    """The program, as a module that a test imports: its names are the program's, and so is what a test sets."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        form, value = self._r1kit_peer.request(GET, Reference(0), (name,))
        if form == "method":
            value = RemoteFunction(self._r1kit_peer, None, (Reference(0), name))
        return guard_class(self._r1kit_peer, value)

    def __setattr__(self, name, value):
        if not name.startswith("__"):
            self._r1kit_peer.request(SET, Reference(0), (name, value))
            self._r1kit_peer.known_names[name] = value
        self.__dict__[name] = value


def _read_input(operation, method_name, args):
    """Answer a program that reads its standard input: from the tester's, which the test may have replaced."""
    if operation == INPUT:
        return builtins.input(*args)
    if method_name not in ("read", "readline", "readlines"):
        raise TypeError("no such operation")
    return getattr(sys.stdin, method_name)(*args)
