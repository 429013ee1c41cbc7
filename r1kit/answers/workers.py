"""The pool: verdicts on math answers from worker processes, each of them killed where a pair takes too long.

math-verify's own limit of time is a signal, which works in the main thread only and stops no C code. A worker
is a fresh interpreter, so this is safe from any thread and has no torch in it; it is asked over pipes, in JSON
with its length before it. It ends with its input, so with the process that it belongs to, and while it
computes by an alarm. A forked child starts workers of its own. What text alone settles needs no worker.
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

from r1kit.answers.quick_verdict import quick_verdict
from r1kit.answers.verdict import AnswerVerdict

START = 60.0  # seconds until a worker is up, on a machine that is busy; a pair's own seconds begin after that
MEMORY = 2 << 30
CACHED = 16384
LIFE = 1000  # pairs until a worker is replaced: the caches of sympy and of the parser only grow
FRAMES = 3000  # of recursion: some 150 brackets in one another
COMMAND = (sys.executable, "-P", "-c", "from r1kit.answers.symbolic import serve; serve()")


def verify_answer(gold: str, answer: str, seconds: float = 3.0) -> AnswerVerdict:
    """Return whether `answer` is the same mathematics as `gold`."""
    return verify_answers([(gold, answer)], seconds)[0]


def verify_answers(pairs: Sequence[tuple[str, str]], seconds: float = 3.0) -> list[AnswerVerdict]:
    """Return the verdicts on (gold, answer) pairs, in order; a pair that takes a worker `seconds` is a TIMEOUT."""
    return _POOL.verify_all(pairs, seconds)


def start_worker() -> None:
    """Start a worker in the background: the first answer that text alone does not settle would wait a second for it."""
    _POOL.start()


def verdict_counts(reset: bool = False) -> dict[str, int]:
    """Return how many pairs of this process had each verdict, since the start or the last reset."""
    return _POOL.counts(reset)


def close_workers() -> None:
    """End the workers. The next pair that needs one starts it again."""
    _POOL.close()


class WorkerPool:
    """Workers that are started as they are needed, what they found, and how often."""

    def __init__(self, command: Sequence[str] = COMMAND, size: int | None = None):
        self.command, self.size = command, size or _size()
        self.workers: list[Worker] = []
        self.forget()

    def forget(self) -> None:
        """Begin anew, with locks that nobody holds; in a forked child, whose parent keeps the workers."""
        for worker in self.workers:
            worker.drop()
        self.workers, self._idle = [], list[Worker]()
        self._lock, self._places = threading.Lock(), threading.BoundedSemaphore(self.size)
        self._found, self._counts = dict[tuple[str, str, float], AnswerVerdict](), Counter[AnswerVerdict]()

    def verify_all(self, pairs: Sequence[tuple[str, str]], seconds: float) -> list[AnswerVerdict]:
        """Return the verdicts on pairs, in order, each distinct pair judged once."""
        found = {pair: self._found.get((*pair, seconds)) or _quick(*pair) for pair in dict.fromkeys(pairs)}
        slow = [pair for pair, verdict in found.items() if verdict is None]
        if len(slow) > 1 and self.size > 1:
            threads = ThreadPoolExecutor(min(self.size, len(slow)))
            try:
                judged = list(threads.map(lambda pair: self._verdict(pair, seconds), slow))
            finally:
                threads.shutdown(cancel_futures=True)
        else:
            judged = [self._verdict(pair, seconds) for pair in slow]
        verdicts = {pair: verdict for pair, verdict in found.items() if verdict} | dict(zip(slow, judged, strict=True))
        with self._lock:
            for pair, verdict in zip(slow, judged, strict=True):
                if verdict not in (
                    AnswerVerdict.FAULT,
                    AnswerVerdict.TIMEOUT,
                ):  # what took too long may have had a busy machine
                    self._found[(*pair, seconds)] = verdict
            while len(self._found) > CACHED:
                del self._found[next(iter(self._found))]
            self._counts.update(verdicts[pair] for pair in pairs)
        return [verdicts[pair] for pair in pairs]

    def start(self) -> None:
        """Start a worker, unless there is one."""
        if not self.workers:
            self._idle.append(self._start())

    def ask(self, gold: str, answer: str, seconds: float) -> AnswerVerdict | float:
        """Ask a worker about one pair; a new one, once, where the first dies of something else than its time."""
        with self._places:
            for take in (self._take, self._start):  # the others at rest may be dying of the same
                worker = take()
                try:
                    verdict = worker.ask(gold, answer, seconds)
                except TimeoutError:
                    self._end(worker)
                    return AnswerVerdict.TIMEOUT
                except (OSError, ValueError):
                    self._end(worker)
                else:
                    self._rest(worker)
                    return verdict
        return AnswerVerdict.FAULT

    def _verdict(self, pair: tuple[str, str], seconds: float) -> AnswerVerdict:
        verdict = self.ask(*pair, seconds)
        return verdict if isinstance(verdict, AnswerVerdict) else AnswerVerdict.FAULT

    def _take(self) -> "Worker":
        """Return a worker at rest, else a new one."""
        while True:
            try:
                worker = self._idle.pop()
            except IndexError:
                return self._start()
            if worker.process.poll() is None:
                return worker
            self._end(worker)

    def _start(self) -> "Worker":
        worker = Worker(self.command)
        with self._lock:
            self.workers.append(worker)
        return worker

    def _rest(self, worker: "Worker") -> None:
        worker.asked += 1
        if worker.asked < LIFE:
            self._idle.append(worker)
        else:
            self._end(worker)

    def _end(self, worker: "Worker") -> None:
        with self._lock, contextlib.suppress(ValueError):
            self.workers.remove(worker)
        worker.kill()

    def counts(self, reset: bool) -> dict[str, int]:
        """Return how many pairs had each verdict."""
        with self._lock:
            counted = {verdict.value: self._counts[verdict] for verdict in AnswerVerdict}
            if reset:
                self._counts.clear()
        return counted

    def close(self) -> None:
        """Kill the workers and collect them."""
        self._idle.clear()
        for worker in list(self.workers):
            self._end(worker)


class Worker:
    """One process. It is at rest, or asked by one thread."""

    def __init__(self, command: Sequence[str]):
        path = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))))
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        self._ready, self.asked = False, 0

    def ask(self, gold: str, answer: str, seconds: float) -> AnswerVerdict | float:
        """Return the worker's verdict, or its score. Raises TimeoutError, another OSError where it is gone."""
        if not self._ready:
            try:
                self._receive(START)
            except TimeoutError as error:
                raise OSError("the worker does not start") from error
            self._ready = True
        assert self.process.stdin
        _send(self.process.stdin.fileno(), [gold, answer, seconds])
        found = self._receive(seconds)
        return found if isinstance(found, float) else AnswerVerdict(found)

    def _receive(self, seconds: float) -> str | float:
        assert self.process.stdout
        file, end, data, size = self.process.stdout.fileno(), time.monotonic() + seconds, b"", 4
        poll = select.poll()
        poll.register(file, select.POLLIN)
        while len(data) < size:
            if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
                raise TimeoutError
            chunk = os.read(file, size - len(data))
            if not chunk:
                raise BrokenPipeError("the worker is gone")
            data += chunk
            if len(data) == 4:
                size += struct.unpack("!I", data)[0]
        return json.loads(data[4:])

    def kill(self) -> None:
        """End the process and collect it."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()

    def drop(self) -> None:
        """Let go of a process that is not this process's child."""
        self.process.returncode = 0
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


