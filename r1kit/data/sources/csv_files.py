"""Read CSV files: every value as the text that it is, an empty field as missing.

Columns are separated by commas; by tabs, semicolons or bars where the header has no comma, as in `Question;Answer`.

A column whose values are all whole numbers or all decimal numbers, each in the form in which Python writes it, becomes
a column of numbers: its text is the same again. `NA`, `None`, `nan`, `007`, `1e5` and `TRUE` stay text.
"""

import csv
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.data.row_tables import new_row_file
from r1kit.data.sources.local_files import open_bytes
from r1kit.errors import UserError
from r1kit.messages import logger
from r1kit.recipe import SourceConfig

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

# Whole numbers that are written as Python writes them and fit 64 bits: no leading zeros or plus sign.
_PLAIN_INT = re.compile(r"0|-?[1-9]\d{0,17}")
# Columns that are text even where all of their values are numbers.
TEXT_COLUMNS = ("id", "prompt", "completion", "text", "answer")
DELIMITERS = (",", "\t", ";", "|")
"""What may separate columns; the first that is in the header does."""
_DELIMITER_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
BLOCK_BYTES = 2**26
"""Bytes that are parsed at once; a row must fit into them."""


def read_csv_files(files: list[Path], source: SourceConfig, field: str) -> "Dataset":
    """Return the rows of CSV files with a header line. Raises UserError if they are malformed."""
    import pyarrow as pa
    from datasets import Dataset

    readers = [(file, _open_csv(file, source, field)) for file in files if file.stat().st_size]
    names: dict[str, None] = {}  # without repetition, in the order in which they are met
    for _, reader in readers:
        names.update(dict.fromkeys(reader.schema.names))
    schema = pa.schema([(name, pa.string()) for name in names])
    text_names = {source.columns.get(name, name) for name in TEXT_COLUMNS}
    plain_types = {name: _PlainNumbers() for name in names if name not in text_names}
    path = new_row_file()
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for file, reader in readers:
            for table in _read_tables(file, reader, source, field):
                for name in set(table.schema.names) & set(plain_types):
                    plain_types[name].look_at(table.column(name).to_pylist())
                writer.write_table(_with_all_columns(table, schema))
    dataset = Dataset.from_file(path)
    return _with_numbers(dataset, plain_types)


def _open_csv(file: Path, source: SourceConfig, field: str) -> Any:
    """Return a reader of a CSV file whose columns are all text."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    delimiter, names = _read_header(file)
    if delimiter != DELIMITERS[0]:
        logger.info(f"{field}: the columns of {file.name} are separated by {_DELIMITER_NAMES[delimiter]}")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        requirement = f"has several columns of the name {repeated[0]!r}"
        raise UserError(f"{field}.path", str(file), requirement, "give each a name of its own")
    padded = next((name for name in names if name != name.strip()), None)
    if padded is not None:
        requirement = f"has a column {padded!r}, with white space in its name"
        action = f"remove the spaces around {_DELIMITER_NAMES[delimiter]}"
        raise UserError(f"{field}.path", str(file), requirement, action)
    convert = pa_csv.ConvertOptions(
        column_types={name: pa.string() for name in names},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    try:
        return pa_csv.open_csv(
            pa.PythonFile(open_bytes(file), mode="r"),
            read_options=pa_csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
            parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=convert,
        )
    except pa.ArrowInvalid as error:
        raise _malformed(file, error, field) from None


def _read_header(file: Path) -> tuple[str, list[str]]:
    """Return the delimiter of a CSV file, and the names of its columns, by its first line.

    The delimiter is a comma if the line has a comma outside of quotes, or none of the other delimiters.
    """
    with open_bytes(file) as content:
        text = io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
        first_row = next(csv.reader(text), [])
        if len(first_row) > 1:
            return DELIMITERS[0], first_row
        for delimiter in DELIMITERS[1:]:
            text.seek(0)
            names = next(csv.reader(text, delimiter=delimiter), [])
            if len(names) > 1:
                return delimiter, names
    return DELIMITERS[0], first_row


def _read_tables(file: Path, reader: Any, source: SourceConfig, field: str) -> "Any":
    """Yield the rows of an open CSV file as tables."""
    import pyarrow as pa

    try:
        for batch in reader:
            yield pa.Table.from_batches([batch])
    except pa.ArrowInvalid as error:
        raise _malformed(file, error, field) from None


def _malformed(file: Path, error: Exception, field: str) -> UserError:
    reason = str(error).splitlines()[0]
    action = (
        "correct the file: a text with a comma (or what separates its columns) or a line break must stand in quotes"
    )
    return UserError(f"{field}.path", str(file), f"cannot be read: {reason}", action)


def _with_all_columns(table: "pa.Table", schema: "pa.Schema") -> "pa.Table":
    """Return a table with all columns of `schema`; one that it lacks is null."""
    import pyarrow as pa

    columns = []
    for name in schema.names:
        has_column = name in table.schema.names
        columns.append(table.column(name) if has_column else pa.nulls(table.num_rows, pa.string()))
    return pa.Table.from_arrays(columns, schema=schema)


class _PlainNumbers:
    """Whether all values of a column are numbers whose text is the same again after it was read as a number."""

    def __init__(self) -> None:
        self.has_value = False
        self.are_ints = True
        self.are_floats = True

    def look_at(self, texts: list[str | None]) -> None:
        """Take the values of a part of the column into account."""
        for text in texts:
            if text is None or not (self.are_ints or self.are_floats):
                continue
            self.has_value = True
            self.are_ints = self.are_ints and _PLAIN_INT.fullmatch(text) is not None
            self.are_floats = self.are_floats and _is_plain_float(text)


def _is_plain_float(text: str) -> bool:
    try:
        return repr(float(text)) == text and text not in ("nan", "inf", "-inf")
    except ValueError:
        return False


def _with_numbers(dataset: "Dataset", plain_types: dict[str, _PlainNumbers]) -> "Dataset":
    """Return the data set with numbers in the columns that hold nothing else."""
    from datasets import Features, Value

    features = Features(dataset.features)
    for name, plain in plain_types.items():
        if plain.has_value and plain.are_ints:
            features[name] = Value("int64")
        elif plain.has_value and plain.are_floats:
            features[name] = Value("float64")
    return dataset if features == dataset.features else dataset.cast(features)
