"""Compare answers as texts (checker `exact`) and as letters of a multiple-choice question (checker `choice`).

>>> same_text("New York", " new  york.")
True
>>> same_choice("B", "The answer is (b).")
True
"""

import contextlib
import json
from typing import Any

from r1kit.answers.choice_labels import parse_options, same_labels
from r1kit.answers.choices import chosen_letters
from r1kit.languages.normal_forms import normalize_text

# Answers to a question that is either so or not: data sets have them as truth values (BoolQ), models answer in words.
_TRUTH_VALUES = {"yes": "true", "no": "false"}


def same_text(gold: str, answer: str) -> bool:
    """Return whether two texts are equal, except for white space, case and a full stop at the end; yes is true."""
    gold, answer = comparable_text(gold), comparable_text(answer)
    return gold == answer or _TRUTH_VALUES.get(gold, gold) == _TRUTH_VALUES.get(answer, answer)


def same_as_any(gold: Any, answer: str) -> bool:
    """Return whether an answer is the same text as the gold answer, or as one of several that are accepted.

    Several accepted answers are a list of texts, or its JSON: `same_as_any('["Ann Lee", "Ann"]', "ann")` is true.
    """
    return any(same_text(text, answer) for text in accepted_texts(gold))


def accepted_texts(gold: Any) -> list[str]:
    """Return the texts that a gold answer accepts: the members of a list of texts, or of its JSON.

    The gold answer as it stands is one of them, and the only one where it is a list with numbers, such as `[1, 2]`.
    Empty texts are none.
    """
    texts = [json.dumps(gold, ensure_ascii=False) if isinstance(gold, list | dict) else str(gold)]
    members = gold
    if isinstance(gold, str) and gold.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            members = json.loads(gold)
    if isinstance(members, list) and all(isinstance(member, str) for member in members):
        texts += members
    return [text for text in texts if comparable_text(text)]


def comparable_text(text: str) -> str:
    """Return a text in the form in which `same_text` compares it."""
    return " ".join(normalize_text("NFC", text).split()).rstrip(" .").casefold()


def same_choice(gold: str, answer: str, question: str = "") -> bool:
    """Return whether an answer chooses what the gold answer does, as in "B", "(B)", "B) 12" or "The answer is B."

    Where the question lists its choices, the text of a choice counts as its letter.
    """
    numbered = gold.strip().strip("()[].").isdigit()
    gold_letters = chosen_letters(gold, digits=numbered)
    answer_letters = chosen_letters(answer, digits=numbered)
    if gold_letters is not None and answer_letters is not None:
        return same_labels(gold_letters, answer_letters)
    options = parse_options(question) if question else {}
    if options:
        gold_letters = gold_letters or _letters_of_text(gold, options)
        answer_letters = answer_letters or _letters_of_text(answer, options)
        if gold_letters is not None and answer_letters is not None:
            return same_labels(gold_letters, answer_letters)
    return gold_letters is None and same_text(gold, answer)


def _letters_of_text(text: str, options: dict[str, str]) -> tuple[str, ...] | None:
    """Return the letter of the only choice that has this text; None where none or several have it."""
    sought_text = comparable_text(text)
    letters = tuple(letter for letter, option in options.items() if comparable_text(option) == sought_text)
    return letters if len(letters) == 1 else None
