"""Read stored data sets: local files and folders, data sets saved to disk, runs, and the hub; whole or as a stream.

The rows are mapped from disk by `datasets`, or drawn from a stream and only the drawn ones stored.
"""

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.data.sources.jsonl import read_without_broken_lines
from r1kit.data.sources.local_files import (
    FORMATS,
    check_encoding,
    error_reason,
    file_suffix,
    find_files,
    no_split_error,
    scratch_dir,
)
from r1kit.errors import UserError
from r1kit.recipe import SourceConfig
from r1kit.runs.paths import resolve_data_path

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

STREAM_WINDOW_ROWS = 10_000
"""Rows of a stream that are in memory at once; the next row is drawn from among them."""


def read_stored(source: SourceConfig, field: str) -> "Dataset":
    """Return the rows of a stored source. Raises UserError if they cannot be read."""
    import datasets

    path = Path(resolve_data_path(source.path, f"{field}.path"))
    files: list[Path] = []
    try:
        if path.is_dir() and (path / "dataset_info.json").exists():
            return datasets.load_from_disk(str(path))
        if path.is_dir() and (path / "dataset_dict.json").exists():
            return _load_split_from_disk(path, source, field)
        if path.exists():
            files = find_files(path, source, field)
            return _read_files(files, source)
        loaded = datasets.load_dataset(source.path, source.name, split=source.split, streaming=source.stream)
        return _draw_from_stream(loaded, source) if source.stream else loaded
    except UserError:
        raise
    except Exception as error:  # datasets raises whatever its readers and the network do
        without_broken_lines = read_without_broken_lines(files, source, field)
        if without_broken_lines is not None:
            return without_broken_lines
        requirement = f"cannot be read: {error_reason(error)}"
        action = "check the path, the name and the network"
        raise UserError(f"{field}.path", source.path, requirement, action) from None


def _load_split_from_disk(path: Path, source: SourceConfig, field: str) -> "Dataset":
    """Return one split of a DatasetDict that was saved with `save_to_disk`."""
    import datasets

    splits = sorted(folder.name for folder in path.iterdir() if folder.is_dir())
    if source.split not in splits:
        raise no_split_error(source, field, splits)
    return datasets.load_from_disk(str(path / source.split))


def _read_files(files: list[Path], source: SourceConfig) -> "Dataset":
    if source.stream:
        return _draw_from_stream(_open_files(files, streaming=True), source)
    if FORMATS[file_suffix(files[0])] == "json":
        for file in files:
            check_encoding(file)  # Arrow takes any bytes for text
    return _open_files(files, streaming=False)


def _open_files(files: list[Path], streaming: bool) -> Any:
    import datasets

    # The reader logs an error that it also raises, and that is reported here.
    logging.getLogger("datasets.packaged_modules").setLevel(logging.CRITICAL)
    names = [str(file) for file in files]
    return datasets.load_dataset(FORMATS[file_suffix(files[0])], data_files=names, split="train", streaming=streaming)


def _draw_from_stream(stream: "IterableDataset", source: SourceConfig) -> "Dataset":
    """Draw `source.rows` rows of a stream from a moving window, and store only those."""
    from datasets import Dataset
    from datasets.arrow_writer import ArrowWriter

    if stream.column_names is None:  # the columns of a CSV file are known from its first rows
        stream = stream._resolve_features()
    for name, allowed_values in source.where.items():
        if stream.column_names and name in stream.column_names:
            stream = stream.filter(_has_value, fn_kwargs={"name": name, "allowed_values": allowed_values})
    drawn = stream.shuffle(seed=source.seed, buffer_size=STREAM_WINDOW_ROWS).take(source.rows or 0)
    file = tempfile.mkdtemp(dir=scratch_dir()) + "/rows.arrow"
    with ArrowWriter(path=file, features=drawn.features) as writer:
        for row in drawn:
            writer.write(row)
        writer.finalize()
    return Dataset.from_file(file)


def _has_value(row: dict[str, Any], name: str, allowed_values: list[Any]) -> bool:
    return row[name] in allowed_values
