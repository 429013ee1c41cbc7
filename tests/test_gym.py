"""reasoning_gym's scorers: what an answer may not do that they evaluate, and that honest answers are right."""

import json
import os
import sys
from pathlib import Path

import pytest

import r1kit
from r1kit.answers.fault import FAULT
from r1kit.answers.workers import WorkerPool
from r1kit.rewards import gym
from r1kit.rewards.gym import score_gym_answers
from r1kit.rewards.plain_formulas import evaluate_plainly

reasoning_gym = pytest.importorskip("reasoning_gym")

EVALUATING_TASKS = (
    *("countdown", "polynomial_multiplication", "simple_integration", "intermediate_integration", "puzzle24"),
    *("spiral_matrix", "binary_matrix", "string_insertion", "n_queens"),
)
# The worker without its limit on what is evaluated: what remains is the process of each pair.
UNLIMITED_WORKER = """
import r1kit.rewards.gym_worker as worker
worker.replace_eval = lambda package: None
worker._evaluating_tasks.update(("n_queens", "string_insertion"))
worker.serve_gym_worker()
"""
REPLACE_SCORER = (
    "setattr(__import__('reasoning_gym').games.n_queens.NQueensDataset, 'score_answer', lambda *a, **k: 1.0)"
)
HOSTILE_ANSWERS = (
    "__import__('os')._exit(0)",
    REPLACE_SCORER,
    "__import__('builtins').__dict__.update(eval=lambda *a: 24, float=lambda x: 1.0)",
    "setattr(__import__('sympy'), 'simplify', lambda e: 0)",
    "[o for o in __import__('gc').get_objects() if isinstance(o, dict) and 'answer' in o][0]['answer']",
    "__import__('sys')._getframe(1).f_locals['entry']['answer']",
    "__import__('sys')._getframe(1).f_locals['valid_solutions'][0]",
    "(lambda: 24)()",
    "oracle_answer",
    "entry['answer']",
    "__import__('builtins').entry",
    "[c for c in 'ABC']",
    "f'{1}'",
    "''.join(['A'])",
    "open('/etc/passwd').read()",
    "sympify('__import__(\"os\").getpid()')",
    "sin('__import__(\"os\").getpid()')",
    "integrate(x, x)",
    "Integral(x, x)",
    "lambdify(x, x)(24)",
    "'A' * 10**12",
    "(" * 5000,
)


def read_entries(task, count=3):
    """Return entries of a task as rows hold them, after JSON."""
    return [json.loads(json.dumps(entry, default=str)) for entry in reasoning_gym.create_dataset(task, size=count)]


@pytest.fixture(scope="module")
def unlimited_pool():
    """A pool of one worker that evaluates any Python. Its environment holds what no answer may see."""
    os.environ["R1KIT_CANARY"] = "secret"
    pool = WorkerPool([sys.executable, "-P", "-c", UNLIMITED_WORKER], 1)
    yield pool
    pool.close()
    del os.environ["R1KIT_CANARY"]


@pytest.fixture(scope="module")
def scores_after_hostile_answers():
    """The scores of hostile answers, and of gold and wrong answers that the same workers judge afterwards."""
    entries = {task: read_entries(task) for task in EVALUATING_TASKS}
    hostile, golds, wrong = [], [], []
    for task, [first, *_] in entries.items():
        hostile += [(first, answer) for answer in HOSTILE_ANSWERS]
        golds += [(entry, str(entry["answer"])) for entry in entries[task]]
        wrong.append((first, "1+1"))
    scores = score_gym_answers([*hostile, *golds, *wrong], 20.0)
    names = [(entry["metadata"]["source_dataset"], answer) for entry, answer in hostile]
    golds_end = len(hostile) + len(golds)
    return {
        "hostile": dict(zip(names, scores[: len(hostile)], strict=True)),
        "golds": scores[len(hostile) : golds_end],
        "wrong": scores[golds_end:],
    }


