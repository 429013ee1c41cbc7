"""Read multiple choice in the forms in which data sets have it, as a prompt with lettered choices and a gold letter.

    {"question": "2 + 2?", "choices": ["3", "4"], "answer": 1}
    {"prompt": "2 + 2?\\n\\nA. 3\\nB. 4\\n\\n...", "answer": "B", "checker": "choice"}

MMLU, MMLU-Pro, C-Eval, ARC, CommonsenseQA, OpenBookQA, MedQA, MedMCQA, SuperGPQA, AQuA, RACE and HellaSwag say which
choice is right by its number, its label or its text. GPQA and SciQ have the right choice in a column of its own: there
the choices are shuffled, by the source's seed and the question, since the right one would always come first.
"""

import ast
import random
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from r1kit.rows import Row

INSTRUCTION = "Answer with the letter of the correct choice."
LETTERS = string.ascii_uppercase
QUESTION_COLUMNS = (
    "question",
    "Question",
    "question_stem",
    "problem",
    "Problem",
    "ctx",
    "query",
    "prompt",
    "input",
)
PASSAGE_COLUMNS = ("passage", "article", "context", "Context", "premise")
CHOICE_COLUMNS = ("choices", "options", "endings", "Options", "Choices", "mc1_targets", "candidates", "answer_choices")
GOLD_COLUMNS = (
    "answer_index",
    "answer_idx",
    "answerKey",
    "answer_key",
    "answer_letter",
    "correct_option",
    "correct_choice",
    "correct_answer",
    "correct",
    "answer",
    "Answer",
    "label",
    "labels",
    "gold",
    "target",
)
"""Columns that say which choice is right; of several, the first: `answer` may then be the choice's text."""


@dataclass(frozen=True)
class ColumnChoices:
    """A set with one column for each choice."""

    question: tuple[str, ...]
    choices: tuple[str, ...]
    gold: str
    first_number: int = 0
    """Number of the first choice, where `gold` is a number."""


@dataclass(frozen=True)
class CorrectAndIncorrect:
    """A set with the right choice in one column and the wrong ones in others, in a fixed order."""

    question: tuple[str, ...]
    correct: str
    incorrect: tuple[str, ...]


# The sets with a column for each choice. Whether numbers begin at 0 or 1, only the set's own documents say.
COLUMN_SETS: dict[str, ColumnChoices] = {
    "MedMCQA": ColumnChoices(("question",), ("opa", "opb", "opc", "opd"), "cop"),
    "MedQA": ColumnChoices(("sent1", "sent2"), ("ending0", "ending1", "ending2", "ending3"), "label"),
    "PIQA": ColumnChoices(("goal",), ("sol1", "sol2"), "label"),
    "WinoGrande": ColumnChoices(("sentence",), ("option1", "option2"), "answer", 1),
    "SocialIQA": ColumnChoices(("context", "question"), ("answerA", "answerB", "answerC"), "label", 1),
    "COPA": ColumnChoices(("premise", "question"), ("choice1", "choice2"), "label"),
}
CORRECT_SETS: dict[str, CorrectAndIncorrect] = {
    "GPQA": CorrectAndIncorrect(
        ("Question",), "Correct Answer", ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
    ),
    "SciQ": CorrectAndIncorrect(("question",), "correct_answer", ("distractor1", "distractor2", "distractor3")),
}
# "(A) 21", "A) 21", "a. 21": a choice that begins with its own letter.
_LETTERED = re.compile(r"\s*\(?([A-Za-z])\s*[).:]\s*(.*)", re.DOTALL)
_OPTION_COLUMN = re.compile(r"(?:option|choice|opt)[ _]?a", re.IGNORECASE)
# "a ) 38 , b ) 27.675 , c ) 30": MathQA's choices in one text.
_CHOICE_IN_TEXT = re.compile(r"(?:^|[,\s])\(?([a-jA-J])\s?\)\s*")


@dataclass(frozen=True)
class ChoiceReading:
    """How the rows of a set with choices are read."""

    columns: tuple[str, ...]
    """The columns that are read, which stand in the prompt or the answer afterwards."""
    read_row: Callable[[Row], Row | None]


def find_choices(names: Sequence[str], first_row: Row, seed: int) -> ChoiceReading | None:
    """Return how a set of multiple choice is read; None for columns, or a first row, that are of no known form."""
    for columns in COLUMN_SETS.values():
        if {columns.question[0], *columns.choices, columns.gold} <= set(names):
            return _reading_if_it_fits(_used(names, columns), partial(_read_columns, columns), first_row)
    for correct in CORRECT_SETS.values():
        used = (*correct.question, correct.correct, *correct.incorrect)
        if set(used) <= set(names):
            return _reading_if_it_fits(used, partial(_read_correct_and_incorrect, correct, seed), first_row)
    question = next((name for name in QUESTION_COLUMNS if name in names), None)
    choices = next((name for name in CHOICE_COLUMNS if name in names), None)
    if question is None:
        return None
    if choices is None:
        return _find_lettered_columns(names, question, first_row)
    passage = next((name for name in PASSAGE_COLUMNS if name in names), None)
    if choices == "mc1_targets":
        return _reading_if_it_fits((question, choices), lambda row: _read_truthful(row, question, seed), first_row)
    for gold in GOLD_COLUMNS:
        if gold not in names:
            continue
        used = tuple(name for name in (passage, question, choices, gold) if name)
        reading = _reading_if_it_fits(used, _choice_reader(passage, question, choices, gold), first_row)
        if reading:
            return reading
    return None


