"""Bring the columns of a source to the types that the rest of r1kit reads: text where values vary, flags, names."""

import json
from typing import TYPE_CHECKING, Any

from r1kit.data.batches import READ_BATCH_ROWS
from r1kit.errors import UserError
from r1kit.recipe import SourceConfig
from r1kit.rows import COLUMNS

if TYPE_CHECKING:
    from datasets import Dataset

# Columns that are kept as JSON, since their values differ in type from row to row.
JSON_COLUMNS = ("tests", "metadata")
# Columns that are cast to their described types: sources often have numbers as ids and answers.
CAST_COLUMNS = ("id", "answer", "checker", "thinking")

_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": None}


def to_text(value: Any) -> str:
    """Return a nested value as JSON, a text as it is, and None or an empty list as an empty text."""
    if not value and not isinstance(value, int | float):
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _to_optional_text(value: Any) -> str | None:
    return None if value is None else to_text(value)


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


def flatten_nested_columns(dataset: "Dataset") -> "Dataset":
    """Return `dataset` with JSON text in the columns whose values differ in type from row to row."""
    import datasets

    names = [name for name in JSON_COLUMNS if name in dataset.column_names]
    names += [
        name
        for name, feature in dataset.features.items()
        if isinstance(feature, datasets.Json) and name not in JSON_COLUMNS
    ]
    names = [name for name in names if not isinstance(dataset.features[name], datasets.Value)]
    if not names:
        return dataset
    features = datasets.Features(dataset.features | dict.fromkeys(names, datasets.Value("string")))

    def flatten(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        # A problem without tests has an empty text there, which code rewards read as "no tests".
        return {name: [to_text(v) if name == "tests" else _to_optional_text(v) for v in batch[name]] for name in names}

    return dataset.map(flatten, batched=True, batch_size=READ_BATCH_ROWS, features=features, load_from_cache_file=False)


def cast_described_columns(dataset: "Dataset", source: SourceConfig, field: str) -> "Dataset":
    """Return `dataset` with CAST_COLUMNS in their described types. Raises UserError if a value has no such form."""
    import pyarrow as pa

    for name in CAST_COLUMNS:
        if name not in dataset.features:
            continue
        try:
            dataset = _cast_column(dataset, name)
        except (pa.ArrowException, ValueError, TypeError) as error:
            type_name = "true or false" if COLUMNS[name].type == "bool" else "text"
            requirement = f"its column {name} must hold {type_name}: {error}".splitlines()[0]
            action = f"correct the values, or set {field}.values.{name}"
            raise UserError(f"{field}.path", source.path, requirement, action) from None
    return dataset


def _cast_column(dataset: "Dataset", name: str) -> "Dataset":
    import datasets

    described_type = COLUMNS[name].type
    feature, target = dataset.features[name], datasets.Value(described_type)
    if feature == target:
        return dataset
    is_scalar = isinstance(feature, datasets.Value)
    is_text = is_scalar and feature.dtype in ("string", "large_string")
    if is_scalar and (described_type == "string" or not is_text):
        return dataset.cast_column(name, target)
    convert = parse_flag if described_type == "bool" else _to_optional_text
    features = datasets.Features(dataset.features | {name: target})
    return dataset.map(
        lambda batch: {name: [convert(value) for value in batch[name]]},
        batched=True,
        features=features,
        load_from_cache_file=False,
    )
