"""The box: where untrusted Python programs run. What a run is worth is the judge's business (judge.py).

`bubblewrap` (the better one): namespaces of its own for users, processes, network and IPC; /usr and Python
read-only, a small tmpfs, no /proc, nothing of /etc, /home or the environment. `landlock`, where bubblewrap is
not installed or may not make namespaces: the kernel's Landlock gives the same view of the files, all
capabilities are dropped, and the folder it may write to is watched. Both add a seccomp filter (seccomp.py)
and limits on time, memory, files and output. `none` has the limits alone: for tests of trusted code.

What no box here covers: faults of the kernel, and timing seen through the processor. Programs of one batch
share the machine, so that one of them can slow the others down.
"""

import atexit
import contextlib
import os
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from marshal import dumps
from pathlib import Path
from typing import Any

from r1kit.errors import UserError
from r1kit.sandbox.seccomp import filter_for

ISOLATIONS = ("auto", "bubblewrap", "landlock", "none")
MEMORY = 1024 * 2**20  # bytes of address space a process
DISK = 64 * 2**20  # bytes that a program may write
THREADS = 256  # of a program
READY = 20.0  # seconds that an empty box may take to start
COMPILE = 10.0  # seconds for Python to read the program, on a machine that is busy
LIFE = 1000  # programs until a box is replaced
SLACK = 0.4  # seconds after a test's own limit in which its reply must be there

_PATHS = tuple(p for p in dict.fromkeys(("/usr", "/lib", "/lib64", "/bin", sys.base_prefix)) if Path(p).exists())
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "MALLOC_ARENA_MAX": "2"}
_PYTHON = os.path.realpath(sys.executable)
_HERE = Path(__file__).parent
_LIMITS = {
    resource.RLIMIT_AS: MEMORY,
    resource.RLIMIT_FSIZE: DISK,
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_NOFILE: 256,
}
# Both halves of the code that starts in the box stand on their own there, hence sys.modules.
_START = """
import marshal, os, sys
def read(size):
    data = b""
    while len(data) < size:
        data += os.read(0, size - len(data)) or sys.exit(1)
    return data
values, boot, setup = marshal.loads(read(int(read(8))))
for name, code in (("r1kit.sandbox.values", values), ("r1kit.sandbox.boot", boot)):
    module = sys.modules[name] = type(sys)(name)
    exec(code, module.__dict__)
module.main(setup)
"""


class BoxFault(Exception):
    """The box did not start: nothing can be said about the program."""


class BoxDied(Exception):
    """The box started, and died in a test."""


@dataclass(frozen=True)
class Reply:
    """How a program's run for one test ended: "ended", "timeout" or "flood"; its exit code (negative: a signal)."""

    state: str
    code: int
    printed: bytes
    answer: bytes


