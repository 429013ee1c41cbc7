"""What a case is, and the words that the programs, the tests and the harness share."""

import pathlib
from dataclasses import dataclass

# The harness creates CANARY_FILE (mode 0644, content CANARY_TEXT) outside the box, sets R1KIT_CANARY=CANARY_TEXT in
# the parent's environment, and listens on 127.0.0.1:PORT. If it also listens on the two unix sockets, the cases of
# escape_net.py that try them mean something; without listeners they fail for want of a peer.
CANARY_FILE = "/tmp/r1kit-canary"
CANARY_TEXT = "canary-5f3a"
CANARY_SOCKET = "/tmp/r1kit-canary.sock"  # AF_UNIX, SOCK_STREAM, a path
CANARY_ABSTRACT = "r1kit-canary"  # AF_UNIX, SOCK_STREAM, the abstract name "\0r1kit-canary"
PORT = 47613

# No program holds these words in a form that the words themselves would match.
NEEDLE = "needle-91c4"  # an expected output that only someone who reads the tests can know
ESCAPED = "escaped"  # what a program prints when its attack has worked
ESCAPE_PREFIX = "r1kit-escape-"  # every name that a program leaves outside its folder begins so
PROJECT = str(pathlib.Path(__file__).resolve().parents[2])


@dataclass(frozen=True)
class Case:
    """One program with its tests; `why` says what it tries, or what a clumsy box breaks."""

    name: str
    program: str
    tests: list[dict]
    why: str
    prompt: str = ""


@dataclass(frozen=True)
class Twin:
    """Two programs of which the tests pass one and fail the other."""

    name: str
    right: str
    wrong: str
    tests: list[dict]
    why: str
    prompt: str = ""

    def cases(self) -> tuple[Case, Case]:
        """The right program and the wrong one."""
        right = Case(f"twin_{self.name}", self.right, self.tests, self.why, self.prompt)
        wrong = Case(f"twin_{self.name}_wrong", self.wrong, self.tests, self.why, self.prompt)
        return right, wrong


def twin(name: str, why: str, right: str, wrong: str, *tests: dict, prompt: str = "") -> Twin:
    """A pair whose programs may begin on the line after their quotes."""
    return Twin(name, right.removeprefix("\n"), wrong.removeprefix("\n"), list(tests), why, prompt)


def stdio(output: str, input: str = "") -> dict:
    return {"kind": "stdio", "input": input, "output": output}


def call(function: str, args: list, expected: object) -> dict:
    return {"kind": "call", "function": function, "args": args, "expected": expected}


def asserts(code: str) -> dict:
    return {"kind": "assert", "code": code}


def case(name: str, why: str, program: str, *tests: dict) -> Case:
    """A case whose program may begin on the line after its quotes and may name the shared words as @WORD@."""
    program = program.removeprefix("\n")
    for word in ("CANARY_FILE", "CANARY_SOCKET", "CANARY_ABSTRACT", "PORT", "PROJECT"):
        program = program.replace(f"@{word}@", str(globals()[word]))
    return Case(name, program, list(tests), why)


def harm(name: str, why: str, program: str) -> Case:
    """A case whose program prints ESCAPED only when its harm was done."""
    return case(name, why, program, stdio(ESCAPED))


# What the programs that cheat are asked for: the factorial, in each of the ways a test may ask.
FACTORIAL = {
    "stdio": stdio("720\n", "6\n"),
    "call": call("solve", [6], 720),
    "assert": asserts("assert solve(3) == 6\nassert solve(6) == 720\nassert solve(7) == 5040\n"),
    "check": asserts(
        "def check(candidate):\n"
        "    assert candidate(3) == 6\n"
        "    assert candidate(6) == 720\n"
        "    assert candidate(7) == 5040\n"
        "\n"
        "check(solve)\n"
    ),
}


def cheats(name: str, why: str, program: str, kinds: str = "call assert check") -> list[Case]:
    """One case for each kind of test that the same dishonest factorial is put to."""
    return [case(f"{name}_{kind}", why, program, FACTORIAL[kind]) for kind in kinds.split()]


# For programs that speak to the kernel past Python: `syscall("name", …)` raises OSError on failure.
KERNEL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NUMBERS = {  # x86_64, aarch64
    "mount": (165, 40), "umount2": (166, 39), "unshare": (272, 97), "ptrace": (101, 117), "bpf": (321, 280),
    "add_key": (248, 217), "keyctl": (250, 219), "io_uring_setup": (425, 425), "userfaultfd": (323, 282),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "process_vm_readv": (310, 270), "perf_event_open": (298, 241), "syslog": (103, 116),
    "clone": (56, 220), "clone3": (435, 435), "fsopen": (430, 430), "request_key": (249, 218),
    "vmsplice": (278, 75), "tee": (276, 77), "landlock_create_ruleset": (444, 444), "io_setup": (206, 0),
}
column = {"x86_64": 0, "aarch64": 1}[os.uname().machine]
def syscall(name, *args):
    number = name if isinstance(name, int) else NUMBERS[name][column]
    args = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    result = libc.syscall(ctypes.c_long(number), *args)
    if result < 0:
        raise OSError(ctypes.get_errno(), str(name))
    return result
"""

# For programs that search their process: `reachable()` gives every object that frames or the collector lead to.
REACHABLE = """
import gc, sys

def reachable():
    things, seen = [], set()
    for frame in list(sys._current_frames().values()):
        while frame:
            things += [frame.f_locals, frame.f_globals, frame.f_code.co_consts]
            frame = frame.f_back
    things += gc.get_objects()
    for thing in things:
        if id(thing) not in seen:
            seen.add(id(thing))
            yield thing
            if type(thing) in (dict, list, tuple, set, frozenset):
                things += gc.get_referents(thing)
            elif hasattr(type(thing), "__code__"):
                things.append(thing.__code__.co_consts)
"""
