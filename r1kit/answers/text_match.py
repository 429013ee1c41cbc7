"""Compare answers as texts (checker `exact`) and as letters of a multiple-choice question (checker `choice`).

>>> same_text("New York", " new  york.")
True
>>> same_choice("B", "The answer is (b).")
True
"""

import re
import unicodedata


def same_text(gold: str, answer: str) -> bool:
    """Return whether two texts are equal, except for white space, case and a full stop at the end."""
    return comparable_text(gold) == comparable_text(answer)


def comparable_text(text: str) -> str:
    """Return a text in the form in which `same_text` compares it."""
    return " ".join(unicodedata.normalize("NFC", text).split()).rstrip(" .").casefold()


# "answer is:", "option:", "correct choice is": the letter follows.
_INTRODUCTION = re.compile(r"(?i)\b(?:answer|choice|option)(?:\s+(?:choice|option))?\s*(?:\bis\b\s*:?|:)\s*")
# "I choose the correct option": words that may stand directly before the letter.
_LEAD_IN = re.compile(
    r"(?i)(?:i\s+)?(?:choose|pick|select|think)?\s*(?:(?:the|correct|right|best)\s+)*(?:answer|option|choice)?\s*"
)
# Groups: a letter in brackets; else a bare letter, the mark after it; and in any case the text that follows.
_LETTER = re.compile(r"(?:[(\[{]\s*([A-Za-z])\s*[)\]}]|([A-Za-z])(?![A-Za-z0-9'’]))([.:)]?)(.*)", re.DOTALL)
# "A is wrong", "A can be proved": the letter is what the sentence is about, not what it chooses ("A is the answer").
_STATEMENT = re.compile(r"\s*(?:is|are|was|isn't|can|cannot|does)\b(?!\s+(?:the\s+)?(?:answer|correct|right|best))")
# "A or B", "A, C": a second letter.
_SECOND_LETTER = re.compile(r"\s*(?:[,/&]|\band\b|\bor\b)?\s*\(?([A-Za-z])\)?[.)]?\s*(?:$|,|\band\b|\bor\b)")
# The letter stands alone, or a reason follows.
_END_OR_REASON = re.compile(r"\s*(?:$|\n|[,;-]|because\b|since\b)")


def same_choice(gold: str, answer: str) -> bool:
    """Return whether an answer names the gold letter, as in "B", "(B)", "**B**", "B) 12" or "The answer is B."."""
    gold_letter = _chosen_letter(gold)
    if gold_letter is None:
        return same_text(gold, answer)
    return gold_letter == _chosen_letter(answer)


def _chosen_letter(text: str) -> str | None:
    """Return the letter that a text chooses, in upper case.

    None where it chooses no letter or several, and where a letter is an article or a pronoun ("A good question").
    """
    text = re.sub(r"\\(?:boxed|mbox|text|math)[a-z]*\s*\{|[{}$*_`]|\\[()\[\] ,]", " ", text).strip()
    choice_text = _INTRODUCTION.split(text)[-1]
    match = _LETTER.match(_LEAD_IN.sub("", choice_text, count=1))
    if not match:
        return None
    bracketed, bare, mark, following_text = match.groups()
    letter = (bracketed or bare).upper()
    second_letter = _SECOND_LETTER.match(following_text)
    if second_letter and second_letter[1].upper() != letter:
        return None
    if _STATEMENT.match(following_text):
        return None
    if bracketed or mark or _END_OR_REASON.match(following_text):
        return letter
    # "B Berlin" is a choice with its text. "A city", "I think" and "a city" may be words.
    return letter if bare in "BCDEFGHJKLMNOPQRSTUVWXYZ" else None
