r"""Take apart an answer and what it says about its letters: "2k\pi, k \in \mathbb{Z}", "ax + b where a is a constant".

Uses the standard library only.

>>> split_conditions(r"2k\pi, k \in \mathbb{Z}")
Conditions(answer='2k\\pi', integers=('k',), bounds='')
"""

import re
from dataclasses import dataclass

_LETTER = r"\\?[a-zA-Z]+(?:_\{?\w{1,3}\}?)?"
_LETTERS = rf"{_LETTER}(?:\s*(?:,|\band\b)\s*{_LETTER})*"
# \mathbb{Z}, Z^{+}, N^{*}, \mathbb{R}_{>0}.
_SET = r"(?:\\mathbb\s*\{?([A-Z])\}?|([ZNRQC]))(?:[\^_]\s*\{?[-+*>0]{1,3}\}?)*"
_START = (
    r"\s*(?:[,;]\s*\(?|\(|\b(?:where|for|with)\b|\\forall)\s*(?:\b(?:where|for|with)\b)?\s*"
    r"(?:\b(?:all|any|some)\b|\\forall)?\s*"
)
# "k \in \mathbb{Z}" at the end, behind a comma, a bracket or a word.
_MEMBERSHIP = re.compile(rf"{_START}(?<![\w\\])({_LETTERS})\s*\\in(?![a-z])\s*{_SET}\s*\)?$")
# "n is an integer", "(n integer)", "for any integer n", "where C is an arbitrary constant".
_INTEGER_PHRASE = re.compile(
    r"\s*[,;(]?\s*(?:\bwhere\b|\bfor\b|\bwith\b|\()?\s*(?:\b(?:all|any|some|every|each|an?)\b\s*)*"
    rf"(?:({_LETTERS})\s+(?:(?:is|are|be|being)\b\s*)?(?:\b(?:any|an?|arbitrary|positive|non-?negative)\b\s*)*integers?"
    rf"|(?:positive |non-?negative |arbitrary )?integers?\s+({_LETTERS}))\s*\)?$",
    re.IGNORECASE,
)
# "n = 0, 1, 2, ...".
_ENUMERATION = re.compile(r"\s*[,;(]\s*([a-z])\s*=\s*(?:\\pm|[-\d,\s])+\.\.\.\s*\)?$")
# "because 40 + 2 = 42".
_REASON = re.compile(r"\s*[,;(]?\s*\b(?:since|because)\b.*$", re.DOTALL)
# "where C is a constant", "for all x > 0", "for some constant c".
_PHRASE = re.compile(
    r"\s*[,;(]?\s*(?:\bwhere\b|\bfor\s+(?:all|any|every|each|some|constants?|real|arbitrary|positive|integers?|"
    r"\\forall|[a-z]\s*(?:\\[nlgi]|[<>=]))|\bwith\s+(?:[a-zA-Z]\b|\\[a-z]+\s*\\in|(?:an?\s+)?(?:arbitrary|constants?)))"
    r".*$",
    re.DOTALL,
)
_NOT_EQUAL = re.compile(rf"\s*[,;(]\s*{_LETTER}\s*\\ne(?![a-z])[^,;=<>]+$")
_BOUND_TEXT = r"(?:[^,;=()<>\\]|\\(?![lg]e(?![a-z])))*"
_BOUNDS = re.compile(rf"\s*(?:[,;]\s*\(?|(?<![a-zA-Z])\()((?:{_BOUND_TEXT}(?:<|>|\\[lg]e(?![a-z])))+{_BOUND_TEXT})\)?$")
# Letters that count something, so that a bound of theirs says little.
_INDEX_BOUND = re.compile(r"(?:\d+\s*(?:<|\\le)\s*)?[nkmij]\s*(?:<|>|\\[lg]e)\s*-?\d+")
_RELATION = re.compile(r"\\(?:le|ge|ne|in)(?![a-zA-Z])|[<>]")
# \{x | x = k\pi, k \in \mathbb{Z}\}: what stands in it is the answer.
_BUILDER = re.compile(rf"\\\{{\s*{_LETTER}\s*(?:\||:|\\mid(?![a-z]))\s*({_LETTER}\s*=.*)\\\}}")
# An answer without any of these has no condition.
_ANY_CONDITION = re.compile(r"since|because|where|\bfor\b|\bwith\b|nteger|\\(?:in|ne|le|ge)(?![a-z])|[<>]|\.\.\.")
# A condition must not be all of the answer.
_SOME_ANSWER = re.compile(r"[\w\\]")


@dataclass(frozen=True)
class Conditions:
    """An answer without the conditions at its end."""

    answer: str
    integers: tuple[str, ...] = ()
    """The letters that stand for any integer."""

    bounds: str = ""
    """An inequality such as "x > 0"; "" where there is none."""


def split_conditions(text: str) -> Conditions:
    """Return a cleaned answer and what it says about its letters.

    Conditions that restrict nothing that a question asks for are dropped: memberships in a set of numbers, phrases
    with "where" and "for all", `x \\ne 0`, reasons. Inequalities are kept apart.
    """
    if not _ANY_CONDITION.search(text):
        return Conditions(text)
    if builder := _BUILDER.fullmatch(text):
        text = builder[1].strip()
    integers: list[str] = []
    bounds = ""
    changed = True
    while changed:
        changed = False
        for pattern in (_REASON, _INTEGER_PHRASE, _MEMBERSHIP, _ENUMERATION, _PHRASE, _NOT_EQUAL, _BOUNDS):
            match = pattern.search(text)
            if match is None or not _has_answer_before(text[: match.start()], pattern):
                continue
            if pattern is _BOUNDS:
                if not _INDEX_BOUND.fullmatch(match[1].strip()):
                    if bounds:
                        continue
                    bounds = match[1].strip()
            else:
                integers += _integer_letters(pattern, match)
            text = text[: match.start()].strip(" ,;")
            changed = True
    return Conditions(text, tuple(integers), bounds)


def _has_answer_before(answer: str, pattern: re.Pattern[str]) -> bool:
    """Return whether the text before a condition is an answer; bounds and `\\ne` only follow a formula."""
    if not _SOME_ANSWER.search(answer) or re.search(r"(?:[-+*/=<>(^,]|\\in|\\cup|\\cap|\bor|\band)\s*$", answer):
        return False
    if answer.count("(") + answer.count("{") != answer.count(")") + answer.count("}"):
        return False
    if pattern in (_NOT_EQUAL, _BOUNDS):
        return not _RELATION.search(answer) and bool(re.search("[a-zA-Z]", answer))
    return pattern is not _MEMBERSHIP or not _RELATION.search(answer)


def _integer_letters(pattern: re.Pattern[str], match: re.Match[str]) -> list[str]:
    """Return the letters that a condition declares to be integers."""
    if pattern is _MEMBERSHIP:
        return _split_letters(match[1]) if (match[2] or match[3]) == "Z" else []
    if pattern is _INTEGER_PHRASE:
        return _split_letters(match[1] or match[2])
    if pattern is _ENUMERATION:
        return [match[1]] if "pm" in match[0] else []
    if pattern is _PHRASE:
        inner = re.search(rf"({_LETTERS})\s*(?:\\in\s*(?:\\mathbb\s*)?\{{?Z|(?:is|are)\b.*\binteger)", match[0])
        return _split_letters(inner[1]) if inner else []
    return []


def _split_letters(text: str) -> list[str]:
    return [letter for letter in re.split(r"\s*(?:,|\band\b)\s*", text) if letter]
