"""Rows that are judged while others are sampled: each once, and as without it."""

import functools
import threading
import time

import pytest
import torch

from r1kit.errors import UserError
from r1kit.recipe import RewardConfig
from r1kit.rewards.binding import bind_reward, run_in_thread
from r1kit.rewards.eager import EagerJudge


class CountingReward:
    """A reward that scores the length of a row's answer, and keeps what it was asked."""

    def __init__(self):
        self.__name__ = "counted"
        self.calls = []
        self.may_score = threading.Event()
        self.may_score.set()

    def __call__(self, completions, answer=None, **columns):
        self.may_score.wait()
        self.calls.append(list(completions))
        return [float(len(c) + len(a)) for c, a in zip(completions, answer, strict=True)]


class Named(functools.partial):
    """A bound function with a name, as `bind` makes it."""

    __name__ = "accuracy"


ROWS = [("one", "1"), ("two", "22"), ("three", "333"), ("two", "22"), ("two", "4444")]


def score_all_rows(reward):
    return reward([c for c, _ in ROWS], answer=[a for _, a in ROWS], log_extra=print, trainer_state=None)


def warmed_up_judge(seconds=3.0):
    """A reward that was called once, and what it calls."""
    plain = CountingReward()
    reward = EagerJudge(plain, seconds)
    score_all_rows(reward)
    plain.calls.clear()
    return plain, reward


def test_each_row_is_scored_once_and_in_its_place():
    plain, reward = warmed_up_judge()
    for i in (1, 2, 3):
        reward.begin(ROWS[i][0], answer=ROWS[i][1])
    while len(plain.calls) < 2:
        pass
    assert score_all_rows(reward) == [4, 5, 8, 5, 7]
    assert sorted(plain.calls) == [["one", "two"], ["three"], ["two"]]  # the second "two" has another answer
    assert score_all_rows(reward) == [4, 5, 8, 5, 7]  # nothing is kept from one call to the next
    assert plain.calls[-1] == [c for c, _ in ROWS]


def test_what_has_not_begun_is_scored_with_the_rest():
    plain, reward = warmed_up_judge()
    plain.may_score.clear()
    for completion, answer in ROWS:
        reward.begin(completion, answer=answer)
    scores = []
    scoring_thread = threading.Thread(target=lambda: scores.extend(score_all_rows(reward)))
    scoring_thread.start()
    plain.may_score.set()
    scoring_thread.join()
    assert scores == [4, 5, 8, 5, 7]
    assert sum(map(len, plain.calls)) <= len(ROWS)


def test_rows_that_are_never_found_again_are_not_begun_any_more():
    plain, reward = warmed_up_judge()
    reward.begin("<think>", answer="1")
    assert score_all_rows(reward) == [4, 5, 8, 5, 7]
    before = len(plain.calls)
    for _ in range(2):
        reward.begin("one", answer="1")
        assert len(plain.calls) == before
        assert score_all_rows(reward) == [4, 5, 8, 5, 7]
        before += 1


def test_the_first_call_is_of_all_rows():
    """It alone may say that the reward or the data is broken."""
    plain = CountingReward()
    reward = EagerJudge(plain)
    reward.begin("one", answer="1")
    assert score_all_rows(reward) == [4, 5, 8, 5, 7]
    assert plain.calls == [[c for c, _ in ROWS]]


def test_what_took_too_long_beside_the_sampling_is_judged_again():
    plain, reward = warmed_up_judge(seconds=0.2)
    plain.may_score.clear()
    reward.begin("one", answer="1")
    threading.Timer(0.4, plain.may_score.set).start()
    time.sleep(0.1)
    assert score_all_rows(reward) == [4, 5, 8, 5, 7]
    assert sorted(plain.calls, key=str) == [["one"], ["one"], ["two", "three", "two", "two"]]


def test_timeouts_are_counted_once():
    from r1kit.rewards.accuracy import accuracy
    from r1kit.rewards.timeouts import take_timeout_count

    hangs = [{"kind": "call", "function": "f", "args": [], "expected": 1}]
    given = {"tests": hangs, "answer": None}
    reward = EagerJudge(Named(accuracy, seconds=0.3), 0.3)
    take_timeout_count()
    for _ in range(3):
        reward.begin("<answer>def f():\n    while True: pass</answer>", **given)
        time.sleep(0.6)
        assert reward(["<answer>def f():\n    while True: pass</answer>"], tests=[hangs], answer=[None]) == [0.0]
        assert take_timeout_count() == 1


def test_what_is_forgotten_is_not_judged_any_more():
    plain, reward = warmed_up_judge()
    plain.may_score.clear()
    for completion, answer in ROWS:
        reward.begin(completion, answer=answer)
    reward.forget()
    plain.may_score.set()
    assert score_all_rows(reward) == [4, 5, 8, 5, 7]
    assert plain.calls[-1] == [c for c, _ in ROWS]


def test_a_mistake_comes_through():
    def broken(completions, **columns):
        raise UserError("rewards.0", "broken", "raised", "mend it")

    reward = EagerJudge(broken)
    reward._is_useful = True
    reward.begin("one", answer="1")
    with pytest.raises(UserError):
        score_all_rows(reward)


def test_accuracy_is_the_same_with_columns_of_every_kind():
    """Messages and texts, code and mathematics, a window of steps, and rows that the reward leaves out."""
    import asyncio
    from types import SimpleNamespace

    code = [{"kind": "call", "function": "f", "args": [2], "expected": 4}]
    rows = [
        {"prompts": "Double it", "tests": code, "answer": None, "checker": "code", "domain": "code"},
        {"prompts": "What is 1 + 1?", "tests": None, "answer": "x+1", "checker": "math", "domain": "math"},
        {"prompts": "Capital?", "tests": None, "answer": "Paris", "checker": "exact", "domain": "facts"},
    ]
    said = ["<answer>def f(x): return 2 * x</answer>", "<answer>1+x</answer>", "<answer>Rome</answer>"]
    for state, wanted in ((0, [None, None, None]), (5, [1.0, 1.0, None])):
        entry = RewardConfig.model_validate({"name": "accuracy", "from_step": 3, "where": {"domain": ["code", "math"]}})
        reward = EagerJudge(bind_reward(entry))
        reward._is_useful = True
        given = {"trainer_state": SimpleNamespace(global_step=state, max_steps=10)}
        for chat in (False, True):
            completions = [[{"role": "assistant", "content": c}] if chat else c for c in said]
            for completion, row in zip(completions, rows, strict=True):
                reward.begin(completion, **given, **row)
            columns = {name: [row[name] for row in rows] for name in rows[0]}
            assert asyncio.run(run_in_thread(reward)(completions=completions, **given, **columns)) == wanted


def test_a_sampler_tells_of_each_row_that_ends_before_the_last():
    from test_decode import model_and_prompts, settings

    from r1kit.models.decode import sample_completions

    model, prompts = model_and_prompts(12)
    torch.manual_seed(0)
    told = {}
    ids, _ = sample_completions(model, prompts, settings(), [0], told.__setitem__)
    longest = max(map(len, ids))
    assert told == {i: row for i, row in enumerate(ids) if len(row) < longest and row[-1] == 0}
    assert len(told) > 6
