import random
import re

import pytest

from r1kit.answers.extract import parse_completion
from r1kit.data import world
from r1kit.data.world.capitals import CAPITALS
from r1kit.sandbox.judge import judge_program

SEEDS = (0, 1, 7)
QUESTION = re.compile(r"Q: (.*?)\nA:", re.DOTALL)


def questions(split, seed=0, count=400):
    return {row["prompt"] for domain in world.DOMAINS for row in world.world_rows(domain, split, count, seed)}


def evaluate(expression):
    """Add and subtract from left to right, by hand: "3 + 4 - 2" is 5; also every result on the way."""
    first, *tail = expression.split()
    results = [int(first)]
    for sign, digit in zip(tail[::2], tail[1::2], strict=True):
        results.append(results[-1] + int(digit) if sign == "+" else results[-1] - int(digit))
    return results


def test_the_splits_share_no_question_whatever_the_seeds():
    train = set().union(*(questions("train", seed) for seed in SEEDS))
    test = set().union(*(questions("test", seed) for seed in SEEDS))
    assert len(train) > 1000
    assert not train & test


def test_the_splits_share_no_problem_in_whatever_words_or_language():
    """The expression of an arithmetic question and the function of a code question are on one side alone."""
    rng = random.Random(0)
    for domain, problem in (("arithmetic", lambda q: q.expression), ("code", lambda q: q.answer)):
        sides = [{problem(world.draw_question(domain, split, rng)) for _ in range(3000)} for split in ("train", "test")]
        assert all(len(side) > 100 for side in sides)
        assert not sides[0] & sides[1]


@pytest.mark.parametrize(("split", "other"), [("train", "test"), ("test", "train")])
def test_the_text_of_a_split_asks_no_question_of_the_other(split, other):
    questions_asked = {
        q for seed in SEEDS for doc in world.world_documents(split, 3000, seed) for q in QUESTION.findall(doc["text"])
    }
    assert len(questions_asked) > 1000
    assert not questions_asked & set().union(*(questions(other, seed, 3000) for seed in SEEDS))


def test_the_test_split_is_about_a_fifth():
    questions_asked = {world.draw_arithmetic_question(random.Random(seed)).problem for seed in range(2000)}
    share = sum(world.split_of(q) == "test" for q in questions_asked) / len(questions_asked)
    assert 0.16 < share < 0.24  # 2,000 draws at 0.2: four standard errors are 0.036


def test_there_are_500_test_questions_and_more():
    rows = [row for domain in world.DOMAINS for row in world.world_rows(domain, "test", 300)]
    assert len({row["prompt"] for row in rows}) == len(rows) >= 500
    assert {row["domain"] for row in rows} == set(world.DOMAINS)
    assert {row["language"] for row in rows} == {"en", "fa"}


@pytest.mark.parametrize("domain", list(world.DOMAINS))
@pytest.mark.parametrize("split", ["train", "test"])
def test_rows_are_different_questions_in_the_columns_that_training_reads(domain, split):
    rows = list(world.world_rows(domain, split, 60))
    assert len({row["prompt"] for row in rows}) == len(rows) == 60
    for row in rows:
        assert set(row) >= {"prompt", "answer", "domain", "thinking", "checker", "tests", "language"}
        assert row["domain"] == domain
        assert row["thinking"] is (domain != "facts")
        persian = re.search("[آ-ی]", row["prompt"]) is not None
        assert row["language"] == ("fa" if persian else "en")


def test_a_domain_that_runs_out_gives_what_it_has():
    rows = list(world.world_rows("facts", "test", 100_000))
    assert 0 < len({row["prompt"] for row in rows}) == len(rows) < 64 * 6


def test_arithmetic_answers_are_right_and_stay_within_0_and_20():
    for split in ("train", "test"):
        for row in world.world_rows("arithmetic", split, 300):
            expression = re.search(r"\d+(?: [+-] \d+)+", row["prompt"]).group()
            results = evaluate(expression)
            assert row["answer"] == str(results[-1])
            assert all(0 <= r <= 20 for r in results)
            assert 3 <= len(results) <= 5
            assert row["checker"] == "math"


def test_arithmetic_steps_are_right_in_both_languages():
    for seed in range(100):
        question = world.draw_arithmetic_question(random.Random(seed))
        for steps in question.steps.values():
            for step, after in zip(steps, evaluate(question.expression)[1:], strict=True):
                before, digit, result_said = (int(n) for n in re.findall(r"\d+", step))
                assert result_said == after
                assert abs(result_said - before) == digit


def test_the_answer_of_a_code_question_passes_its_tests():
    for row in world.world_rows("code", "train", 25):
        assert len(row["tests"]) == 3
        assert judge_program(row["answer"], row["tests"]).ok, row
        assert not judge_program("def f(x): return None", row["tests"]).ok


def test_a_code_questions_tests_are_what_it_asks_for():
    for row in world.world_rows("code", "test", 200):
        if row["language"] != "en":
            continue
        questions_asked = re.findall(r"(add|subtract|multiply by) (\d+)", row["prompt"])
        assert len(questions_asked) == 2
        for test in row["tests"]:
            value = test["args"][0]
            for word, number in questions_asked:
                n = int(number)
                value = value + n if word == "add" else value - n if word == "subtract" else value * n
            assert test["expected"] == value


def test_facts_are_unique():
    for column in range(4):
        assert len({row[column] for row in CAPITALS}) == len(CAPITALS)
    answers = {}
    for split in ("train", "test"):
        for row in world.world_rows("facts", split, 1000):
            assert answers.setdefault(row["prompt"], row["answer"]) == row["answer"]
    assert set(answers.values()) <= {name for row in CAPITALS for name in (row[1], row[3])}


def test_a_fact_is_answered_in_the_language_of_its_question():
    capital = {row[0]: row[1] for row in CAPITALS} | {row[2]: row[3] for row in CAPITALS}
    for row in world.world_rows("facts", "train", 300):
        named = [name for name in capital if re.search(rf"(?<!\w){name}(?!\w)", row["prompt"])]
        assert [capital[name] for name in named] == [row["answer"]]


@pytest.mark.parametrize("domain", list(world.DOMAINS))
def test_rows_depend_on_the_seed_alone(domain):
    first = list(world.world_rows(domain, "train", 50, seed=3))
    assert list(world.world_rows(domain, "train", 50, seed=3)) == first
    assert list(world.world_rows(domain, "train", 20, seed=3)) == first[:20]
    assert list(world.world_rows(domain, "train", 50, seed=4)) != first


def test_text_depends_on_the_seed_alone():
    first = list(world.world_documents("train", 200, seed=3))
    assert list(world.world_documents("train", 200, seed=3)) == first
    assert list(world.world_documents("train", 200, seed=4)) != first


def test_the_text_answers_mostly_straight_away_and_sometimes_with_steps_in_tags():
    answered = [QUESTION.split(doc["text"], maxsplit=1) for doc in world.world_documents("train", 4000)]
    readings = [parse_completion(parts[2]) for parts in answered if len(parts) == 3]
    assert all(r.answer and r.answer.strip() for r in readings)
    thinking = sum(r.thinks for r in readings) / len(readings)
    assert 0.1 < thinking < 0.3  # rare, and there to be found
