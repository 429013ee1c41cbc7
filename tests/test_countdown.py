"""The countdown world: splits without a sum in common, a checker that is not to be fooled, and searches that add up."""

import itertools
import re
from pathlib import Path

import pytest

from r1kit.data import world
from r1kit.data.sources import read_source
from r1kit.errors import UserError
from r1kit.recipe import SourceConfig
from r1kit.rewards import accuracy

SUM = re.compile(r"(?:- )?\d+(?: [-+] \d+)+")
RESULT = re.compile(r" = -?\d+(?: (?:wait|صبر) -?\d+)?")


def numbers_of(expression):
    return frozenset(int(number) for number in re.findall(r"\d+", expression))


def rows_of(split, domain="countdown"):
    return list(world.countdown_rows(domain, split, 300, seed=3))


def test_problems_are_solved_by_their_gold_answers_and_ask_for_what_these_give():
    for domain, counts in (("countdown", {3, 4}), ("countdown_long", {5})):
        rows = rows_of("test", domain)
        assert len({row["prompt"] for row in rows}) == 300
        assert {len(numbers_of(row["answer"])) for row in rows} == counts
        assert {row["language"] for row in rows} == {"en", "fa"}
        for row in rows:
            numbers_in_prompt = sorted(map(int, re.findall(r"\d+", row["prompt"])))
            assert numbers_in_prompt == sorted([eval(row["answer"]), *numbers_of(row["answer"])])


def test_the_splits_share_no_numbers_and_the_text_has_none_of_the_held_out():
    sets = {}
    for split in ("train", "dev", "test"):
        problems = [*rows_of(split), *rows_of(split, "countdown_long")]
        sets[split] = {numbers_of(row["answer"]) for row in problems}
    assert not any(first & second for first, second in itertools.combinations(sets.values(), 2))
    text = "\n".join(row["text"] for row in world.countdown_documents("train", 3000))
    sums_in_text = set()
    for expression in SUM.findall(RESULT.sub("", text)):
        numbers = re.findall(r"\d+", expression)
        sums_in_text |= {frozenset(map(int, numbers[:count])) for count in range(3, len(numbers) + 1)}
    assert len(sums_in_text) > 500
    assert not sums_in_text & (sets["dev"] | sets["test"])


def test_a_right_try_says_yes_and_a_wrong_one_no():
    words = {"yes": True, "no": False, "بله": True, "نه": False}
    tries = re.compile(r"(?:=|wait|صبر) (-?\d+) (yes|no|بله|نه)")
    counts = dict.fromkeys(words, 0)
    for row in world.countdown_documents("train", 4000):
        question, _, completion = row["text"].partition("\nA:")
        target = re.search(r"(?:Make|signs make|عدد|علامت‌ها|make|برابر) (-?\d+)", question)
        for result, verdict in tries.findall(completion):
            counts[verdict] += 1
            # A check of a slip says no to a result that a try before had right.
            assert (result == target[1]) is words[verdict]
    assert min(counts.values()) > 100


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("3 - 9 + 20", True),
        ("20 + 3 - 9", True),
        ("+ 3 -9+20", True),
        ("3 − 9 + 20", True),  # the sign minus of Unicode
        ("14", False),
        ("3 + 11", False),
        ("3 - 9 + 20 + 0", False),
        ("3 - 9 + 9 - 9 + 20", False),
        ("3 + 9 + 20", False),
        ("3 - 9 + 20 = 14", False),
        ("(3 - 9) + 20", False),
        ("", False),
        ("+ " * 5000, False),
    ],
)
def test_an_answer_uses_each_number_once_and_reaches_the_target(answer, is_right):
    assert world.check_countdown(answer, "3 - 9 + 20") is is_right
    completion = f"<think>so</think><answer>{answer}</answer>"
    rewards = accuracy(
        [completion],
        answer=["3 - 9 + 20"],
        checker=["r1kit.data.world.check_countdown"],
        checkers=["r1kit.data.world.check_countdown"],
    )
    assert rewards == [float(is_right)]


def test_dev_is_a_split_of_countdown_alone():
    assert len(read_source(SourceConfig(path="world:countdown", split="dev", rows=5))) == 5
    with pytest.raises(UserError, match=r"has the splits train, dev and test"):
        read_source(SourceConfig(path="world:countdown", split="validation"))
    with pytest.raises(UserError, match=r"has the splits train and test"):
        read_source(SourceConfig(path="world:facts", split="dev"))


def test_the_benchmark_counts_tries_repeated_ones_and_slips(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
    from countdown import describe_searches

    chain = (
        "3 + 7 = 10 + 12 = 22 no "
        "but 3 + 7 = 11 - 12 = -1 no "  # a slip, with which the try goes on
        "- 3 + 7 = 5 wait 4 + 12 = 16 نه "  # a slip that is noticed
        "3 + 7 = 10 + 12 = 22 no"  # a second time
    )
    row = {"completion": f"<think> {chain}</think><answer> 3 - 7 + 12</answer>", "tokens": 60, "format": 1.0}
    search = describe_searches([{**row, "target_language": "en"}])
    assert (search["tries"], search["repeated"]) == (4, 1 / 4)
    assert (search["slips"], search["noticed"]) == (2 / 8, 1 / 2)
    assert search["own language"] == 5 / 6  # no, but, no, wait and no; one word is Persian
    assert search["reflection"] == 2
