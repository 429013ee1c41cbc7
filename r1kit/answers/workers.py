"""A pool of worker processes that compare answers by algebra. A worker that takes too long is killed.

    verify_answer("x+1", "1+x")                     AnswerVerdict.RIGHT
    verify_answers([("x+1", "1+x"), ("2", "3")])    [AnswerVerdict.RIGHT, AnswerVerdict.WRONG]

Pairs that text and numbers settle (quick_verdict.py) need no worker. sympy can compute for minutes on a short answer,
and math-verify's own time limit is a signal, which works in the main thread only and does not interrupt C code. So
each comparison runs in a process that can be killed.

A worker is a fresh Python interpreter without torch. The pool sends it a pair through a pipe, as JSON with its length
before it, and reads the verdict from another pipe. The pool can be used from any thread, and in a forked child, which
starts workers of its own. A worker ends with the process that started it: an idle one at the end of its input, a busy
one by an alarm.

Why no library: pebble's ProcessPool (5.2) was tried. It has the time limits, but its pool does not work in a forked
child, a busy worker outlives a parent that was killed, and multiprocessing either imports the user's training script
into each worker or forks a process that holds torch, its threads and a CUDA context.
"""

import atexit
import contextlib
import json
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from r1kit.answers.quick_verdict import quick_verdict
from r1kit.answers.verdict import AnswerVerdict
from r1kit.ranks import cores_of_rank

# Time until a worker has started, on a busy machine. The time limit of a pair begins after it.
START_SECONDS = 60.0
# Address space that a worker may use, so that one answer cannot exhaust the machine. It starts with 65 MiB.
MEMORY_BYTES = 2 << 30
# Verdicts that the pool remembers.
MAX_CACHED_VERDICTS = 16384
# Pairs after which a worker is replaced, since the caches of sympy and of the parser only grow.
MAX_PAIRS_PER_WORKER = 1000
# Workers of one process, each of which takes 60 MiB of memory at its start.
MAX_WORKERS = 4
# Recursion limit of a worker, which suffices for some 150 nested brackets.
MAX_STACK_FRAMES = 3000
# A worker that nobody kills (its parent was killed) ends itself this long after the time limit of its pair.
ALARM_GRACE_SECONDS = 2

# Environment variables that a worker gets: those whose names begin so.
_KEPT_VARIABLES = ("PATH", "PYTHON", "LD_", "LANG", "LC_", "HOME", "TMP", "COVERAGE", "VIRTUAL_ENV")

# Each message starts with its length in bytes, as an unsigned 32-bit integer.
_HEADER = struct.Struct("!I")

WORKER_COMMAND = (sys.executable, "-P", "-c", "from r1kit.answers.symbolic import serve; serve()")


def verify_answer(gold: str, answer: str, seconds: float = 3.0) -> AnswerVerdict:
    """Return whether `answer` is the same mathematics as `gold`."""
    return verify_answers([(gold, answer)], seconds)[0]


def verify_answers(pairs: Sequence[tuple[str, str]], seconds: float = 3.0) -> list[AnswerVerdict]:
    """Return the verdicts on (gold, answer) pairs, in order; TIMEOUT for a pair that takes a worker `seconds`."""
    return _POOL.verify_all(pairs, seconds)


def start_worker() -> None:
    """Start a worker in the background, so that the first pair that needs one does not wait a second for it."""
    _POOL.start()


def verdict_counts(reset: bool = False) -> dict[str, int]:
    """Return how many pairs of this process had each verdict, since its start or the last reset."""
    return _POOL.counts(reset)


def close_workers() -> None:
    """End the workers. The next pair that needs a worker starts one again."""
    _POOL.close()