class Box:
    """A box, for one program at a time: `load` it, `run` forks a fresh process of it for each test."""

    def __init__(self, process: subprocess.Popen, folder: str | None, resources: contextlib.ExitStack):
        """`folder`: the one to watch, where there is one; `resources`: what to give back when the box ends."""
        self._process, self._folder, self._resources, self._buffer = process, folder, resources, b""
        self.runs = False  # whether the program is Python at all
        self._stuck = self._ended = False
        self.clean = True  # whether its folders are as they were before the test
        self.programs = 0  # that it had
        self.whole = False  # whether nothing happened that another program should not find
        self._in, self._out = (pipe.fileno() for pipe in (process.stdin, process.stdout) if pipe)
        os.set_blocking(self._in, False)

    def run(self, job: Mapping[str, Any], seconds: float, hidden: Mapping[str, Any] | None = None) -> Reply:
        """Run one test; `hidden` goes to the tester's process alone. Raises BoxDied."""
        deadline = time.monotonic() + seconds + SLACK
        try:
            self._send({**job, "seconds": seconds}, deadline)
            if hidden is not None:
                self._send(hidden, deadline)
            self.clean = self._take_until(b";", deadline).startswith(b"D1")
            head = self._take_until(b";", deadline)
            state, code, printed, answer = (int(part) for part in head[1:].split(b","))
            text = self._take(printed + answer, deadline)
        except TimeoutError:
            self._stuck, self.whole = True, False
            self.end()
            return Reply("timeout", -9, b"", b"")
        except (OSError, ValueError, EOFError) as error:
            self.whole = False
            raise BoxDied(str(error)) from None
        self.whole = self.whole and state == 0
        return Reply(("ended", "timeout", "flood")[state], code, text[:printed], text[printed:])

    def set_up(self, setup: Mapping[str, Any]) -> None:
        """Send what the box needs, and wait until it has started. Raises BoxFault where it does not."""
        try:
            self._send((*_code(), dict(setup)), time.monotonic() + READY)
            self._take_until(b";", time.monotonic() + READY)
        except (OSError, EOFError, TimeoutError) as error:
            raise BoxFault(f"the box did not start: {error}") from None

    def load(self, program: str, seconds: float = COMPILE) -> None:
        """Give the box a program. Raises BoxFault where the box is gone."""
        self.runs, self.whole, self.programs = False, False, self.programs + 1
        try:
            self._send(program.encode(errors="replace").decode(), time.monotonic() + READY)
        except (OSError, TimeoutError) as error:
            raise BoxFault(f"the box is gone: {error}") from None
        with contextlib.suppress(OSError, EOFError, TimeoutError):  # a program on which Python's compiler fails
            self.runs = self._take_until(b";", time.monotonic() + seconds).startswith(b"C1")
            self.whole = True

    def unload(self) -> bool:
        """End the program; return whether the box is as new."""
        if not self.whole or not self.clean or self._buffer or self.programs >= LIFE:
            return False
        try:
            self._send({}, time.monotonic() + READY)
        except (OSError, TimeoutError):
            return False
        return True

    def end(self) -> None:
        """End the box: by the end of its input, so that bubblewrap collects its own, else by force."""
        if self._ended:
            return
        self._ended = True
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        try:
            self._process.wait(timeout=0 if self._stuck else 0.2)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, 9)
            self._process.wait()
        self._resources.close()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def _send(self, value: Any, deadline: float) -> None:
        data = memoryview(b"%8d" % len(body := dumps(value)) + body)
        while data:
            self._wait(self._in, select.POLLOUT, deadline)
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(self._in, data[:65536]) :]

    def _wait(self, fd: int, event: int, deadline: float) -> None:
        """Wait until `fd` can be read or written; watch threads, and the folder that a landlocked program writes to."""
        poll = select.poll()
        poll.register(fd, event)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no reply in time")
            if poll.poll(1000 * min(left, 0.05)):
                return
            if _threads(self._process.pid) > THREADS:  # all processes of the machine share their number
                raise TimeoutError("too many threads")
            if self._folder and max(_size(self._folder), _written(self._process.pid)) > DISK:
                raise TimeoutError("too much was written")

    def _take_until(self, mark: bytes, deadline: float) -> bytes:
        while mark not in self._buffer:
            self._fill(deadline)
        head, _, self._buffer = self._buffer.partition(mark)
        return head

    def _take(self, size: int, deadline: float) -> bytes:
        parts, have = [self._buffer], len(self._buffer)
        while have < size:
            self._buffer = b""
            self._fill(deadline)
            parts.append(self._buffer)
            have += len(self._buffer)
        data = b"".join(parts)
        self._buffer = data[size:]
        return data[:size]

    def _fill(self, deadline: float) -> None:
        self._wait(self._out, select.POLLIN, deadline)
        data = os.read(self._out, 1 << 20)
        if not data:
            raise EOFError("the box ended")
        self._buffer += data


@contextlib.contextmanager
def open_box(program: str, isolation: str = "auto") -> Iterator[Box]:
    """Load `program` into a box: one at rest, else a new one. It rests afterwards where it is as new.

    Raises BoxFault where it does not start, UserError without isolation.
    """
    kind = require_isolation(isolation)
    box, again = _loaded(program, kind), False
    try:
        yield box
        again = box.unload()
    finally:
        with _resting:
            rest = _rest.setdefault((os.getpid(), kind), [])
            again = again and len(rest) < (os.cpu_count() or 1)
            if again:
                rest.append(box)
        if not again:
            box.end()


