"""Bring the columns of several data sets to common types, so that their rows can stand in one.

Numbers of different widths become the wider one, numbers beside text become text, and values of different shapes
(text beside lists, structures with different keys) are kept as JSON (`exact_json`).
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from r1kit.data.exact_json import exact_json_type, is_json_column
from r1kit.data.row_tables import compute_columns
from r1kit.rows import Row

if TYPE_CHECKING:
    from datasets import Dataset, Features

# Whole numbers up to this one are exact as floats.
MAX_EXACT_FLOAT = 2**53
_TEXT_TYPES = ("string", "large_string", "string_view")


def usual_features(features: "Features") -> "Features":
    """Return features with the usual types in place of those for very large columns: `string` for `large_string`."""
    from datasets import Features

    return Features({name: _usual_feature(feature) for name, feature in features.items()})


def _usual_feature(feature: Any) -> Any:
    from datasets import LargeList, List, Value

    if isinstance(feature, Value):
        return Value("string") if feature.dtype in _TEXT_TYPES else feature
    if isinstance(feature, LargeList):
        return List(_usual_feature(feature.feature))
    if isinstance(feature, List):
        return List(_usual_feature(feature.feature), length=feature.length)
    if isinstance(feature, dict):
        return {key: _usual_feature(member) for key, member in feature.items()}
    return feature


def concatenate_sources(datasets: Sequence["Dataset"]) -> "Dataset":
    """Return the rows of all data sets, one after another; a column that one lacks is null in its rows."""
    from datasets import concatenate_datasets

    features = common_features(datasets)
    return concatenate_datasets([with_features(dataset, features) for dataset in datasets])


def common_features(datasets: Sequence["Dataset"]) -> "Features":
    """Return the features that the rows of all data sets can have."""
    from datasets import Features

    names: dict[str, None] = {}  # without repetition, in the order in which they are met
    for dataset in datasets:
        names.update(dict.fromkeys(dataset.column_names))
    return Features({name: _common_feature(name, datasets) for name in names})


def _common_feature(name: str, datasets: Sequence["Dataset"]) -> Any:
    from datasets import Value

    # A column of nulls alone says nothing about the type, nor does one without rows.
    holders = [dataset for dataset in datasets if name in dataset.column_names]
    candidates = [d.features[name] for d in holders if len(d) and d.features[name] != Value("null")]
    candidates = candidates or [holders[0].features[name]]
    if all(candidate == candidates[0] for candidate in candidates):
        return candidates[0]
    if not all(isinstance(candidate, Value) for candidate in candidates):
        return exact_json_type()()
    return _common_scalar([candidate.dtype for candidate in candidates], name, holders)


def _common_scalar(types: Sequence[str], name: str, holders: Iterable["Dataset"]) -> Any:
    """Return the type of values that holds those of all `types`: a number for numbers, else text."""
    from datasets import Value

    are_ints = [dtype.startswith(("int", "uint")) for dtype in types]
    are_numbers = [is_int or dtype.startswith("float") for is_int, dtype in zip(are_ints, types, strict=True)]
    if all(are_ints) and "uint64" not in types:
        return Value("int64")
    if all(are_numbers) and all(_are_exact_floats(holder, name) for holder in holders):
        return Value("float64")
    return Value("string")


def _are_exact_floats(dataset: "Dataset", name: str) -> bool:
    """Return whether a column's numbers are the same as floats of 64 bits."""
    import pyarrow.compute as pc

    column = dataset.data.table.column(name)
    if not pc.count(column).as_py() or str(column.type).startswith("float"):
        return True
    extremes = pc.min_max(column).as_py()
    return max(abs(extremes["min"]), abs(extremes["max"])) <= MAX_EXACT_FLOAT


def with_features(dataset: "Dataset", features: "Features") -> "Dataset":
    """Return a data set with all columns of `features`; a column that it lacks is null."""
    for name in features:
        if name not in dataset.column_names:
            dataset = dataset.add_column(name, [None] * len(dataset))
    json_names = [
        name
        for name, feature in features.items()
        if is_json_column(feature) and not is_json_column(dataset.features[name])
    ]
    if json_names:

        def select_values(rows: list[Row], _: int) -> list[Row | None]:
            values: list[Row | None] = []
            for row in rows:
                values.append({name: row[name] for name in json_names})
            return values

        dataset = compute_columns(dataset, select_values, types={name: features[name] for name in json_names})
    return dataset.select_columns(list(features)).cast(features)
