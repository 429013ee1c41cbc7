r"""Compare formulas of sets and of logic in letters: A \cap B^c is the same as B^c \cap A, and as (A^c \cup B)^c.

Both are Boolean algebra: \cup is "or", \cap is "and", a complement is "not". Sets of numbers are regions (formulas.py).

>>> parse_logic(r"A \setminus B") == parse_logic(r"A \cap B^{c}")
True
"""

import re
from typing import Any

import sympy

# Letters of one formula; a truth table has 2 to their number rows.
MAX_LETTERS = 8
# Operators by their spellings, from those that bind least to those that bind most.
_BINARY_OPERATORS = (
    (r"\\(?:leftrightarrow|Leftrightarrow|iff)(?![a-zA-Z])|<->", sympy.Equivalent),
    (r"\\(?:to|Rightarrow|implies)(?![a-zA-Z])|->", sympy.Implies),
    (r"\\(?:cup|vee|lor)(?![a-zA-Z])|\bor\b", sympy.Or),
    (r"\\(?:cap|wedge|land)(?![a-zA-Z])|\band\b", sympy.And),
    (r"\\setminus(?![a-zA-Z])", lambda left, right: left & ~right),
)
_ANY_OPERATOR = re.compile(
    "|".join(pattern for pattern, _ in _BINARY_OPERATORS)
    + r"|\\(?:sim|neg|lnot)(?![a-zA-Z])|[A-Z)]\s*(?:'|\^\{?\s*(?:c|\\complement)\s*\}?)"
)
_NEGATION = re.compile(r"(?:\\(?:sim|neg|lnot)(?![a-zA-Z])|~|!)\s*(.+)")
_COMPLEMENT = re.compile(r"(.+?)\s*(?:'|\^\s*\{?\s*(?:c|C|\\complement)\s*\}?)")
_OVERLINE = re.compile(r"\\(?:overline|bar)\s*\{(.*)\}")
_LETTER = re.compile(r"[A-Za-z]")


def is_logic(text: str) -> bool:
    """Return whether a cleaned answer is letters with operators of sets or of logic, at least one of these."""
    if not _ANY_OPERATOR.search(text):
        return False
    letters = re.sub(r"\\[a-zA-Z]+|\b(?:or|and)\b|\^\s*\{?\s*c\s*\}?|<->|->|[\s(){}'~!\[\]]", " ", text)
    return bool(letters.strip()) and all(_LETTER.fullmatch(letter) for letter in letters.split())


def parse_logic(text: str) -> Any:
    """Return a formula of sets or of logic as a sympy Boolean. Raises ValueError where it is none."""
    text = text.strip()
    if _LETTER.fullmatch(text):
        return sympy.Symbol(text)
    for pattern, combine in _BINARY_OPERATORS:
        operands = _split(text, pattern)
        if len(operands) > 1:
            return _combine([parse_logic(operand) for operand in operands], combine)
    if negation := _NEGATION.fullmatch(text):
        return ~parse_logic(negation[1])
    if overline := _OVERLINE.fullmatch(text):
        return ~parse_logic(overline[1])
    if complement := _COMPLEMENT.fullmatch(text):
        return ~parse_logic(complement[1])
    if len(text) > 2 and text[0] in "({[" and text[-1] in ")}]":
        return parse_logic(text[1:-1])
    raise ValueError("no formula of sets or logic")


def _split(text: str, pattern: str) -> list[str]:
    """Split a text at an operator that stands outside brackets."""
    operator = re.compile(pattern)
    pieces = []
    depth = start = i = 0
    while i < len(text):
        match = operator.match(text, i) if depth == 0 else None
        if match:
            pieces.append(text[start:i])
            start = i = match.end()
            continue
        depth += (text[i] in "([{") - (text[i] in ")]}")
        i += 1
    return [*pieces, text[start:]]


def _combine(operands: list[Any], combine: Any) -> Any:
    """Return the operands joined from left to right, implications from right to left."""
    if combine is sympy.Implies:
        operands = operands[::-1]
        result = operands[0]
        for operand in operands[1:]:
            result = combine(operand, result)
        return result
    result = operands[0]
    for operand in operands[1:]:
        result = combine(result, operand)
    return result


def same_logic(gold: Any, answer: Any) -> bool:
    """Return whether two Booleans have the same truth table, and the same letters."""
    if gold == answer:
        return True
    letters = gold.atoms(sympy.Symbol) | answer.atoms(sympy.Symbol)
    if gold.atoms(sympy.Symbol) != answer.atoms(sympy.Symbol) or len(letters) > MAX_LETTERS:
        return False
    return not sympy.satisfiable(sympy.Xor(gold, answer))