_rest: dict[tuple[int, str], list[Box]] = {}  # boxes at rest, of a process and a kind
_resting = threading.Lock()


def _loaded(program: str, kind: str) -> Box:
    """Return a box with `program` in it. Where one that rested does not take it, a new one says whose fault it is."""
    box = _at_rest(kind)
    if box is not None:
        with contextlib.suppress(BoxFault):
            box.load(program)
        if box.whole:
            return box
        box.end()
    box = start_box(kind)
    try:
        box.load(program)
    except BaseException:
        box.end()
        raise
    return box


def _at_rest(kind: str) -> Box | None:
    while True:
        with _resting:
            rest = _rest.get((os.getpid(), kind))
            box = rest.pop() if rest else None
        if box is None or box.alive:
            return box
        box.end()


@atexit.register
def close_boxes() -> None:
    """End this process's boxes at rest."""
    with _resting:
        boxes = [box for (pid, _), rest in _rest.items() if pid == os.getpid() for box in rest]
        _rest.clear()
    for box in boxes:
        box.end()


_starters: dict[int, ThreadPoolExecutor] = {}


def _starter() -> ThreadPoolExecutor:
    """Return this process's thread that starts boxes: the kernel ends a box with the thread that started it."""
    with _resting:
        if os.getpid() not in _starters:
            _starters.clear()
            _starters[os.getpid()] = ThreadPoolExecutor(1, "box")
        return _starters[os.getpid()]


def start_box(kind: str) -> Box:
    """Start a box without a program. Raises BoxFault where it does not start."""
    with contextlib.ExitStack() as stack:
        folder = "/tmp" if kind == "bubblewrap" else stack.enter_context(_folder())
        setup = {
            "folder": folder,
            "limits": _LIMITS,
            "seccomp": None if kind == "none" else filter_for(),
            "landlock": {"read": _PATHS, "write": (folder, *_DEVICES)} if kind == "landlock" else None,
        }
        command = [*_bubblewrap(), _PYTHON] if kind == "bubblewrap" else [_PYTHON]
        try:
            started = _starter().submit(
                subprocess.Popen,
                [*command, "-s", "-P", "-S", "-X", "utf8", "-c", _START],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd=None if kind == "bubblewrap" else folder,
                env={**_ENVIRONMENT, "PATH": os.environ.get("PATH", os.defpath)},
                start_new_session=True,
            )
            process = started.result()
        except OSError as error:
            raise BoxFault(f"the box did not start: {error}") from None
        box = Box(process, folder if kind == "landlock" else None, stack.pop_all())
    try:
        box.set_up(setup)
    except BaseException:
        box.end()
        raise
    return box


def _bubblewrap() -> list[str]:
    command = "bwrap --unshare-all --die-with-parent --new-session --cap-drop ALL --clearenv --hostname box".split()  # noqa: SIM905
    for name, value in _ENVIRONMENT.items():
        command += ["--setenv", name, value]
    for path in _PATHS:
        command += ["--symlink", os.readlink(path), path] if os.path.islink(path) else ["--ro-bind", path, path]
    command += ["--tmpfs", "/dev"]
    for device in _DEVICES:
        command += ["--dev-bind", device, device]
    return [*command, *f"--size {DISK} --tmpfs /tmp --remount-ro /dev --remount-ro / --chdir /tmp".split()]


@cache
def _code() -> tuple[Any, Any]:
    """Return the compiled code that starts in the box."""
    return tuple(compile((_HERE / name).read_text(), name, "exec") for name in ("values.py", "boot.py"))  # type: ignore[return-value]


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    """Make a folder that a program may write to, and remove it, whatever the program made of it."""
    folder = tempfile.mkdtemp(prefix="r1kit-box-")
    try:
        yield folder
    finally:
        try:
            os.rmdir(folder)
        except OSError:
            subprocess.run(["chmod", "-R", "u+rwx", folder], stderr=subprocess.DEVNULL)
            subprocess.run(["rm", "-rf", "--", folder], stderr=subprocess.DEVNULL)


