"""What runs first inside the box: a process, which forks one for each program, which forks one for each test.

It is sent into the box as code (box.py), and takes little time: most of a test's goes into page faults, so
that the program is compiled once, before the forks, and costly imports (ctypes, signal) are gone around. It
reads frames (8 digits of length, then marshal data) from file descriptor 0, all from the judge: a program, its
tests, an empty frame, the next program. It writes replies (a head of numbers, then bytes) to 1. No program runs
in the first process, nor in the one that compiles it: each test has a child of its own that is limited, filtered
by seccomp (it can start no process) and holds no descriptor but its own pipes. So nothing of a program is left
when its last test has ended but files, and a box in which there are any is not used again.

In a test of kind `assert` two children talk: one runs the program and answers calls with data (values.py),
the other reads the test code itself, straight from the judge, and makes the calls. What a test expects is
therefore never in the memory of a process in which the program, or a fork of it, has run or will run.
"""

import _ctypes
import builtins
import gc
import marshal
import os
import posix
import resource
import select
import sys
import time

from r1kit.sandbox.values import decode_value, encode_value

OUTPUT = 4 * 2**20  # bytes taken of what a program prints, and of an answer
SELF = 0x52314B54  # as in seccomp.py
STACK = 256 * 2**20
ENDED, TIMEOUT, FLOOD = 0, 1, 2
SIGKILL = 9
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # Landlock's system calls, on every machine
# What LeetCode gives a `class Solution` for free.
LEETCODE = """
import bisect, collections, copy, functools, heapq, itertools, math, operator, random, re, string, sys
from bisect import *; from collections import *; from functools import *; from heapq import *
from itertools import *; from math import *; from operator import *; from typing import *; from builtins import *
"""


