"""Count the words by which a chain of thought looks back at itself, such as "wait".

R1-Zero's thinking has more of them as its training goes on: Nature, s41586-025-09422-z, extended data, counts ten.

Departure from the paper: Persian words of the same meanings count as well, since models of two languages would
otherwise seem to reflect less when they think in Persian.

>>> count_reflection_words("3 + 9 = 11, wait, that is WRONG: 12")
2
"""

import re
from functools import lru_cache

REFLECTION_WORDS = {
    "en": ("wait", "mistake", "however", "but", "retry", "error", "verify", "wrong", "evaluate", "check"),
    "fa": ("صبر", "اشتباه", "هرچند", "اما", "دوباره", "خطا", "بررسی", "غلط", "ارزیابی", "راستی‌آزمایی"),
}
"""The ten words of the paper, and Persian ones, by their language."""


def count_reflection_words(text: str) -> int:
    """Return how often the words of REFLECTION_WORDS occur in a text, as whole words, in upper or lower case."""
    return len(_whole_words().findall(text))


@lru_cache(maxsize=1)
def _whole_words() -> re.Pattern[str]:
    words = [re.escape(word) for words in REFLECTION_WORDS.values() for word in words]
    return re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE)
