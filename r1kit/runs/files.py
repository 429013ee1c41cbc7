"""Write files and folders so that a kill at any moment leaves the old version or the new one.

Content goes to a temporary name, is synced to the disk, and is then renamed into place.

    write_file(run.path / "run.json", text)
    with atomic_file(run.path / "rows.parquet") as temporary:
        pq.write_table(table, temporary)
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name; the file written there becomes `path` at the end, unless an exception is raised."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


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
    # A folder with content cannot be renamed over another, so the old one is moved away first.
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        os.replace(target, old)
    os.replace(new, target)
    sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)