def _size(folder: str) -> int:
    """Return the bytes of the files under `folder`, a page each for their names; at most some more than DISK."""
    total, folders = 0, [folder]
    while folders and total <= DISK:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                total += 4096 + entry.stat(follow_symlinks=False).st_blocks * 512
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
    return total


def _threads(pid: int) -> int:
    """Return the threads of the processes below `pid`."""
    count = 0
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            count += Path(f"/proc/{child}/task").stat().st_nlink - 2 + _threads(int(child))
    return count


def _written(pid: int) -> int:
    """Return the most bytes that a process below `pid` has written, to files that are deleted by now, too."""
    most = 0
    with contextlib.suppress(OSError, ValueError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            counts = dict(line.split(": ") for line in Path(f"/proc/{child}/io").read_text().splitlines())
            most = max(most, int(counts["wchar"]), int(counts["write_bytes"]), _written(int(child)))
    return most


# Every attempt must fail; "done" must come, or the box ran nothing.
_PROBE = """
import fcntl, os, socket
def attempt(name, action):
    try:
        action()
        print(name)
    except BaseException:
        pass
attempt("read a secret", lambda: open({canary!r}).read())
attempt("write outside", lambda: open({outside!r}, "w"))
attempt("start a process", lambda: os.fork() or os._exit(0))
attempt("connect", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect(("127.0.0.1", {port})))
attempt("read the environment", lambda: os.environ["R1KIT_CANARY"])
attempt("send datagrams", lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
attempt("have its parent signalled", lambda: fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid()))
attempt("change a device", lambda: os.chmod("/dev/null", 0o666))
attempt("cut a file", lambda: os.truncate({canary!r}, 0))
attempt("read /proc", lambda: open("/proc/self/environ").read())
print("done", flush=True)
attempt("run a command", lambda: os.execv("/bin/echo", ["echo", "run a command"]))
"""
_lock = threading.Lock()


def require_isolation(isolation: str = "auto") -> str:
    """Return the isolation to use, proved by a self-test. Raises UserError where there is none (exit 2)."""
    with _lock:
        found, reasons = _working(isolation)
    if found is None:
        must = "code can only be judged in a box, and none works here (" + "; ".join(reasons) + ")"
        raise UserError(
            "isolation", isolation, must, "install bubblewrap (apt install bubblewrap), or use a kernel with Landlock"
        )
    return found


@cache
def _working(isolation: str) -> tuple[str | None, list[str]]:
    if isolation == "none":
        return "none", []
    if isolation not in ISOLATIONS:
        return None, [f"choose one of {', '.join(ISOLATIONS)}"]
    reasons = []
    for kind in ("bubblewrap", "landlock") if isolation == "auto" else (isolation,):
        reason = self_test(kind)
        if reason is None:
            return kind, []
        reasons.append(f"{kind}: {reason}")
    return None, reasons


def self_test(kind: str) -> str | None:
    """Try to break out of a box of `kind`; return what is wrong with it, or None."""
    import socket

    if filter_for() is None:
        return "no seccomp filter for this processor"
    if kind == "bubblewrap" and shutil.which("bwrap") is None:
        return "not installed"
    with tempfile.TemporaryDirectory(prefix="r1kit-canary-") as folder, socket.socket() as listener:
        (Path(folder) / "canary").write_text("secret")
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        program = _PROBE.format(canary=f"{folder}/canary", outside=f"{folder}/outside", port=listener.getsockname()[1])
        try:
            box = start_box(kind)
            try:
                box.load(program)
                reply = box.run({"kind": "stdio", "stdin": b""}, 5.0)
            finally:
                box.end()
        except (BoxFault, BoxDied) as fault:
            return str(fault)
    printed = reply.printed.decode(errors="replace").splitlines()
    if "done" not in printed:
        return "it ran nothing"
    printed.remove("done")
    return "a program in it could " + ", ".join(printed) if printed else None
