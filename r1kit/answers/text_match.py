"""Compare texts, and the letters of multiple-choice answers."""

import re
import unicodedata


def same_text(gold: str, answer: str) -> bool:
    """Whether two texts are equal but for spaces, case and a full stop at the end."""
    return comparable_text(gold) == comparable_text(answer)


def comparable_text(text: str) -> str:
    """Return a text as `exact` compares it."""
    return " ".join(unicodedata.normalize("NFC", text).split()).rstrip(" .").casefold()


_SAID = re.compile(r"(?i)\b(?:answer|choice|option)(?:\s+(?:choice|option))?\s*(?:\bis\b\s*:?|:)\s*")


_ASKED = re.compile(
    r"(?i)(?:i\s+)?(?:choose|pick|select|think)?\s*(?:(?:the|correct|right|best)\s+)*(?:answer|option|choice)?\s*"
)


_LETTER = re.compile(r"(?:[(\[{]\s*([A-Za-z])\s*[)\]}]|([A-Za-z])(?![A-Za-z0-9'’]))([.:)]?)(.*)", re.DOTALL)


_TOLD = re.compile(r"\s*(?:is|are|was|isn't|can|cannot|does)\b(?!\s+(?:the\s+)?(?:answer|correct|right|best))")


_ANOTHER = re.compile(r"\s*(?:[,/&]|\band\b|\bor\b)?\s*\(?([A-Za-z])\)?[.)]?\s*(?:$|,|\band\b|\bor\b)")


def same_choice(gold: str, answer: str) -> bool:
    """Whether an answer names the gold letter, in any spelling: "B", "(B)", "**B**", "B) 12", "The answer is B."."""
    wanted = _chosen_letter(gold)
    return wanted == _chosen_letter(answer) if wanted else same_text(gold, answer)


def _chosen_letter(text: str) -> str | None:
    """Return the one letter that a text chooses; None where it is a word's, an article, or not the only one."""
    text = re.sub(r"\\(?:boxed|mbox|text|math)[a-z]*\s*\{|[{}$*_`]|\\[()\[\] ,]", " ", text).strip()
    found = _LETTER.match(_ASKED.sub("", _SAID.split(text)[-1], count=1))
    if not found:
        return None
    letter, after = (found[1] or found[2]).upper(), found[4]
    another = _ANOTHER.match(after)
    if (another and another[1].upper() != letter) or _TOLD.match(after):
        return None
    marked = found[1] or found[3] or re.match(r"\s*(?:$|\n|[,;-]|because\b|since\b)", after)
    return letter if marked or found[2] in "BCDEFGHJKLMNOPQRSTUVWXYZ" else None
