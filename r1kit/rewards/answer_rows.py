"""The rows that the reward `accuracy` judges: each completion's answer, with what it is judged by."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from r1kit.answers.extract import AnswerForms, completion_text, final_reply, read_answer
from r1kit.rewards.program_tests import parse_tests
from r1kit.rows import CHECKERS


@dataclass(slots=True)
class AnswerRow:
    """One completion with what it is judged by."""

    checker: str
    gold: Any
    answer: str | None
    whole: str  # the text that the answer was taken from
    question: str
    tests: list[dict[str, Any]] | None  # None where they are broken
    gym_entry: dict[str, Any] | None
    metadata: Any
    reply: str  # all text after the thinking
    columns: dict[str, Any]  # the row's other columns, for a checker of the user's own


def collect_answer_rows(
    completions: Sequence[Any],
    golds: Sequence[Any] | None,
    checkers: Sequence[str | None] | None,
    tests: Sequence[Any] | None,
    metadata: Sequence[Any] | None,
    answers: AnswerForms,
    known_checkers: Collection[str],
    columns: dict[str, Any],
) -> list[AnswerRow]:
    """Return the columns as rows. Raises ValueError for an unknown checker."""
    missing = [None] * len(completions)
    questions = columns.get("question") or columns.get("prompts") or missing
    finish_reasons = columns.get("finish_reason") or missing
    values = zip(
        completions,
        golds or missing,
        checkers or missing,
        tests or missing,
        metadata or missing,
        questions,
        finish_reasons,
        strict=True,
    )
    rows = []
    for i, (completion, gold, checker, row_tests, row_metadata, prompt, finish_reason) in enumerate(values):
        parsed_tests = parse_tests(row_tests)
        if not checker:
            checker = "math" if parsed_tests == [] else "code"
        if checker not in known_checkers:
            raise ValueError(f"unknown checker {checker!r}: use {', '.join(sorted(known_checkers))}")
        question = _question_text(prompt)
        gym_entry = _gym_entry(row_metadata, question, gold) if checker == "reasoning_gym" else None
        text = completion_text(completion)
        read = read_answer(text, checker, answers, is_cut=finish_reason == "length")
        reply = final_reply(text) if checker == "instructions" else ""
        row = AnswerRow(
            checker, gold, read.text, read.whole, question, parsed_tests, gym_entry, row_metadata, reply, {}
        )
        if checker not in CHECKERS:
            own_columns = _columns_of_row({**columns, "tests": tests, "metadata": metadata}, i, len(completions))
            row.columns = {**own_columns, "question": question, "completion": text}
        rows.append(row)
    return rows


def _columns_of_row(columns: dict[str, Any], index: int, row_count: int) -> dict[str, Any]:
    """Return the values of one row; what is no column (a logger, say) is left out, as is the prompt (`question`)."""
    values = {}
    for name, column in columns.items():
        if name != "prompts" and isinstance(column, list | tuple) and len(column) == row_count:
            values[name] = column[index]
    return values


def can_be_judged(row: AnswerRow) -> bool:
    """Return whether the row has what its checker needs; a checker of the user's own may need no gold answer."""
    if row.checker not in CHECKERS:
        return True
    if row.checker == "code":
        return row.tests != []
    if row.checker == "instructions":
        return row.metadata is not None
    if row.checker == "reasoning_gym":
        return row.gym_entry is not None
    return row.gold is not None and row.gold != []


def _question_text(prompt: Any) -> str:
    """Return the text of a prompt, or of the last message of a chat."""
    if isinstance(prompt, str):
        return prompt
    return str(prompt[-1]["content"]) if prompt else ""


def _gym_entry(metadata: Any, question: str, answer: Any) -> dict[str, Any] | None:
    """Return the entry that reasoning_gym's scorers expect; None for a row without metadata, which may be JSON."""
    try:
        parsed_metadata = json.loads(metadata) if isinstance(metadata, str) else metadata
    except (ValueError, RecursionError):
        parsed_metadata = {}  # the scorer reports such an entry as broken
    if parsed_metadata is None:
        return None
    return {"question": question, "answer": answer, "metadata": parsed_metadata}
