r"""The checker `math` of the reward `accuracy`: are two answers the same mathematics, by the question and the reply?

The comparison itself is r1kit/answers/symbolic.py, in worker processes. Here stands what the question decides: whether
an answer only copies a computation from it, and by which other reading an answer may be right.
"""

import math
import re

from r1kit.answers.fault import FAULT
from r1kit.answers.quick_verdict import MAX_CHARACTERS
from r1kit.answers.sentences import read_bound
from r1kit.answers.text_match import same_text
from r1kit.answers.verdict import AnswerVerdict
from r1kit.answers.wording import DECIMAL_COMMA_LANGUAGE
from r1kit.rewards.answer_rows import AnswerRow
from r1kit.rewards.timeouts import count_timeouts

# Such a question has the gold answer 50 for 50%.
_ASKS_FOR_PERCENT = re.compile(r"\bwhat (?:\w+ ){0,3}percent|\bpercentage\b", re.IGNORECASE)

# The comma of 3,5: neither that of thousands, nor that of a list of three.
_DECIMAL_COMMA = re.compile(r"(?<![\d,])(\d{1,9}),(?!\d{3}(?!\d))(?=\d{1,9}(?![\d,]))")
# The points of 1.500, which is 1500 in a language with a decimal comma.
_POINTS_OF_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:\.\d{3})+(?![\d.,])")
_LANGUAGE_CHARS = 2_000  # at the end of a reply, which show its language

_INEQUALITY = re.compile(r"[<>≤≥≦≧⩽⩾]|\\(?:[lg]eq?(?:slant|q)?|lt|gt|infty)(?![a-z])|∞")
_PERCENT_SIGN = re.compile(r"\\?%[ $]*\Z")

# A number or a fraction, or several of them in brackets: there is nothing in it to compute.
_NUMBER = r"-?(?:\\[dt]?frac\{\d+\}\{\d+\}|\d+/\d+|\d+(?:\.\d+)?)"
_NUMBER_OR_POINT = re.compile(rf"{_NUMBER}|[(\[]{_NUMBER}(?:,{_NUMBER})+[)\]]")
_FRACTION = re.compile(r"frac\{\d+\}\{\d+\}|(?<!\d)\d+/\d+")


def judge_math(rows: list[AnswerRow], seconds: float) -> list[float]:
    """Compare answers with gold answers by their mathematics, in worker processes."""
    from r1kit.answers.workers import verify_answers

    pairs = []
    for row in rows:
        gold = str(row.gold)
        may_be_right = row.answer and (same_text(gold, row.answer) or _is_own_answer(row.answer, row.question))
        pairs.append((gold, (row.answer or "") if may_be_right else ""))
    verdicts = verify_answers(pairs, seconds)
    retries: dict[int, tuple[str, str]] = {}
    for i, (gold, answer) in enumerate(pairs):
        second_reading = _second_reading(rows[i], gold, answer) if verdicts[i] is AnswerVerdict.WRONG else None
        if second_reading is not None:
            retries[i] = (gold, second_reading)
    if retries:
        for i, verdict in zip(retries, verify_answers(list(retries.values()), seconds), strict=True):
            verdicts[i] = verdict
    count_timeouts(verdicts.count(AnswerVerdict.TIMEOUT))
    return [_math_reward(verdict) for verdict in verdicts]


def _second_reading(row: AnswerRow, gold: str, answer: str) -> str | None:
    """Return another reading of an answer that was judged wrong, by its question and reply; None without one.

    A question that asks for a percentage takes a number with or without the sign. In a reply in German, and in other
    languages that write so, 3,5 is three and a half and 1.500 may be 1500; elsewhere 3,5 is a list. "At least 5" is an
    answer only where the gold answer is an inequality.
    """
    if _INEQUALITY.search(gold) and not _INEQUALITY.search(answer):
        return read_bound(row.answer or row.whole[-_LANGUAGE_CHARS:]) or None
    if "%" not in gold and _PERCENT_SIGN.search(answer) and _ASKS_FOR_PERCENT.search(row.question):
        return _PERCENT_SIGN.sub("", answer)
    has_comma = _DECIMAL_COMMA.search(answer) and not _DECIMAL_COMMA.search(gold)
    if has_comma and DECIMAL_COMMA_LANGUAGE.search(row.whole[-_LANGUAGE_CHARS:]):
        return _DECIMAL_COMMA.sub(r"\1.", answer)
    has_points = _POINTS_OF_THOUSANDS.search(answer) and not _POINTS_OF_THOUSANDS.search(gold)
    if has_points and DECIMAL_COMMA_LANGUAGE.search(row.whole[-_LANGUAGE_CHARS:]):
        return _POINTS_OF_THOUSANDS.sub(lambda match: match[0].replace(".", ""), answer)
    return None


def _math_reward(verdict: AnswerVerdict) -> float:
    """Return the reward for a verdict."""
    if verdict in (AnswerVerdict.BROKEN_GOLD, AnswerVerdict.FAULT):
        return FAULT
    return float(verdict is AnswerVerdict.RIGHT)


def _is_own_answer(answer: str, question: str) -> bool:
    """Return whether an answer is short enough to be mathematics, and no computation that stands in the question."""
    return len(answer) <= MAX_CHARACTERS and not _is_copied(answer, question)


def _is_copied(answer: str, question: str) -> bool:
    r"""Return whether an answer is a computation that stands in the question, such as "3 + 4" for "What is 3 + 4?"."""
    compact_answer = re.sub(r"[\s$]|\\(?:left|right)\b", "", answer)
    if _is_fully_computed(compact_answer):
        return False
    has_operator = re.search(r"\w\W*[-+*/^!×÷·\\]", compact_answer)
    return bool(has_operator) and compact_answer in re.sub(r"[\s$]", "", question)


def _is_fully_computed(compact_answer: str) -> bool:
    """Return whether an answer without white space is a number or a point, with its fractions in lowest terms."""
    if not _NUMBER_OR_POINT.fullmatch(compact_answer):
        return False
    for fraction in _FRACTION.findall(compact_answer):
        numerator, denominator = map(int, re.findall(r"\d+", fraction))
        if denominator <= 1 or math.gcd(numerator, denominator) != 1:
            return False
    return True
