"""Run test code (kind `assert`) in one process, and the program that it tests in another.

HumanEval's and MBPP's tests contain the expected values. What this defends against: a program that reads them, or
that replaces the comparison. The test code runs in the tester's process (`run_test_code`), which calls the program's
functions in the program's process (`serve_program`) over a pipe and gets encoded data back (values.py). An object
that is no data stays in the program's process, and the tester holds a `RemoteObject` for it.

What it does NOT defend against: a program that recognises the arguments of the test's calls and answers by them. It
sees those of every call of a test.

This file runs inside the box (boot.py). A request is (action, target, args, kwargs), with one of three actions:

    ("names", ["f", "Stack"], ...)   which of these names the program has: {"f": ("call",), ...}
    ("get", (object, "size"), ...)   an attribute: ("call",) or ("value", VALUE)
    ("call", "f" or (object, "push"), args, kwargs)   ("value", RESULT, changed arguments or None)

A reply to any of them may be ("raise", names of the exception's classes, its text) instead.
"""

import builtins
import marshal
import sys

from r1kit.sandbox.pipes import read_packet, write_all, write_packet
from r1kit.sandbox.values import decode_value, encode_value

# File descriptors of both processes (see boot.py). What arrives on 0 is the other process's.
INPUT_FD, ANSWER_FD, REQUEST_FD = 0, 3, 4
PASSED = b"passed"  # what the tester sends the judge at the end of the test code


def serve_program(names, request_pipe):
    """Answer the tester's requests about a program, whose global `names` these are, until the tester ends."""
    objects = []
    numbers = {}  # by id, of the objects above: each stays alive there, so that its id stays its own

    def number_of(item):
        if id(item) not in numbers:
            numbers[id(item)] = len(objects)
            objects.append(item)
        return numbers[id(item)]

    while (request := read_packet(request_pipe)) is not None:
        action, target, args, kwargs = decode_value(request, objects.__getitem__)
        try:
            if action == "names":
                reply = _describe_names(names, target)
            elif action == "get":
                reply = _describe(getattr(*target))
            else:
                reply = _call_function(names, target, args, kwargs, number_of)
            data = encode_value(reply, number_of)
        except Exception as error:
            class_names = [error_class.__name__ for error_class in type(error).__mro__]
            data = encode_value(("raise", class_names, str(error)))
        write_packet(ANSWER_FD, data)


def _describe_names(names, requested):
    """Return what the program's global names are, but for modules, which are never the program's answer."""
    described = {}
    for name in requested:
        if name in names and (callable(names[name]) or not isinstance(names[name], type(sys))):
            described[name] = _describe(names[name])
    return described


def _describe(value):
    return ("call",) if callable(value) else ("value", value)


def _call_function(names, target, args, kwargs, number_of):
    """Call a function of the program, or a method; return its result, and its arguments where it changed them."""
    function = names[target] if isinstance(target, str) else getattr(*target)
    args_before = encode_value(args, number_of)
    result = function(*args, **kwargs)
    is_changed = encode_value(args, number_of) != args_before
    return ("value", result, args if is_changed else None)


def run_test_code(test_frame):
    """Run test code in the tester's process; send PASSED when it has come to its end.

    `test_frame`: the judge's {"code": marshalled code, "names": which names are the program's, "imports": {name:
    module of the standard library}} (assert_code.py).
    """
    names = {"__name__": "__main__", "__builtins__": builtins}
    described = _request("names", test_frame["names"])
    for name, module_name in test_frame["imports"].items():
        module = __import__(module_name)
        names[name] = module if module_name == name else getattr(module, name)
    for name in test_frame["names"]:
        if name in described:
            is_function = described[name][0] == "call"
            names[name] = _remote_function(name) if is_function else described[name][1]
    exec(marshal.loads(test_frame["code"]), names)
    write_all(ANSWER_FD, PASSED)


class RemoteObject:
    """The tester's stand-in for an object in the program's process: its attributes and calls go over the pipe."""

    def __init__(self, number):
        self.__dict__["_number"] = number

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        reply = _request("get", (self, name))
        return _remote_function((self, name)) if reply[0] == "call" else reply[1]


def _remote_function(target):
    """Return a function that calls one of the program's, and repeats here what that changed in its arguments."""

    def call(*args, **kwargs):
        _, result, changed_args = _request("call", target, args, kwargs)
        if changed_args:
            for argument, changed in zip(args, changed_args, strict=True):
                _copy_content(argument, changed)
        return result

    return call


def _copy_content(argument, changed):
    if isinstance(argument, list):
        argument[:] = changed
    elif isinstance(argument, dict | set):
        argument.clear()
        argument.update(changed)


def _request(action, target, args=(), kwargs=None):
    """Send a request to the program's process; return its reply, or raise what the program raised."""
    request = (action, target, args, kwargs or {})
    write_packet(REQUEST_FD, encode_value(request, lambda remote: remote.__dict__["_number"]))
    packet = read_packet(INPUT_FD)
    if packet is None:
        raise RuntimeError("the program ended")
    reply = decode_value(packet, RemoteObject)
    if type(reply) is tuple and reply and reply[0] == "raise":
        raise _exception_class(reply[1])(reply[2])
    return reply


def _exception_class(class_names):
    """Return the first of the named classes that is an exception of Python's own, else Exception."""
    for name in class_names:
        candidate = getattr(builtins, name, None)
        if isinstance(candidate, type) and issubclass(candidate, Exception):
            # Either of these would end a loop of the test as if it had passed.
            return RuntimeError if issubclass(candidate, StopIteration | StopAsyncIteration) else candidate
    return Exception