def test_a_hostile_answer_earns_nothing(scores_after_hostile_answers):
    paid = {pair: score for pair, score in scores_after_hostile_answers["hostile"].items() if (score or 0) > 0.05}
    assert paid == {}


def test_gold_and_wrong_answers_after_hostile_ones_are_scored_as_before(scores_after_hostile_answers):
    assert set(scores_after_hostile_answers["golds"]) == {1.0}
    assert all(0 <= score <= 0.05 for score in scores_after_hostile_answers["wrong"])


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("simple_integration", "GOLD + log(abs(x)) - log(Abs(x)) + exp(0) - 1"),
        ("intermediate_integration", "GOLD + sqrt(2)*pi + C"),
        ("countdown", " +(GOLD) "),
    ],
)
def test_honest_ways_to_write_an_answer_are_evaluated(task, answer):
    entries = read_entries(task, 2)
    pairs = [(entry, answer.replace("GOLD", entry["answer"])) for entry in entries]
    assert score_gym_answers(pairs, 20.0) == [1.0, 1.0]


@pytest.mark.parametrize("text", ["[['A', 1], ('B', -2.5)]", " {'a': [1, 2]}", "(0x5 + 0x3) * 2 - ~1", "'x' 'y'"])
def test_data_is_evaluated_as_python_does(text):
    assert evaluate_plainly(text) == eval(text.strip())


# --- the process of a pair, should an answer be evaluated as Python after all -----------------------------------------

PATCH_EVERYTHING = (
    f"[{REPLACE_SCORER}, __import__('builtins').__dict__.update(eval=lambda *a: 1 / 0), "
    "__import__('sympy').__dict__.clear()]"
)
OUTLIVE_THE_PAIR = "[__import__('os').fork(), __import__('time').sleep(2)]"
WRITE_TO_DESCRIPTORS = (
    "[__import__('contextlib').suppress(OSError).__enter__(), "
    "[__import__('os').write(fd, b'1.0') for fd in range(64) if __import__('os').path.exists(f'/dev/fd/{fd}')]]"
)
PRINT_SCORES = "[__import__('os').write(fd, b'\\x00\\x00\\x00\\x031.0') for fd in (0, 1, 2)]"


@pytest.mark.parametrize("hostile", [PATCH_EVERYTHING, OUTLIVE_THE_PAIR, WRITE_TO_DESCRIPTORS, PRINT_SCORES])
def test_what_one_answer_does_is_gone_for_the_next(unlimited_pool, hostile):
    first, second = read_entries("n_queens", 2)
    unlimited_pool.ask([json.dumps(first), hostile, 5.0], 60.0)
    pairs = [(second, "no"), (second, str(second["answer"])), (first, "no")]
    assert [unlimited_pool.ask([json.dumps(entry), answer, 5.0], 60.0) for entry, answer in pairs] == [0.0, 1.0, 0.0]
    assert len(unlimited_pool.workers) == 1, "the worker itself must not have died"


def could(action):
    """Return an answer to a string insertion that is worth 0.1 if `action` returns something true."""
    return f"list('AB') if {action} else 1 / 0"


@pytest.mark.parametrize(
    "action",
    [
        f"open({str(Path(r1kit.__file__))!r})",
        "open('/etc/passwd')",
        "__import__('os').listdir('/tmp')",
        "open('/dev/null/../shm/x', 'w')",
        "__import__('os').fork() >= 0",
        "__import__('socket').socket()",
        "__import__('os').kill(__import__('os').getppid(), 0) is None",
        "[open(f'/proc/{__import__(\"os\").getppid()}/fd/{fd}') for fd in (0, 1, 3, 4)]",
        "open(f'/proc/{__import__(\"os\").getppid()}/mem', 'rb')",
        "'R1KIT_CANARY' in __import__('os').environ",
        "[m for m in __import__('gc').get_objects() if isinstance(m, str) and 'the gold of another pair' in m]",
    ],
)
def test_the_process_of_a_pair_can_reach_nothing(unlimited_pool, action):
    metadata = {"source_dataset": "string_insertion"}
    earlier = json.dumps({"question": "", "answer": "the gold of another " + "pair", "metadata": metadata})
    entry = json.dumps({"question": "", "answer": "AB", "metadata": metadata})
    assert unlimited_pool.ask([earlier, "no", 5.0], 60.0) == 0.0
    assert unlimited_pool.ask([entry, could("True"), 5.0], 60.0) == 0.1
    assert unlimited_pool.ask([entry, could(action), 5.0], 60.0) == 0.0


