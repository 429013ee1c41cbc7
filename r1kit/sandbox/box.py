"""The box: run one Python program in a process of its own, limited and cut off.

Limits on processor time, memory, output and open files always hold, and the environment is empty. With
bubblewrap installed the process also has no network and sees a read-only system; without it, an audit
hook in the process refuses files, sockets, processes and foreign code. The hook keeps mistakes and
simple tricks out, it is no wall against a determined attacker: install bubblewrap before you run code
of a model that you do not trust.
"""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MEMORY = 512 * 2**20  # bytes of address space
OUTPUT = 2**20  # bytes read of stdout

# Runs before the program where bubblewrap is missing. Importing stays possible for the standard library.
_GUARD = """
import os, posix, sys
for _module in (os, posix):  # these raise no audit event
    for _name in ("mkfifo", "mknod"):
        _module.__dict__.pop(_name, None)
def _hook(event, args, _path=tuple(p for p in sys.path if p), _flags=0o3 | 0o100 | 0o1000 | 0o2000):
    if event == "open":
        path, mode, flags = args
        if isinstance(path, int) and path == 0 and not flags & _flags:
            return
        ours = isinstance(path, str) and path.startswith(_path) and ".." not in path
        if isinstance(flags, int) and flags & _flags or not ours:
            raise PermissionError("no files here")
    elif event.split(".")[0] in ("os", "socket", "subprocess", "ctypes", "shutil", "pty", "fcntl", "signal", "mmap",
                                  "syslog", "tempfile", "urllib", "http", "ftplib", "smtplib", "glob", "resource",
                                  "winreg", "sqlite3", "gc") and event not in ("os.listdir", "os.scandir"):
        raise PermissionError("not allowed here: " + event)
sys.addaudithook(_hook)
del _hook
"""
# Runs the program, which comes first on stdin: its length in ten digits, then its text.
_START = """
def _source():
    import builtins, os, sys
    builtins.exit = builtins.quit = sys.exit
    size, source = int(os.read(0, 10)), b""
    while len(source) < size:
        source += os.read(0, size - len(source))
    return source.decode()
exec(compile(_source(), "program", "exec", dont_inherit=True), {"__name__": "__main__", "__builtins__": __builtins__})
"""


@dataclass(frozen=True)
class Outcome:
    """What a program printed, how it ended (negative: by a signal) and whether its time ran out."""

    stdout: str
    code: int
    timed_out: bool


@cache
def bubblewrap() -> str | None:
    """Return bubblewrap's path where it is installed and works here."""
    path = shutil.which("bwrap")
    if path is None:
        return None
    probe = subprocess.run([path, *_BIND, "--", "/bin/true"], capture_output=True)
    return path if probe.returncode == 0 else None


_BIND = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
for _folder in ("/usr", "/lib", "/lib64", "/bin", sys.base_prefix):
    if Path(_folder).exists():
        _BIND += ["--ro-bind", _folder, _folder]
_BIND += ["--tmpfs", "/tmp", "--dev", "/dev", "--chdir", "/tmp"]


def run(program: str, stdin: str = "", seconds: float = 3.0) -> Outcome:
    """Run a Python program with `stdin`; it is killed after `seconds`."""
    wrapper = bubblewrap()
    python = os.path.realpath(sys.executable)
    source = _START if wrapper else _GUARD + _START
    text = program.encode(errors="replace")
    command = [*([wrapper, *_BIND, "--"] if wrapper else []), python, "-I", "-S", "-c", source]
    with tempfile.TemporaryDirectory(prefix="r1kit-box-") as folder, tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={"PYTHONHASHSEED": "0"},
            start_new_session=True,
            preexec_fn=lambda: _limit(seconds),
        )
        timed_out = False
        try:
            process.communicate(b"%010d" % len(text) + text + stdin.encode(errors="replace"), timeout=seconds)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()
        out.seek(0)
        printed = out.read(OUTPUT).decode(errors="replace")
    return Outcome(printed, process.returncode, timed_out)


def _limit(seconds: float) -> None:
    """Set the child's limits (between fork and exec)."""
    for kind, value in (
        (resource.RLIMIT_CPU, int(seconds) + 1),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, OUTPUT),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(kind, (value, value))
