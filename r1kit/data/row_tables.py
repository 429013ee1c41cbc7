"""Make a data set of rows that are dictionaries, with the types that their values have, and change its columns.

    make_dataset(lambda: [{"prompt": "a?", "answer": "2024-01-05"}, {"prompt": "b?", "answer": 7}])

Nothing is guessed: text stays text, also where it looks like a date or a number, whole numbers stay exact, and a key
that a nested value lacks is not added to it. A column whose values are of several types, such as text and numbers, or
lists of both, is kept as JSON (`exact_json`). Rows are written to disk in batches, so that memory never holds all.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from r1kit.data.batches import batch_rows
from r1kit.data.exact_json import dump_json, exact_json_type, is_json_column
from r1kit.errors import UserError
from r1kit.rows import Row

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, Features

Shape = Any
"""What the values of a column look like: a name below, ("list", shape), or ("struct", {key: shape})."""

NULL, BOOL, INT, FLOAT, TEXT, MIXED = "null", "bool", "int64", "float64", "string", "mixed"
MIN_INT64, MAX_INT64 = -(2**63), 2**63 - 1
WRITE_BATCH_ROWS = 1000
# Rows whose shapes are known before the first row is written; if a later row has another shape, writing starts anew.
FIRST_BATCH_ROWS = 10_000


@cache
def scratch_dir(purpose: str = "streams") -> str:
    """Return a temporary folder of this process for one purpose, which is removed when the process ends."""
    folder = tempfile.mkdtemp(prefix=f"r1kit-{purpose}-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def new_row_file(folder: str | None = None) -> str:
    """Return the path of a new Arrow file, which is removed when the process ends."""
    return os.path.join(tempfile.mkdtemp(dir=folder or scratch_dir("rows")), "rows.arrow")


def make_dataset(
    read_rows: Callable[[], Iterable[Row]], types: Mapping[str, Any] | None = None, folder: str | None = None
) -> "Dataset":
    """Return the rows that `read_rows` returns as a data set on disk.

    `read_rows` is called a second time if a later row has values of other types than the first thousands. `types` are
    the types of columns that are known, as in `datasets.Features`; a value that they do not hold raises what Arrow
    raises. `folder` is where the file is written, a folder for all data sets of this process by default.
    """
    from datasets import Dataset

    shapes: dict[str, Shape] = {}
    while True:
        file = new_row_file(folder)
        if _write_rows(read_rows(), file, shapes, types or {}):
            return Dataset.from_file(file)
        os.remove(file)


def _write_rows(rows: Iterable[Row], file: str, shapes: dict[str, Shape], types: Mapping[str, Any]) -> bool:
    """Write rows to an Arrow file; false if their shapes are wider than those of the first rows.

    `shapes` become those of all rows; then a second try has them from the start.
    """
    import pyarrow as pa

    rows = iter(rows)
    is_second_try = bool(shapes)
    first_rows = list(islice(rows, WRITE_BATCH_ROWS if is_second_try else FIRST_BATCH_ROWS))
    first_columns = _columns_of(first_rows)
    _widen_shapes(shapes, first_columns, types)
    features = features_of_shapes(shapes, types)
    fits = True
    with pa.OSFile(file, "wb") as sink, pa.ipc.new_stream(sink, features.arrow_schema) as writer:
        if first_rows:
            table = _columns_to_table(first_columns, len(first_rows), features)
            writer.write_table(table, max_chunksize=WRITE_BATCH_ROWS)
        for batch in _batches(rows, WRITE_BATCH_ROWS):
            columns = _columns_of(batch)
            fits = not _widen_shapes(shapes, columns, types) and fits
            if fits:
                writer.write_table(_columns_to_table(columns, len(batch), features))
    return fits


def _batches(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    while batch := list(islice(rows, size)):
        yield batch


def _columns_of(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Return the values of each column; None where a row lacks it."""
    # Most rows have the same keys, so each different sequence of keys is looked at once.
    names: dict[str, None] = {}
    for keys in dict.fromkeys(map(tuple, rows)):
        names.update(dict.fromkeys(keys))
    columns = {}
    for name in names:
        columns[name] = [row.get(name) for row in rows]
    return columns


def _widen_shapes(shapes: dict[str, Shape], columns: Mapping[str, list[Any]], types: Mapping[str, Any]) -> bool:
    """Widen `shapes` so that they hold the values of `columns` too, and return whether any has changed."""
    has_changed = False
    for name, values in columns.items():
        if "\0" in name:  # Arrow ends names there
            shown_name = name.replace("\0", "\\0")
            raise UserError("column", shown_name, "must have a name without the character NUL", "rename it")
        shape = NULL if name in types else shape_of_values(values)
        widened = merge_shapes(shapes[name], shape) if name in shapes else shape
        if name not in shapes or widened != shapes[name]:
            shapes[name] = widened
            has_changed = True
    return has_changed


def shape_of_values(values: Iterable[Any]) -> Shape:
    """Return the narrowest shape that holds all values."""
    values = list(values)
    value_types = set(map(type, values)) - {type(None)}
    if value_types <= {str}:  # the most frequent case, without a look at each value
        return TEXT if value_types else NULL
    # Lists and objects are looked at as columns of their members, which takes a third of the time of each by each.
    if value_types <= {list, tuple}:
        inner = shape_of_values(chain.from_iterable(value for value in values if value is not None))
        return MIXED if inner == MIXED else ("list", inner)
    if value_types == {dict}:
        return _shape_of_objects([value for value in values if value is not None])
    if value_types == {float}:
        return FLOAT
    if value_types == {int}:
        numbers = [value for value in values if value is not None]
        return INT if min(numbers) >= MIN_INT64 and max(numbers) <= MAX_INT64 else MIXED
    shape: Shape = NULL
    for value in values:
        shape = merge_shapes(shape, _shape_of(value))
        if shape == MIXED:
            break
    return shape


