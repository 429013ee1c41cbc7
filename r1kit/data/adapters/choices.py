"""Read multiple choice in the forms in which data sets have it, as a prompt with lettered choices and a gold letter.

    {"question": "2 + 2?", "choices": ["3", "4"], "answer": 1}
    {"prompt": "2 + 2?\\n\\nA. 3\\nB. 4\\n\\n...", "answer": "B", "checker": "choice"}

MMLU, MMLU-Pro, C-Eval, ARC, CommonsenseQA, OpenBookQA, MedQA, MedMCQA, SuperGPQA, AQuA, RACE and HellaSwag say which
choice is right by its number, its label or its text. The numbers of the whole set show whether they count from 0 or
from 1. GPQA and SciQ have the right choice in a column of its own: there
the choices are shuffled, by the source's seed and the question, since the right one would always come first.
"""

import contextlib
import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from r1kit.data.adapters.choice_texts import LETTERS, labels_and_texts
from r1kit.rows import Row

UNREADABLE_CHOICES = (KeyError, TypeError, ValueError, AttributeError, SyntaxError)
"""What reading a row's choices raises where they are of another form."""
INSTRUCTION = "Answer with the letter of the correct choice."
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
    "answers",
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
    first_number: int | None = 0
    """Number of the first choice, used where the numbers in `gold` do not show it; None if it is unknown."""


@dataclass(frozen=True)
class CorrectAndIncorrect:
    """A set with the right choice in one column and the wrong ones in others, in a fixed order."""

    question: tuple[str, ...]
    correct: str
    incorrect: tuple[str, ...]


# The sets with a column for each choice; `first_number` as their documents have it.
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
# The first of several columns with a choice each: "option_a", "choice 1", "A".
_FIRST_OPTION_COLUMN = re.compile(r"(?:(?:option|choice|opt|answer)[ _]?)[aA01]|[aA]", re.IGNORECASE)


@dataclass(frozen=True)
class ChoiceQuestion:
    """A row's question with its choices, and its gold answer as the set has it: a number, a label or a text."""

    questions: list[Any]
    """What stands in the prompt before the choices: a passage or a story perhaps, and the question."""
    labels: Sequence[str]
    texts: Sequence[str]
    gold: Any

    def number(self) -> int | None:
        """Return the gold answer if it is the number of a choice, None if it is a label or a text."""
        value = _single_member(self.gold)
        text = str(value).strip()
        if text in self.labels or (isinstance(value, str) and (text in self.texts or not text.isdecimal())):
            return None
        return int(text) if isinstance(value, str) or _is_int(value) else None


@dataclass(frozen=True)
class ChoiceReading:
    """How the rows of a set with choices are read."""

    columns: tuple[str, ...]
    """The columns that are read, which stand in the prompt or the answer afterwards."""
    read_row: Callable[[Row], Row | None]
    """Reads a row whose gold answer is no number, or counts from 0."""
    count_from: Callable[[Iterable[Row]], Callable[[Row], Row | None]] | None = None
    """Looks at all rows of a set, and returns how each is read: as `read_row`, but with the set's way of counting.

    Raises ChoiceNumberError where the numbers do not show whether they count from 0 or from 1.
    """


class ChoiceNumberError(ValueError):
    """Numbers of right choices that may count from 0 or from 1; its text says why."""


def find_choices(names: Sequence[str], first_row: Row, seed: int) -> ChoiceReading | None:
    """Return how a set of multiple choice is read; None for columns, or a first row, that are of no known form."""
    for columns in COLUMN_SETS.values():
        if {columns.question[0], *columns.choices, columns.gold} <= set(names):
            return _column_reading(names, columns, first_row)
    for correct in CORRECT_SETS.values():
        used = (*correct.question, correct.correct, *correct.incorrect)
        if set(used) <= set(names):
            return _reading_if_it_fits(used, partial(_read_correct_and_incorrect, correct, seed), first_row)
    question = next((name for name in QUESTION_COLUMNS if name in names), None)
    choices = next((name for name in CHOICE_COLUMNS if name in names), None)
    if question is None:
        return None
    if choices is None:
        return _find_option_columns(names, question, first_row)
    passage = next((name for name in PASSAGE_COLUMNS if name in names), None)
    if choices == "mc1_targets":
        return _reading_if_it_fits((question, choices), lambda row: _read_truthful(row, question, seed), first_row)
    for gold in GOLD_COLUMNS:
        if gold not in names:
            continue
        used = tuple(name for name in (passage, question, choices, gold) if name)
        reading = _counted_reading(used, partial(_read_list, passage, question, choices, gold), 0, first_row)
        if reading:
            return reading
    return None


def _find_option_columns(names: Sequence[str], question: str, first_row: Row) -> ChoiceReading | None:
    """Find a column for each choice, by the names A, B, ... (C-Eval, CMMLU), option_a, option_b, ... or option1, ..."""
    gold = next((name for name in GOLD_COLUMNS if name in names), None)
    for first in names:
        if gold is None or not _FIRST_OPTION_COLUMN.fullmatch(first):
            continue
        columns: list[str] = []
        while (name := first[:-1] + chr(ord(first[-1]) + len(columns))) in names and name.isascii():
            columns.append(name)
        if len(columns) > 1:
            # Numbers count as the names of the columns do, where those are numbered.
            first_number = int(first[-1]) if first[-1].isdigit() else None
            return _column_reading(names, ColumnChoices((question,), tuple(columns), gold, first_number), first_row)
    return None


