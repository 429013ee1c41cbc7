"""Read the choices of a row: a list, a mapping, labels with texts, or one text in which they stand one after another.

    labels_and_texts({"label": ["A", "B"], "text": ["6", "7"]})       (["A", "B"], ["6", "7"])
    labels_and_texts("a ) 6 , b ) 7")                                 (["A", "B"], ["6", "7"])

Choices without labels get letters.
"""

import ast
import re
import string
from collections.abc import Mapping
from typing import Any

LETTERS = string.ascii_uppercase
# "(A) 21", "A) 21", "a. 21": a choice that begins with its own letter.
_LETTERED = re.compile(r"\s*\(?([A-Za-z])\s*[).:]\s*(.*)", re.DOTALL)
# "a ) 38 , b ) 27.675 , c ) 30": MathQA's choices in one text.
_CHOICE_IN_TEXT = re.compile(r"(?:^|[,\s])\(?([a-jA-J])\s?\)\s*")


def labels_and_texts(choices: Any) -> tuple[list[str], list[str]]:
    """Return the labels and the texts of a row's choices, in any of the forms of a list, a mapping or a text."""
    if isinstance(choices, str):
        return _split_choices(choices)
    if isinstance(choices, Mapping):
        texts = choices.get("text") or choices.get("texts")
        labels = choices.get("label") or choices.get("labels")
        if isinstance(texts, list) and isinstance(labels, list):  # ARC, CommonsenseQA, OpenBookQA
            return list(map(str, labels)), list(map(str, texts))
        present = {str(label): str(text) for label, text in choices.items() if text is not None}  # MedQA
        return list(present), list(present.values())
    if choices and all(isinstance(choice, Mapping) for choice in choices):
        labels = [str(choice.get("label") or choice.get("key") or choice.get("id")) for choice in choices]
        texts = [choice.get("text") or choice.get("value") or choice.get("content") for choice in choices]
        if None in texts:
            raise ValueError("a choice has no text")
        return labels, list(map(str, texts))
    return _without_letters([_plain_text(choice) for choice in choices if choice is not None])


def _plain_text(choice: Any) -> str:
    if not isinstance(choice, str | int | float) or isinstance(choice, bool):
        raise TypeError("a choice must be a text or a number")
    return str(choice).strip()


def _without_letters(texts: list[str]) -> tuple[list[str], list[str]]:
    """Return letters as labels, and the choices without the letters that they may begin with ("A) 21")."""
    matches = [_LETTERED.match(text) for text in texts]
    letters = "".join(match.group(1).upper() for match in matches if match)
    if len(letters) == len(texts) and LETTERS.startswith(letters):
        texts = [match.group(2).strip() for match in matches if match]
    return list(LETTERS[: len(texts)]), texts


def _split_choices(text: str) -> tuple[list[str], list[str]]:
    """Return the choices of a text: `a ) 38 , b ) 27.675`, a list that stands as text, or a line for each."""
    if text.lstrip().startswith("["):
        return _without_letters([_plain_text(choice) for choice in ast.literal_eval(text.strip())])
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and all(map(_LETTERED.match, lines)):
        return _without_letters(lines)
    matches = list(_CHOICE_IN_TEXT.finditer(text))
    letters = "".join(match.group(1).upper() for match in matches)
    if len(letters) < 2 or not LETTERS.startswith(letters):
        raise ValueError("the choices are a text in which they cannot be told apart")
    ends = [match.start() for match in matches[1:]] + [len(text)]
    texts = [text[match.end() : end].strip(" ,") for match, end in zip(matches, ends, strict=True)]
    return list(letters), texts