def _shape_of_objects(objects: Sequence[dict[Any, Any]]) -> Shape:
    keys = objects[0].keys()
    # Objects with the same keys in the same order are looked at once.
    has_same_keys = all(set(other) == keys for other in set(map(tuple, objects)))
    if not keys or not has_same_keys or not all(isinstance(key, str) for key in keys):
        return MIXED
    if any("\0" in key for key in keys):  # Arrow ends names there
        return MIXED
    members = {}
    for key in keys:
        members[key] = shape_of_values([value[key] for value in objects])
    return MIXED if MIXED in members.values() else ("struct", members)


def _shape_of(value: Any) -> Shape:
    if value is None:
        return NULL
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int):
        return INT if MIN_INT64 <= value <= MAX_INT64 else MIXED
    if isinstance(value, float):
        return FLOAT
    if isinstance(value, str):
        return TEXT
    return shape_of_values([value]) if isinstance(value, list | tuple | dict) else MIXED


def merge_shapes(first: Shape, second: Shape) -> Shape:
    """Return the narrowest shape that holds the values of both; MIXED where only JSON holds them exactly."""
    if first == second or second == NULL:
        return first
    if first == NULL:
        return second
    if isinstance(first, str) or isinstance(second, str) or first[0] != second[0]:
        return MIXED
    if first[0] == "list":
        inner = merge_shapes(first[1], second[1])
        return MIXED if inner == MIXED else ("list", inner)
    # A struct has all of its keys in every value: a value that lacks one would get it.
    if first[1].keys() != second[1].keys():
        return MIXED
    members = {key: merge_shapes(shape, second[1][key]) for key, shape in first[1].items()}
    return MIXED if MIXED in members.values() else ("struct", members)


def features_of_shapes(shapes: Mapping[str, Shape], types: Mapping[str, Any] | None = None) -> "Features":
    """Return the features of columns with these shapes, or with the type that `types` has for a column."""
    from datasets import Features, Value

    features = {}
    for name, shape in shapes.items():
        if types and name in types:
            features[name] = types[name]
        elif shape == NULL:
            features[name] = Value("null")
        else:
            features[name] = _feature_of_shape(shape)
    return Features(features)


def _feature_of_shape(shape: Shape) -> Any:
    from datasets import List, Value

    if shape == MIXED:
        return exact_json_type()()
    if isinstance(shape, str):
        return Value(TEXT if shape == NULL else shape)
    if shape[0] == "list":
        return List(_feature_of_shape(shape[1]))
    return {key: _feature_of_shape(member) for key, member in shape[1].items()}


def rows_to_table(rows: Sequence[Row], features: "Features") -> "pa.Table":
    """Return rows as a table of these features; a column that a row lacks is null in it."""
    return _columns_to_table(_columns_of(rows), len(rows), features)


def _columns_to_table(columns: Mapping[str, list[Any]], row_count: int, features: "Features") -> "pa.Table":
    """Return a table of these features; a column that `columns` lacks is null in it."""
    import pyarrow as pa

    schema = features.arrow_schema
    arrays = []
    for name, feature in features.items():
        values = columns.get(name, [None] * row_count)
        if is_json_column(feature):
            texts = [None if value is None else dump_json(value) for value in values]
            arrays.append(pa.array(texts, pa.json_()))
        else:
            arrays.append(pa.array(values, schema.field(name).type))
    return pa.Table.from_arrays(arrays, schema=schema)


def compute_columns(
    dataset: "Dataset",
    compute: Callable[[list[Row], int], list[Row | None]],
    batch_rows_count: int = WRITE_BATCH_ROWS,
    types: Mapping[str, Any] | None = None,
    remove: Sequence[str] = (),
) -> "Dataset":
    """Return `dataset` with the columns that `compute` returns of each row, in place of any of the same names.

    `compute(rows, start)` returns one dictionary for each row, or None for a row to drop; `start` is the number of the
    first row. Other columns stay as they are, but those of `remove`. (`Dataset.map` would write all columns anew, and
    rounds the numbers of a column of mixed values on the way.)
    """
    from datasets import concatenate_datasets

    row_numbers: list[int] = []  # of the rows that are not dropped

    def read_rows() -> Iterator[Row]:
        row_numbers.clear()
        for start in range(0, len(dataset), batch_rows_count):
            rows = batch_rows(dataset[start : start + batch_rows_count])
            for offset, computed in enumerate(compute(rows, start)):
                if computed is not None:
                    row_numbers.append(start + offset)
                    yield computed

    computed_columns = make_dataset(read_rows, types)
    replaced = {*remove, *computed_columns.column_names}
    others = dataset.remove_columns([name for name in dataset.column_names if name in replaced])
    if not others.column_names:
        return computed_columns
    if len(row_numbers) < len(dataset):
        others = others.select(row_numbers)
    if not computed_columns.column_names:
        return others
    return concatenate_datasets([others, computed_columns], axis=1)
