"""Compare formulas whose letters may be called anything: integers such as k in 2k\pi, constants such as C in x^2 + C.

`k\pi` and `n\pi` are the same solutions where k and n are any integers, and so are `\pi/4 + n\pi` and
`5\pi/4 + n\pi`. A general solution `C_1 e^x + C_2` is the same as `A e^x + B`.
"""

import itertools
import re
from collections.abc import Callable
from typing import Any

import sympy

from r1kit.answers.conditions import Conditions

# The letter to which integers are renamed on both sides, which no answer has, and the name of its sympy symbol.
INTEGER_LETTER = "Z_{77}"
INTEGER_SYMBOL = "z_{77}"
# Letters that may count something where a side does not say so.
_COUNTING_LETTERS = "knmlj"
# Names of arbitrary constants, in small letters, as the parser returns them; the second also has A, B, D and k.
_CONSTANT = re.compile(r"c(?:_\{?\w\}?)?")
_CONSTANT_OR_ALIAS = re.compile(r"[a-dk](?:_\{?\w\}?)?")
# A single constant is called c or k.
_ONLY_CONSTANT = re.compile(r"[ck](?:_\{?\w\}?)?")
# Variables of a general solution: without one of them, b and c are but letters.
_VARIABLES = frozenset("xyztuvrs")
# More constants than these take too many comparisons.
MAX_CONSTANTS = 3


def share_integer_letter(gold: Conditions, answer: Conditions) -> tuple[str, str]:
    """Return both answers with one and the same letter for any integer, if one of them says that it has such a letter.

    The side that does not say so may use the same letter, or one that usually counts.
    """
    gold_letter = gold.integers[0] if len(set(gold.integers)) == 1 else ""
    answer_letter = answer.integers[0] if len(set(answer.integers)) == 1 else ""
    if gold_letter and not answer.integers:
        answer_letter = _find_counting_letter(answer.answer, gold_letter)
    elif answer_letter and not gold.integers:
        gold_letter = _find_counting_letter(gold.answer, answer_letter)
    if not (gold_letter and answer_letter):
        return gold.answer, answer.answer
    return _rename(gold.answer, gold_letter), _rename(answer.answer, answer_letter)


def _find_counting_letter(text: str, preferred: str) -> str:
    """Return the letter of a formula that may stand for any integer, "" where there is none."""
    letters = set(re.findall(r"(?<![\\a-zA-Z])[a-z](?![a-zA-Z(])", text))
    if preferred in letters:
        return preferred
    counting = letters & set(_COUNTING_LETTERS)
    return counting.pop() if len(counting) == 1 else ""


def _rename(text: str, letter: str) -> str:
    return re.sub(rf"(?<![\\a-zA-Z]){re.escape(letter)}(?![a-zA-Z_])", f" {INTEGER_LETTER} ", text)


def same_family(gold: Any, answer: Any, is_equal: Callable[[Any, Any], bool]) -> bool:
    """Return whether two formulas have the same values for all integers, or for all constants, in them."""
    integer = sympy.Symbol(INTEGER_SYMBOL, real=True)
    if integer in gold.free_symbols and integer in answer.free_symbols:
        return _same_sequence(gold, answer, integer)
    shared = gold.free_symbols & answer.free_symbols
    if not any(symbol.name in _VARIABLES for symbol in shared):
        return False
    gold_constants = _free_constants(gold, answer)
    answer_constants = _free_constants(answer, gold)
    if not gold_constants and not answer_constants:  # c_1 and c_2 on both sides may have changed places
        gold_constants = sorted((symbol for symbol in shared if _CONSTANT.fullmatch(symbol.name)), key=str)
        answer_constants = gold_constants if len(gold_constants) > 1 else []
    if not 0 < len(gold_constants) == len(answer_constants) <= MAX_CONSTANTS:
        return False
    if not any(_CONSTANT.fullmatch(symbol.name) for symbol in (*gold_constants, *answer_constants)):
        return False
    for order in itertools.permutations(answer_constants):
        renamed = answer.xreplace(dict(zip(order, gold_constants, strict=True)))
        if is_equal(gold, renamed):
            return True
    return False


def _free_constants(formula: Any, other: Any) -> list[Any]:
    """Return the letters that only this formula has, if all of them may be constants."""
    letters = sorted(formula.free_symbols - other.free_symbols, key=str)
    pattern = _ONLY_CONSTANT if len(letters) == 1 else _CONSTANT_OR_ALIAS
    return letters if all(pattern.fullmatch(letter.name) for letter in letters) else []


def _same_sequence(gold: Any, answer: Any, integer: Any) -> bool:
    """Return whether a + b n, over all integers n, are the same numbers on both sides."""
    gold_step = sympy.expand(gold).diff(integer)
    answer_step = sympy.expand(answer).diff(integer)
    if gold_step == 0 or {integer} & (gold_step.free_symbols | answer_step.free_symbols):
        return False
    if sympy.simplify(gold_step - answer_step) != 0 and sympy.simplify(gold_step + answer_step) != 0:
        return False
    shift = sympy.simplify((gold - answer).subs(integer, 0) / gold_step)
    return bool(shift.is_integer)