def _find_lettered_columns(names: Sequence[str], question: str, first_row: Row) -> ChoiceReading | None:
    """Find a column for each choice, by the names A, B, ... (C-Eval, CMMLU) or option_a, option_b, ..."""
    gold = next((name for name in GOLD_COLUMNS if name in names), None)
    for first in names:
        last_letter = first[-1:]
        if gold is None or last_letter not in ("A", "a") or (len(first) > 1 and not _OPTION_COLUMN.fullmatch(first)):
            continue
        columns: list[str] = []
        while (name := first[:-1] + chr(ord(last_letter) + len(columns))) in names and len(columns) < len(LETTERS):
            columns.append(name)
        if len(columns) > 1:
            lettered = ColumnChoices((question,), tuple(columns), gold)
            return _reading_if_it_fits(_used(names, lettered), partial(_read_columns, lettered), first_row)
    return None


def _used(names: Sequence[str], columns: ColumnChoices) -> tuple[str, ...]:
    return tuple(name for name in (*columns.question, *columns.choices, columns.gold) if name in names)


def _reading_if_it_fits(
    columns: tuple[str, ...], read_row: Callable[[Row], Row | None], first_row: Row
) -> ChoiceReading | None:
    try:
        fits = read_row(first_row) is not None
    except (KeyError, TypeError, ValueError, AttributeError, SyntaxError):
        fits = False
    return ChoiceReading(columns, read_row) if fits else None


def _choice_reader(passage: str | None, question: str, choices: str, gold: str) -> Callable[[Row], Row | None]:
    def read_row(row: Row) -> Row | None:
        labels, texts = _labels_and_texts(row[choices])
        index = _gold_index(row[gold], labels, texts)
        return _choice_row([row.get(passage) if passage else None, row[question]], texts, index)

    return read_row


def _read_columns(columns: ColumnChoices, row: Row) -> Row | None:
    texts = [str(row[name]) for name in columns.choices if row.get(name) not in (None, "")]
    value = row[columns.gold]
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value)
    index = value - columns.first_number if _is_int(value) else _gold_index(value, list(LETTERS), texts)
    return _choice_row([row.get(name) for name in columns.question], texts, index)


def _read_correct_and_incorrect(columns: CorrectAndIncorrect, seed: int, row: Row) -> Row | None:
    texts = [str(row[name]).strip() for name in (columns.correct, *columns.incorrect) if row.get(name)]
    questions = [row[name] for name in columns.question]
    return _shuffled_choice_row(questions, texts, 0, seed) if row.get(columns.correct) else None


def _read_truthful(row: Row, question: str, seed: int) -> Row | None:
    """Read TruthfulQA, whose first choice is always the right one."""
    targets = row["mc1_targets"]
    labels = list(targets["labels"])
    return _shuffled_choice_row([row[question]], list(targets["choices"]), labels.index(1), seed)


def _shuffled_choice_row(questions: Sequence[Any], texts: list[str], index: int, seed: int) -> Row | None:
    """Return a row with its choices in an order that depends on the seed and the question alone."""
    order = list(range(len(texts)))
    random.Random(f"{seed}/{questions}").shuffle(order)
    return _choice_row(questions, [texts[i] for i in order], order.index(index))


def _choice_row(questions: Sequence[Any], texts: Sequence[str], index: int | None) -> Row | None:
    """Return the problem; None without a question, without two choices, or without a right one among them."""
    question = "\n\n".join(str(part).strip() for part in questions if part not in (None, ""))
    if not question or not 2 <= len(texts) <= len(LETTERS) or index is None or not 0 <= index < len(texts):
        return None
    lines = [f"{letter}. {text}" for letter, text in zip(LETTERS, texts, strict=False)]
    prompt = "\n".join([question, "", *lines, "", INSTRUCTION])
    return {"prompt": prompt, "answer": LETTERS[index], "checker": "choice"}


def _labels_and_texts(choices: Any) -> tuple[list[str], list[str]]:
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


def _gold_index(value: Any, labels: Sequence[str], texts: Sequence[str]) -> int | None:
    """Return the position of the right choice, which a value names by its label, its text or its number from 0."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if _is_int(value):
        # A label such as "1" is text; a number is a position, unless the choices are numbers and it is one of them.
        if 0 <= value < len(texts):
            return value
        return texts.index(str(value)) if str(value) in texts else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    if text in labels:
        return labels.index(text)
    if text in texts:
        return list(texts).index(text)
    letter = text.strip("()[]. ").upper()
    upper_labels = [label.upper() for label in labels]
    if letter in upper_labels:
        return upper_labels.index(letter)
    if len(letter) == 1 and letter in LETTERS:
        return LETTERS.index(letter)
    return int(text) if text.isdigit() and int(text) < len(texts) else None


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
