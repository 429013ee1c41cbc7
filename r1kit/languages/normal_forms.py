"""Bring text into a Unicode normal form in linear time.

Python sorts the combining marks on a letter, in time that is quadratic in their number: a letter with 30,000 accents
takes two seconds. No script puts more than a few marks on one letter, and Unicode's own stream-safe format (UAX 15)
allows 30; any beyond these are left out here.

>>> normalize_text("NFC", "e\\u0301")
'é'
"""

import re
import unicodedata
from typing import Literal

MAX_MARKS = 30  # on one letter
# Marks are neither letters, digits, white space nor ASCII; such a run may hold other characters too.
_MAYBE_MARKS = re.compile(rf"[^\w\s\x00-\x7f]{{{MAX_MARKS + 1},}}")


def normalize_text(form: Literal["NFC", "NFD", "NFKC", "NFKD"], text: str) -> str:
    """Return a text in a normal form, with at most MAX_MARKS marks on one letter."""
    if len(text) > MAX_MARKS and not text.isascii():
        text = _MAYBE_MARKS.sub(_drop_marks, text)
    return unicodedata.normalize(form, text)


def _drop_marks(match: re.Match[str]) -> str:
    chars = []
    marks = 0
    for char in match[0]:
        marks = marks + 1 if unicodedata.combining(char) else 0
        if marks <= MAX_MARKS:
            chars.append(char)
    return "".join(chars)
