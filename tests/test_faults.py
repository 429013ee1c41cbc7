"""What goes wrong with rewards in the middle of a training: the run ends, and its metrics say what happened."""

import json

import pytest
from helpers import RL, r1kit, read_data, read_info, read_metrics, write_recipe

pytestmark = pytest.mark.slow

# A reward that kills the workers of the accuracy beside it at step 2, stops them at step 4, raises at step 5 and
# returns NaN at step 6. It has pairs of its own judged, which nobody judged before, so that there is a worker to send a
# signal to, and that somebody needs that worker afterwards.
CHAOS = """
import os, signal
from itertools import count
from r1kit.rewards.accuracy import accuracy
from r1kit.answers.workers import _POOL, verdict_counts

new_numbers, steps = count(), count(1)

def judge_new_pair():
    return accuracy(["<answer>y</answer>"], [f"x^2+{next(new_numbers)}"], ["math"], seconds=1.0)

def send_to_workers(signal_number):
    pids = []
    while not pids:
        assert judge_new_pair() == [0.0]
        pids = [worker.process.pid for worker in _POOL.workers if worker.is_ready]
    for pid in pids:
        os.kill(pid, signal_number)

def chaos(completions, **columns):
    step = next(steps)
    if step == 2:
        send_to_workers(signal.SIGKILL)
        assert judge_new_pair() == [0.0]
    if step == 4:
        send_to_workers(signal.SIGSTOP)
        timeouts_before = verdict_counts()["timeout"]
        while verdict_counts()["timeout"] == timeouts_before:
            assert judge_new_pair() == [0.0]
    if step == 5:
        raise RuntimeError("out of luck")
    if step == 6:
        return [float("nan")] * len(completions)
    return [0.5] * len(completions)
"""


def test_a_run_survives_dead_and_hanging_workers_and_a_reward_that_raises(here, monkeypatch):
    (here / "chaos.py").write_text(CHAOS)
    golds = ["x^2+1", "\\frac{x}{2}", "7", "4"]
    problems = [{"prompt": f"What is {n} + 1?", "answer": golds[n % 4], "checker": "math"} for n in range(40)]
    (here / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in problems))
    values = {**RL, "data": {"train": [{"path": "rows.jsonl"}]}, "output": "run"}
    values["rewards"] = [{"name": "accuracy", "seconds": 1.0}, {"name": "chaos.chaos"}]
    values["training"] = {"steps": 7, "batch_size": 16, "learning_rate": 1e-3, "save_steps": 3, "log_steps": 1}
    values["training"]["savings"] = ["trim"]  # accuracy is then judged beside the other reward, not during the sampling
    _, err = r1kit("rl-zero", write_recipe(here / "recipe.yaml", **values))
    assert "reward chaos.chaos raised RuntimeError('out of luck'): its 16 rows are left out" in err
    assert "FutureWarning" not in err
    lines = [line for line in read_metrics(here / "run") if "reward" in line]
    assert read_info(here / "run")["status"] == "finished"
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert [line["rewards/chaos/faults"] for line in lines] == [0, 0, 0, 0, 16, 16, 0]
    assert [line["faults"] for line in lines] == [0, 0, 0, 0, 16, 16, 0]
    assert sum(line["timeouts"] for line in lines) >= 1  # the workers that were stopped
    assert sum(line["rewards/accuracy/faults"] for line in lines) == 0  # the dead ones were replaced
    rows = read_data(here / "run/completions")
    assert len(rows) == 112
    assert all(row["advantage"] == 0 for row in rows if row["step"] in (5, 6))


def test_a_reward_that_never_worked_ends_the_run_at_once(here):
    (here / "broken.py").write_text("def broken(completions, **columns):\n    return 1 / 0\n")
    values = {**RL, "output": "run", "rewards": [{"name": "broken.broken"}]}
    _, err = r1kit("rl-zero", write_recipe(here / "recipe.yaml", **values), code=2)
    last_line = err.strip().splitlines()[-1]
    assert last_line.startswith("error: rewards.0 = broken.broken; raised ZeroDivisionError")


def test_run_json_names_the_isolation_of_code(here):
    tests = [{"kind": "call", "function": "f", "args": [1], "expected": 2}]
    (here / "rows.jsonl").write_text(json.dumps({"prompt": "Write f", "tests": tests}) + "\n")
    values = {
        "model": {"path": "tiny:student"},
        "data": {"eval": [{"path": "rows.jsonl"}]},
        "prompt": {"template": "tiny"},
        "sampling": {"samples": 1, "max_tokens": 4},
    }
    for isolation in ("none", "landlock"):
        entry = {"name": "accuracy", "isolation": isolation}
        r1kit("eval", write_recipe(here / "e.yaml", **values, output=f"run-{isolation}", rewards=[entry]))
        assert read_info(here / f"run-{isolation}")["isolation"] == isolation
    entry = {"name": "accuracy", "isolation": "docker"}
    _, err = r1kit("eval", write_recipe(here / "e.yaml", **values, output="run-docker", rewards=[entry]), code=2)
    assert "isolation = docker" in err
