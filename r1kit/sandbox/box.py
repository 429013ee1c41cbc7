"""Talk to a box: load a program, run its tests, end it.

A box is a confined process in which untrusted Python programs run (boot.py), one program at a time and each test in a
process of its own. `Box` is the judge's end of it. What it defends against: programs that hang, flood their output,
fill the disk or start too many threads; every wait has a deadline, and what a box sends back is never trusted. A box
to which anything unusual has happened is ended, and the next program gets another.

What it does NOT cover: what a program can reach (start.py, confinement.py, seccomp.py); faults of the kernel; timing
seen through the processor. Programs of one batch share the machine, so that one of them can slow the others down.
"""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r1kit.sandbox.pipes import MAX_OUTPUT_BYTES, NONCE_BYTES, make_frame
from r1kit.sandbox.usage import count_threads, deleted_file_bytes, directory_bytes, written_bytes

DISK_BYTES = 64 * 2**20  # that a program may write
MAX_THREADS = 256  # of a program
START_SECONDS = 20.0  # that an empty box may take to start, on a machine that is busy
COMPILE_SECONDS = 10.0  # that Python may take to compile a program, on a machine that is busy
GRACE_SECONDS = 0.4  # after a test's own limit, in which its reply must have come
PROGRAMS_PER_BOX = 1000  # then a box is replaced, in case something that nobody sees piles up in it

_POLL_SECONDS = 0.05  # between two looks at a box's threads and files
_EXIT_SECONDS = 0.2  # that a box may take to end by itself
_WRITE_BYTES = 65536  # of one write to a box, which is what Linux keeps in a pipe
_READ_BYTES = 1 << 20  # of one read
_TRANSFER_BYTES_A_SECOND = 50e6  # of input and output, on a machine that is busy
_STATES = ("ended", "timeout", "flood")  # boot.py sends them as numbers


class BoxFault(Exception):
    """The box did not start: there is no verdict on the program."""


class BoxDied(Exception):
    """The box started, and died during a test."""


@dataclass(frozen=True)
class Reply:
    """How a program's run for one test ended.

    `state`: "ended", "timeout" or "flood" (too much output). `exit_code`: negative for a signal. `answer`: what a
    test of kind `call` or `assert` sent back.
    """

    state: str
    exit_code: int
    printed: bytes
    answer: bytes