class WorkerPool:
    """Worker processes that are started when they are needed, with a cache and counts of their verdicts."""

    def __init__(self, command: Sequence[str] = WORKER_COMMAND, size: int | None = None):
        self.command = command
        self.size = size or _default_size()
        self.workers: list[Worker] = []
        self.forget()

    def forget(self) -> None:
        """Start anew in a forked child: the parent keeps the workers, and another thread may have held the locks."""
        for worker in self.workers:
            worker.abandon()
        self.workers = []
        self._idle_workers: list[Worker] = []
        self._lock = threading.Lock()
        self._free_slots = threading.BoundedSemaphore(self.size)
        self._cached_verdicts: dict[tuple[str, str, float], AnswerVerdict] = {}
        self._verdict_counts: Counter[AnswerVerdict] = Counter()

    def verify_all(self, pairs: Sequence[tuple[str, str]], seconds: float) -> list[AnswerVerdict]:
        """Return the verdicts on (gold, answer) pairs, in order. Each distinct pair is judged once."""
        verdicts: dict[tuple[str, str], AnswerVerdict] = {}
        slow_pairs = []
        for pair in dict.fromkeys(pairs):
            verdict = self._cached_verdicts.get((*pair, seconds)) or _safe_quick_verdict(*pair)
            if verdict is None:
                slow_pairs.append(pair)
            else:
                verdicts[pair] = verdict
        slow_verdicts = self._judge_in_workers(slow_pairs, seconds)
        verdicts.update(zip(slow_pairs, slow_verdicts, strict=True))
        with self._lock:
            self._remember(slow_pairs, slow_verdicts, seconds)
            self._verdict_counts.update(verdicts[pair] for pair in pairs)
        return [verdicts[pair] for pair in pairs]

    def _judge_in_workers(self, pairs: Sequence[tuple[str, str]], seconds: float) -> list[AnswerVerdict]:
        """Return the verdicts of workers, of several at once where there are several pairs."""
        if len(pairs) <= 1 or self.size <= 1:
            return [self._judge(pair, seconds) for pair in pairs]
        threads = ThreadPoolExecutor(min(self.size, len(pairs)))
        try:
            return list(threads.map(lambda pair: self._judge(pair, seconds), pairs))
        finally:
            threads.shutdown(cancel_futures=True)

    def _judge(self, pair: tuple[str, str], seconds: float) -> AnswerVerdict:
        reply = self.ask([*pair, seconds], seconds)
        try:
            return AnswerVerdict(reply)
        except ValueError:
            return AnswerVerdict.FAULT

    def _remember(self, pairs: Sequence[tuple[str, str]], verdicts: Sequence[AnswerVerdict], seconds: float) -> None:
        """Cache verdicts, and drop the oldest of too many."""
        for pair, verdict in zip(pairs, verdicts, strict=True):
            # A pair that took too long on a busy machine may be judged in time when it is next asked about.
            if verdict not in (AnswerVerdict.FAULT, AnswerVerdict.TIMEOUT):
                self._cached_verdicts[(*pair, seconds)] = verdict
        while len(self._cached_verdicts) > MAX_CACHED_VERDICTS:
            del self._cached_verdicts[next(iter(self._cached_verdicts))]

    def start(self) -> None:
        """Start a worker, unless the pool has one."""
        if not self.workers:
            self._idle_workers.append(self._start_worker())

    def ask(self, message: Sequence[Any], seconds: float) -> Any:
        """Return a worker's reply to a message; TIMEOUT and FAULT where it has none.

        If the worker dies of something else than its time limit, a second one is asked, which is always a new one: the
        idle workers may be dying of the same cause.
        """
        with self._free_slots:
            for get_worker in (self._take_idle_worker, self._start_worker):
                worker = get_worker()
                try:
                    reply = worker.ask(message, seconds)
                except TimeoutError:
                    self._end(worker)
                    return AnswerVerdict.TIMEOUT
                except (OSError, ValueError):
                    self._end(worker)
                else:
                    self._return_worker(worker)
                    return reply
        return AnswerVerdict.FAULT

    def _take_idle_worker(self) -> "Worker":
        """Return an idle worker that lives, else a new one."""
        while True:
            try:
                worker = self._idle_workers.pop()
            except IndexError:
                return self._start_worker()
            if worker.process.poll() is None:
                return worker
            self._end(worker)

    def _start_worker(self) -> "Worker":
        worker = Worker(self.command)
        with self._lock:
            self.workers.append(worker)
        return worker

    def _return_worker(self, worker: "Worker") -> None:
        """Keep a worker that has answered for the next pair, unless it has answered often enough."""
        worker.pair_count += 1
        if worker.pair_count < MAX_PAIRS_PER_WORKER:
            self._idle_workers.append(worker)
        else:
            self._end(worker)

    def _end(self, worker: "Worker") -> None:
        with self._lock, contextlib.suppress(ValueError):
            self.workers.remove(worker)
        worker.kill()

    def counts(self, reset: bool) -> dict[str, int]:
        """Return how many pairs had each verdict since the last reset."""
        with self._lock:
            counts = {verdict.value: self._verdict_counts[verdict] for verdict in AnswerVerdict}
            if reset:
                self._verdict_counts.clear()
        return counts

    def close(self) -> None:
        """Kill all workers and wait for their end."""
        self._idle_workers.clear()
        for worker in list(self.workers):
            self._end(worker)


