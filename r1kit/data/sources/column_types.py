"""Bring the columns of a source to the types that the rest of r1kit reads: text where values vary, flags, names."""

import math
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from r1kit.data.batches import READ_BATCH_ROWS
from r1kit.data.exact_json import dump_json, is_json_column
from r1kit.data.row_tables import compute_columns
from r1kit.data.sources.unify import MAX_EXACT_FLOAT
from r1kit.errors import UserError
from r1kit.messages import logger
from r1kit.recipe import SourceConfig
from r1kit.rows import COLUMNS, Row

if TYPE_CHECKING:
    from datasets import ClassLabel, Dataset

# Columns that are kept as JSON, since their values differ in type from row to row.
JSON_COLUMNS = ("tests", "metadata")
# Columns that are cast to their described types: sources often have numbers as ids and answers.
CAST_COLUMNS = ("id", "answer", "checker", "thinking")
# Columns that hold text or chat messages, and whose message a text is.
CHAT_ROLES = {"prompt": "user", "completion": "assistant"}

_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": None}


def to_text(value: Any) -> str:
    """Return a nested value as JSON, a text as it is, and None or an empty list as an empty text.

    A list of one number or text is what it holds: `to_text(["7"])` is `"7"`.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], str | int | float | Decimal):
        return to_text(value[0])
    if value is None or value in ([], {}):
        return ""
    if isinstance(value, Decimal | date | time):
        return str(value)
    return dump_json(value)


def _to_optional_text(value: Any) -> str | None:
    is_missing = value is None or (isinstance(value, float) and math.isnan(value))
    return None if is_missing else to_text(value)


def parse_flag(value: Any) -> bool | None:
    """Return true or false as a text says it ("yes", "False", "1"), None for an empty text.

    Raises ValueError for any other text.
    """
    if value is None or isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text not in _FLAGS:
        raise ValueError(f"{value!r} is neither")
    return _FLAGS[text]


def settle_types(dataset: "Dataset", source: SourceConfig, field: str) -> "Dataset":
    """Return `dataset` with the types that the rest of r1kit reads.

    `tests` and `metadata` become JSON as text, CAST_COLUMNS their described types, and numbers that were kept as JSON
    become floats where that loses nothing. Raises UserError if a value has no such form.
    """
    dataset = _flatten_json_columns(dataset)
    for name in CAST_COLUMNS:
        if name in dataset.features:
            dataset = _cast_described_column(dataset, name, source, field)
    for name, feature in dataset.features.items():
        if is_json_column(feature) and name not in CHAT_ROLES:
            dataset = _settle_json_column(dataset, name)
    return align_chat_columns(dataset)


def align_chat_columns(dataset: "Dataset") -> "Dataset":
    """Return `dataset` with messages in all rows of a prompt or completion that is text in some and messages in others.

    A text becomes one message of the user's, or of the assistant's: chat templates render both alike.
    """
    for name, role in CHAT_ROLES.items():
        if name not in dataset.features or not is_json_column(dataset.features[name]):
            continue
        value_types: set[type] = set()
        for start in range(0, len(dataset), READ_BATCH_ROWS):
            value_types.update(map(type, dataset[start : start + READ_BATCH_ROWS][name]))
        if {str, list} <= value_types:
            dataset = _texts_to_messages(dataset, name, role)
    return dataset


def _texts_to_messages(dataset: "Dataset", name: str, role: str) -> "Dataset":
    order = dataset.column_names

    def compute(rows: list[Row], _: int) -> list[Row | None]:
        values = [row[name] for row in rows]
        return [{name: [{"role": role, "content": v}] if isinstance(v, str) else v} for v in values]

    return compute_columns(dataset, compute).select_columns(order)


def _flatten_json_columns(dataset: "Dataset") -> "Dataset":
    """Return `dataset` with JSON_COLUMNS as text."""
    names = [name for name in JSON_COLUMNS if name in dataset.column_names]
    names = [name for name in names if not _is_text(dataset.features[name])]
    for name in names:
        # A problem without tests has an empty text there, which code rewards read as "no tests".
        convert = _to_tests if name == "tests" else _to_optional_json
        dataset = convert_column(dataset, name, convert, "string")
    return dataset


def _to_tests(value: Any) -> str:
    return _to_optional_json(value) or ""


def _to_optional_json(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return "" if value in ([], {}) else dump_json(value)


def convert_column(dataset: "Dataset", name: str, convert: Callable[[Any], Any], dtype: str) -> "Dataset":
    """Return `dataset` with `convert(value)` in place of each value of a column."""
    from datasets import Value

    order = dataset.column_names

    def compute(rows: list[Row], _: int) -> list[Row | None]:
        return [{name: convert(row[name])} for row in rows]

    return compute_columns(dataset, compute, types={name: Value(dtype)}).select_columns(order)


def _cast_described_column(dataset: "Dataset", name: str, source: SourceConfig, field: str) -> "Dataset":
    """Return `dataset` with a column in its described type. Raises UserError if a value has no such form."""
    import pyarrow as pa

    try:
        return _cast_column(dataset, name)
    except (pa.ArrowException, ValueError, TypeError) as error:
        type_name = "true or false" if COLUMNS[name].type == "bool" else "text"
        requirement = f"its column {name} must hold {type_name}: {error}".splitlines()[0]
        action = f"correct the values, or set {field}.values.{name}"
        raise UserError(f"{field}.path", source.path, requirement, action) from None


def _cast_column(dataset: "Dataset", name: str) -> "Dataset":
    from datasets import ClassLabel, Value

    described_type = COLUMNS[name].type
    feature = dataset.features[name]
    if feature == Value(described_type):
        return dataset
    if isinstance(feature, ClassLabel):
        return convert_column(dataset, name, lambda value: _class_name(feature, value), described_type)
    if isinstance(feature, Value) and _casts_as_written(feature.dtype, described_type):
        return dataset.cast_column(name, Value(described_type))
    if name == "answer":
        _note_unusual_answers(dataset)
    convert = parse_flag if described_type == "bool" else _to_optional_text
    return convert_column(dataset, name, convert, described_type)


def _note_unusual_answers(dataset: "Dataset") -> None:
    """Print a warning if answers are objects, or lists of which no checker knows whether any or all members count.

    With the checker `exact`, any member of a list counts.
    """
    unusual = 0
    for start in range(0, len(dataset), READ_BATCH_ROWS):
        batch = dataset[start : start + READ_BATCH_ROWS]
        checkers = batch.get("checker") or [None] * len(batch["answer"])
        for value, checker in zip(batch["answer"], checkers, strict=True):
            is_unclear_list = isinstance(value, list) and len(value) > 1 and checker != "exact"
            unusual += isinstance(value, dict) or is_unclear_list
    if unusual:
        logger.warning(
            f"{unusual} of {len(dataset)} answers are lists or objects, and are compared as their JSON; "
            "where any member of a list is right, give the rows checker: exact"
        )


def _casts_as_written(dtype: str, described_type: str) -> bool:
    """Return whether Arrow casts a type as it should be: not floats, in which NaN is a missing value."""
    if described_type == "bool":
        return dtype != "string"
    return not dtype.startswith(("float", "time", "date"))


def _class_name(feature: "ClassLabel", value: int | None) -> str | None:
    """Return the name of a class, which data sets store by its number."""
    return None if value is None or value < 0 else feature.int2str(value)


def _settle_json_column(dataset: "Dataset", name: str) -> "Dataset":
    """Return `dataset` with a column of JSON as numbers or text if it has no list or object in it."""
    scalars = True
    numbers = True
    for start in range(0, len(dataset), READ_BATCH_ROWS):
        for value in dataset[start : start + READ_BATCH_ROWS][name]:
            scalars = scalars and not isinstance(value, list | dict)
            numbers = numbers and (value is None or _is_exact_float(value))
        if not scalars:
            return dataset
    if numbers:
        return convert_column(dataset, name, lambda value: None if value is None else float(value), "float64")
    return convert_column(dataset, name, _to_optional_text, "string")


def _is_exact_float(value: Any) -> bool:
    """Return whether a value is a number that a float holds exactly, as far as it was written."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or abs(value) <= MAX_EXACT_FLOAT


def _is_text(feature: Any) -> bool:
    from datasets import Value

    return isinstance(feature, Value) and feature.dtype in ("string", "large_string")
