"""The pool of workers: slow workers are killed, dead ones are replaced, and none outlives its process."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from r1kit.answers import workers
from r1kit.answers.verdict import AnswerVerdict
from r1kit.answers.workers import WorkerPool

SLOW = ("5", "(((x+y+z+1)^{999}+1)^{999}+1)^{9}")  # passes the filter, and keeps sympy busy for minutes
STUB_WORKER = """
import os, sys, time
sys.path.insert(0, {root!r})
from r1kit.answers.workers import read_message, write_message
write_message(1, "ready")
def receive():
    message = read_message()
    return sys.exit() if message is None else message
"""
ROOT = str(Path(workers.__file__).parents[2])


def stub(body):
    """Return the command of a worker that speaks the pool's protocol and does `body` with each pair."""
    return [sys.executable, "-c", STUB_WORKER.format(root=ROOT) + textwrap.dedent(body)]


@pytest.fixture
def pool(request):
    """A pool of two workers; with a parameter, of two stubs whose body it is."""
    body = getattr(request, "param", None)
    worker_pool = WorkerPool(stub(body), 2) if body else WorkerPool(size=2)
    yield worker_pool
    worker_pool.close()


@pytest.fixture(scope="module", autouse=True)
def close_own_pool():
    """Ends the workers of this process's pool."""
    yield
    workers.close_workers()


def is_alive(process):
    return process.poll() is None


def test_pairs_keep_their_order_and_are_judged_once():
    pairs = [("x+1", "1+x"), ("5", "5.0"), ("x+1", "x+2"), ("x+1", "1+x"), ("", "5"), ("\\sqrt{12}", "2\\sqrt3")]
    workers.verdict_counts(reset=True)
    assert workers.verify_answers(pairs) == [
        AnswerVerdict.RIGHT,
        AnswerVerdict.RIGHT,
        AnswerVerdict.WRONG,
        AnswerVerdict.RIGHT,
        AnswerVerdict.BROKEN_GOLD,
        AnswerVerdict.RIGHT,
    ]
    assert workers.verdict_counts() == {"right": 4, "wrong": 1, "timeout": 0, "broken gold": 1, "fault": 0}
    assert workers.verdict_counts(reset=True)["right"] == 4
    assert workers.verdict_counts()["right"] == 0
    assert workers.verify_answer("x+1", "1+x") is AnswerVerdict.RIGHT


def test_plain_numbers_and_words_start_no_worker(pool):
    verdicts = pool.verify_all([("4", "4.0"), ("1/2", "0.5"), ("Paris", "Rome"), ("12", "-12"), ("7", "9^{9^9}")], 3)
    assert [v is AnswerVerdict.RIGHT for v in verdicts] == [True, True, False, False, False]
    assert pool.workers == []


def test_a_worker_has_no_torch_in_it():
    source = "import sys; from r1kit.answers import symbolic, workers; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "False\n"


@pytest.mark.alone
@pytest.mark.parametrize("thread", [False, True], ids=["main thread", "another thread"])
def test_a_slow_pair_is_killed_in_time_and_the_next_one_is_judged(pool, thread):
    assert pool.verify_all([("x+1", "1+x")], 3) == [AnswerVerdict.RIGHT]  # the worker is up
    slow = pool.workers[0].process
    results = []  # the verdict and the seconds

    def run():
        start = time.monotonic()
        results.extend(pool.verify_all([SLOW], 3))
        results.append(time.monotonic() - start)

    if thread:
        runner = threading.Thread(target=run)
        runner.start()
        runner.join()
    else:
        run()
    assert results[0] is AnswerVerdict.TIMEOUT
    assert 2.9 < results[1] < 3.5
    assert slow.returncode == -signal.SIGKILL
    assert pool.counts(False)["timeout"] == 1
    assert pool.verify_all([("x+1", "x+2")], 3) == [AnswerVerdict.WRONG]


@pytest.mark.alone
@pytest.mark.parametrize("pool", ["receive(); time.sleep(60)"], indirect=True)
def test_the_start_of_a_worker_is_not_the_pairs_time_and_several_wait_at_once(pool):
    start = time.monotonic()
    pairs = [(f"x+{n}", f"{n}-x") for n in range(4)]
    assert pool.verify_all(pairs, 0.5) == [AnswerVerdict.TIMEOUT] * 4
    assert time.monotonic() - start < 8  # two by two; most of it is Python that starts


@pytest.mark.parametrize("pool", ["while True: receive(); time.sleep(2); write_message(1, 'right')"], indirect=True)
def test_a_worker_killed_in_the_middle_is_replaced_once(pool):
    verdicts = []
    judging = threading.Thread(target=lambda: verdicts.extend(pool.verify_all([("x+1", "1+x")], 20)))
    judging.start()
    while not (pool.workers and pool.workers[0].is_ready):
        time.sleep(0.01)
    first = pool.workers[0].process
    os.kill(first.pid, signal.SIGKILL)
    judging.join()
    assert verdicts == [AnswerVerdict.RIGHT]
    assert pool.workers[0].process.pid != first.pid
    assert first.returncode == -signal.SIGKILL


@pytest.mark.parametrize("pool", ["while True: receive(); write_message(1, 'right')"], indirect=True)
def test_an_idle_worker_that_was_killed_is_replaced(pool):
    assert pool.verify_all([("x+1", "1+x")], 20) == [AnswerVerdict.RIGHT]
    os.kill(pool.workers[0].process.pid, signal.SIGKILL)
    assert pool.verify_all([("x+2", "2+x")], 20) == [AnswerVerdict.RIGHT]
    assert len(pool.workers) == 1


