"""Write rows as Parquet that `load_dataset` and TRL's SFTTrainer read as it is.

A schema (`rows_schema`, `order_columns`) has the columns of `r1kit.rows` with their described types, so that every file
of a data set agrees on them.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.data.exact_json import dump_json, parse_json
from r1kit.data.row_tables import MIXED, NULL, features_of_shapes, shape_of_values
from r1kit.rows import COLUMNS, STORED_COLUMNS, ColumnType, Row
from r1kit.runs.files import atomic_file, replace_folder

if TYPE_CHECKING:
    import pyarrow as pa


ROWS_PER_FILE = 100_000
ROWS_PER_GROUP = 2_000
"""Rows of a Parquet row group: what is in memory while a data set is written."""


def rows_schema(rows: Sequence[Row], reward_names: Sequence[str] = ()) -> "pa.Schema":
    """Return the Arrow schema of `rows`.

    The stored columns of `r1kit.rows` come first, in their order and with their types; then the rewards, as numbers;
    then other columns in the order of the rows, with the types of their values. So all files of a data set agree on
    the type of a column, even where one of them has only nulls in it.
    """
    import pyarrow as pa

    names: dict[str, None] = {}  # without repetition, in the order in which they are met
    for row in rows:
        names.update(dict.fromkeys(row))
    types: dict[str, ColumnType] = {name: COLUMNS[name].type for name in STORED_COLUMNS}
    types |= dict.fromkeys(reward_names, "float64")
    fields = [pa.field(name, arrow_type(column_type)) for name, column_type in types.items() if name in names]
    for name in ("prompt", "completion"):
        if name in names and any(isinstance(row.get(name), list) for row in rows):
            index = next(i for i, field in enumerate(fields) if field.name == name)
            fields[index] = pa.field(name, _messages_type([row.get(name) for row in rows]))
    for name in names:
        if name not in types:
            fields.append(pa.field(name, _type_of_values(name, [row.get(name) for row in rows])))
    return pa.schema(fields)


def _messages_type(values: Sequence[Any]) -> "pa.DataType":
    """Return the type of chat messages; JSON if any has more than a role and text, such as calls of tools."""
    import pyarrow as pa

    for messages in values:
        if messages is None:
            continue
        if not isinstance(messages, list) or any(message.keys() != {"role", "content"} for message in messages):
            return pa.json_()
    return arrow_type("messages")


def _type_of_values(name: str, values: Sequence[Any]) -> "pa.DataType":
    """Return the type of a column that rows have besides the stored ones: text for values of several types."""
    import pyarrow as pa

    shape = shape_of_values(values)
    if shape == NULL:  # a column of nulls alone tells no type: it has the described one, or text
        return arrow_type(COLUMNS[name].type if name in COLUMNS else "string")
    if shape == MIXED:
        return pa.string()
    return features_of_shapes({name: shape}).arrow_schema.field(name).type


def arrow_type(column_type: ColumnType) -> "pa.DataType":
    """Return the Arrow type that a described column has on disk."""
    import pyarrow as pa

    if column_type == "messages":
        return pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    return {"string": pa.string(), "bool": pa.bool_(), "int64": pa.int64(), "float64": pa.float64()}[column_type]


def order_columns(schema: "pa.Schema") -> "pa.Schema":
    """Return `schema` with the stored columns of `r1kit.rows` first, and text for a column of nulls alone."""
    import pyarrow as pa

    fields = {}
    for field in schema:
        fields[field.name] = field.with_type(pa.string()) if pa.types.is_null(field.type) else field
    names = [name for name in STORED_COLUMNS if name in fields]
    names += [name for name in fields if name not in STORED_COLUMNS]
    return pa.schema([fields[name] for name in names])


def merge_schemas(schemas: Sequence["pa.Schema"]) -> "pa.Schema":
    """Return the columns of all schemas; one that they disagree about is JSON if it is in any of them, else text."""
    import pyarrow as pa

    types: dict[str, set[pa.DataType]] = {}
    for schema in schemas:
        for field in schema:
            types.setdefault(field.name, set()).add(field.type)
    fields = []
    for name, column_types in types.items():
        if len(column_types) == 1:
            fields.append(pa.field(name, column_types.pop()))
        else:
            fields.append(pa.field(name, pa.json_() if pa.json_() in column_types else pa.string()))
    return pa.schema(fields)


def decode_json_columns(rows: list[Row], schema: "pa.Schema") -> list[Row]:
    """Return rows of a table with the values that its columns of JSON hold, which Arrow reads as text."""
    import pyarrow as pa

    names = [field.name for field in schema if field.type == pa.json_()]
    for row in rows:
        for name in names:
            if row[name] is not None:
                row[name] = parse_json(row[name])
    return rows


def to_arrow_table(rows: list[Row], schema: "pa.Schema") -> "pa.Table":
    """Return `rows` as a table of `schema`; in a column of text or JSON, any value becomes text or JSON."""
    import pyarrow as pa

    arrays = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        if field.type == pa.json_():
            texts = [None if value is None else dump_json(value) for value in values]
            arrays.append(pa.array(texts, pa.json_()))
            continue
        try:
            arrays.append(pa.array(values, field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError):
            if not pa.types.is_string(field.type):
                raise
            arrays.append(pa.array([None if value is None else _to_text(value) for value in values], pa.string()))
    return pa.Table.from_arrays(arrays, schema=schema)


def _to_text(value: Any) -> str:
    """Return a list or a structure as JSON, and any other value as text."""
    return dump_json(value) if isinstance(value, list | dict) else str(value)


def write_parquet(rows: list[Row], path: Path, reward_names: Sequence[str] = ()) -> None:
    """Write `rows` as one Parquet file, which is complete or not there at all."""
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        pq.write_table(to_arrow_table(rows, rows_schema(rows, reward_names)), temporary)


class DataWriter:
    """Writes a folder of Parquet files of one schema; nothing is at `target` until `finish` puts all of it there."""

    def __init__(self, target: Path, schema: "pa.Schema"):
        self.target, self.schema = target, schema
        self.folder = target.with_name(f".{target.name}.tmp")
        shutil.rmtree(self.folder, ignore_errors=True)  # left by a run that was killed
        self.folder.mkdir(parents=True)
        self.row_count = 0
        self._file_count = 0
        self._rows_in_file = 0
        self._waiting: list[Row] = []
        self._writer: Any = None

    def add(self, rows: list[Row]) -> None:
        """Add `rows`; they are written as soon as they fill a row group."""
        self._waiting += rows
        self.row_count += len(rows)
        while len(self._waiting) >= ROWS_PER_GROUP:
            self._write_group(ROWS_PER_GROUP)

    def finish(self) -> None:
        """Write the rows that wait, and replace `target` by the new folder."""
        self._write_group(len(self._waiting))
        self._close_file()
        replace_folder(self.folder, self.target)

    def _write_group(self, count: int) -> None:
        """Write the first `count` of the rows that wait, to a new file if the last one is full."""
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        if not group:
            return
        if self._writer is None or self._rows_in_file >= ROWS_PER_FILE:
            self._close_file()
            self._open_file()
        self._writer.write_table(to_arrow_table(group, self.schema))
        self._rows_in_file += len(group)

    def _open_file(self) -> None:
        import pyarrow.parquet as pq

        self._writer = pq.ParquetWriter(self.folder / f"train-{self._file_count:05d}.parquet", self.schema)
        self._file_count += 1
        self._rows_in_file = 0

    def _close_file(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
