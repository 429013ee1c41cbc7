"""Load problems: what RL, generation and evaluation start from."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from r1kit.data.batches import READ_BATCH_ROWS
from r1kit.data.mixing import read_sources
from r1kit.data.questions import check_prompt, question_text, render_prompt, row_language, stable_row_id
from r1kit.data.row_tables import compute_columns
from r1kit.errors import UserError
from r1kit.messages import logger
from r1kit.recipe import DataConfig, PromptConfig, SourceConfig
from r1kit.rows import Row

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset


def load_problems(
    sources: Sequence[SourceConfig],
    prompt: PromptConfig | None,
    field: str = "data.train",
    data: DataConfig | None = None,
) -> "Dataset":
    """Return the problems of `sources`, each once, with the columns that rewards need.

    `prompt` becomes the prompt as the model is given it; with `prompt=None` it stays as the source has it, since a
    template that stands in every row would be most of what a large set holds. `question` is the bare text. `id`,
    `domain`, `language` and `thinking` are filled in if a source lacks them. Raises UserError for a row without a
    prompt, and for an id that stands for two questions.
    """
    dataset = read_sources(sources, field, data.rows if data else None)
    if "prompt" not in dataset.column_names:
        action = f"it has {', '.join(dataset.column_names)}; rename one with {field}.0.columns"
        raise UserError(field, sources[0].path, "needs a column prompt", action)

    problems = fill_problem_columns(dataset, prompt, field)
    first = first_rows_by_id(problems, sources[0].path, field)
    if len(first) == len(problems):
        return problems
    repeated = len(problems) - len(first)
    logger.info(f"{repeated} of {len(problems)} problems repeat an earlier one and are dropped")
    return problems.select(first)


def fill_problem_columns(dataset: "Dataset", prompt: PromptConfig | None, field: str) -> "Dataset":
    """Return problems with the columns that r1kit makes where a row lacks them; see load_problems."""

    def fill_batch(rows: list[Row], start: int) -> list[Row | None]:
        return [_filled_columns(row, start + offset, prompt, field) for offset, row in enumerate(rows)]

    return compute_columns(dataset, fill_batch)


def _filled_columns(row: Row, number: int, prompt: PromptConfig | None, field: str) -> Row:
    """Return the columns that `load_problems` adds to a row, or replaces in it."""
    question = check_prompt(row["prompt"], number, field)
    text = question_text(question)
    filled = {
        "domain": "" if row.get("domain") is None else row["domain"],
        "thinking": True if row.get("thinking") is None else row["thinking"],
        "question": text,
        "language": row_language(row, text),
        "id": row.get("id") or stable_row_id(question, row.get("answer")),
    }
    if prompt is not None:
        filled["prompt"] = render_prompt(question, prompt)
    return filled


def first_rows_by_id(dataset: "Dataset", path: str, field: str, question_column: str = "question") -> "np.ndarray":
    """Return the numbers of the rows whose id no earlier row has, in order.

    Memory holds two hashes of 8 bytes a row. Raises UserError if an id stands for two questions.
    """
    import numpy as np

    # Hashes, since a set may have millions of problems.
    ids, questions = np.empty(len(dataset), np.uint64), np.empty(len(dataset), np.uint64)
    columns = dataset.select_columns(["id", question_column])
    for start in range(0, len(columns), READ_BATCH_ROWS):
        batch = columns[start : start + READ_BATCH_ROWS]
        end = start + len(batch["id"])
        ids[start:end] = [_hash_text(row_id) for row_id in batch["id"]]
        questions[start:end] = [_hash_text(question) for question in batch[question_column]]
    _, first, index_of_id = np.unique(ids, return_index=True, return_inverse=True)
    conflicts = np.flatnonzero(questions != questions[first[index_of_id]])
    if len(conflicts):
        requirement = f"two problems have the id {dataset[int(conflicts[0])]['id']}"
        action = "give each an id of its own, or none (values: {id: null}): r1kit makes them"
        raise UserError(field, path, requirement, action)
    return np.sort(first)


def _hash_text(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