def _quick(gold: str, answer: str) -> AnswerVerdict | None:
    try:
        return quick_verdict(gold, answer)
    except Exception:  # one text must not take the verdicts of all others along
        return AnswerVerdict.WRONG


def _send(file: int, message: object) -> None:
    data = json.dumps(message).encode()
    data = struct.pack("!I", len(data)) + data
    while data:
        data = data[os.write(file, data) :]


def _size() -> int:
    """Return how many workers this process may have: up to 4, its share of the cores among the machine's ranks."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(4, cores // int(os.environ.get("LOCAL_WORLD_SIZE") or 1)))


def serve_worker(judge: Callable[[str, str], str | float], prepare: Callable[[], None]) -> None:
    """Be a worker: `prepare`, then `judge` what comes on stdin until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(FRAMES)
    out = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a library prints is no verdict
    prepare()
    _send(out, "ready")
    while len(head := _read(4)) == 4:
        gold, answer, seconds = json.loads(_read(struct.unpack("!I", head)[0]))
        signal.setitimer(signal.ITIMER_REAL, seconds + 2)  # for a process that outlives whoever would kill it
        verdict = judge(gold, answer)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(out, verdict)


def _read(size: int) -> bytes:
    data = b""
    while len(data) < size and (chunk := os.read(0, size - len(data))):
        data += chunk
    return data


_POOL = WorkerPool()
os.register_at_fork(after_in_child=_POOL.forget)
atexit.register(_POOL.close)
