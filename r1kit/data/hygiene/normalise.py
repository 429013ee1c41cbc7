"""The forms in which hygiene compares texts: normalised text, words, numbers and gold answers."""

import re

from r1kit.languages.normal_forms import normalize_text
from r1kit.rows import Row

# Chinese characters and Japanese kana one by one, other words whole, and mathematical operators.
_WORD = re.compile(r"[぀-ヿ一-鿿]|[^\W぀-ヿ一-鿿]+|[-+*/=<>^×÷]")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_MARKS = re.compile(r"[$\"`“”]|\\[()\[\]]")
# A phrase in single quotes; not an apostrophe, as in "can't", nor a derivative, as in f'(x).
_QUOTED = re.compile(r"(?<![\w)\]}])'([^']*)'(?!\w)")


def normalise_text(text: str) -> str:
    """Return `text` without what makes no other problem of it.

    Case, white space, dollar signs, quotation marks and a full stop or question mark at the end are dropped:
    `normalise_text("What is  $2+2$?")` is `"what is 2+2"`.
    """
    text = normalize_text("NFC", text).casefold().replace("‘", "'").replace("’", "'")
    text = _QUOTED.sub(r" \1 ", _MARKS.sub(" ", text))
    return re.sub(r"\s+", " ", text).strip(" .?:")


def ngram_words(text: str) -> list[str]:
    """Return the words of `text` that n-grams are made of, in lower case.

    A Chinese or Japanese character is a word, and so is an operator: `ngram_words("Is 2+3 5?")` is
    `["is", "2", "+", "3", "5"]`.
    """
    return _WORD.findall(normalize_text("NFKC", text).casefold())


def sorted_numbers(text: str) -> list[str]:
    """Return the numbers of `text` as they are written, sorted as text."""
    return sorted(_NUMBER.findall(text))


def comparable_answer(row: Row) -> str:
    """Return a row's normalised gold answer; an empty text for code, which is judged by its tests."""
    answer = row.get("answer")
    return "" if answer is None or row.get("tests") else normalise_text(str(answer))


def answers_agree(first: str, second: str) -> bool:
    """Return whether two comparable answers are equal, or one of them is missing."""
    return not first or not second or first == second