class Box:
    """A running box: `load_program`, then `run_test` as often as there are tests, then `unload_program` or `end`."""

    def __init__(self, process: subprocess.Popen, watched_directory: str | None, resources: contextlib.ExitStack):
        """Take over the process of a box.

        `watched_directory`: where the program may write, if its size must be watched from outside. `resources`: closed
        when the box ends.
        """
        self.is_python = False  # whether the program compiles
        self.is_unchanged = True  # whether the last test left the box's directories as they were
        self.program_count = 0
        self._printable_bytes = MAX_OUTPUT_BYTES  # which the test that runs may print, and as many it may answer
        self._is_usual = False  # whether nothing has happened that another program should not find
        self._is_stuck = False
        self._is_closed = False
        self._process = process
        self._watched_directory = watched_directory
        self._resources = resources
        self._received = b""  # and not yet used
        assert process.stdin is not None
        assert process.stdout is not None
        self._input_fd = process.stdin.fileno()
        self._output_fd = process.stdout.fileno()
        os.set_blocking(self._input_fd, False)

    @property
    def is_alive(self) -> bool:
        """Whether the box's process runs."""
        return self._process.poll() is None

    @property
    def has_loaded(self) -> bool:
        """Whether the box took its program, Python or not, and nothing unusual has happened since."""
        return self._is_usual

    def wait_until_started(self, modules: Any, setup: Mapping[str, Any]) -> None:
        """Send a new box its code and its setup (start.py), and wait for it. Raises BoxFault if it does not start."""
        try:
            self._send((modules, dict(setup)), time.monotonic() + START_SECONDS)
            self._receive_until(b";", time.monotonic() + START_SECONDS)
        except (OSError, EOFError, TimeoutError) as error:
            raise BoxFault(f"the box did not start: {self._last_error_line() or error}") from None

    def _last_error_line(self) -> str:
        """Return the last line that the box has written to stderr, such as why bubblewrap does not start."""
        assert self._process.stderr is not None
        with contextlib.suppress(OSError):
            os.set_blocking(self._process.stderr.fileno(), False)
            lines = os.read(self._process.stderr.fileno(), _READ_BYTES).decode(errors="replace").split("\n")
            return next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ""

    def load_program(
        self,
        program: str,
        preamble: Sequence[str] = (),
        modules: Sequence[str] = (),
        special_names: Sequence[str] = (),
        *,
        seconds: float = COMPILE_SECONDS,
    ) -> None:
        """Give the box a program, which it compiles. Raises BoxFault if the box has ended.

        `preamble`: statements that run before the program, in its process. `modules`: packages of the box that are
        imported beforehand. `special_names`: names of typing and LeetCode that the program uses (boot.py).
        """
        self.is_python = False
        self._is_usual = False
        self.program_count += 1
        try:
            text = program.encode(errors="replace").decode()
            self._send((text, tuple(preamble), tuple(modules), tuple(special_names)), time.monotonic() + START_SECONDS)
        except (OSError, TimeoutError) as error:
            raise BoxFault(f"the box has ended: {error}") from None
        # A program on which Python's compiler crashes or takes too long leaves the box unusual, and fails its tests.
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            self.is_python = self._receive_until(b";", time.monotonic() + seconds).startswith(b"C1")
            self._is_usual = True

    def run_test(self, job: Mapping[str, Any], seconds: float, test_code: Mapping[str, Any] | None = None) -> Reply:
        """Run one test of the program.

        `job`: {"kind": "stdio", "stdin": bytes}, {"kind": "call", "function": name, "args": list} or {"kind":
        "assert"}; the last with `test_code` (assert_code.py), which only the tester's process gets. Raises BoxDied.
        """
        nonce = os.urandom(NONCE_BYTES)
        self._printable_bytes = job.get("max_bytes", MAX_OUTPUT_BYTES)
        try:
            # The time limit is the program's: it does not pay for the length of its input.
            self._send({**job, "seconds": seconds}, time.monotonic() + START_SECONDS, nonce)
            if test_code is not None:
                self._send(test_code, time.monotonic() + START_SECONDS)
            transfer_seconds = (len(job.get("stdin", b"")) + self._printable_bytes) / _TRANSFER_BYTES_A_SECOND
            deadline = time.monotonic() + seconds + GRACE_SECONDS + transfer_seconds
            if self._receive(NONCE_BYTES, deadline) != nonce:
                raise ValueError("a reply that the box has not written")
            self.is_unchanged = self._receive_until(b";", deadline).startswith(b"D1")
            head = self._receive_until(b";", deadline)
            state, exit_code, printed_bytes, answer_bytes = map(int, head[1:].split(b","))
            content = self._receive(printed_bytes + answer_bytes, deadline)
        except TimeoutError:
            self._is_stuck = True
            self._is_usual = False
            self.end()
            return Reply("timeout", -signal.SIGKILL, b"", b"")
        except (OSError, ValueError, EOFError) as error:
            self._is_usual = False
            self.end()  # a program that has forged a reply may still run
            raise BoxDied(str(error)) from None
        self._is_usual = self._is_usual and _STATES[state] == "ended"
        return Reply(_STATES[state], exit_code, content[:printed_bytes], content[printed_bytes:])

    def unload_program(self) -> bool:
        """End the program; return whether the box is as good as new and can take another."""
        if not self._is_usual or not self.is_unchanged or self._received or self.program_count >= PROGRAMS_PER_BOX:
            return False
        try:
            self._send({}, time.monotonic() + START_SECONDS)
        except (OSError, TimeoutError):
            return False
        return True

    def end(self) -> None:
        """End the box: first by closing its input, after which bubblewrap cleans up after itself, then by force."""
        if self._is_closed:
            return
        self._is_closed = True
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()
        try:
            self._process.wait(timeout=0 if self._is_stuck else _EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._resources.close()

    def _send(self, value: Any, deadline: float, nonce: bytes = b"") -> None:
        """Send one frame (pipes.py), and a nonce after it if it is a test."""
        data = memoryview(make_frame(value) + nonce)
        while data:
            self._wait_for(self._input_fd, select.POLLOUT, deadline)
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(self._input_fd, data[:_WRITE_BYTES]) :]

    def _wait_for(self, fd: int, event: int, deadline: float) -> None:
        """Wait until `fd` can be read or written. Raises TimeoutError after the deadline or beyond a limit."""
        poll = select.poll()
        poll.register(fd, event)
        while True:
            seconds_left = deadline - time.monotonic()
            if seconds_left <= 0:
                raise TimeoutError("no reply in time")
            if poll.poll(1000 * min(seconds_left, _POLL_SECONDS)):
                return
            # Without this limit one program could take all thread numbers of the machine.
            if count_threads(self._process.pid) > MAX_THREADS:
                raise TimeoutError("too many threads")
            if self._watched_directory and self._has_written_too_much(self._watched_directory):
                raise TimeoutError("too much was written")

    def _has_written_too_much(self, directory: str) -> bool:
        return (
            directory_bytes(directory, DISK_BYTES) > DISK_BYTES
            or deleted_file_bytes(self._process.pid, directory, DISK_BYTES) > DISK_BYTES
            # What a test prints and answers counts as written, too.
            or written_bytes(self._process.pid) > DISK_BYTES + 2 * self._printable_bytes
        )

    def _receive_until(self, mark: bytes, deadline: float) -> bytes:
        """Return the bytes up to `mark`, without it."""
        while mark not in self._received:
            self._receive_more(deadline)
        head, _, self._received = self._received.partition(mark)
        return head

    def _receive(self, size: int, deadline: float) -> bytes:
        """Return the next `size` bytes."""
        chunks = [self._received]
        received_bytes = len(self._received)
        while received_bytes < size:
            self._received = b""
            self._receive_more(deadline)
            chunks.append(self._received)
            received_bytes += len(self._received)
        data = b"".join(chunks)
        self._received = data[size:]
        return data[:size]

    def _receive_more(self, deadline: float) -> None:
        self._wait_for(self._output_fd, select.POLLIN, deadline)
        data = os.read(self._output_fd, _READ_BYTES)
        if not data:
            raise EOFError("the box ended")
        self._received += data