def main(setup):
    """Serve programs until the judge closes the pipe. `setup`: folder, seccomp, landlock, limits (box.py)."""
    if setup["landlock"]:
        shut_in(setup["landlock"])
    _write(1, _header(b"R"))
    gc.freeze()  # or each child's garbage collector would copy what they share
    while (program := _frame(0)) is not None:
        pid = os.fork()
        if not pid:
            _c("prctl", PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
            _tests(setup, program)
            os._exit(0)
        if os.waitpid(pid, 0)[1]:  # Python's compiler has died of the program
            os._exit(1)
    os._exit(0)


def _tests(setup, text):
    """Compile a program and serve its tests, to an empty frame or the end of the pipe."""
    resource.setrlimit(resource.RLIMIT_AS, (setup["limits"][resource.RLIMIT_AS],) * 2)  # for the compiler, too
    try:
        program = compile(text.removeprefix("\ufeff"), "program", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, MemoryError, RecursionError, OverflowError):
        program = None
    _write(1, _header(b"C", program is not None))
    builtins.exit = builtins.quit = sys.exit  # what `site` gives
    sys.argv = ["program"]
    setup["names"] = {}
    if "class Solution" in text:
        exec(LEETCODE, setup["names"])
    setup["program"] = program
    gc.freeze()
    number = 0
    while job := _frame(0):
        number += 1
        folder = f"{setup['folder']}/{number}"
        os.mkdir(folder)
        os.chdir(folder)
        before = os.stat(setup["folder"]), os.stat(folder)
        reply = _asserted(setup, job) if job["kind"] == "assert" else _once(setup, job)
        try:  # what a program did to them may be anything
            after = os.stat(setup["folder"]), os.stat(folder)
            clean = all(a.st_ctime_ns == b.st_ctime_ns for a, b in zip(before, after, strict=True))
            os.chdir("/")
            os.rmdir(folder)
        except OSError:
            clean = False
        _write(1, _header(b"D", clean) + reply)


def _once(setup, job):
    """Run the program once, as a script (`stdio`) or for one call (`call`)."""
    given, printed, answer = os.pipe(), os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        _enter(setup, given[0], printed[1], answer[1])
        _leave(_script if job["kind"] == "stdio" else _call, setup, job)
    for fd in (given[0], printed[1], answer[1]):
        os.close(fd)
    return _watch([pid], job.get("stdin", b""), given[1], printed[0], answer[0], job["seconds"])


def _asserted(setup, job):
    """Run test code in one process against the program in another."""
    request, response, printed, answer = os.pipe(), os.pipe(), os.pipe(), os.pipe()
    solution = os.fork()
    if not solution:
        _enter(setup, request[0], os.open("/dev/null", os.O_WRONLY), response[1])
        _leave(_serve, setup, job)
    tester = os.fork()
    if not tester:
        code = _frame(0)
        os.close(request[0])
        os.close(response[1])
        _enter(setup, response[0], printed[1], answer[1], request[1])
        _leave(_test, code, job)
    for fd in (*request, *response, printed[1], answer[1]):
        os.close(fd)
    return _watch([tester, solution], b"", None, printed[0], answer[0], job["seconds"])


def _watch(pids, stdin, given, printed, answer, seconds):
    """Feed and read children until they end or must; return the reply. The first of `pids` gives the exit code."""
    deadline = time.monotonic() + seconds
    texts, open_fds, state = {printed: b"", answer: b""}, {printed, answer}, ENDED
    poll = select.poll()
    poll.register(printed, select.POLLIN)
    poll.register(answer, select.POLLIN)
    if given is not None:
        os.set_blocking(given, False)
        poll.register(given, select.POLLOUT)
    while open_fds and state == ENDED:
        left = deadline - time.monotonic()
        if left <= 0:
            state = TIMEOUT
            break
        for fd, _ in poll.poll(left * 1000):
            if fd == given:
                try:
                    stdin = stdin[os.write(fd, stdin[:65536]) :]
                except OSError:
                    stdin = b""
                if not stdin:
                    poll.unregister(fd)
                    os.close(fd)
                    given = None
                continue
            data = os.read(fd, 65536)
            texts[fd] += data
            if not data:
                poll.unregister(fd)
                open_fds.discard(fd)
            elif len(texts[fd]) > OUTPUT:
                state = FLOOD
    code, state = _reap(pids, deadline, state)
    for fd in (given, printed, answer):
        if fd is not None:
            os.close(fd)
    return _header(b"A", state, code, len(texts[printed]), len(texts[answer])) + texts[printed] + texts[answer]


def _reap(pids, deadline, state):
    """Wait for the first process until the deadline, then end all; return its code (negative: signal) and the state."""
    code = None
    while state == ENDED:
        done, status = os.waitpid(pids[0], os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            break
        if time.monotonic() > deadline:
            state = TIMEOUT
            break
        time.sleep(0.001)
    for pid in pids if code is None else pids[1:]:
        os.kill(pid, SIGKILL)
        os.waitpid(pid, 0)
    return -SIGKILL if code is None else code, state


def _enter(setup, stdin, stdout, answer, extra=None):
    """Make this process a test's: its pipes on 0, 1 and 3 (and 4), stderr nowhere, limits, filter."""
    nowhere = os.open("/dev/null", os.O_WRONLY)
    wanted = [stdin, stdout, nowhere, answer, *([extra] if extra is not None else [])]
    high = [posix.dup(fd) for fd in wanted]  # out of the way of the numbers they get
    while min(high) < 10:
        high = [posix.dup(fd) if fd < 10 else fd for fd in high]
    for target, fd in enumerate(high):
        os.dup2(fd, target)
    os.closerange(len(wanted), 4096)
    _c("prctl", PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    for kind, value in setup["limits"].items():
        resource.setrlimit(kind, (value, value))
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    resource.setrlimit(resource.RLIMIT_STACK, (STACK if hard == -1 else min(STACK, hard), hard))
    if setup["seccomp"] is not None:
        confine(setup["seccomp"])


def confine(rules):
    """Put this process under a seccomp filter (seccomp.py), for good; it ends where that fails."""
    rules = rules.replace(_number(SELF, 4), _number(os.getpid(), 4))
    address = id(rules) + bytes.__basicsize__ - 1  # where CPython keeps the bytes of a `bytes`
    program = _number(len(rules) // 8, 8) + _number(address, 8)  # struct sock_fprog
    _c("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if _c("prctl", PR_SET_SECCOMP, 2, program, 0, 0):
        os._exit(120)


def _c(name, *args):
    """Call a function of libc; a `bytes` goes as a pointer to it."""
    return _ctypes.call_function(_ctypes.dlsym(_ctypes.dlopen(None, 0), name), args)


def _number(value, size):
    return value.to_bytes(size, sys.byteorder)


def _leave(function, given, job):
    """Run a test's function, then end the process, as Python ends a script."""
    code = 1
    try:
        function(given, job)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        pass
    finally:
        try:
            if threading := sys.modules.get("threading"):
                threading._shutdown()
            if atexit := sys.modules.get("atexit"):
                atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.__stdout__.flush()
        except BaseException:
            code = code or 1
        os._exit(code & 255)


def _namespace(setup, name):
    """Run the program as module `name`; return its names."""
    module = type(sys)(name)
    sys.modules[name] = module
    module.__dict__.update(setup["names"], __name__=name)
    exec(setup["program"], module.__dict__)
    return module.__dict__


def _script(setup, _job):
    os.close(3)
    _namespace(setup, "__main__")


def _lookup(setup, names, name):
    """Return a function of the program: by name, or a method of its class Solution."""
    if name in names and names[name] is not setup["names"].get(name):
        return names[name]
    return getattr(names["Solution"](), name)


def _call(setup, job):
    os.dup2(2, 1)  # what it prints is not its answer
    names = _namespace(setup, "program")
    _write(3, encode_value(_lookup(setup, names, job["function"])(*job["args"])))


def _serve(setup, _job):
    """Answer the tester's requests: (what, target, args, kwargs), until it ends."""
    os.dup2(2, 1)
    pipe = os.dup(0)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    things, numbers = [], {}

    def refer(thing):
        if id(thing) not in numbers:
            numbers[id(thing)] = len(things)
            things.append(thing)
        return numbers[id(thing)]

    names = _namespace(setup, "program")
    while (request := _packet(pipe)) is not None:
        what, target, args, kwargs = decode_value(request, things.__getitem__)
        try:
            if what == "names":
                found = {n: names[n] for n in target if n in names}
                reply = {n: ("call",) if callable(v) else ("value", v) for n, v in found.items() if _offered(v)}
            elif what == "get":
                value = getattr(*target)
                reply = ("call",) if callable(value) else ("value", value)
            else:
                function = names[target] if isinstance(target, str) else getattr(*target)
                sent = encode_value(args, refer)
                result = function(*args, **kwargs)
                reply = ("value", result, args if encode_value(args, refer) != sent else None)
            data = encode_value(reply, refer)
        except Exception as error:
            data = encode_value(("raise", [t.__name__ for t in type(error).__mro__], str(error)))
        _write(3, b"%10d" % len(data) + data)


def _offered(value):
    return callable(value) or not isinstance(value, type(sys))


class Remote:
    """A thing of the program's that is no data, in the tester: calls and attributes go over the pipe."""

    def __init__(self, number):
        self.__dict__["_number"] = number

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        reply = _ask("get", (self, name))
        return _caller((self, name)) if reply[0] == "call" else reply[1]


def _ask(what, target, args=(), kwargs=None):
    """Send a request to the program's process; return its reply, or raise what it raised."""
    data = encode_value((what, target, args, kwargs or {}), lambda thing: thing.__dict__["_number"])
    _write(4, b"%10d" % len(data) + data)
    reply = _packet(0)
    if reply is None:
        raise RuntimeError("the program ended")
    value = decode_value(reply, Remote)
    if type(value) is tuple and value and value[0] == "raise":
        kinds = (getattr(builtins, name, None) for name in value[1])
        kind = next((k for k in kinds if isinstance(k, type) and issubclass(k, Exception)), Exception)
        if issubclass(kind, StopIteration | StopAsyncIteration):  # either would end a loop of the test
            kind = RuntimeError
        raise kind(value[2])
    return value


def _caller(target):
    """Return a function that calls one of the program's; what that changes in its arguments is changed here."""

    def call(*args, **kwargs):
        _, result, changed = _ask("call", target, args, kwargs)
        for mine, theirs in zip(args, changed or (), strict=bool(changed)):
            if isinstance(mine, list):
                mine[:] = theirs
            elif isinstance(mine, dict | set):
                mine.clear()
                mine.update(theirs)
        return result

    return call


def _test(frame, _job):
    """Run test code; say so on the answer's pipe when it has come to its end."""
    pipe = os.dup(0)
    os.dup2(pipe, 0)
    names = {"__name__": "__main__", "__builtins__": builtins}
    found = _ask("names", frame["names"])
    for name, module in frame["imports"].items():
        names[name] = getattr(__import__(module), name) if module != name else __import__(module)
    for name in frame["names"]:
        if name in found:
            names[name] = _caller(name) if found[name][0] == "call" else found[name][1]
    exec(marshal.loads(frame["code"]), names)
    _write(3, b"passed")


def shut_in(paths):
    """Drop all capabilities and see only `paths` = {"read": [...], "write": [...]}, by Landlock, from here on."""
    _c("prctl", PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    _c("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _c("capset", _number(0x20080522, 4) + bytes(4), bytes(24))  # _LINUX_CAPABILITY_VERSION_3: none of any kind
    abi = _c("syscall", CREATE_RULESET, None, 0, 1)
    files = (1 << (13 + (abi >= 2) + (abi >= 3) + (abi >= 5))) - 1
    handled = _number(files, 8) + _number(3, 8) * (abi >= 4) + _number(3, 8) * (abi >= 6)  # files, network, scopes
    ruleset = _c("syscall", CREATE_RULESET, handled, len(handled), 0)
    if abi < 3 or ruleset < 0:  # before the third, any file could be cut to nothing
        os._exit(121)
    for access, names in ((0b1101, paths["read"]), (files & ~1, paths["write"])):
        for name in names:
            fd = os.open(name, os.O_PATH)
            allowed = access if os.path.isdir(name) else access & 0b110
            if _c("syscall", ADD_RULE, ruleset, 1, _number(allowed, 8) + _number(fd, 4), 0):
                os._exit(122)
            os.close(fd)
    if _c("syscall", RESTRICT_SELF, ruleset, 0):
        os._exit(123)
    os.close(ruleset)


def _header(kind, state=0, code=0, printed=0, answer=0):
    return kind + b"%d,%d,%d,%d;" % (state, code, printed, answer)


def _write(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _read(fd, size):
    data = b""
    while len(data) < size:
        part = os.read(fd, min(size - len(data), 1 << 20))
        if not part:
            return None
        data += part
    return data


def _frame(fd):
    """Return the judge's next frame, None at its end."""
    head = _read(fd, 8)
    return None if head is None else marshal.loads(_read(fd, int(head)))


def _packet(fd):
    """Return the other process's next message, None at its end or where it is too long."""
    head = _read(fd, 10)
    return None if head is None or not head.strip().isdigit() or int(head) > OUTPUT else _read(fd, int(head))
