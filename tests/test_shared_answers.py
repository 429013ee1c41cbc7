"""Answers of public data sets and public graders, which do not belong to the project (see helpers.shared_folder)."""

import json

import pytest
from helpers import shared_folder

from r1kit.answers.normalise import clean_answer
from r1kit.answers.verdict import AnswerVerdict
from r1kit.answers.workers import verify_answers
from r1kit.rewards.accuracy import accuracy

# Each set's column of the gold answer.
GOLD_COLUMNS = {
    "math500": "answer",
    "aime24": "answer",
    "gsm8k_test": "answer",
    "asdiv": "answer",
    "mawps": "target",
    "svamp": "Answer",
}
# Of the answers of another row, at most this share may be right by more than their text.
MAX_SHARE_OF_NEIGHBOURS = 0.02


def read_rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_golds(name):
    """Return the gold answers of a set; in GSM8K the one behind the four marks at the end of a solution."""
    rows = read_rows(shared_folder("data") / f"{name}.jsonl")
    return [str(row[GOLD_COLUMNS[name]]).split("#### ")[-1] for row in rows]


@pytest.mark.parametrize("name", GOLD_COLUMNS)
def test_each_gold_answer_equals_itself_and_not_the_next_one(name):
    golds = read_golds(name)
    assert set(verify_answers([(gold, f"{gold} ") for gold in golds])) == {AnswerVerdict.RIGHT}
    neighbours = list(zip(golds, golds[1:] + golds[:1], strict=True))
    verdicts = verify_answers(neighbours)
    assert set(verdicts) <= {AnswerVerdict.RIGHT, AnswerVerdict.WRONG}  # no fault, no timeout
    surprises = []
    for (gold, neighbour), verdict in zip(neighbours, verdicts, strict=True):
        if verdict is AnswerVerdict.RIGHT and clean_answer(gold) != clean_answer(neighbour):
            surprises.append((gold, neighbour))
    assert len(surprises) < MAX_SHARE_OF_NEIGHBOURS * len(golds), surprises


def test_the_pairs_of_public_graders():
    rows = read_rows(shared_folder("cases") / "math_pairs.jsonl")
    rewards = accuracy(
        [row["completion"] for row in rows],
        answer=[row["answer"] for row in rows],
        checker=[row["verifier"] for row in rows],
        prompts=[row["prompt"] for row in rows],
    )
    assert [row for row, reward in zip(rows, rewards, strict=True) if reward != row["want"]] == []
