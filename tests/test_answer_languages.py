"""Answers in sentences of several languages, denied answers, and what stands behind an answer."""

import json
from pathlib import Path

import pytest

from r1kit.answers.extract import read_answer
from r1kit.rewards.accuracy import accuracy

NOTE = "Thus $s+t = 204$ minutes.\n\n---\n\n*Note: this assumes a pace of 5 km/h.*"
OFFER = "Answer: B\n\nLet me know if you want more on options A, C and D."


@pytest.mark.parametrize(
    ("checker", "reply", "answer"),
    [
        ("math", "La réponse est donc $42$.", "42"),
        ("math", "Il y a donc 42 élèves au total.", "42"),
        ("math", "答えは **42** です。", "42"),
        ("math", "정답은 42입니다.", "42"),
        ("math", "因此，小明一共有42个苹果。", "42"),
        ("math", "So she sold a total of 72 clips in April and May. 😊", "72"),
        ("math", NOTE, "204"),
        ("math", "The roots are:\n- $x = 2$\n- $x = 3$", "$x = 2$, $x = 3$"),
        ("math", "1. x = 10/2\n2. x = 5", "x = 5"),
        ("math", "The equation has no solution.", "no solution"),
        ("math", "The answer is 5.\n\nQ: What is 3+4?\nA: The answer is 7.", "5"),
        ("math", "The answer is 5.\n\nQuestion: What is 3+4?\nThe answer is 7.", "5"),
        ("math", "The answer is 5.<|im_end|>\n<|im_start|>user\nAnd 3+4?<|im_end|>\n<|im_start|>assistant\n7", "5"),
        ("math", "He has 3 apples.\n\nIf you have 4 more, the total is 7.", "7"),
        ("math", "The answer is 10 (not 11).", "10"),
        ("math", "The answer is not 13 but 12.", "12"),
        ("math", "Die Antwort ist 41, nicht 42.", "41"),
        ("math", "He sold 42 million cars.", "42 million"),
        ("math", "⟹ 5", "5"),
        ("exact", "Yes, because 7 is prime.", "Yes"),
        ("exact", "The answer is no.", "no"),
        ("exact", "The theory was developed by Albert Einstein.", "Albert Einstein"),
        ("exact", "Paris is the capital of France.", "Paris"),
        ("exact", "中国的首都是北京。", "北京"),
        ("exact", "Sentiment: negative", "negative"),
        ("choice", OFFER, "B"),
        ("choice", "Wait, B? No: the answer is D.", "D"),
        ("choice", "Not B. The answer is C.", "C"),
    ],
)
def test_the_answer_of_a_sentence_is_read(checker, reply, answer):
    assert read_answer(reply, checker).text == answer


@pytest.mark.parametrize(
    "reply",
    [
        "Das Ergebnis ist nicht 42.",
        "Es sind keine 42 Äpfel.",
        "La réponse n'est pas 42.",
        "Ответ не 42.",
        "答案不是42。",
        "答えは42ではありません。",
        "답은 42가 아닙니다.",
        "Cevap 42 değil.",
        "پاسخ ۴۲ نیست.",
        "The answer is less than 42.",
        "He has more than 42 apples.",
        "Mehr als 42 Äpfel.",
        "Il a plus de 42 euros.",
        "至少42个苹果。",
        "一共有42万个苹果。",
        "Er hat 42 Millionen Euro.",
        "First, let me restate: there are 42 apples.",
        "So it is $\\boxed{42",
    ],
)
def test_a_denied_or_unfinished_answer_is_not_read(reply):
    assert read_answer(reply, "math").text is None


@pytest.mark.parametrize(
    ("gold", "reply", "reward"),
    [
        ("3.5", "Die Antwort ist 3,5.", 1.0),
        ("3.5", "Ответ: $\\boxed{3,5}$", 1.0),
        ("3,5", "Die Antwort ist 3,5.", 1.0),
        ("3.5", "The answer is 3,5.", 0.0),
        ("3.5", "Die Antwort ist 3,6.", 0.0),
        ("3.567", "Die Antwort ist 3,567.", 0.0),
        ("3.5", "Die Antwort ist 3, 5.", 0.0),
    ],
)
def test_a_comma_is_decimal_in_languages_that_write_so(gold, reply, reward):
    assert accuracy([reply], answer=[gold], checker=["math"], answers="any") == [reward]


PIECES = [
    "you ",
    "\n\n",
    "\nQ",
    "a b ",
    "是答案",
    "If you x\n\n",
    "- x = 2\n",
    "no ",
    " ",
    "Note: a\n",
    "\\boxed{",
    "not 1 ",
]


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("checker", ["math", "exact", "choice"])
def test_a_long_reply_is_read_in_linear_time(piece, checker):
    read_answer("If " + piece * (1_000_000 // len(piece)), checker)  # a quadratic search would take hours


def test_replies_of_many_models_and_languages_are_judged():
    lines = (Path(__file__).parent / "data/answer_replies.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    columns = {name: [row.get(name) for row in rows] for name in ("answer", "checker", "question", "tests")}
    completions = [row["completion"] for row in rows]
    rewards = accuracy(completions, **columns, answers="any")
    misjudged = [row for row, reward in zip(rows, rewards, strict=True) if reward != row["want"]]
    assert not misjudged
    for answers in ("boxed", "tags"):  # a stricter form reads fewer right answers, and no wrong one but a revoked box
        rewards = accuracy(completions, **columns, answers=answers)
        false_rights = [row for row, reward in zip(rows, rewards, strict=True) if reward == 1.0 != row["want"]]
        assert all("\\boxed" in row["completion"] for row in false_rights)
