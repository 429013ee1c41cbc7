"""Read saved completions, to score them: from a file, or from what a run has sampled.

read_completions("saved.jsonl")       rows of a JSONL file
read_completions("runs/zero")         the rollouts of an RL run, the samples of generate and eval
"""

import os
from collections.abc import Sequence
from pathlib import Path

from r1kit.data.argument_errors import errors_of_argument
from r1kit.data.exact_json import explain_json_error, parse_strictly
from r1kit.data.sources import read_source
from r1kit.errors import UserError
from r1kit.recipe import SourceConfig
from r1kit.rows import Row
from r1kit.runs.paths import resolve_data_path

# Where runs keep completions: the rollouts of RL, the samples of generate, eval and verifier, the rows of data.
_RUN_FOLDERS = ("completions", "samples", "data")
# Formats of files that are read as a data set's are; any other file is one of JSON lines.
_TABLE_SUFFIXES = (".parquet", ".arrow", ".csv", ".tsv")


def read_completions(path: str) -> list[Row]:
    """Return the rows of a file or a run, each with a completion.

    Raises UserError if they cannot be read, or if a row has no completion.
    """
    folder = Path(path)
    if folder.is_dir():
        files = _find_run_files(folder)
        if not files:
            requirement = f"has no completions: no Parquet file in {', '.join(_RUN_FOLDERS)} or in itself"
            raise UserError("FILE", path, requirement, "use a run of rl-zero, rl, generate or eval, or a file")
        rows = []
        for file in files:
            rows += _read_table(str(file))
        return _checked_rows(rows, path)
    if folder.suffix in _TABLE_SUFFIXES:
        return _checked_rows(_read_table(path), path)
    return _read_jsonl(path)


def _find_run_files(folder: Path) -> list[Path]:
    """Return the Parquet files of a run that hold its completions, or those of any other folder."""
    for name in _RUN_FOLDERS:
        files = sorted((folder / name).rglob("*.parquet"))
        if files:
            return files
    return sorted(folder.glob("*.parquet"))


def _read_table(file: str) -> list[Row]:
    """Return the rows of a Parquet, Arrow or CSV file, with the columns that it has."""
    if file.endswith(".parquet") and os.path.exists(file):
        import pyarrow.parquet as pq

        return pq.read_table(file).to_pylist()
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    with errors_of_argument("FILE"):
        return read_source(SourceConfig(path=resolve_data_path(file, "FILE"), adapter="none"), "FILE").to_list()


def _checked_rows(rows: Sequence[Row], path: str) -> list[Row]:
    for number, row in enumerate(rows, start=1):
        _check_completion(row, f"{path}, row {number}")
    return list(rows)


def _check_completion(row: object, row_name: str) -> None:
    """Raise UserError, which names `place`, for a row without a completion that is text or chat messages."""
    if not isinstance(row, dict) or not isinstance(row.get("completion"), str | list):
        raise UserError("FILE", row_name, "has no completion", "add one, or call its column completion")
    completion = row["completion"]
    if isinstance(completion, list) and not all(isinstance(item, dict) for item in completion):
        requirement = "has a completion that is a list but holds no chat messages"
        raise UserError("FILE", row_name, requirement, "make it a text or a list of messages")


def _read_jsonl(file: str) -> list[Row]:
    """Return the rows of a JSONL file. Raises UserError if it cannot be read, or a row has no completion."""
    try:
        lines = Path(file).read_text().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
        raise UserError("FILE", file, f"must be a JSONL file that can be read: {reason}", "check the file") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = parse_strictly(line)
        except (ValueError, RecursionError) as error:
            raise UserError("FILE", f"{file}:{number}", explain_json_error(error), "correct the line") from None
        _check_completion(row, f"{file}:{number}")
        rows.append(row)
    if not rows:
        raise UserError("FILE", file, "has no rows", "use a file with at least one row")
    return rows
