r"""Compare congruences: x \equiv 3 \pmod 7 is 10 \pmod 7, and x = 7k + 3. Uses the standard library only.

>>> same_congruence(r"x \equiv 3 \pmod{7}", r"10 \pmod{7}")
True
>>> same_congruence("3", "4") is None
True
"""

import re
from dataclasses import dataclass

from r1kit.answers.conditions import split_conditions

# All quantifiers are bounded or possessive: what a model writes may be long.
_EQUIVALENT = r"(?:([a-zA-Z])\s{0,3}(?:\\equiv|≡|=)\s{0,3})?"
_MODULUS = re.compile(
    r"[\s,]{0,3}\(?\s{0,3}(?:\\[pb]?mod|\bmod(?:ulo)?)(?![a-z])\s{0,3}\{?\s{0,3}(\d{1,18})\s{0,3}\}?\s{0,3}\)?$"
)
_REMAINDER = re.compile(rf"{_EQUIVALENT}(\\pm\s{{0,3}}|[+-]?\s{{0,3}})(\d{{1,18}})")
_SEPARATOR = re.compile(r",|;|\bor\b|\band\b")
# "x = 7k + 3" and "3 + 7k", with any letter for the integer.
_PROGRESSION = re.compile(
    r"(?:([a-zA-Z])\s{0,3}=\s{0,3})?"
    r"(?:(\d{1,18})\s{0,3}[a-z]\s{0,3}([+-]\s{0,3}\d{1,18})|(-?\d{1,18})\s{0,3}\+\s{0,3}(\d{1,18})\s{0,3}[a-z])"
)
_LONGEST = 300  # characters


@dataclass(frozen=True)
class Congruence:
    """The integers that leave certain remainders."""

    classes: frozenset[tuple[int, int]]
    """(remainder, modulus) of each class of integers."""

    written_numbers: frozenset[int]
    """The numbers as the text has them: 10 in 10 (mod 7)."""

    name: str = ""
    """The unknown, "" where the text names none."""


def parse_congruence(text: str) -> Congruence | None:
    r"""Return the congruences that a cleaned answer consists of, None where it is anything else.

    Several of them are one answer: x \equiv 1 \pmod 7 or x \equiv 6 \pmod 7, and shorter x \equiv 1, 6 \pmod 7.
    """
    if "mod" not in text or len(text) > _LONGEST:
        return None
    modulus = None
    name = ""
    classes = set()
    written_numbers = set()
    # From the end on: a remainder without a modulus has that of the next one.
    for piece in reversed(_SEPARATOR.split(text.replace(", (", " (").replace(", \\pmod", " \\pmod"))):
        modulus_match = _MODULUS.search(piece)
        if modulus_match:
            modulus = int(modulus_match[1])
            piece = piece[: modulus_match.start()]
        match = _REMAINDER.fullmatch(piece.strip())
        if match is None or not modulus:
            return None
        name = match[1] or name
        number = int(match[3])
        signs = {"\\pm": (1, -1), "-": (-1,)}.get(match[2].strip(), (1,))
        for sign in signs:
            written_numbers.add(sign * number)
            classes.add((sign * number % modulus, modulus))
    return Congruence(frozenset(classes), frozenset(written_numbers), name)


def _parse_progression(text: str) -> Congruence | None:
    r"""Return what "x = 7k + 3, k \in \mathbb{Z}" says, None for other texts."""
    match = _PROGRESSION.fullmatch(split_conditions(text[:_LONGEST]).answer)
    modulus = int(match[2] or match[5]) if match else 0
    if match is None or modulus == 0:
        return None
    number = int((match[3] or match[4]).replace(" ", ""))
    return Congruence(frozenset({(number % modulus, modulus)}), frozenset({number}), match[1] or "")


def same_congruence(gold: str, answer: str) -> bool | None:
    """Return whether two cleaned answers are the same congruence; None where neither is one.

    A remainder without its modulus is right where the gold answer names no unknown: it is a value then, and no set. A
    number that is not less than its modulus is still to be computed.
    """
    gold_congruence = parse_congruence(gold)
    answer_congruence = parse_congruence(answer)
    congruence = gold_congruence or answer_congruence
    if congruence is None:
        return None
    bare = answer if gold_congruence else gold
    if re.fullmatch(r"[+-]?\d{1,18}", bare):
        names_unknown = gold_congruence is not None and gold_congruence.name
        is_reduced = congruence.written_numbers == {remainder for remainder, _ in congruence.classes}
        return not names_unknown and is_reduced and congruence.written_numbers == {int(bare)}
    gold_congruence = gold_congruence or _parse_progression(gold)
    answer_congruence = answer_congruence or _parse_progression(answer)
    if gold_congruence is None or answer_congruence is None:
        return False
    names = {gold_congruence.name, answer_congruence.name} - {""}
    return gold_congruence.classes == answer_congruence.classes and len(names) < 2