@pytest.mark.parametrize(
    "pool", ["receive(); time.sleep(0.5); write_message(1, 'right'); receive(); os._exit(1)"], indirect=True
)
def test_a_pair_whose_worker_dies_goes_to_a_new_one_not_to_another_that_may_be_dying(pool):
    assert pool.verify_all([("x+1", "1+x"), ("x+2", "2+x")], 20) == [AnswerVerdict.RIGHT] * 2
    assert len(pool.workers) == 2
    assert pool.verify_all([("x+3", "3+x")], 20) == [AnswerVerdict.RIGHT]


@pytest.mark.parametrize("pool", ["receive(); os._exit(1)"], indirect=True)
def test_a_pair_on_which_every_worker_dies_is_a_fault_which_is_not_remembered(pool):
    assert pool.verify_all([("x+1", "1+x")], 20) == [AnswerVerdict.FAULT]
    assert pool.counts(False)["fault"] == 1
    pool.command = stub("receive(); write_message(1, 'right')")
    assert pool.verify_all([("x+1", "1+x")], 20) == [AnswerVerdict.RIGHT]


def test_a_worker_that_does_not_start_is_a_fault(monkeypatch, pool):
    monkeypatch.setattr(workers, "START_SECONDS", 0.2)
    pool.command = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert pool.verify_all([("x+1", "1+x")], 3) == [AnswerVerdict.FAULT]
    assert pool.workers == []


@pytest.mark.parametrize("pool", ["while True: receive(); write_message(1, 'right')"], indirect=True)
def test_a_worker_started_in_advance_judges_the_first_pair(pool):
    pool.start()
    [worker] = pool.workers
    pool.start()
    assert pool.verify_all([("x+1", "1+x")], 20) == [AnswerVerdict.RIGHT]
    assert pool.workers == [worker]


@pytest.mark.parametrize("pool", ["while True: receive(); write_message(1, 'right')"], indirect=True)
def test_a_worker_is_replaced_after_its_last_pair(monkeypatch, pool):
    monkeypatch.setattr(workers, "MAX_PAIRS_PER_WORKER", 2)
    assert pool.verify_all([("x+1", "1+x")], 20) == [AnswerVerdict.RIGHT]
    first = pool.workers[0].process
    assert pool.verify_all([("x+2", "2+x")], 20) == [AnswerVerdict.RIGHT]
    assert pool.workers == []
    assert first.returncode is not None


def test_eight_threads_at_once(pool):
    verdicts = {}

    def run(n):
        verdicts[n] = pool.verify_all([(f"x+{k}", f"{k if k % 2 else k + 1}+x") for k in range(n, n + 4)], 20)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pool.workers) <= 2
    for n in range(8):
        assert verdicts[n] == [AnswerVerdict.RIGHT if k % 2 else AnswerVerdict.WRONG for k in range(n, n + 4)]
    assert pool.counts(False)["right"] == pool.counts(False)["wrong"] == 16


FORKING_PROCESS = """
import os, sys, threading
from r1kit.answers import workers
from r1kit.answers.verdict import AnswerVerdict
assert workers.verify_answer("x+1", "1+x") is AnswerVerdict.RIGHT
parents = {w.process.pid for w in workers._POOL.workers}
workers._POOL._lock.acquire()  # as if another thread held it at that moment
child = os.fork()
if child == 0:
    ok = workers.verify_answer("x+1", "x+3") is AnswerVerdict.WRONG and workers.verdict_counts()["wrong"] == 1
    children = {w.process.pid for w in workers._POOL.workers}
    workers.close_workers()
    os._exit(0 if ok and children and not children & parents else 1)
workers._POOL._lock.release()
assert os.waitpid(child, 0)[1] == 0
assert workers.verify_answer("x+2", "2+x") is AnswerVerdict.RIGHT
assert {w.process.pid for w in workers._POOL.workers} == parents
print("done")
"""


def test_a_forked_child_has_workers_of_its_own_and_leaves_its_parents_alone():
    done = subprocess.run(
        [sys.executable, "-c", FORKING_PROCESS], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_close_leaves_no_process_and_the_pool_starts_again(pool):
    assert pool.verify_all([("x+1", "1+x"), ("x+2", "2+x")], 20) == [AnswerVerdict.RIGHT] * 2
    processes = [w.process for w in pool.workers]
    assert all(map(is_alive, processes))
    pool.close()
    for process in processes:
        assert process.returncode is not None
        with pytest.raises(ProcessLookupError):  # collected: no zombie either
            os.kill(process.pid, 0)
    assert pool.verify_all([("x+3", "3+x")], 20) == [AnswerVerdict.RIGHT]


ENDING_PROCESS = """
import os, signal, sys, threading, time
from r1kit.answers import workers
assert workers.verify_answer("x+1", "1+x").value == "right"
print(workers._POOL.workers[0].process.pid, flush=True)
if sys.argv[1] == "busy":
    threading.Thread(target=workers.verify_answer, args=(*{slow!r}, 1.0), daemon=True).start()
    time.sleep(0.5)
if sys.argv[1] != "exit":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.alone
@pytest.mark.parametrize("how", ["exit", "idle", "busy"])
def test_a_worker_ends_with_its_process_however_that_ends(how):
    command = [sys.executable, "-c", ENDING_PROCESS.format(slow=SLOW), how]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    worker = Path(f"/proc/{int(done.stdout)}")
    end = time.monotonic() + 8  # a busy one: its second, and two more
    while worker.exists() and "\nState:\tZ" not in (worker / "status").read_text() and time.monotonic() < end:
        time.sleep(0.05)
    assert time.monotonic() < end


def test_the_ranks_of_a_machine_share_its_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert WorkerPool().size == 4
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert WorkerPool().size == 4
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert WorkerPool().size == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert WorkerPool().size == 1
