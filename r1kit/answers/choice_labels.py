"""Read the labels of choices in a text: letters of several scripts, digits, lists of them, and a question's options.

>>> read_label_list("A, C and D.", 0).letters
('A', 'C', 'D')
>>> read_label_list("A or B", 0).letters
()
>>> parse_options("Where is the Louvre?\\nA) Rome\\nB) Paris")
{'A': 'Rome', 'B': 'Paris'}
"""

import re
from dataclasses import dataclass

from r1kit.answers.wording import STATEMENT_VERB

# Letters by which other scripts number choices, in order; each stands for A, B, C, ...
_ALPHABETS = (
    "АБВГДЕ",
    "ΑΒΓΔΕΖ",
    "אבגדהו",
    "甲乙丙丁戊己",
    "กขคงจฉ",
    "কখগঘঙচ",
    "कखगघङच",
    "ㄱㄴㄷㄹㅁㅂ",
    "アイウエオカ",
    ("أ", "ب", "ج", "د", "ه", "و"),
    ("الف", "ب", "ج", "د", "ه", "و"),
)
LATIN_OF: dict[str, str] = {}
"""The Latin letter for each label of another script."""
for _alphabet in _ALPHABETS:
    LATIN_OF.update(zip(_alphabet, "ABCDEF", strict=True))
# Cyrillic and Greek letters that look like Latin ones are typed for them.
LATIN_OF |= dict(zip("ВСНКМОРТХ", "BCHKMOPTX", strict=True))
LATIN_OF |= {"ا": "A", "إ": "A", "هـ": "E"}

_OTHER_LABEL = "|".join(sorted((re.escape(label) for label in LATIN_OF), key=len, reverse=True))
# A letter: in brackets, or bare and no part of a word.
_LATIN = r"(?<![A-Za-z0-9À-ɏ])(?P<latin>[A-Za-z])(?![A-Za-z0-9À-ɏ]|['’](?![dt][iıuü]r\b))"
# Behind a letter of another script no combining vowel may stand: it would be the beginning of a word.
_OTHER = (
    rf"(?P<other>(?<!\w)(?:{_OTHER_LABEL}|[а-е])(?![^\W\d_A-Za-z选項项]|[\d\u0300-\u036f\u0900-\u0dff\u0e30-\u0e4e])"
    r"|[甲乙丙丁戊己](?![\u4e00-\u9fff]))"
)
_BRACKETED = rf"[(\[{{]\s{{0,3}}(?P<bracketed>[A-Za-z]|{_OTHER_LABEL}|\d)\s{{0,3}}[)\]}}]"
_DIGIT = r"(?<![\w.,])(?P<digit>\d)(?![\w%]|[.,]\d)"
LABEL = re.compile(rf"(?:{_BRACKETED}|{_LATIN}|{_OTHER}|{_DIGIT})(?P<mark>[.):]?)")

# Between two labels that are both chosen, as in "B (Paris), C (Berlin)" ...
_AND = re.compile(
    r"(?:\s{0,3}\([^()\n]{2,80}\))?\s{0,3}(?:[,;/&+、،]|\b(?:and|und|et|y|e|и|en|och|ve|dan|và)\b|和|与|與|및|と|و(?=\s))?"
    r"\s{0,3}(?:\b(?:and|und|et|y)\b)?"
    r"\s{0,3}(?:option|choice)?\s{0,3}",
    re.I,
)
# ... and where only one of them is.
_OR = re.compile(
    r"\s{0,3}[,/]?\s{0,3}(?:\b(?:or|oder|ou|o|или|eller|of|veya|atau|hoặc)\b|或者?|または|또는|أو|یا) {0,99}", re.I
)
# What may stand behind a label that belongs to a list: the end, its text in brackets, or the next label's link.
_END_OF_LIST = re.compile(
    r"[.)\]]?\s{0,3}(?:$|\n|\([^()\n]{2,80}\)|[.,;、،。]|\b(?:and|und|et|y|or|both|are|sont|sind|are both)\b|[和与])"
)
_MOST_LABELS = 11  # of one list

# A choice in a question, with its text: "B) Paris".
_OPTION = re.compile(
    r"(?:^|\n|(?<=\s))[ \t>*\-]{0,6}[(\[]?([A-Z]|\d{1,2})[)\].:、][ \t*]{1,6}"
    r"(\S[^\n]{0,500}?)(?=\s{1,20}[(\[]?[A-Z][)\].:、]\s|\n|$)"
)
# Of a longer question the end is read, in characters.
_MAX_CHARS = 6_000


