"""Find the broken lines of JSONL files, which the JSON reader of `datasets` refuses without saying where they are."""

import gzip
import json
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from r1kit.data.sources.local_files import error_reason, file_suffix, scratch_dir
from r1kit.errors import UserError
from r1kit.messages import logger
from r1kit.recipe import SourceConfig
from r1kit.rows import Row

if TYPE_CHECKING:
    from datasets import Dataset


def read_without_broken_lines(files: list[Path], source: SourceConfig, field: str) -> "Dataset | None":
    """Return the rows of JSONL files without the lines that are broken; None if no line of a JSONL file is broken.

    Raises UserError for the first broken line with `source.broken` "stop", and if no line is left.
    """
    try:
        if not files or not _is_jsonl(files[0]):
            return None
        return _copy_and_read(files, source, field)
    except (OSError, EOFError, zlib.error):  # not a gzip file, or only the beginning of one
        return None


def _copy_and_read(files: list[Path], source: SourceConfig, field: str) -> "Dataset | None":
    import datasets

    with tempfile.TemporaryDirectory(dir=scratch_dir()) as folder:
        copy = Path(folder) / "rows.jsonl"
        broken_lines = _copy_sound_lines(files, copy, source, field)
        if not broken_lines:
            return None
        logger.info(f"{len(broken_lines)} broken lines are skipped; the first is {broken_lines[0]}")
        if copy.stat().st_size == 0:
            raise UserError(f"{field}.path", source.path, "has no line that can be read", "check the file")
        try:
            return datasets.load_dataset("json", data_files=[str(copy)], split="train")
        except Exception as error:  # datasets raises whatever its reader does
            requirement = f"cannot be read: {error_reason(error)}"
            raise UserError(f"{field}.path", source.path, requirement, "check the file") from None


def _copy_sound_lines(files: list[Path], copy: Path, source: SourceConfig, field: str) -> list[str]:
    """Copy the lines that hold a row, and return where the others are, as `FILE:LINE`.

    Raises UserError for the first broken line if `source.broken` is "stop".
    """
    broken_lines: list[str] = []
    with open(copy, "w", encoding="utf-8") as sound_lines:
        for file in files:
            for number, row, problem in _read_lines(file):
                if row is not None:
                    sound_lines.write(json.dumps(row, ensure_ascii=False) + "\n")
                elif source.broken == "stop":
                    action = f"correct the line, or set {field}.broken=skip"
                    raise UserError(f"{field}.path", f"{file}:{number}", problem, action)
                else:
                    broken_lines.append(f"{file}:{number}")
    return broken_lines


def _is_jsonl(file: Path) -> bool:
    """Return whether a file is JSONL: by its name, or for a `.json` file, by its first line."""
    if file_suffix(file) != ".json":
        return file_suffix(file) == ".jsonl"
    for _, row, _ in _read_lines(file):
        return row is not None
    return False


def _read_lines(file: Path) -> Iterator[tuple[int, Row | None, str]]:
    """Yield of each line that is not blank its number, and its row or what is wrong with the line."""
    with gzip.open(file) if file.suffix == ".gz" else open(file, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                row, problem = _parse_line(line)
                yield number, row, problem


def _parse_line(line: bytes) -> tuple[Row | None, str]:
    """Return the row of a line of JSONL, or None and the requirement that the line does not meet."""
    try:
        row = json.loads(line.decode("utf-8-sig"))
        json.dumps(row, ensure_ascii=False).encode()  # half a surrogate pair is valid JSON, but no Unicode
    except UnicodeEncodeError as error:
        character = f"U+{ord(error.object[error.start]):04X}"
        return None, f"must be Unicode: {character} is half a character"
    except UnicodeDecodeError as error:
        return None, f"must be UTF-8, but byte {error.start + 1} of the line is invalid"
    except json.JSONDecodeError as error:
        return None, f"must be JSON: {error.msg} at column {error.colno}"
    if not isinstance(row, dict):
        return None, "must be a JSON object"
    return row, ""
