"""Verdicts that need no algebra."""

import math
import re

from r1kit.answers.normalise import _NUMERAL, clean_answer, closing_bracket, is_word_answer
from r1kit.answers.quantities import parse_quantity, same_quantity
from r1kit.answers.text_match import comparable_text, same_text
from r1kit.answers.verdict import AnswerVerdict

MAX_CHARACTERS, MAX_NESTING, MAX_OPERATORS = 2000, 30, 250


MAX_EXPONENT, MAX_CHAINED_EXPONENT, MAX_FACTORIAL, MAX_BINOMIAL = 100_000, 10_000_000, 5_000, 10_000


_OPERATOR = re.compile(r"[-+*/^!=<>]|\\[a-zA-Z]+")


_POWER = re.compile(r"\^\s*(?:(\{)|\\?\w+)")


_UNDONE = re.compile(r"\\(?:i*int|sum|prod|lim)(?![a-zA-Z])")


def quick_verdict(gold: str, answer: str) -> AnswerVerdict | None:
    """Return the verdict where text and numbers settle it; None where it takes algebra."""
    if same_text(gold, answer) and comparable_text(gold):
        return AnswerVerdict.RIGHT
    if max(len(gold), len(answer)) > MAX_CHARACTERS:
        return AnswerVerdict.BROKEN_GOLD if len(gold) > MAX_CHARACTERS else AnswerVerdict.WRONG
    gold, answer = clean_answer(gold), clean_answer(answer)
    if not gold or not answer or _packed(gold) == _packed(answer):
        return AnswerVerdict.BROKEN_GOLD if not gold else AnswerVerdict.RIGHT if answer else AnswerVerdict.WRONG
    if is_too_large_to_parse(gold) or is_too_large_to_parse(answer):
        return AnswerVerdict.BROKEN_GOLD if is_too_large_to_parse(gold) else AnswerVerdict.WRONG
    if _UNDONE.search(answer) and not _UNDONE.search(gold):
        return AnswerVerdict.WRONG
    wanted, said = parse_quantity(gold), parse_quantity(answer)
    if wanted and said:
        return AnswerVerdict.RIGHT if same_quantity(wanted, said) else AnswerVerdict.WRONG
    settled = said or is_word_answer(answer) or (is_word_answer(gold) and answer.isalpha())
    return AnswerVerdict.WRONG if (wanted or is_word_answer(gold)) and settled else None


def _packed(text: str) -> str:
    """Drop case, and the spaces that part neither words nor numbers."""
    return re.sub(r"(?<!\w)\s+|\s+(?!\w)", "", text).casefold()


def is_too_large_to_parse(text: str) -> bool:
    """Whether a clean text is too deep, too long a sum or too large to be handed to a parser of mathematics."""
    if _NUMERAL.fullmatch(text):
        return False
    depth = deepest = 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(depth, deepest)
    if deepest > MAX_NESTING or text.count("^") > MAX_OPERATORS:
        return True
    largest, exponent = _powers(text)
    return (
        len(_OPERATOR.findall(text)) > MAX_OPERATORS
        or any(int(n) > MAX_FACTORIAL for n in re.findall(r"(\d+)\s*!", text))
        or bool(re.search(r"!\s*!|[({][^(){}]*[!^][^(){}]*[)}]\s*!", text))
        or bool(re.search(r"[)}]\s*!", text) and largest > MAX_FACTORIAL)
        or bool(re.search(r"\\(?:[dt]?binom|choose)", text) and largest > MAX_BINOMIAL)
        or exponent == math.inf
    )


def _powers(text: str) -> tuple[float, float]:
    """Return the largest numeral or power of numerals in a text, and its largest exponents' product, or infinity."""
    largest = max(map(float, re.findall(r"\d+", text)), default=0.0)
    exponents, start = [1.0, 1.0], 0
    while found := _POWER.search(text, start):
        end = closing_bracket(text, found.end() - 1) if found[1] else found.end()
        start = end if end > 0 else len(text)
        inner = text[found.end() : start] if found[1] else found[0][1:]
        size, product = _powers(inner)
        base = re.search(r"(\d+)[)}\s]*$", text[: found.start()])
        if size > MAX_EXPONENT or product == math.inf or ("!" in inner and size > 8):
            return math.inf, math.inf
        exponents.append(size)
        power = size * math.log2(max(2, int(base[1]))) if base else 0
        largest = max(largest, 2.0**power if power < 64 else math.inf)
    first, second = sorted(exponents)[-2:]
    chained = bool(re.search(r"[)}]\s*\^", text)) and first * second > MAX_CHAINED_EXPONENT
    return largest, math.inf if chained else first * second
