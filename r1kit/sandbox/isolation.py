"""Choose an isolation that holds on this machine, proved by a self-test.

What this defends against: a machine on which bubblewrap or Landlock is missing, forbidden or weaker than it seems. The
self-test starts a real box and tries to break out of it in the ways that matter; an isolation in which any attempt
succeeds, or nothing runs, is refused. What it does NOT prove: that no other way out exists (tests/hostile has more).

    require_isolation("auto")      "bubblewrap", else "landlock", else a UserError
"""

import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from r1kit.errors import UserError, suggest
from r1kit.messages import logger
from r1kit.ranks import is_main_rank
from r1kit.sandbox.box import BoxDied, BoxFault
from r1kit.sandbox.directories import temporary_directory
from r1kit.sandbox.python_files import find_python_files
from r1kit.sandbox.seccomp import build_seccomp_filter
from r1kit.sandbox.start import start_box

ISOLATIONS = ("auto", "bubblewrap", "landlock", "none")
_BEST_FIRST = ("bubblewrap", "landlock")
_SELF_TEST_SECONDS = 5.0
# Every attempt must fail; "done" must be printed, or the box ran nothing.
_BREAKOUT_PROGRAM = """
import fcntl, os, socket
def attempt(name, action):
    try:
        action()
        print(name)
    except BaseException:
        pass
attempt("read a secret", lambda: open({canary!r}).read())
for path in {prefix_files!r}:
    attempt("read " + path, lambda: open(path, "rb").read())
attempt("write outside", lambda: open({outside!r}, "w"))
attempt("start a process", lambda: os.fork() or os._exit(0))
attempt("connect", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect(("127.0.0.1", {port})))
attempt("read the environment", lambda: os.environ["R1KIT_CANARY"])
attempt("send datagrams", lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
attempt("have its parent signalled", lambda: fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid()))
attempt("change a device", lambda: os.chmod("/dev/null", 0o666))
attempt("cut a file", lambda: os.truncate({canary!r}, 0))
attempt("read /proc", lambda: open("/proc/self/environ").read())
attempt("write a verdict", lambda: os.open(f"/proc/{{os.getppid()}}/fd/1", os.O_WRONLY | os.O_NONBLOCK))
attempt("read other tests", lambda: os.open(f"/proc/{{os.getppid()}}/fd/0", os.O_RDONLY | os.O_NONBLOCK))
attempt("pin memory in pipes", lambda: fcntl.fcntl(os.pipe()[1], 1031, 1 << 20))
attempt("command a file system", lambda: fcntl.ioctl(os.open(".", os.O_RDONLY), 0x80086601, bytearray(8)))
print("done", flush=True)
attempt("run a command", lambda: os.execv("/bin/echo", ["echo", "run a command"]))
"""
_lock = threading.Lock()


def require_isolation(isolation: str = "auto") -> str:
    """Return the isolation to use, which has passed its self-test; "auto" takes the best one that does.

    Raises UserError where none does, and for an isolation that is not in ISOLATIONS.
    """
    if isolation not in ISOLATIONS:
        raise UserError("isolation", isolation, "is not a known isolation", suggest(isolation, ISOLATIONS))
    with _lock:
        working, reasons = _find_working_isolation(isolation)
    if working is None:
        raise UserError(
            "isolation",
            isolation,
            f"code is only run in a sandbox, and none works here ({'; '.join(reasons)})",
            "install bubblewrap (apt install bubblewrap), or set isolation: none to run programs without a sandbox",
        )
    return working


@cache
def _find_working_isolation(isolation: str) -> tuple[str | None, list[str]]:
    """Return an isolation that passes its self-test, or None and the reason for each that does not."""
    if isolation == "none":
        return "none", []
    reasons: list[str] = []
    for candidate in _BEST_FIRST if isolation == "auto" else (isolation,):
        reason = self_test(candidate)
        if reason is None:
            if reasons and is_main_rank() and shutil.which("bwrap") is not None:
                logger.warning(
                    f"bubblewrap is installed, but its box cannot be used here ({reasons[0]}): "
                    f"programs run in the box of {candidate}"
                )
            return candidate, []
        reasons.append(f"{candidate}: {reason}")
    return None, reasons


def self_test(isolation: str) -> str | None:
    """Try to break out of a box with this isolation; return what is wrong with it, or None where it holds."""
    if build_seccomp_filter() is None:
        return "no seccomp filter for this processor"
    if isolation == "bubblewrap" and shutil.which("bwrap") is None:
        return "not installed"
    with temporary_directory() as directory, socket.socket() as listener:
        canary, outside = Path(directory, "canary"), Path(directory, "outside")
        canary.write_text("secret")
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        program = _BREAKOUT_PROGRAM.format(
            canary=str(canary), prefix_files=list(_find_prefix_files()), outside=str(outside), port=port
        )
        try:
            printed = _run_alone(isolation, program)
        except (BoxFault, BoxDied) as error:
            return str(error)
    if "done" not in printed:
        return "it ran nothing"
    printed.remove("done")
    return "a program in it could " + ", ".join(printed) if printed else None


def _find_prefix_files() -> Iterator[str]:
    """Yield files that Python does not need: the first one below its prefix, and one of each package directory.

    Anything may lie there, such as a cache with a token, or a package with the solutions of a benchmark.
    """
    allowed_paths = find_python_files().readable_paths
    directories = [path for path in sys.path if path.endswith("-packages")]
    directories.append(os.path.join(find_python_files().directory, "site-packages"))
    for directory in (sys.base_prefix, *directories):
        for path in _list_files(directory):
            is_allowed = any(path == allowed or path.startswith(f"{allowed}/") for allowed in allowed_paths)
            if not is_allowed and os.access(path, os.R_OK):
                yield path
                break


def _list_files(directory: str) -> Iterator[str]:
    """Yield the ordinary files below a directory, by their real paths."""
    for parent, _, names in os.walk(directory):
        for name in names:
            path = os.path.realpath(os.path.join(parent, name))
            if os.path.isfile(path):
                yield path


def _run_alone(isolation: str, program: str) -> list[str]:
    """Return the lines that a program prints in a box of its own."""
    box = start_box(isolation)
    try:
        box.load_program(program)
        reply = box.run_test({"kind": "stdio", "stdin": b""}, _SELF_TEST_SECONDS)
    finally:
        box.end()
    return reply.printed.decode(errors="replace").splitlines()
