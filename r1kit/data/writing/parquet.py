"""Write rows as Parquet that `load_dataset` and TRL's SFTTrainer read as it is.

A schema (`rows_schema`, `order_columns`) has the columns of `r1kit.rows` with their described types, so that every file
of a data set agrees on them.
"""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.data.batches import iterate_column
from r1kit.data.exact_json import dump_json, parse_json
from r1kit.data.row_tables import MIXED, NULL, features_of_shapes, shape_of_values
from r1kit.rows import COLUMNS, STORED_COLUMNS, ColumnType, Row
from r1kit.runs.files import atomic_file, replace_folder

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset


MESSAGE_KEYS = ("role", "content")
"""Keys that every chat message has, before those that some have besides."""
CHAT_COLUMNS = ("prompt", "completion", "messages")
ROWS_PER_FILE = 100_000
ROWS_PER_GROUP = 2_000
"""Rows of a Parquet row group: what is in memory while a data set is written."""


def rows_schema(rows: Sequence[Row], reward_names: Sequence[str] = ()) -> "pa.Schema":
    """Return the Arrow schema of `rows`.

    The stored columns of `r1kit.rows` come first, in their order and with their types; then the rewards, as numbers;
    then other columns in the order of the rows, with the types of their values. So all files of a data set agree on
    the type of a described column, even where one of them has only nulls in it. Any other column of nulls alone has the
    type null, which `merge_schemas` replaces by that of the other files.
    """
    import pyarrow as pa

    names: dict[str, None] = {}  # without repetition, in the order in which they are met
    for row in rows:
        names.update(dict.fromkeys(row))
    types: dict[str, ColumnType] = {name: COLUMNS[name].type for name in STORED_COLUMNS}
    types |= dict.fromkeys(reward_names, "float64")
    known_names = [name for name in types if name in names]
    other_names = [name for name in names if name not in types]
    fields = []
    for name in (*known_names, *other_names):
        values = [row.get(name) for row in rows]
        if types.get(name, "text or number") == "text or number":
            fields.append(pa.field(name, _type_of_values(name, values)))
        elif name in CHAT_COLUMNS and any(isinstance(value, list) for value in values):
            fields.append(pa.field(name, _messages_type(values)))
        else:
            fields.append(pa.field(name, arrow_type(types[name])))
    return pa.schema(fields)


def _messages_type(values: Iterable[Any]) -> "pa.DataType":
    """Return the type of chat messages: a list of structures, which any reader shows, if all of their keys hold text.

    A key that some messages lack, such as `reasoning_content`, is null in them. Messages with anything but text, such
    as calls of tools, and values that are no messages, are JSON.
    """
    import pyarrow as pa

    keys = dict.fromkeys(MESSAGE_KEYS)
    for messages in values:
        if messages is None:
            continue
        if not isinstance(messages, list) or not all(map(_is_text_message, messages)):
            return pa.json_()
        for message in messages:
            keys.update(dict.fromkeys(message))
    return _type_of_keys(keys)


def _is_text_message(message: Any) -> bool:
    return isinstance(message, dict) and all(value is None or isinstance(value, str) for value in message.values())


def _type_of_keys(keys: Iterable[str]) -> "pa.DataType":
    """Return the type of chat messages with these keys, each of which holds text."""
    import pyarrow as pa

    return pa.list_(pa.struct([(key, pa.string()) for key in keys]))


def _keys_of_messages(message_type: "pa.DataType") -> list[str] | None:
    """Return the keys of chat messages whose keys all hold text, None for another type."""
    import pyarrow as pa

    if not pa.types.is_list(message_type) or not pa.types.is_struct(message_type.value_type):
        return None
    fields = list(message_type.value_type)
    keys = [field.name for field in fields]
    are_messages = set(MESSAGE_KEYS) <= set(keys) and all(pa.types.is_string(field.type) for field in fields)
    return keys if are_messages else None


def written_schema(dataset: "Dataset") -> "pa.Schema":
    """Return the schema of a data set's rows as they are written: chat messages as structures if they are text."""
    import pyarrow as pa

    fields = []
    for field in order_columns(dataset.features.arrow_schema):
        if field.name in CHAT_COLUMNS and field.type == pa.json_():
            field = pa.field(field.name, _messages_type(iterate_column(dataset, field.name)))
        fields.append(field)
    return pa.schema(fields)


def _type_of_values(name: str, values: Sequence[Any]) -> "pa.DataType":
    """Return the type of a column by its values: text for values of several types.

    A column of nulls alone has its described type, or the type null.
    """
    import pyarrow as pa

    shape = shape_of_values(values)
    if shape == NULL:
        is_described = name in COLUMNS and COLUMNS[name].type != "text or number"
        return arrow_type(COLUMNS[name].type) if is_described else pa.null()
    if shape == MIXED:
        return pa.string()
    return features_of_shapes({name: shape}).arrow_schema.field(name).type


def arrow_type(column_type: ColumnType) -> "pa.DataType":
    """Return the Arrow type that a described column has on disk."""
    import pyarrow as pa

    if column_type == "messages":
        return _type_of_keys(MESSAGE_KEYS)
    if column_type == "text or number":
        return pa.string()
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
    """Return the columns of all schemas; a column of different types gets a type that holds the values of all.

    Nulls take the type of the others, and whole numbers beside fractions become floats. Chat messages get the keys of
    all schemas. Messages and text together, and JSON with anything else, become JSON; any other different types become
    text.
    """
    import pyarrow as pa

    types: dict[str, dict[pa.DataType, None]] = {}  # in the order of the schemas, so that the keys of messages are too
    for schema in schemas:
        for field in schema:
            types.setdefault(field.name, {})[field.type] = None
    return pa.schema([pa.field(name, _common_type(list(column_types))) for name, column_types in types.items()])


def _common_type(column_types: Sequence["pa.DataType"]) -> "pa.DataType":
    import pyarrow as pa

    column_types = [column_type for column_type in column_types if not pa.types.is_null(column_type)] or column_types
    if len(column_types) == 1:
        return column_types[0]
    if all(pa.types.is_integer(column_type) or pa.types.is_floating(column_type) for column_type in column_types):
        return pa.float64()
    if pa.json_() in column_types:
        return pa.json_()
    keys_of_types = [_keys_of_messages(column_type) for column_type in column_types]
    if not any(keys_of_types):
        return pa.string()
    if not all(keys_of_types):  # messages in some files, text in others
        return pa.json_()
    keys = dict.fromkeys(MESSAGE_KEYS)
    for message_keys in keys_of_types:
        keys.update(dict.fromkeys(message_keys or ()))
    return _type_of_keys(keys)


def decode_json_columns(rows: list[Row], schema: "pa.Schema") -> list[Row]:
    """Return rows of a table as they were written.

    Arrow reads columns of JSON as text, and chat messages with a null for each key that a message lacks.
    """
    import pyarrow as pa

    json_names = [field.name for field in schema if field.type == pa.json_()]
    message_names = [field.name for field in schema if len(_keys_of_messages(field.type) or ()) > len(MESSAGE_KEYS)]
    for row in rows:
        for name in json_names:
            if row[name] is not None:
                row[name] = parse_json(row[name])
        for name in message_names:
            if row[name] is not None:
                row[name] = [_without_nulls(message) for message in row[name]]
    return rows


def _without_nulls(message: Row) -> Row:
    return {key: value for key, value in message.items() if value is not None}


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
