"""Read stored data sets: local files and folders, saved data sets, runs, and the hub; whole or as a stream."""

import atexit
import codecs
import gzip
import json
import logging
import re
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError, suggest
from r1kit.recipe import SourceConfig
from r1kit.runs.paths import resolve_data_path

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

FORMATS = {".json": "json", ".jsonl": "json", ".csv": "csv", ".parquet": "parquet", ".arrow": "arrow"}
SPLITS = {"train", "test", "validation", "valid", "val", "dev", "eval"}
WINDOW = 10_000  # rows of a stream that the next one is drawn from


def read_stored(source: SourceConfig, field: str) -> "Dataset":
    """Return the rows of a stored source, memory-mapped from disk. Raises UserError where they cannot be read."""
    import datasets

    path = Path(resolve_data_path(source.path, f"{field}.path"))
    files: list[Path] = []
    try:
        if path.is_dir() and (path / "dataset_info.json").exists():
            return datasets.load_from_disk(str(path))
        if path.is_dir() and (path / "dataset_dict.json").exists():
            there = sorted(p.name for p in path.iterdir() if p.is_dir())
            if source.split not in there:
                raise _no_split(source, field, there)
            return datasets.load_from_disk(str(path / source.split))
        if path.exists():
            files = _files(path, source, field)
            if source.stream:
                return _drawn(_open(files, streaming=True), source)
            if FORMATS[_kind(files[0])] == "json":
                for file in files:
                    _check_text(file)  # Arrow takes any bytes for text
            return _open(files)
        found = datasets.load_dataset(source.path, source.name, split=source.split, streaming=source.stream)
        return _drawn(found, source) if source.stream else found
    except UserError:
        raise
    except Exception as error:  # the library raises whatever its readers and the network do
        if mended := _mended(files, source, field):
            return mended
        raise UserError(
            f"{field}.path",
            source.path,
            f"cannot be read: {_reason(error)}",
            "check the path, the name and the network",
        ) from None


def _reason(error: BaseException) -> str:
    """Return the first line of what lies at the bottom of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, UnicodeDecodeError):
        return f"it must be UTF-8: byte {error.start + 1} is none"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _no_split(source: SourceConfig, field: str, there: list[str]) -> UserError:
    return UserError(f"{field}.split", source.split, f"{source.path} has {', '.join(there)}", "give one of these")


def _kind(file: Path) -> str:
    """Return the suffix that tells a file's format, `.jsonl` of `a.jsonl.gz`."""
    return file.with_suffix("").suffix if file.suffix == ".gz" else file.suffix


def _files(path: Path, source: SourceConfig, field: str) -> list[Path]:
    """Return the files to read, all of one format."""
    files = sorted(p for p in path.rglob("*") if _kind(p) in FORMATS) if path.is_dir() else [path]
    files = [f for f in files if not any(part.startswith(".") for part in f.relative_to(path).parts)]
    if source.name and path.is_dir():
        folders = {f: f.relative_to(path).parts[:-1] for f in files}
        there = sorted({name for names in folders.values() for name in names})
        if source.name not in there:
            raise UserError(f"{field}.name", source.name, f"is no folder of {source.path}", suggest(source.name, there))
        files = [f for f in files if source.name in folders[f]]
    if not files or _kind(files[0]) not in FORMATS:
        raise UserError(f"{field}.path", source.path, f"holds no {', '.join(FORMATS)} file", "check the path")
    if len(kinds := sorted({_kind(f) for f in files if _kind(f) != ".json"})) > 1:
        raise UserError(f"{field}.path", source.path, f"holds files of {', '.join(kinds)}", "give one kind by itself")
    if kinds:  # a .json beside them is about the data
        files = [f for f in files if _kind(f) == kinds[0]]
    files = _of_split(files, path, source, field) if path.is_dir() else files
    if all(f.stat().st_size == 0 for f in files):
        raise UserError(f"{field}.path", source.path, "is empty", "give a source with at least one row")
    return files


def _of_split(files: list[Path], folder: Path, source: SourceConfig, field: str) -> list[Path]:
    """Return the files whose names, or their folders', bear the split; all where none bears any."""
    words = {f: set(re.split(r"[-_./]", str(f.relative_to(folder)))) for f in files}
    there = sorted({word for found in words.values() for word in found & SPLITS})
    if there and source.split not in there:
        raise _no_split(source, field, there)
    return [f for f in files if source.split in words[f]] if there else files


