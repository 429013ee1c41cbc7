r"""Compare answers that are letters in an order: "BAC" is no product, and not the same as "CAB" or B \cdot C \cdot A.

Letters that stand side by side are a product in algebra (ab is ba), a word (cat is not act), or an order of things
(BAC). This module says which. Uses the standard library only.

>>> same_letters("BAC", "B, A, C"), same_letters("BAC", "CAB")
(True, False)
>>> same_letters("xyz", "zyx") is None  # products, which algebra compares
True
"""

import re

_LETTERS = re.compile(r"[A-Za-z]{2,}")
# What may stand between the letters of an order.
_SEPARATOR = re.compile(r"\s*(?:[,;*]|->|\\(?:to|cdot|times)(?![a-z])|\\Rightarrow|\s)\s*")
_CAPITAL_SEPARATOR = re.compile(r"\s*[>-]\s*")  # between small letters these are algebra
_SEGMENT = re.compile(r"\\(?:overline|overrightarrow|vec|triangle|angle|widehat)\s*\{?\s*([A-Z]{2,})\s*\}?")
# Letters that are variables of one formula, such as abc and xyz.
_VARIABLE_FAMILIES = ("abcd", "xyzw", "klmn", "pqrst", "uvw", "ijk")
_SHORT_WORDS = re.compile(
    "a[mnst]|be|by|do|go|he|i[fnst]|m[ey]|no|o[fnr]|so|to|u[ps]|we|not|and|the|yes|all|odd|max|min", re.IGNORECASE
)


def same_letters(gold: str, answer: str) -> bool | None:
    """Return whether two cleaned answers are the same letters in the same order.

    None where they are anything else: lists of letters, products, words beside formulas.
    """
    gold_letters = _read_letters(gold)
    answer_letters = _read_letters(answer) if gold_letters else None
    if gold_letters is None or answer_letters is None:
        return None
    if not (_LETTERS.fullmatch(gold) or _LETTERS.fullmatch(answer)):  # two lists
        return None
    if gold_letters.casefold() == answer_letters.casefold():
        return True
    may_be_products = _may_be_product(gold_letters) and _may_be_product(answer_letters)
    return None if may_be_products else False


def _read_letters(text: str) -> str | None:
    """Return the letters of an order or a word, None where the text is anything else."""
    if segment := _SEGMENT.fullmatch(text):
        return segment[1]
    if _LETTERS.fullmatch(text):
        return text
    if text[:1] == "(" and text[-1:] == ")":
        text = text[1:-1]
    separator = _CAPITAL_SEPARATOR if text.isupper() and re.search("[>-]", text) else _SEPARATOR
    letters = separator.split(text)
    if len(letters) > 1 and all(len(letter) == 1 and letter.isalpha() and letter.isascii() for letter in letters):
        return "".join(letters)
    return None


def _may_be_product(letters: str) -> bool:
    """Return whether letters may be variables side by side."""
    if letters.isupper() or _SHORT_WORDS.fullmatch(letters):
        return False
    if len(letters) == 2 or not re.search("[aeiouy]", letters.casefold()):
        return True
    return any(set(letters) <= set(family) for family in _VARIABLE_FAMILIES)