def _column_reading(names: Sequence[str], columns: ColumnChoices, first_row: Row) -> ChoiceReading | None:
    used = tuple(name for name in (*columns.question, *columns.choices, columns.gold) if name in names)
    return _counted_reading(used, partial(_read_columns, columns), columns.first_number, first_row)


def _reading_if_it_fits(
    columns: tuple[str, ...], read_row: Callable[[Row], Row | None], first_row: Row
) -> ChoiceReading | None:
    return ChoiceReading(columns, read_row) if _reads(read_row, first_row) else None


def _reads(read_row: Callable[[Row], Row | None], row: Row) -> bool:
    try:
        return read_row(row) is not None
    except UNREADABLE_CHOICES:
        return False


def _counted_reading(
    columns: tuple[str, ...],
    read_question: Callable[[Row], ChoiceQuestion],
    usual_first: int | None,
    first_row: Row,
) -> ChoiceReading | None:
    """Return how rows are read whose gold answer may be a number; `usual_first` is where such numbers usually begin."""

    def read_row(row: Row, first_number: int | None) -> Row | None:
        question = read_question(row)
        return _choice_row(question.questions, question.texts, _gold_index(question, first_number))

    def count_from(rows: Iterable[Row]) -> Callable[[Row], Row | None]:
        counted = []
        for row in rows:
            with contextlib.suppress(*UNREADABLE_CHOICES):
                question = read_question(row)
                number = question.number()
                if number is not None and number >= 0:  # negative ones stand for an unknown answer
                    counted.append((number, len(question.texts), str(number) in question.texts))
        return partial(read_row, first_number=_find_first_number(counted, usual_first))

    if not any(_reads(partial(read_row, first_number=first), first_row) for first in (0, 1)):
        return None
    return ChoiceReading(columns, partial(read_row, first_number=0), count_from)


def _find_first_number(counted: Sequence[tuple[int, int, bool]], usual_first: int | None) -> int | None:
    """Return where the numbers of right choices begin: 0 or 1; None for numbers that are texts of the choices.

    `counted` are, of each row with a number, the number, how many choices there are, and whether one of them has this
    number as its text. A number 0 shows that the first choice is 0, a number as large as the count that it is 1.
    """
    if counted and all(is_text for _, _, is_text in counted):
        return None
    has_zero = any(number == 0 for number, _, _ in counted)
    has_count = any(number == count for number, count, _ in counted)
    if has_zero and has_count:
        raise ChoiceNumberError("some rows have 0 for the right choice, and some the number of their choices")
    if has_zero or has_count:
        return 0 if has_zero else 1
    if counted and usual_first is None:
        raise ChoiceNumberError("the numbers of the right choices may count from 0 or from 1, and no row shows which")
    return usual_first


def _read_list(passage: str | None, question: str, choices: str, gold: str, row: Row) -> ChoiceQuestion:
    labels, texts = labels_and_texts(row[choices])
    return ChoiceQuestion([row.get(passage) if passage else None, row[question]], labels, texts, row[gold])


def _read_columns(columns: ColumnChoices, row: Row) -> ChoiceQuestion:
    texts = ["" if row.get(name) is None else str(row[name]) for name in columns.choices]
    while texts and not texts[-1]:  # questions may have fewer choices than there are columns
        texts.pop()
    if "" in texts:
        raise ValueError("a choice before the last one is missing")
    return ChoiceQuestion([row.get(name) for name in columns.question], LETTERS, texts, row[columns.gold])


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
    question = "\n\n".join(str(text).strip() for text in questions if text not in (None, ""))
    if not question or not 2 <= len(texts) <= len(LETTERS) or index is None or not 0 <= index < len(texts):
        return None
    lines = [f"{letter}. {text}" for letter, text in zip(LETTERS, texts, strict=False)]
    prompt = "\n".join([question, "", *lines, "", INSTRUCTION])
    return {"prompt": prompt, "answer": LETTERS[index], "checker": "choice"}


def _gold_index(question: ChoiceQuestion, first_number: int | None) -> int | None:
    """Return the position of the right choice, which the gold answer names by its number, its label or its text.

    Numbers begin at `first_number`; with None, a number is the text of a choice.
    """
    value = _single_member(question.gold)
    labels, texts = list(question.labels), list(question.texts)
    number = question.number()
    if number is not None and first_number is not None and 0 <= number - first_number < len(texts):
        return number - first_number
    if not isinstance(value, str) and not _is_int(value):
        return None
    text = str(value).strip()
    if text in labels:
        return labels.index(text)
    if text in texts:
        return texts.index(text)
    letter = text.strip("()[]. ").upper()
    upper_labels = [label.upper() for label in labels]
    if letter in upper_labels:
        return upper_labels.index(letter)
    return LETTERS.index(letter) if len(letter) == 1 and letter in LETTERS else None


def _single_member(value: Any) -> Any:
    """Return the only member of a list of one, and 1 for 1.0, as tables with gaps have it; other values as they are."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
