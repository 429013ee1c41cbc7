"""Write files and folders so that a kill at any moment leaves the old version or the new one.

Content goes to a temporary name, is synced to the disk, and is then renamed into place.

    write_file(run.path / "run.json", text)
    with atomic_file(run.path / "rows.parquet") as temporary:
        pq.write_table(table, temporary)

A user's own output (`-o`) may also be a pipe, a device or a link, which are written to and never replaced:

    with open_output("/dev/stdout") as stream:
        stream.write(b"...")
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from r1kit.errors import UserError
from r1kit.messages import logger

# Names of the descriptors of this process, such as /dev/fd/63 of a shell's `>(command)`.
_DESCRIPTOR_PATH = re.compile(r"(?:/dev/fd|/proc/self/fd)/(\d+)")
_STREAM_DESCRIPTORS = {"-": 1, "/dev/stdout": 1, "/dev/stderr": 2}
_RENAME_EXCHANGE = 2  # renameat2(2): swap two names in one step
_AT_FDCWD = -100  # openat(2): paths are relative to the working directory


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name; the file written there becomes `path` at the end, unless an exception is raised.

    A file that is replaced keeps its permissions.
    """
    # A random name and O_EXCL: in a folder that others can write to, a link of theirs could stand under a known name.
    temporary = path.with_name(f".r1kit-{secrets.token_hex(8)}.tmp")
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        with contextlib.suppress(FileNotFoundError):
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_temporary_files(folder: Path) -> None:
    """Remove what killed processes have left of `atomic_file` below a folder, to which no other process writes."""
    for path in folder.rglob(".r1kit-*.tmp"):
        path.unlink(missing_ok=True)


def write_file(path: Path, content: str | bytes) -> None:
    """Replace a file by one with this content, in one step."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def sync_folder(folder: Path) -> None:
    """Sync the folder itself, so that renames within it survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Sync every file below a folder, and the folder itself."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
    sync_folder(folder)


def replace_folder(new: Path, target: Path) -> None:
    """Rename the folder `new` to `target`, and remove what was there."""
    sync_tree(new)
    old = target.with_name(f".{target.name}.old")
    _remove(old)
    if target.exists() and _exchange(new, target):
        old = new
    else:
        # A folder with content cannot be renamed over another, so the old one is moved away first.
        if target.exists():
            os.replace(target, old)
        os.replace(new, target)
    sync_folder(target.parent)
    _remove(old)


def _remove(path: Path) -> None:
    """Remove a folder with all in it, or a link or file, if it is there."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two names in one step, so that `second` exists at any moment; return False where the system cannot."""
    import ctypes

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):  # only Linux has it
        return False
    return rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0


# A user's own output


@contextlib.contextmanager
def open_output(path: str, inputs: Sequence[str] = (), field: str = "--output") -> Iterator[BinaryIO]:
    """Yield a stream for what a command writes to `path`; a file is replaced at the end, in one step.

    `-` is stdout. A pipe, a terminal or another device is written to. Of a link, the file that it leads to is replaced,
    and the link stays.

    Raises UserError, which names `field`, if `path` is one of the files that are read (`inputs`), or cannot be written.
    """
    for read_path in inputs:
        if os.path.isfile(path) and os.path.exists(read_path) and os.path.samefile(path, read_path):
            raise UserError(field, path, "is the file that is read, and would be replaced", "use another path")
    try:
        descriptor = _find_descriptor(path)
        if descriptor is not None:
            sys.stdout.flush()
            with os.fdopen(os.dup(descriptor), "wb") as stream:
                yield stream
        elif os.path.exists(path) and not os.path.isfile(path):
            with _open_device(path) as stream:
                yield stream
        else:
            with _open_replaced_file(path) as stream:
                yield stream
    except BrokenPipeError:
        if is_stdout(path):
            raise
        raise UserError(field, path, "its reader has closed it before all was written", "read all of it") from None
    except OSError as error:
        requirement = f"must be a file that can be written: {(error.strerror or str(error)).lower()}"
        raise UserError(field, path, requirement, "use another path") from None


def is_stdout(path: str) -> bool:
    """Return whether an output is stdout itself, so that nothing else may be printed there."""
    if path == "-":
        return True
    try:
        return os.path.samestat(os.stat(path), os.fstat(1))
    except OSError:
        return False


def _find_descriptor(path: str) -> int | None:
    """Return the descriptor of this process that a path names; None for other paths.

    A redirected file must not be opened by its name: it would be written from its beginning, over its content.
    """
    if path in _STREAM_DESCRIPTORS:
        return _STREAM_DESCRIPTORS[path]
    match = _DESCRIPTOR_PATH.fullmatch(path)
    return int(match[1]) if match else None


def _open_device(path: str) -> BinaryIO:
    """Open an existing pipe or device for writing."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if stat.S_ISBLK(mode):
        raise PermissionError(errno.EPERM, "a disk is not written to")
    if stat.S_ISFIFO(mode):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            os.set_blocking(descriptor, True)
            return os.fdopen(descriptor, "wb")
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            logger.info(f"{path} is a pipe, and waits for a program that reads it")
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_NOCTTY), "wb")


@contextlib.contextmanager
def _open_replaced_file(path: str) -> Iterator[BinaryIO]:
    """Yield a stream whose content replaces the file behind `path` at the end; links are followed."""
    target = Path(os.path.realpath(path, strict=False))
    if os.path.islink(target):  # a loop of links
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    with atomic_file(target) as temporary, open(temporary, "wb") as stream:
        yield stream
