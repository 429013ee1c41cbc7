"""TODO."""

import hashlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from r1kit.data.batches import READ_BATCH_ROWS
from r1kit.data.mixing import read_sources
from r1kit.data.questions import check_prompt, question_text, render_prompt, row_language, stable_row_id
from r1kit.errors import UserError
from r1kit.recipe import DataConfig, PromptConfig, SourceConfig

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset


def load_problems(
    sources: Sequence[SourceConfig],
    prompt: PromptConfig | None,
    field: str = "data.train",
    data: DataConfig | None = None,
) -> "Dataset":
    """Return rows of problems: the prompt as the model sees it, the bare `question`, and what rewards need.

    `id`, `domain`, `language` and `thinking` are filled in where a source lacks them. Rows that are the same problem
    with the same id stand once. Without `prompt` the prompts stay as the source has them: a template that stands in
    each row would be most of what a large set holds.
    """
    dataset = read_sources(sources, field, data.rows if data else None)
    if "prompt" not in dataset.column_names:
        do = f"it has {', '.join(dataset.column_names)}; rename one with {field}.0.columns"
        raise UserError(field, sources[0].path, "needs a column prompt", do)
    defaults = {"domain": "", "thinking": True}

    def fill(batch: dict[str, list[Any]], numbers: list[int]) -> dict[str, list[Any]]:
        rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
        questions = [check_prompt(row["prompt"], number, field) for row, number in zip(rows, numbers, strict=True)]
        plain = [question_text(question) for question in questions]
        filled: dict[str, list[Any]] = {
            k: [v if row.get(k) is None else row[k] for row in rows] for k, v in defaults.items()
        }
        filled["question"] = plain
        filled["language"] = [row_language(row, text) for row, text in zip(rows, plain, strict=True)]
        filled["id"] = [
            row.get("id") or stable_row_id(question, row.get("answer"))
            for row, question in zip(rows, questions, strict=True)
        ]
        if prompt is not None:
            filled["prompt"] = [render_prompt(question, prompt) for question in questions]
        return filled

    gone = "prompt" if prompt is not None else None
    filled = dataset.map(
        fill,
        with_indices=True,
        batched=True,
        batch_size=READ_BATCH_ROWS,
        remove_columns=gone,
        load_from_cache_file=False,
    )
    first = first_rows_by_id(filled, sources[0].path, field)
    if len(first) == len(filled):
        return filled
    lost = len(filled) - len(first)
    print(f"note: {lost} of {len(filled)} problems stood before and are left out", file=sys.stderr)
    return filled.select(first)


def first_rows_by_id(dataset: "Dataset", path: str, field: str) -> "np.ndarray":
    """Return the numbers of the rows whose id did not stand before.

    Raises UserError where an id stands for two questions.
    """
    import numpy as np

    keys, texts = np.empty(len(dataset), np.uint64), np.empty(len(dataset), np.uint64)
    looked = dataset.select_columns(["id", "question"])
    for start in range(0, len(looked), READ_BATCH_ROWS):
        batch = looked[start : start + READ_BATCH_ROWS]
        end = start + len(batch["id"])
        keys[start:end] = [_short(name) for name in batch["id"]]
        texts[start:end] = [_short(question) for question in batch["question"]]
    _, first, back = np.unique(keys, return_index=True, return_inverse=True)
    other = np.flatnonzero(texts != texts[first[back]])
    if len(other):
        must = f"two problems have the id {dataset[int(other[0])]['id']}"
        raise UserError(field, path, must, "give each an id of its own, or none (values: {id: null}): r1kit makes them")
    return np.sort(first)


def _short(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
