"""Read JSON files: JSONL, and `.json` files that hold one list, one table of columns, or one object around a list.

Values come out as the file has them: text as text, numbers with all of their digits, null as None. A line that cannot
be read is refused by its number, or left out and counted with `broken: skip`.
"""

import contextlib
import gc
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from r1kit.data.exact_json import explain_json_error, parse_json_line, parse_strictly
from r1kit.data.row_tables import make_dataset
from r1kit.data.sources.local_files import open_bytes
from r1kit.errors import UserError
from r1kit.messages import logger
from r1kit.recipe import SourceConfig
from r1kit.rows import Row

if TYPE_CHECKING:
    from datasets import Dataset

# Half of a pair of surrogates, as an escape: valid JSON, but no character. Only lines with one are looked at closely.
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
BLOCK_BYTES = 2**22
"""Bytes of a JSONL file that are parsed at once; the last line of a block is read to its end."""
_LIST_START, _OBJECT_START = b"[", b"{"


def read_json_files(files: list[Path], source: SourceConfig, field: str) -> "Dataset":
    """Return the rows of JSON files. Raises UserError for what is not JSON, and for a broken line that must stop."""
    broken_lines: list[str] = []

    def read_rows() -> Iterator[Row]:
        broken_lines.clear()
        return iterate_json_rows(files, source, field, broken_lines)

    with _without_garbage_collection():
        dataset = make_dataset(read_rows)
    if broken_lines:
        logger.info(f"{len(broken_lines)} broken lines are skipped; the first is {broken_lines[0]}")
        if len(dataset) == 0:
            raise UserError(f"{field}.path", source.path, "has no line that can be read", "check the file")
    return dataset


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Keep Python from looking for cycles among the values of rows, which have none: that takes a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def iterate_json_rows(
    files: Iterable[Path], source: SourceConfig, field: str, broken_lines: list[str]
) -> Iterator[Row]:
    """Yield the rows of JSON files, and add the lines that are skipped to `broken_lines`, as `FILE:LINE`.

    Raises UserError for the first broken line if `source.broken` is "stop".
    """
    for file in files:
        document = _read_document(file, source, field)
        if document is not None:
            yield from document
            continue
        for number, row, problem in _read_lines(file):
            if row is not None:
                yield row
            elif source.broken == "stop":
                action = f"correct the line, or set {field}.broken=skip"
                raise UserError(f"{field}.path", f"{file}:{number}", problem, action)
            else:
                broken_lines.append(f"{file}:{number}")


def _read_lines(file: Path) -> Iterator[tuple[int, Row | None, str]]:
    """Yield for each line that is not blank its number, and its row or what is wrong with the line."""
    number = 0
    with open_bytes(file) as content:
        while block := content.read(BLOCK_BYTES) + content.readline():
            lines = block.removesuffix(b"\n").split(b"\n")
            for line, row in zip(lines, _parse_quickly(block, len(lines)), strict=True):
                number += 1
                if row is not None:
                    yield number, row, ""
                elif line.strip(b" \t\r\n\xef\xbb\xbf"):
                    yield number, *_parse_line(line)


def _parse_quickly(block: bytes, line_count: int) -> list[Row | None]:
    """Return the rows of the lines of a block; None for each line that must be looked at more closely."""
    try:
        lines = block.decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        return [None] * line_count
    has_surrogates = _SURROGATE_ESCAPE.search(block) is not None
    rows: list[Row | None] = []
    for line in lines:
        row = None
        if not has_surrogates or not _SURROGATE_ESCAPE.search(line.encode()):
            with contextlib.suppress(ValueError, RecursionError):
                row = parse_json_line(line)
        rows.append(row if isinstance(row, dict) else None)
    return rows


