"""Verdicts on answers to mathematics problems that take no algebra, and so no worker process.

Two texts that are equal, two numbers, or a word and a number are compared here, in microseconds. Answers that would
keep a parser of mathematics busy for minutes are refused here as well.

>>> quick_verdict("1/2", "0.5")
<AnswerVerdict.RIGHT: 'right'>
>>> quick_verdict("x+1", "1+x") is None
True
"""

import math
import re

from r1kit.answers.clock import same_date, same_time
from r1kit.answers.congruences import same_congruence
from r1kit.answers.labels import split_label
from r1kit.answers.letters import same_letters
from r1kit.answers.normalise import clean_answer, is_numeral, is_word_answer
from r1kit.answers.quantities import parse_digits, parse_quantity, same_quantity
from r1kit.answers.tex import closing_bracket
from r1kit.answers.text_match import comparable_text, same_text
from r1kit.answers.verdict import AnswerVerdict

# Limits of what a parser of mathematics is given; beyond them it could compute for minutes.
MAX_CHARACTERS = 2000
MAX_NESTING = 30  # brackets within one another
MAX_OPERATORS = 250  # operators and LaTeX commands
MAX_EXPONENT = 100_000
MAX_CHAINED_EXPONENT = 10_000_000  # product of the two largest exponents in ((...)^a)^b
MAX_FACTORIAL = 5_000
MAX_BINOMIAL = 10_000

_OPERATOR = re.compile(r"[-+*/^!=<>]|\\[a-zA-Z]+")
_POWER = re.compile(r"\^\s*(?:(\{)|\\?\w+)")
# An integral, sum, product or limit that has not been computed.
_UNEVALUATED = re.compile(r"\\(?:i*int|sum|prod|lim)(?![a-zA-Z])")


def quick_verdict(gold: str, answer: str) -> AnswerVerdict | None:
    """Return the verdict where text and numbers settle it, and None where it takes algebra.

    An integral, sum, product or limit is no answer, unless the gold answer has one: it might just repeat the question.
    """
    if same_text(gold, answer) and comparable_text(gold):
        return AnswerVerdict.RIGHT
    if len(gold) > MAX_CHARACTERS:
        return AnswerVerdict.BROKEN_GOLD
    gold = clean_answer(gold)
    if not gold:
        return AnswerVerdict.BROKEN_GOLD
    is_broken_gold = is_too_large_to_parse(gold)
    if len(answer) <= MAX_CHARACTERS:
        answer = clean_answer(answer)
        if _without_loose_spaces(gold) == _without_loose_spaces(answer):
            return AnswerVerdict.RIGHT
    else:
        answer = ""
    if is_broken_gold:
        return AnswerVerdict.BROKEN_GOLD
    if not answer:
        return AnswerVerdict.WRONG
    if is_too_large_to_parse(answer):
        return AnswerVerdict.WRONG
    gold_label, gold = split_label(gold)
    answer_label, answer = split_label(answer, is_letter_label=bool(gold_label))
    # Two labels must be the same. Where they are, an answer that is more than its label is compared as well.
    if gold_label and answer_label and (gold_label != answer_label or not answer):
        return AnswerVerdict.RIGHT if gold_label == answer_label else AnswerVerdict.WRONG
    if gold == answer:
        return AnswerVerdict.RIGHT
    for compare in (same_time, same_date, same_congruence, same_letters):
        same = compare(gold, answer)
        if same is not None:
            return AnswerVerdict.RIGHT if same else AnswerVerdict.WRONG
    if _UNEVALUATED.search(answer.rpartition("=")[2]) and not _UNEVALUATED.search(gold):
        return AnswerVerdict.WRONG
    return _compare_numbers_and_words(gold, answer)


def _compare_numbers_and_words(gold: str, answer: str) -> AnswerVerdict | None:
    """Return the verdict on two numbers, or on a word beside something else; None for formulas."""
    gold_quantity = parse_quantity(gold)
    answer_quantity = parse_digits(answer, gold_quantity) or parse_quantity(answer)
    if gold_quantity and answer_quantity:
        return AnswerVerdict.RIGHT if same_quantity(gold_quantity, answer_quantity) else AnswerVerdict.WRONG
    gold_is_word = is_word_answer(gold)
    gold_is_settled = gold_quantity or gold_is_word
    answer_is_settled = answer_quantity or is_word_answer(answer) or (gold_is_word and answer.isalpha())
    return AnswerVerdict.WRONG if gold_is_settled and answer_is_settled else None


def _without_loose_spaces(text: str) -> str:
    """Return a text in lower case, without the spaces that separate neither words nor numbers."""
    return re.sub(r"(?<!\w)\s+|\s+(?!\w)", "", text).casefold()


def is_too_large_to_parse(text: str) -> bool:
    """Return whether a cleaned answer is too deeply nested, too long, or too large a number for a parser to handle."""
    if is_numeral(text):
        return False
    if _nesting_depth(text) > MAX_NESTING or text.count("^") > MAX_OPERATORS:
        return True
    largest_number, largest_exponent = _largest_powers(text)
    if largest_exponent == math.inf or len(_OPERATOR.findall(text)) > MAX_OPERATORS:
        return True
    if re.search(r"\\(?:[dt]?binom|choose)", text) and largest_number > MAX_BINOMIAL:
        return True
    return _has_large_factorial(text, largest_number)


def _nesting_depth(text: str) -> int:
    """Return how many brackets are open at once, at most."""
    depth = deepest = 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(depth, deepest)
    return deepest


def _has_large_factorial(text: str, largest_number: float) -> bool:
    """Return whether a text has the factorial of a large number, of a factorial, or of a bracket that may be large."""
    if any(int(number) > MAX_FACTORIAL for number in re.findall(r"(\d+)\s*!", text)):
        return True
    if re.search(r"!\s*!|[({][^(){}]*[!^][^(){}]*[)}]\s*!", text):  # 5!! or (2^9)! or (5!)!
        return True
    return bool(re.search(r"[)}]\s*!", text)) and largest_number > MAX_FACTORIAL


def _largest_powers(text: str) -> tuple[float, float]:
    """Return the largest number in a text, powers of numerals included, and the product of its two largest exponents.

    Both are infinite where an exponent is beyond MAX_EXPONENT, or is a large factorial or such a power itself. The
    product is infinite where exponents are chained beyond MAX_CHAINED_EXPONENT, as in (2^{9999})^{9999}.
    """
    largest_number = max(map(float, re.findall(r"\d+", text)), default=0.0)
    exponents = [1.0, 1.0]
    position = 0
    while power := _POWER.search(text, position):
        exponent_start = power.end()
        if power[1]:  # an exponent in braces
            closing = closing_bracket(text, exponent_start - 1)
            position = closing if closing > 0 else len(text)
            exponent_text = text[exponent_start:position]
        else:
            position = exponent_start
            exponent_text = power[0][1:]
        exponent, nested_exponent = _largest_powers(exponent_text)
        has_large_factorial = "!" in exponent_text and exponent > 8  # 9! is 362,880
        if exponent > MAX_EXPONENT or nested_exponent == math.inf or has_large_factorial:
            return math.inf, math.inf
        exponents.append(exponent)
        base = re.search(r"(\d+)[)}\s]*$", text[: power.start()])
        if base:
            bits = exponent * math.log2(max(2, int(base[1])))
            largest_number = max(largest_number, 2.0**bits if bits < 64 else math.inf)
    second, first = sorted(exponents)[-2:]
    is_chained = re.search(r"[)}]\s*\^", text)
    if is_chained and first * second > MAX_CHAINED_EXPONENT:
        return largest_number, math.inf
    return largest_number, first * second
