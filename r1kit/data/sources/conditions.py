"""Take the rows that meet a recipe's `where`: those with one of the allowed values in every column it names."""

from typing import TYPE_CHECKING, Any

from r1kit.data.batches import READ_BATCH_ROWS
from r1kit.errors import UserError, suggest

if TYPE_CHECKING:
    from datasets import Dataset


def matches(value: Any, allowed_values: list[Any]) -> bool:
    """Return whether a value is one of the allowed, also where a file has as text what a recipe has as a number.

    `matches("3", [3])` and `matches(3, ["3"])` are true, as is `matches("TRUE", [True])`.
    """
    if value in allowed_values:
        return True
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    return _text(value) in map(_text, allowed_values)


def _text(value: Any) -> str:
    text = str(value)
    return text.lower() if isinstance(value, bool) or text.lower() in ("true", "false") else text


def filter_by_values(dataset: "Dataset", conditions: dict[str, list[Any]], field: str) -> "Dataset":
    """Return the rows that have one of the allowed values in every column of `conditions` (`where` in a recipe)."""
    for name, allowed_values in conditions.items():
        if name not in dataset.column_names:
            raise UserError(
                f"{field}.where.{name}", allowed_values, "no such column", suggest(name, dataset.column_names)
            )
        matching: list[int] = []
        for start in range(0, len(dataset), READ_BATCH_ROWS):
            values = dataset[start : start + READ_BATCH_ROWS][name]
            matching += [start + i for i, value in enumerate(values) if matches(value, allowed_values)]
        if not matching:
            requirement = f"no row has one of these values in {name}"
            raise UserError(f"{field}.where.{name}", allowed_values, requirement, "see r1kit data inspect")
        dataset = dataset.select(matching)
    return dataset