def shared_pool(command: Sequence[str], size: int | None = None) -> WorkerPool:
    """Return a pool for all of this process: a forked child gets workers of its own, and all end with the process."""
    pool = WorkerPool(command, size)
    os.register_at_fork(after_in_child=pool.forget)
    atexit.register(pool.close)
    return pool


class Worker:
    """The parent's side of one worker process. It is idle, or used by one thread."""

    def __init__(self, command: Sequence[str]):
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=_worker_environment(),
        )
        self.pair_count = 0
        self.is_ready = False

    def ask(self, message: Sequence[Any], seconds: float) -> Any:
        """Return the worker's reply. Raises TimeoutError, and another OSError where the worker has died."""
        if not self.is_ready:
            try:
                self._receive(START_SECONDS)
            except TimeoutError as error:
                raise OSError("the worker does not start") from error
            self.is_ready = True
        assert self.process.stdin
        write_message(self.process.stdin.fileno(), message)
        return self._receive(seconds)

    def _receive(self, seconds: float) -> Any:
        """Return the next message of the worker. Raises TimeoutError, and BrokenPipeError where it has died."""
        assert self.process.stdout
        file = self.process.stdout.fileno()
        deadline = time.monotonic() + seconds
        poll = select.poll()
        poll.register(file, select.POLLIN)
        data = b""
        size = _HEADER.size
        while len(data) < size:
            remaining_milliseconds = max(0.0, deadline - time.monotonic()) * 1000
            if not poll.poll(remaining_milliseconds):
                raise TimeoutError
            chunk = os.read(file, size - len(data))
            if not chunk:
                raise BrokenPipeError("the worker has ended")
            data += chunk
            if len(data) == _HEADER.size:
                size += _HEADER.unpack(data)[0]
        return json.loads(data[_HEADER.size :])

    def kill(self) -> None:
        """Kill the process and wait for its end, so that it leaves no zombie."""
        self.process.kill()
        self.process.wait()
        self._close_pipes()

    def abandon(self) -> None:
        """Close this process's ends of the pipes to a worker that belongs to the parent process."""
        self.process.returncode = 0  # else Popen would wait for a process that is not this process's child
        self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


def _safe_quick_verdict(gold: str, answer: str) -> AnswerVerdict | None:
    try:
        return quick_verdict(gold, answer)
    except Exception:  # one odd answer must not cost all others of the batch their verdicts
        return AnswerVerdict.WRONG


def _default_size() -> int:
    """Return how many workers a process may have: its share of the machine's cores, at most MAX_WORKERS."""
    return max(1, min(MAX_WORKERS, cores_of_rank()))


def _worker_environment() -> dict[str, str]:
    """Return what Python and its libraries need of the environment, which may also hold keys."""
    environment = {}
    for name, value in os.environ.items():
        if name.startswith(_KEPT_VARIABLES):
            environment[name] = value
    paths = [str(Path(__file__).parents[2]), environment.get("PYTHONPATH", "")]
    return environment | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}


def serve_worker(judge: Callable[[str, str], str], prepare: Callable[[], None]) -> None:
    """Be a worker process: call `prepare`, then `judge` each pair that comes on stdin, until stdin ends."""
    verdict_file = take_verdict_pipe()
    prepare()
    write_message(verdict_file, "ready")
    while (message := read_message()) is not None:
        gold, answer, seconds = message
        signal.setitimer(signal.ITIMER_REAL, seconds + ALARM_GRACE_SECONDS)
        verdict = judge(gold, answer)
        signal.setitimer(signal.ITIMER_REAL, 0)
        write_message(verdict_file, verdict)


def take_verdict_pipe() -> int:
    """Set the limits of a worker process, and return the pipe to which it writes its verdicts.

    The pipe is a copy of stdout, which itself goes nowhere, so that what a library prints is not read as a verdict.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends its workers itself
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(MAX_STACK_FRAMES)
    verdict_file = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return verdict_file


def write_message(file: int, message: object) -> None:
    """Write a message to a pipe."""
    data = json.dumps(message).encode()
    data = _HEADER.pack(len(data)) + data
    while data:
        written = os.write(file, data)
        data = data[written:]


def read_message() -> Any:
    """Return the next message on stdin, None at its end."""
    header = _read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    return json.loads(_read(_HEADER.unpack(header)[0]))


def _read(size: int) -> bytes:
    """Return `size` bytes of stdin, fewer at its end."""
    data = b""
    while len(data) < size:
        chunk = os.read(0, size - len(data))
        if not chunk:
            break
        data += chunk
    return data


_POOL = shared_pool(WORKER_COMMAND)