def test_a_pair_that_takes_too_long_leaves_its_worker(unlimited_pool):
    [entry] = read_entries("n_queens", 1)
    text = json.dumps(entry)
    for answer in ("__import__('time').sleep(60)", "9**9**9**9"):
        assert unlimited_pool.ask([text, answer, 0.5], 60.0) == "timeout"
    [pid] = [worker.process.pid for worker in unlimited_pool.workers]
    assert unlimited_pool.ask([text, str(entry["answer"]), 5.0], 60.0) == 1.0
    assert [worker.process.pid for worker in unlimited_pool.workers] == [pid]


def test_an_answer_that_kills_its_process_is_wrong_and_a_broken_entry_is_a_fault():
    [entry] = read_entries("n_queens", 1)
    broken = {"question": "", "answer": "", "metadata": {"source_dataset": "no_such_task"}}
    assert score_gym_answers([(entry, "'Q' * 10**11"), (broken, "1")], 20.0) == [0.0, FAULT]


@pytest.mark.parametrize("nan", ["nan", "NaN", "n a n", "nan + nan i", "3 + nani", "-nani"])
def test_no_number_is_never_right(nan):
    entry = reasoning_gym.create_dataset("complex_arithmetic", size=1, seed=3)[0]
    assert score_gym_answers([(entry, nan), (entry, entry["answer"])], 20.0) == [0.0, 1.0]


def test_a_scorer_that_takes_any_text_gives_no_score():
    entry = reasoning_gym.create_dataset("game_of_life_halting", size=1, seed=3)[0]
    assert score_gym_answers([(entry, "True"), (entry, "False"), (entry, "I do not know")], 20.0) == [FAULT] * 3


WORKER_THAT_CANNOT_CONFINE = """
import os
import r1kit.rewards.gym_worker as worker
worker.restrict_with_landlock = lambda rules: os._exit(121)
worker.serve_gym_worker()
"""


def test_where_nothing_can_be_confined_a_line_says_why_there_are_no_scores(monkeypatch, capsys):
    pool = WorkerPool((sys.executable, "-P", "-c", WORKER_THAT_CANNOT_CONFINE), 1)
    monkeypatch.setattr(gym, "_pool", lambda: pool)
    gym._warn_of_missing_confinement.cache_clear()
    entries = read_entries("n_queens", 2)
    assert score_gym_answers([(entry, str(entry["answer"])) for entry in entries], 20.0) == [FAULT, FAULT]
    assert capsys.readouterr().err.count("this machine's kernel has neither Landlock nor seccomp") == 1


def test_a_scorer_that_evaluates_does_so_in_no_worker_and_others_need_no_process_of_their_own():
    worker = """
import r1kit.rewards.gym_worker as worker
worker._score_in_child = lambda *args: "in a child"
worker.serve_gym_worker()
"""
    pool = WorkerPool((sys.executable, "-P", "-c", worker), 1)
    try:
        for task in EVALUATING_TASKS:
            [entry] = read_entries(task, 1)
            assert pool.ask([json.dumps(entry), "[1 + 1, 2]", 5.0], 60.0) == "in a child", task
        [entry] = read_entries("leg_counting", 1)
        assert pool.ask([json.dumps(entry), str(entry["answer"]), 5.0], 60.0) == 1.0
    finally:
        pool.close()
