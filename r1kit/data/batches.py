"""Read a data set in batches of rows, so that memory never holds all of it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from r1kit.rows import Row

if TYPE_CHECKING:
    from datasets import Dataset

READ_BATCH_ROWS = 1000
"""Rows that are in memory at once: some megabytes, even where a row is a long completion."""


def iterate_rows(dataset: "Dataset") -> Iterator[Row]:
    """Yield every row of `dataset` in order, reading READ_BATCH_ROWS of them from disk at a time."""
    for start in range(0, len(dataset), READ_BATCH_ROWS):
        yield from batch_rows(dataset[start : start + READ_BATCH_ROWS])


def batch_rows(batch: dict[str, list[Any]]) -> list[Row]:
    """Return the rows of a batch, which `datasets` gives as one list for each column.

    `batch_rows({"a": [1, 2]})` is `[{"a": 1}, {"a": 2}]`.
    """
    return [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]


def iterate_column(dataset: "Dataset", name: str) -> Iterator[Any]:
    """Yield every value of a column in order, reading READ_BATCH_ROWS of them from disk at a time."""
    for start in range(0, len(dataset), READ_BATCH_ROWS):
        yield from dataset.select_columns([name])[start : start + READ_BATCH_ROWS][name]
