"""Rows that are judged while others are sampled: each once, and as without it."""

import threading

import pytest

from r1kit.errors import UserError
from r1kit.recipe import Reward
from r1kit.rewards import aside, bind
from r1kit.rewards.ahead import Ahead


class Counted:
    """A reward that scores the length of a row's answer, and keeps what it was asked."""

    def __init__(self):
        self.__name__, self.asked, self.free = "counted", [], threading.Event()
        self.free.set()

    def __call__(self, completions, answer=None, **columns):
        self.free.wait()
        self.asked.append(list(completions))
        return [float(len(c) + len(a)) for c, a in zip(completions, answer, strict=True)]


ROWS = [("one", "1"), ("two", "22"), ("three", "333"), ("two", "22"), ("two", "4444")]


def called(reward):
    return reward([c for c, _ in ROWS], answer=[a for _, a in ROWS], log_extra=print, trainer_state=None)


def test_each_row_is_scored_once_and_in_its_place():
    plain = Counted()
    reward = Ahead(plain)
    for i in (1, 2, 3):
        reward.begin(ROWS[i][0], answer=ROWS[i][1])
    while len(plain.asked) < 2:
        pass
    assert called(reward) == [4, 5, 8, 5, 7]
    assert sorted(plain.asked) == [["one", "two"], ["three"], ["two"]]  # the second "two" has another answer
    assert called(reward) == [4, 5, 8, 5, 7]  # nothing is kept from one call to the next
    assert plain.asked[-1] == [c for c, _ in ROWS]


def test_what_has_not_begun_is_scored_with_the_rest():
    plain = Counted()
    reward = Ahead(plain)
    plain.free.clear()
    for completion, answer in ROWS:
        reward.begin(completion, answer=answer)
    scores = []
    asking = threading.Thread(target=lambda: scores.extend(called(reward)))
    asking.start()
    plain.free.set()
    asking.join()
    assert scores == [4, 5, 8, 5, 7]
    assert sum(map(len, plain.asked)) <= len(ROWS)


def test_rows_that_are_never_found_again_are_not_begun_any_more():
    plain = Counted()
    reward = Ahead(plain)
    reward.begin("<think>", answer="1")
    assert called(reward) == [4, 5, 8, 5, 7]
    before = len(plain.asked)
    reward.begin("one", answer="1")
    assert len(plain.asked) == before


def test_a_mistake_comes_through():
    def broken(completions, **columns):
        raise UserError("rewards.0", "broken", "raised", "mend it")

    reward = Ahead(broken)
    reward.begin("one", answer="1")
    with pytest.raises(UserError):
        called(reward)


def test_accuracy_is_the_same_with_columns_of_every_kind():
    """Messages and texts, code and mathematics, a window of steps, and rows that the reward leaves out."""
    import asyncio
    from types import SimpleNamespace

    code = [{"kind": "call", "function": "f", "args": [2], "expected": 4}]
    rows = [
        {"prompts": "Double it", "tests": code, "answer": None, "verifier": "code", "domain": "code"},
        {"prompts": "What is 1 + 1?", "tests": None, "answer": "x+1", "verifier": "math", "domain": "math"},
        {"prompts": "Capital?", "tests": None, "answer": "Paris", "verifier": "exact", "domain": "facts"},
    ]
    said = ["<answer>def f(x): return 2 * x</answer>", "<answer>1+x</answer>", "<answer>Rome</answer>"]
    for state, wanted in ((0, [None, None, None]), (5, [1.0, 1.0, None])):
        entry = Reward.model_validate({"name": "accuracy", "from_step": 3, "where": {"domain": ["code", "math"]}})
        reward = Ahead(bind(entry))
        given = {"trainer_state": SimpleNamespace(global_step=state, max_steps=10)}
        for chat in (False, True):
            completions = [[{"role": "assistant", "content": c}] if chat else c for c in said]
            for completion, row in zip(completions, rows, strict=True):
                reward.begin(completion, **given, **row)
            columns = {name: [row[name] for row in rows] for name in rows[0]}
            assert asyncio.run(aside(reward)(completions=completions, **given, **columns)) == wanted


def test_a_sampler_tells_of_each_row_that_ends_before_the_last():
    from test_lean import model_and_prompts, settings

    from r1kit.training.decode import sample

    model, prompts = model_and_prompts(12)
    told = {}
    ids, _ = sample(model, prompts, settings(), [0], told.__setitem__)
    longest = max(map(len, ids))
    assert told == {i: row for i, row in enumerate(ids) if len(row) < longest and row[-1] == 0}
    assert len(told) > 6
