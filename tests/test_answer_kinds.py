"""Answers as data sets and models write them, by kind: tests/data/answer_kinds.txt, judged by hand."""

from pathlib import Path

import pytest

from r1kit.answers.normalise import clean_answer
from r1kit.answers.quick_verdict import quick_verdict
from r1kit.answers.symbolic import judge_answers
from r1kit.answers.verdict import AnswerVerdict


def read_pairs(sign):
    """Return (kind, gold, answer) of each pair whose line starts with `sign`."""
    pairs = []
    for line in (Path(__file__).parent / "data/answer_kinds.txt").read_text().splitlines():
        if line.startswith("## "):
            kind = line[3:]
        elif line.startswith(f"{sign} "):
            gold, answer = line[2:].replace("⏎", "\n").split(" ~ ")
            pairs.append((kind, gold, answer))
    return pairs


def verdict(gold, answer):
    """The verdict without a pool: by text and numbers, else by algebra in this process."""
    return quick_verdict(gold, answer) or judge_answers(gold, answer)


@pytest.mark.parametrize(("kind", "gold", "answer"), read_pairs("="))
def test_the_same_answer_in_another_notation_is_right(kind, gold, answer):
    assert verdict(gold, answer) is AnswerVerdict.RIGHT


@pytest.mark.parametrize(("kind", "gold", "answer"), read_pairs("!"))
def test_an_answer_of_the_same_kind_that_differs_is_wrong(kind, gold, answer):
    assert verdict(gold, answer) is AnswerVerdict.WRONG


@pytest.mark.parametrize("text", [r"\sqrt{" * 300 + "1" + "}" * 300, r"\frac" * 300 + "12", "2^-" * 500, "x^{" * 600])
def test_an_answer_that_is_nested_deeply_is_cleaned_without_an_error(text):
    assert clean_answer(text)
    assert quick_verdict("x+1", text) is AnswerVerdict.WRONG