def _check_text(file: Path) -> None:
    """Raise UnicodeDecodeError where a file is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with gzip.open(file) if file.suffix == ".gz" else open(file, "rb") as content:
        while part := content.read(2**20):
            decoder.decode(part)
    decoder.decode(b"", final=True)


def _open(files: list[Path], streaming: bool = False) -> Any:
    import datasets

    names = [str(f) for f in files]
    logging.getLogger("datasets.packaged_modules").setLevel(logging.CRITICAL)  # what it says is raised, too
    return datasets.load_dataset(FORMATS[_kind(files[0])], data_files=names, split="train", streaming=streaming)


def _drawn(stream: "IterableDataset", source: SourceConfig) -> "Dataset":
    """Draw `rows` of a stream from a moving window, and store those alone."""
    from datasets import Dataset
    from datasets.arrow_writer import ArrowWriter

    if stream.column_names is None:  # a CSV's stand in its first rows
        stream = stream._resolve_features()
    for name, values in source.where.items():
        if stream.column_names and name in stream.column_names:
            stream = stream.filter(lambda row, name=name, values=values: row[name] in values)
    drawn = stream.shuffle(seed=source.seed, buffer_size=WINDOW).take(source.rows or 0)
    file = tempfile.mkdtemp(dir=scratch_dir()) + "/rows.arrow"
    with ArrowWriter(path=file, features=drawn.features) as writer:
        for row in drawn:
            writer.write(row)
        writer.finalize()
    return Dataset.from_file(file)


@cache
def scratch_dir() -> str:
    """Return a folder for what this process must put on disk; it goes when the process ends."""
    folder = tempfile.mkdtemp(prefix="r1kit-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _mended(files: list[Path], source: SourceConfig, field: str) -> "Dataset | None":
    """Say which line of which JSONL file is broken, or leave such lines out; None where no line is."""
    try:
        if not files or not _has_lines(files[0]):
            return None
        return _without_broken(files, source, field)
    except (OSError, EOFError, zlib.error):  # no gzip file, or a part of one
        return None


def _without_broken(files: list[Path], source: SourceConfig, field: str) -> "Dataset | None":
    import datasets

    bad: list[str] = []
    with tempfile.TemporaryDirectory(dir=scratch_dir()) as folder:
        copy = Path(folder) / "rows.jsonl"
        with open(copy, "w", encoding="utf-8") as out:
            for file in files:
                for number, row in _lines(file):
                    if isinstance(row, dict):
                        out.write(json.dumps(row, ensure_ascii=False) + "\n")
                    elif source.broken == "stop":
                        do = f"mend the line, or set {field}.broken=skip"
                        raise UserError(f"{field}.path", f"{file}:{number}", str(row), do)
                    else:
                        bad.append(f"{file}:{number}")
        if not bad:
            return None
        print(f"note: {len(bad)} broken lines are left out, the first is {bad[0]}", file=sys.stderr)
        if copy.stat().st_size == 0:
            raise UserError(f"{field}.path", source.path, "has no line that can be read", "check the file")
        try:
            return datasets.load_dataset("json", data_files=[str(copy)], split="train")
        except Exception as error:
            raise UserError(
                f"{field}.path", source.path, f"cannot be read: {_reason(error)}", "check the file"
            ) from None


def _has_lines(file: Path) -> bool:
    """Whether a file is JSONL, by its name or, called .json, by its first line."""
    if _kind(file) != ".json":
        return _kind(file) == ".jsonl"
    first = next((row for _, row in _lines(file)), None)
    return isinstance(first, dict)


def _lines(file: Path) -> Iterator[tuple[int, Any]]:
    """Yield the number of each line that is not blank, with its row, or with what is wrong with it as text."""
    with gzip.open(file) if file.suffix == ".gz" else open(file, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig"))
                json.dumps(row, ensure_ascii=False).encode()
                yield number, row if isinstance(row, dict) else "must be a JSON object"
            except UnicodeEncodeError as error:
                half = f"U+{ord(error.object[error.start]):04X}"
                yield number, f"must be Unicode: {half} is half a character"
            except UnicodeDecodeError as error:
                yield number, f"must be UTF-8: byte {error.start + 1} of the line is none"
            except json.JSONDecodeError as error:
                yield number, f"must be JSON: {error.msg} at column {error.colno}"
