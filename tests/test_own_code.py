"""Functions and classes of a user's own by dotted paths: checkers, trainers; and r1kit's rewards in TRL's scripts."""

import json
from types import SimpleNamespace

import pytest
from helpers import r1kit

from r1kit.errors import UserError
from r1kit.recipe import RewardConfig, load_recipe
from r1kit.rewards import FAULT, accuracy, brevity, for_trl, own_checkers
from r1kit.rewards.binding import bind_reward
from r1kit.rewards.checks import check_reward_columns, check_reward_rows
from r1kit.rewards.own_checkers import load_checker
from r1kit.rewards.own_code import CallTimeout

MODULE = """
import time

def reversed_text(answer, gold):
    return answer == gold[::-1]

def by_level(answer, gold, question, level):
    assert question == "Q?", question
    return {"low": 0.25, "high": True, "none": None, "nan": float("nan")}[level]

def with_all(answer, gold, **row):
    return sorted(row) == ["completion", "level", "question"]

def broken(answer, gold):
    raise OSError("no disk")

def too_much(answer, gold):
    return 7

def hangs_at_b(answer, gold):
    while answer == "b":
        time.sleep(0.01)
    return True

number = 3
"""


@pytest.fixture
def module(here, monkeypatch):
    (here / "mine_checkers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(here))
    load_checker.cache_clear()


def judge(paths, answers, **columns):
    completions = [f"<answer>{text}</answer>" if text else "nothing" for text in answers]
    count = len(completions)
    names = [next(iter(paths))] * count
    return accuracy(completions, checker=names, prompts=["Q?"] * count, checkers=paths, **columns)


def test_a_checker_of_ones_own_judges_the_rows_that_name_it(module):
    assert judge({"back": "mine_checkers.reversed_text"}, ["21", "12", None], answer=["12"] * 3) == [1.0, 0.0, 0.0]
    assert accuracy(
        ["<answer>21</answer>", "<answer>21</answer>"],
        answer=["12", "21"],
        checker=["mine_checkers.reversed_text", "math"],
        checkers=["mine_checkers.reversed_text"],
    ) == [1.0, 1.0]


def test_it_gets_the_columns_that_it_names_and_no_verdict_is_a_fault(module):
    paths = {"level": "mine_checkers.by_level"}
    levels = ["low", "high", "none", "nan"]
    assert judge(paths, ["a"] * 4, level=levels, other=levels) == [0.25, 1.0, FAULT, FAULT]
    assert judge({"all": "mine_checkers.with_all"}, ["a"], level=["low"]) == [1.0]
    assert judge({"b": "mine_checkers.broken"}, ["a"], answer=["a"]) == [FAULT]
    assert judge({"b": "mine_checkers.too_much"}, ["a"], answer=["a"]) == [FAULT]


def test_a_checker_that_never_returns_is_a_fault_of_its_row(module, monkeypatch, caplog):
    monkeypatch.setattr(own_checkers, "CALL_SECONDS", 0.2)
    assert judge({"h": "mine_checkers.hangs_at_b"}, ["a", "b", "b", "c"]) == [1.0, FAULT, FAULT, 1.0]
    assert caplog.text.count("checker mine_checkers.hangs_at_b: it did not return within 0.2 seconds") == 1


def test_a_checker_that_hangs_on_answer_after_answer_has_less_time_until_it_returns(monkeypatch, caplog):
    """On a clock of the test: a call that returns takes 0.75 seconds, one that hangs takes its limit."""
    now, limits = [0.0], []

    def call(function, seconds, name):
        limits.append(seconds)
        hangs = function() == "hangs"
        now[0] += seconds if hangs else 0.75
        if hangs:
            raise CallTimeout
        return 1.0

    monkeypatch.setattr(own_checkers, "call_with_limit", call)
    monkeypatch.setattr(own_checkers, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(own_checkers, "load_checker", lambda path: lambda answer, gold: answer)
    answers = ["fine", *["hangs"] * 5, "fine", "hangs"]
    rewards = [own_checkers.call_checker("mine.paced", answer, None, {}) for answer in answers]
    assert rewards == [1.0, *[FAULT] * 5, 1.0, FAULT]
    assert limits == [60, 60, 60, 60, 1.5, 1.5, 1.5, 60]
    assert caplog.text.count("it did not return 3 times in a row; until it does, it has 1.5 seconds an answer") == 1


def test_the_limit_of_the_whole_reward_holds_while_a_checker_runs(module):
    entry = RewardConfig(name="accuracy", checkers={"h": "mine_checkers.hangs_at_b"}, max_seconds=0.3)
    reward = bind_reward(entry)
    with pytest.raises(UserError, match="accuracy has not returned after so many seconds"):
        reward(completions=["<answer>b</answer>"], prompts=["Q?"], checker=["h"])


@pytest.mark.parametrize(
    ("reward", "error"),
    [
        ("{name: accuracy}", "has rows of checker mine_checkers.broken; list it in the recipe"),
        ("{name: accuracy, checkers: back}", "must map names to dotted paths, or list such paths"),
        ("{name: accuracy, checkers: {back: broken}}", "must be the dotted path of a function"),
        ("{name: accuracy, checkers: [mine_checkers.none]}", "must be a function that Python can import"),
        ("{name: accuracy, checkers: [mine_checkers.number]}", "must be a function that Python can import"),
        ("{name: accuracy, checkers: {bak: mine_checkers.broken}}", "has rows of checker mine_checkers.broken"),
    ],
)
def test_a_checker_that_is_not_listed_or_is_none_is_one_line(module, here, reward, error):
    row = {"prompt": "Q?", "completion": "<answer>1</answer>", "checker": "mine_checkers.broken"}
    (here / "rows.jsonl").write_text(json.dumps(row | {"answer": "1"}) + "\n")
    _, errors = r1kit("data", "--dataset", "rows.jsonl", "output=run", f"rewards=[{reward}]", code=2)
    assert error in errors.strip().splitlines()[-1]


def test_data_scores_rows_by_a_listed_checker(module, here):
    row = {"prompt": "Q?", "completion": "<answer>21</answer>", "checker": "back", "answer": "12"}
    (here / "rows.jsonl").write_text(json.dumps(row) + "\n")
    reward = "{name: accuracy, checkers: {back: mine_checkers.reversed_text}}"
    r1kit("data", "--dataset", "rows.jsonl", "output=run", f"rewards=[{reward}]")
    assert json.loads((here / "run/run.json").read_text())["rows"] == 1


def test_for_trl_turns_a_fault_into_none_and_fixes_settings():
    completions = ["<answer>4</answer>", "<answer>4</answer>", "<answer>5</answer>"]
    reward = for_trl(accuracy)
    assert reward.__name__ == "accuracy"
    assert reward(completions, answer=["4", r"\frac{", "4"]) == [1.0, None, 0.0]
    assert for_trl(brevity, max_tokens=2)(["a", "b"], completion_ids=[[1], [1, 2, 3]]) == [1.0, 0.5]
    with pytest.raises(TypeError, match="accuracy has no setting max_tokens"):
        for_trl(accuracy, max_tokens=2)


def test_the_packages_of_rewards_and_answers_export_what_the_documents_name():
    import r1kit
    import r1kit.answers
    import r1kit.rewards
    import r1kit.tools

    for package in (r1kit, r1kit.answers, r1kit.rewards, r1kit.tools):
        for name in package.__all__:
            assert getattr(package, name) is not None


def test_a_callback_that_cannot_be_made_is_one_line(here, monkeypatch):
    from r1kit.training.own_code import resolve_callbacks

    code = "    def __init__(self):\n        open('no-such-file')\n"
    (here / "my_callbacks.py").write_text(
        f"from transformers import TrainerCallback\n\nclass Broken(TrainerCallback):\n{code}"
    )
    monkeypatch.syspath_prepend(str(here))
    with pytest.raises(
        UserError, match=r"^callbacks\.0 = my_callbacks\.Broken; could not be made \(FileNotFoundError: "
    ):
        resolve_callbacks(["my_callbacks.Broken"])


OWN_REWARD = """
def pay_all(completions, prompts, answer):
    return [1.0] * len(completions)
"""


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ({"name": "accuracy", "checkers": {"l": "mine_checkers.by_level"}}, r"missing a required argument: 'level'"),
        ({"name": "accuracy", "checkers": {"math": "mine_checkers.broken"}}, r"math is a checker of r1kit's own"),
        ({"name": "mine_rewards.pay_all"}, r"does not take domain, which every reward gets; end its parameters with"),
    ],
)
def test_a_signature_that_the_data_cannot_serve_is_refused_before_a_run(module, here, entry, error):
    (here / "mine_rewards.py").write_text(OWN_REWARD)
    with pytest.raises(UserError, match=error):
        check_reward_columns([RewardConfig(**entry)], ["prompt", "answer", "domain"], "rows.jsonl")


def test_a_checker_that_no_row_names_is_a_warning(module, caplog):
    entry = RewardConfig(name="accuracy", checkers={"back": "mine_checkers.reversed_text"})
    check_reward_rows([entry], {"checker": ["back", "math"]}, "rows.jsonl")
    assert not caplog.text
    check_reward_rows([entry], {}, "rows.jsonl")
    assert "rows.jsonl: no row has the checker back" in caplog.text
    assert "data.train.0.values.checker=back" in caplog.text


def test_a_dry_run_refuses_a_trainer_and_a_callback_that_the_run_refuses(here):
    from r1kit.commands.dry_run import _check_own_classes

    values = {"output": "x", "model": {"path": "m"}, "data": {"train": "world:arithmetic"}, "rewards": ["accuracy"]}
    recipe = load_recipe("rl", None, values)
    for field, value in (("trainer", "no_such_module.Trainer"), ("callbacks", ["json.dumps"])):
        with pytest.raises(UserError, match=field):
            _check_own_classes(recipe.model_copy(update={field: value}))
