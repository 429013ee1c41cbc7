"""The instructions of IFEval: against the verdicts of lm-evaluation-harness, and cases worked by hand."""

import json
from pathlib import Path

import pytest

from r1kit.data.adapters.instructions import adapt_ifeval
from r1kit.rewards import FAULT
from r1kit.rewards.accuracy import accuracy
from r1kit.rewards.instructions import (
    CHECKS,
    BrokenInstructionError,
    count_capital_words,
    count_sentences,
    follow_all,
    follows,
    judge_instructions,
)

# Made by benchmarks/instructions.py --write, which asks lm-evaluation-harness.
VERDICTS_FILE = Path(__file__).parent / "data/instruction_verdicts.jsonl"
VERDICTS = [json.loads(line) for line in VERDICTS_FILE.read_text().splitlines()]
CLEAR_LETTERS = 30
"""Letters of a text whose language is clear."""
NO_COMMA = {"id": "punctuation:no_comma"}


@pytest.mark.parametrize("name", CHECKS)
def test_verdicts_are_those_of_the_harness(name):
    cases = [case for case in VERDICTS if case["instruction"]["id"] == name]
    assert len(cases) >= 5
    if "language" in name or "english" in name:  # detectors guess at the language of a few words
        cases = [case for case in cases if sum(map(str.isalpha, case["text"])) >= CLEAR_LETTERS]
    for case in cases:
        for loose in (False, True):
            expected = case["loose" if loose else "strict"]
            assert follow_all([case["instruction"]], case["text"], loose) == [expected], (case, loose)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two! Three?", 3),
        ("No mark at the end", 1),
        ("Mr. Smith met Dr. Jones at 5 p.m. on Monday.", 1),
        ('He said: "Stop." Then he left.', 2),
        ("Wait... what? Yes.", 2),
        ("It costs 3.50 dollars.", 1),
        ("", 0),
    ],
)
def test_sentences_are_counted(text, count):
    assert count_sentences(text) == count


def test_words_in_capitals_are_counted():
    assert count_capital_words("A-B IS one, DON'T is two: U.S.") == 5
    assert count_capital_words("None of Them") == 0


def test_loose_forgives_a_first_line_a_last_line_and_asterisks():
    assert follow_all([NO_COMMA], "Sure, here:\nred and blue") == [False]
    assert follow_all([NO_COMMA], "Sure, here:\nred and blue", loose=True) == [True]
    assert follow_all([NO_COMMA], "red and blue\nDone, I hope", loose=True) == [True]
    assert follow_all([{"id": "startend:quotation"}], '*"Hello"*', loose=True) == [True]
    assert follow_all([NO_COMMA], "red, blue", loose=True) == [False]


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        "no JSON",
        "[]",
        '[{"id": "punctuation:none"}]',
        '[{"id": "keywords:existence"}]',
        '[{"id": "length_constraints:number_words", "num_words": 3, "relation": "about"}]',
        '[{"id": "punctuation:no_comma", "surprise": 1}]',
    ],
)
def test_broken_instructions_are_faults(metadata):
    assert judge_instructions(metadata, "A reply") == FAULT


def test_an_unknown_instruction_is_refused():
    with pytest.raises(BrokenInstructionError, match="no such instruction"):
        follows({"id": "surprise"}, "text")


def test_the_accuracy_reward_judges_the_reply_alone():
    metadata = json.dumps([NO_COMMA, {"id": "detectable_format:title"}])
    completions = ["<think>a, b</think><<Title>>\nno comma", "<<Title>>, a comma", "<think>never ends, <<T>>"]
    columns = {"checker": ["instructions"] * 3, "metadata": [metadata] * 3, "answer": [None] * 3}
    assert accuracy(completions, **columns) == [1.0, 0.0, 0.0]
    assert accuracy(completions, **columns, partial=True) == [1.0, 0.5, 0.0]
    assert accuracy(["x"], checker=["instructions"], metadata=[None]) == [None]
    assert accuracy(["x"], checker=["instructions"], metadata=["{}"]) == [FAULT]


def test_rows_of_the_set_are_read():
    row = {
        "key": 7,
        "prompt": "Write.",
        "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
        "kwargs": [{"num_words": None}, {"num_words": 3, "relation": "at least", "letter": None}],
    }
    adapted = adapt_ifeval(row)
    assert json.loads(adapted["metadata"]) == [
        NO_COMMA,
        {"id": "length_constraints:number_words", "num_words": 3, "relation": "at least"},
    ]
    assert adapted["checker"] == "instructions"
