"""Read stored data sets: local files and folders, data sets saved to disk, runs, and the hub; whole or as a stream.

The rows are mapped from disk by `datasets`, or drawn from a stream and only the drawn ones stored.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.data.exact_json import with_exact_json
from r1kit.data.row_tables import make_dataset, scratch_dir
from r1kit.data.sources.conditions import matches
from r1kit.data.sources.csv_files import read_csv_files
from r1kit.data.sources.json_files import iterate_json_rows, read_json_files
from r1kit.data.sources.local_files import (
    FORMATS,
    check_encoding,
    error_reason,
    file_suffix,
    find_files,
    no_split_error,
)
from r1kit.data.sources.unify import concatenate_sources, usual_features
from r1kit.errors import UserError
from r1kit.recipe import SourceConfig
from r1kit.rows import Row
from r1kit.runs.paths import resolve_data_path

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

STREAM_WINDOW_ROWS = 10_000
"""Rows of a stream that are in memory at once; the next row is drawn from among them."""


def read_stored(source: SourceConfig, field: str) -> "Dataset":
    """Return the rows of a stored source. Raises UserError if they cannot be read."""
    path = Path(resolve_data_path(source.path, f"{field}.path"))
    try:
        dataset = _read_path(path, source, field) if path.exists() else _read_hub(source, field)
    except UserError:
        raise
    except Exception as error:  # datasets raises whatever its readers and the network do
        requirement = f"cannot be read: {error_reason(error)}"
        is_local = path.exists()
        action = "correct the file, and save it as UTF-8" if is_local else "check the path, the name and the network"
        raise UserError(f"{field}.path", source.path, requirement, action) from None
    return _with_usual_types(dataset)


def _read_path(path: Path, source: SourceConfig, field: str) -> "Dataset":
    """Return the rows of a file, a folder, or a data set that was saved to disk."""
    import datasets

    _refuse_hub_fields(path, source, field)
    if path.is_dir() and (path / "dataset_info.json").exists():
        return datasets.load_from_disk(str(path))
    if path.is_dir() and (path / "dataset_dict.json").exists():
        return _load_split_from_disk(path, source, field)
    return _read_files(find_files(path, source, field), source, field)


def _refuse_hub_fields(path: Path, source: SourceConfig, field: str) -> None:
    """Raise UserError for a field of the source that says nothing about what is read from disk."""
    if source.revision is not None:
        requirement = f"only a data set on the hub has revisions, and {source.path} is on this disk"
        raise UserError(f"{field}.revision", source.revision, requirement, "remove it")
    if not path.is_file():
        return
    for name in ("name", "split"):
        if name in source.model_fields_set and getattr(source, name) not in (None, "train"):
            requirement = f"{source.path} is one file, which has no {'configurations' if name == 'name' else 'splits'}"
            raise UserError(f"{field}.{name}", getattr(source, name), requirement, "remove it")


def _load_split_from_disk(path: Path, source: SourceConfig, field: str) -> "Dataset":
    """Return one split of a DatasetDict that was saved with `save_to_disk`."""
    import datasets

    splits = sorted(folder.name for folder in path.iterdir() if folder.is_dir())
    if source.split not in splits:
        raise no_split_error(source, field, splits)
    return datasets.load_from_disk(str(path / source.split))


def _read_files(files: list[Path], source: SourceConfig, field: str) -> "Dataset":
    """Return the rows of files of one format."""
    file_format = FORMATS[file_suffix(files[0])]
    files = [file for file in files if file.stat().st_size]  # shards of a large set may be empty
    if source.stream and file_format == "json":
        return _draw_from_rows(lambda: iterate_json_rows(files, source, field, []), source)
    if file_format == "json":
        return read_json_files(files, source, field)
    if file_format == "csv":
        for file in files:
            check_encoding(file)
        dataset = read_csv_files(files, source, field)
        return _draw_from_stream(dataset.to_iterable_dataset(), source) if source.stream else dataset
    if source.stream:
        return _draw_from_stream(_open_columnar(file_format, files, streaming=True), source)
    return _read_columnar(file_format, files)


def _read_columnar(file_format: str, files: list[Path]) -> "Dataset":
    """Return the rows of Parquet or Arrow files, which may differ in their columns and types."""
    from datasets.exceptions import DatasetGenerationError

    if file_format == "parquet":
        files = [file for file in files if _count_parquet_rows(file)] or files[:1]
    try:
        return _open_columnar(file_format, files, streaming=False)
    except (DatasetGenerationError, ValueError, TypeError):
        if len(files) == 1:
            raise
    # Shards of one set may have types of their own: a column that is empty in one, whole numbers in another.
    shards = [_with_usual_types(_open_columnar(file_format, [file], streaming=False)) for file in files]
    return concatenate_sources([shard for shard in shards if len(shard)] or shards[:1])


def _count_parquet_rows(file: Path) -> int:
    import pyarrow.parquet as pq

    return pq.read_metadata(file).num_rows


def _open_columnar(file_format: str, files: list[Path], streaming: bool) -> Any:
    import datasets

    # The reader logs an error that it also raises, and that is reported here.
    logging.getLogger("datasets.packaged_modules").setLevel(logging.CRITICAL)
    names = [str(file) for file in files]
    return datasets.load_dataset(file_format, data_files=names, split="train", streaming=streaming)


def _with_usual_types(dataset: "Dataset") -> "Dataset":
    """Return the data set with the types that r1kit works with in place of others for the same values."""
    features = usual_features(with_exact_json(dataset.features))
    return dataset if features == dataset.features else dataset.cast(features)


def _read_hub(source: SourceConfig, field: str) -> "Dataset":
    """Return the rows of a data set on the hub.

    JSON and CSV files are read by r1kit itself, unless the data set declares how they are to be read: the readers of
    `datasets` guess types, and make times of texts that look like one.
    """
    import datasets
    from datasets.packaged_modules.csv.csv import Csv
    from datasets.packaged_modules.json.json import Json

    builder = datasets.load_dataset_builder(source.path, source.name, revision=source.revision)
    is_plain = builder.info.features is None and bool(builder.config.data_files)
    if isinstance(builder, Csv):
        is_plain = is_plain and builder.config.sep == ","
    elif isinstance(builder, Json):
        is_plain = is_plain and builder.config.field is None
    if not isinstance(builder, Json | Csv) or not is_plain:
        loaded = datasets.load_dataset(
            source.path, source.name, split=source.split, streaming=source.stream, revision=source.revision
        )
        return _draw_from_stream(loaded, source) if source.stream else loaded
    data_files = builder.config.data_files
    if source.split not in data_files:
        raise no_split_error(source, field, sorted(map(str, data_files)))
    manager = datasets.DownloadManager(dataset_name=source.path)
    downloaded = manager.download_and_extract(list(data_files[source.split]))
    files = [Path(file) for file in downloaded]
    if isinstance(builder, Csv):
        dataset = read_csv_files(files, source, field)
        return _draw_from_stream(dataset.to_iterable_dataset(), source) if source.stream else dataset
    if source.stream:
        return _draw_from_rows(lambda: iterate_json_rows(files, source, field, []), source)
    return read_json_files(files, source, field)


def _draw_from_rows(read_rows: Callable[[], Iterable[Row]], source: SourceConfig) -> "Dataset":
    """Draw `source.rows` rows of an iterator from a moving window, and store only those."""
    from datasets import IterableDataset

    def wrapped_rows() -> Iterator[Row]:
        # In a list, since `datasets` would give every row the columns of the first.
        return ({"row": [row]} for row in read_rows() if _meets_conditions(row, source))

    drawn = IterableDataset.from_generator(wrapped_rows)
    drawn = drawn.shuffle(seed=source.seed, buffer_size=STREAM_WINDOW_ROWS).take(source.rows or 0)
    rows = [wrapped["row"][0] for wrapped in drawn]
    return make_dataset(lambda: rows, folder=scratch_dir())


def _meets_conditions(row: Row, source: SourceConfig) -> bool:
    return all(matches(row[name], allowed) for name, allowed in source.where.items() if name in row)


def _draw_from_stream(stream: "IterableDataset", source: SourceConfig) -> "Dataset":
    """Draw `source.rows` rows of a stream from a moving window, and store only those."""
    from datasets import Features

    if stream.column_names is None:
        stream = stream._resolve_features()
    for name, allowed_values in source.where.items():
        if stream.column_names and name in stream.column_names:
            stream = stream.filter(_has_value, fn_kwargs={"name": name, "allowed_values": allowed_values})
    drawn = stream.shuffle(seed=source.seed, buffer_size=STREAM_WINDOW_ROWS).take(source.rows or 0)
    return make_dataset(lambda: drawn, types=Features(drawn.features or {}), folder=scratch_dir())


def _has_value(row: dict[str, Any], name: str, allowed_values: list[Any]) -> bool:
    return matches(row[name], allowed_values)
