"""Find the local files of a source: those of one format, of the named configuration, and of the split."""

import codecs
import gzip
import re
from pathlib import Path
from typing import IO

from r1kit.errors import UserError, suggest
from r1kit.messages import logger
from r1kit.recipe import SourceConfig

FORMATS = {".json": "json", ".jsonl": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".arrow": "arrow"}
"""Suffix of a file: name of the reader in `datasets`."""
# Words in the names of files and folders that say which split they are of. `datasets` finds splits by such words, too,
# but takes dev, val and eval for other names of `validation` and `test`: here a recipe's `split` is the word itself.
SPLIT_WORDS = {"train", "test", "validation", "valid", "val", "dev", "eval"}
GZIP_START = b"\x1f\x8b"
SHOWN_FILES = 10
"""The most names of files in a note."""
TEXT_CHECK_BYTES = 2**20
"""Bytes of a file that are decoded at once where its encoding is checked."""


def file_suffix(file: Path) -> str:
    """Return the suffix that tells a file's format: `.jsonl` for `a.jsonl` and for `a.jsonl.gz`."""
    return file.with_suffix("").suffix if file.suffix == ".gz" else file.suffix


def find_files(path: Path, source: SourceConfig, field: str) -> list[Path]:
    """Return the files to read: the file at `path`, or those of one format and of the source's split in a folder."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file_suffix(file) in FORMATS and not _is_hidden(file, path))
        if source.name:
            files = _files_in_named_folder(files, path, source, field)
    else:
        files = [path]
    if path.is_file() and file_suffix(path) not in FORMATS:
        requirement = f"must be a file of one of the formats {', '.join(FORMATS)}"
        raise UserError(f"{field}.path", source.path, requirement, "convert it, a spreadsheet for example to .csv")
    if not files or file_suffix(files[0]) not in FORMATS:
        raise UserError(f"{field}.path", source.path, f"holds no {', '.join(FORMATS)} file", "check the path")
    # A .json file beside others describes the data and is not data itself.
    suffixes = sorted({file_suffix(file) for file in files if file_suffix(file) != ".json"})
    if len(suffixes) > 1:
        requirement = f"holds files of several formats: {', '.join(suffixes)}"
        raise UserError(f"{field}.path", source.path, requirement, "give the files of one format")
    if suffixes:
        files = [file for file in files if file_suffix(file) == suffixes[0]]
    if path.is_dir():
        files = _files_of_split(files, path, source, field)
    if all(file.stat().st_size == 0 for file in files):
        raise UserError(f"{field}.path", source.path, "is empty", "give a source with at least one row")
    return files


def _is_hidden(file: Path, folder: Path) -> bool:
    return any(name.startswith(".") for name in file.relative_to(folder).parts)


def _files_in_named_folder(files: list[Path], folder: Path, source: SourceConfig, field: str) -> list[Path]:
    """Return the files below a folder called `source.name`, as a data set's configurations are stored."""
    names_of = {file: file.relative_to(folder).parts[:-1] for file in files}
    names: set[str] = set()
    names.update(*names_of.values())
    if source.name not in names:
        requirement = f"is no folder of {source.path}"
        raise UserError(f"{field}.name", source.name, requirement, suggest(source.name or "", names))
    return [file for file in files if source.name in names_of[file]]


def _files_of_split(files: list[Path], folder: Path, source: SourceConfig, field: str) -> list[Path]:
    """Return the files whose names, or whose folders' names, contain the split; all if no file names any split."""
    words_of = {file: set(re.split(r"[-_./]", str(file.relative_to(folder)))) for file in files}
    splits: set[str] = set()
    for words in words_of.values():
        splits |= words & SPLIT_WORDS
    if not splits:
        return files
    if source.split not in splits:
        raise no_split_error(source, field, sorted(splits))
    files_read = [file for file in files if source.split in words_of[file]]
    if any(not words & SPLIT_WORDS for words in words_of.values()):
        _note_files_left_out(files, files_read, folder, source, field)
    return files_read


def _note_files_left_out(
    files: list[Path], files_read: list[Path], folder: Path, source: SourceConfig, field: str
) -> None:
    """Print a note on the files of a folder that are not read, where the names of some of them are of no split."""
    left_out = [file for file in files if file not in files_read]
    logger.info(
        f"{field}: of {source.path}, the split {source.split} is read: {_list_files(files_read, folder)}; "
        f"{len(left_out)} others are left out: {_list_files(left_out, folder)}; to read one, give its own path"
    )


def _list_files(files: list[Path], folder: Path) -> str:
    names = [str(file.relative_to(folder)) for file in files]
    more = f" and {len(names) - SHOWN_FILES} more" if len(names) > SHOWN_FILES else ""
    return ", ".join(names[:SHOWN_FILES]) + more


def no_split_error(source: SourceConfig, field: str, splits: list[str]) -> UserError:
    requirement = f"{source.path} has only {', '.join(splits)}"
    return UserError(f"{field}.split", source.split, requirement, f"set {field}.split to one of these")


def open_bytes(file: Path) -> IO[bytes]:
    """Open a file for reading, uncompressed if it is a gzip file; files in the hub's cache have no suffix."""
    with open(file, "rb") as content:
        is_gzip = content.read(len(GZIP_START)) == GZIP_START
    # By its suffix too, so that a broken gzip file is refused as one.
    return gzip.open(file) if is_gzip or file.suffix == ".gz" else open(file, "rb")  # type: ignore[return-value]


def check_encoding(file: Path) -> None:
    """Raise UnicodeDecodeError if a file is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open_bytes(file) as content:
        while block := content.read(TEXT_CHECK_BYTES):
            decoder.decode(block)
    decoder.decode(b"", final=True)


def error_reason(error: BaseException) -> str:
    """Return the first line of the error that an error was first caused by."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, UnicodeDecodeError):
        return f"it must be UTF-8, but byte {error.start + 1} is invalid"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
