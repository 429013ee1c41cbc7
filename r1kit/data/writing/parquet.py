"""Write rows as Parquet that `load_dataset` and TRL's SFTTrainer read as it is.

A schema (`rows_schema`, `order_columns`) has the columns of `r1kit.rows` with their described types, so that every file
of a data set agrees on them.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    for name in ("prompt", "completion"):
        if rows and isinstance(rows[0].get(name), list):
            types[name] = "messages"
    fields = [pa.field(name, arrow_type(column_type)) for name, column_type in types.items() if name in names]
    other_names = [name for name in names if name not in types]
    if other_names:
        other_rows = [{name: row.get(name) for name in other_names} for row in rows]
        for field in pa.Table.from_pylist(other_rows).schema:
            described = COLUMNS.get(field.name)
            # A column of nulls alone tells no type: it has the described one, or text.
            fallback = arrow_type(described.type if described else "string")
            fields.append(field.with_type(fallback) if pa.types.is_null(field.type) else field)
    return pa.schema(fields)


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


def to_arrow_table(rows: list[Row], schema: "pa.Schema") -> "pa.Table":
    """Return `rows` as a table of `schema`; a number in a column of text becomes text."""
    import pyarrow as pa

    try:
        return pa.Table.from_pylist(rows, schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError):
        text_columns = [field.name for field in schema if pa.types.is_string(field.type)]
        return pa.Table.from_pylist([_with_texts(row, text_columns) for row in rows], schema=schema)


def _with_texts(row: Row, names: list[str]) -> Row:
    """Return `row` with the values of the columns `names` as text."""
    texts = {name: str(row[name]) for name in names if row.get(name) is not None}
    return {**row, **texts}


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