@dataclass(frozen=True)
class LabelList:
    """One label of a choice, or several with "and" or commas between."""

    letters: tuple[str, ...]
    """The labels, sorted, in upper case; none where the list cannot decide ("A or B")."""

    end: int
    """Where the list ends in its text."""

    first: str
    """The first label as it is written."""

    mark: str
    """The mark behind the first label, as in "B)"."""

    is_bracketed: bool
    """Whether the first label stands in brackets."""

    @property
    def may_be_word(self) -> bool:
        """Whether it is one letter that is a word of English, or a small letter, so that it may be no label."""
        is_small = self.first.isascii() and self.first.islower()
        return len(self.letters) == 1 and (self.first in "AI" or is_small)


def read_label_list(text: str, start: int, digits: bool = False) -> LabelList | None:
    """Return the list of labels that starts at `start`; None where none does. `digits`: the choices are numbered."""
    match = LABEL.match(text, start)
    label = _label_of(match, digits)
    if match is None or label is None:
        return None
    letters = {label}
    end = match.end()
    is_decided = True
    while len(letters) < _MOST_LABELS:
        alternative = _OR.match(text, end)
        if alternative:
            following = LABEL.match(text, alternative.end())
            alternative_label = _label_of(following, digits)
            is_new = alternative_label and alternative_label not in letters
            if is_new and following and _END_OF_LIST.match(text, following.end()):
                is_decided, end = False, following.end()
            break
        following = _next_label(text, match, end, digits)
        if following is None:
            break
        letters.add(_label_of(following, digits) or "")
        end = following.end()
    first = _written_label(match)
    is_bracketed = match["bracketed"] is not None
    return LabelList(tuple(sorted(letters)) if is_decided else (), end, first, match["mark"], is_bracketed)


def _next_label(text: str, first: re.Match[str], end: int, digits: bool) -> re.Match[str] | None:
    """Return the label that goes on with a list whose last label ends at `end`; None where the list ends there."""
    link = _AND.match(text, end)
    following = LABEL.match(text, link.end()) if link else None
    if link is None or following is None or _label_of(following, digits) is None:
        return None
    both_are_bracketed = first["bracketed"] is not None and following["bracketed"] is not None
    if not link[0].strip() and not both_are_bracketed and (first["mark"] or _written_label(first).islower()):
        return None  # "a) x"
    if following["bracketed"] is not None or _END_OF_LIST.match(text, following.end()):
        return following
    next_link = _AND.match(text, following.end())
    if next_link and next_link[0].strip():
        return following
    # "A, B and C are wrong", but not "B, a city is ..."
    is_capital = _written_label(following).isupper() and following["latin"] not in ("A", "I")
    return following if is_capital and STATEMENT_VERB.match(text, following.end()) else None


def _written_label(match: re.Match[str]) -> str:
    """Return the label of a match of LABEL as the text has it, without brackets and mark."""
    return match["bracketed"] or match["latin"] or match["other"] or match["digit"]


def _label_of(match: re.Match[str] | None, digits: bool) -> str | None:
    """Return the label of a choice that was matched, in upper case; None for a number where choices are letters."""
    if match is None:
        return None
    label = _written_label(match)
    if label.isdigit():
        return label if digits else None
    return label.upper()


def same_labels(gold: tuple[str, ...], answer: tuple[str, ...]) -> bool:
    """Return whether two lists of labels are the same, also where one of them is in another script: Б is B."""
    if set(gold) == set(answer):
        return True
    if _is_latin(gold) == _is_latin(answer):
        return False
    return _to_latin(gold) == _to_latin(answer)


def _to_latin(labels: tuple[str, ...]) -> set[str]:
    """Return labels as the Latin letters of their places in the alphabet."""
    return {LATIN_OF.get(label, label) for label in labels}


def _is_latin(labels: tuple[str, ...]) -> bool:
    return all(label.isascii() for label in labels)


def parse_options(question: str) -> dict[str, str]:
    """Return the choices that a question lists, by their letters or numbers; empty where it lists none."""
    options: dict[str, str] = {}
    for match in _OPTION.finditer(question[-_MAX_CHARS:]):
        label = match[1]
        expected = {"A", "1"} if not options else {_label_after(list(options)[-1])}
        if label in expected:
            options[label] = match[2].strip(" *.")
        elif label in ("A", "1"):  # the list of an earlier example ends, and the question's own begins
            options = {label: match[2].strip(" *.")}
    return options if len(options) > 1 else {}


def _label_after(label: str) -> str:
    return str(int(label) + 1) if label.isdigit() else chr(ord(label) + 1)
