"""The calculator's questions of the scale model: right answers, separate splits, and rows that SFT reads."""

import json
import re

from r1kit.data.world import calculator_conversations, calculator_problems
from r1kit.tools import python


def expression_of(prompt):
    return re.search(r"\d+ [-+*] \d+", prompt).group()


def test_answers_are_those_of_python_and_no_problem_is_in_both_splits():
    train, test = (list(calculator_problems(split, 10_000, 0)) for split in ("train", "test"))
    for row in train + test:
        assert str(eval(expression_of(row["prompt"]))) == row["answer"]
    assert not {expression_of(row["prompt"]) for row in train} & {expression_of(row["prompt"]) for row in test}
    assert len(train) > 200
    assert len(test) > 50


def test_conversations_call_the_box_or_guess():
    rows = list(calculator_conversations("train", 200, 0))
    calls = [row["messages"] for row in rows if len(row["messages"]) == 4]
    assert 110 < len(calls) < 170
    for question, call, result, answer in calls[:5]:
        arguments = json.loads(call["tool_calls"][0]["function"]["arguments"])
        assert arguments["code"] == f"print({expression_of(question['content'])})"
        assert python(**arguments) == result["content"]
        assert answer["content"] == f"<answer> {result['content']}</answer>"