def _parse_line(line: bytes) -> tuple[Row | None, str]:
    """Return the row of a line of JSONL, or None and the requirement that the line does not meet."""
    try:
        row = parse_strictly(line.decode("utf-8-sig"))
        if _SURROGATE_ESCAPE.search(line):
            json.dumps(row, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        character = f"U+{ord(error.object[error.start]):04X}"
        return None, f"must be Unicode: {character} is half a character"
    except UnicodeDecodeError as error:
        return None, f"must be UTF-8, but byte {error.start + 1} of the line is invalid"
    except (ValueError, RecursionError) as error:
        return None, explain_json_error(error)
    if not isinstance(row, dict):
        return None, "must be a JSON object"
    return row, ""


def _read_document(file: Path, source: SourceConfig, field: str) -> list[Row] | None:
    """Return the rows of a file that is one JSON value; None for a file of lines.

    A file that begins with a list is one value. Another is one value if its first line alone is not JSON, or its first
    line is all of it and holds no row, and if it is called `.json`.
    """
    with open_bytes(file) as content:
        first_line = _first_line(content)
        rest_is_blank = not content.read(1).strip()
    if first_line.lstrip(b"\xef\xbb\xbf \t").startswith(_LIST_START):
        return _rows_of_document(_parse_file(file, source, field), file, source, field)
    if ".json" not in file.suffixes or not first_line.lstrip(b"\xef\xbb\xbf \t").startswith(_OBJECT_START):
        return None
    first_row, _ = _parse_line(first_line)
    if first_row is None:
        try:
            with open_bytes(file) as content:
                value = parse_strictly(content.read().decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return None  # lines, the first of which is broken
        return _rows_of_document(value, file, source, field)
    is_table = rest_is_blank and (_inner_list(first_row) is not None or _is_column_table(first_row))
    return _rows_of_document(first_row, file, source, field) if is_table else None


def _first_line(content: IO[bytes]) -> bytes:
    """Return the first line that is not blank, b"" without one."""
    for line in content:
        if line.strip(b" \t\r\n\xef\xbb\xbf"):
            return line
    return b""


def _parse_file(file: Path, source: SourceConfig, field: str) -> Any:
    try:
        with open_bytes(file) as content:
            data = content.read()
        value = parse_strictly(data.decode("utf-8-sig"))
        if _SURROGATE_ESCAPE.search(data):
            json.dumps(value, ensure_ascii=False, default=str).encode()
        return value
    except UnicodeError as error:
        raise UserError(f"{field}.path", source.path, f"must be JSON in UTF-8: {error}", "correct the file") from None
    except (ValueError, RecursionError) as error:
        location = f"{file}:{error.lineno}" if isinstance(error, json.JSONDecodeError) else str(file)
        raise UserError(f"{field}.path", location, explain_json_error(error), "correct the file") from None


def _rows_of_document(value: Any, file: Path, source: SourceConfig, field: str) -> list[Row]:
    """Return the rows of one JSON value: a list of objects, a table as one list a column, or an object around a list.

    Raises UserError if it is none of them.
    """
    if isinstance(value, dict):
        rows = _inner_list(value)
        if rows is not None:
            return rows
        if _is_column_table(value):
            return [dict(zip(value, cells, strict=True)) for cells in zip(*value.values(), strict=True)]
        return [value]
    if isinstance(value, list):
        if value and all(isinstance(turns, list) for turns in value):
            # Open-Reasoner-Zero's form, whose columns on the hub are the numbers of the turns.
            value = [dict(zip(map(str, range(len(turns))), turns, strict=True)) for turns in value]
        for number, row in enumerate(value):
            if not isinstance(row, dict):
                requirement = f"must be a list of JSON objects, but entry {number} is none"
                raise UserError(f"{field}.path", str(file), requirement, "correct the file, or write one object a line")
        return value
    raise UserError(f"{field}.path", str(file), "must be a list of JSON objects", "write one object a line")


def _inner_list(value: Row) -> list[Row] | None:
    """Return the one list of objects that an object has beside its scalars: `{"version": "1", "data": [...]}`."""
    members = [member for member in value.values() if isinstance(member, list | dict)]
    if len(members) != 1 or not isinstance(members[0], list) or not members[0]:
        return None
    looks_like_rows = all(isinstance(row, dict) for row in members[0])
    # `{"messages": [{"role": ...}]}` is a row itself.
    looks_like_chat = all("role" in row or "from" in row for row in members[0]) if looks_like_rows else False
    return members[0] if looks_like_rows and not looks_like_chat else None


def _is_column_table(value: Row) -> bool:
    """Return whether an object is a table as one list a column, all of the same length."""
    if len(value) < 2 or not all(isinstance(column, list) for column in value.values()):
        return False
    return len({len(column) for column in value.values()}) == 1
