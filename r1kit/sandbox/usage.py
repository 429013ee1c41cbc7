"""Measure what a box takes of the machine: bytes in a directory, bytes written, threads.

What this is for: limits that neither rlimits nor Landlock can set (the whole directory, not one file; the threads of
one box, not of one user). What it does NOT do: it measures only, many times a second, and a program can go beyond a
limit for that long; box.py ends a box that does.
"""

import contextlib
import os
from pathlib import Path

_BYTES_PER_NAME = 4096  # an empty file takes room too: a page is counted for each name
_BYTES_PER_BLOCK = 512  # the unit of st_blocks, whatever the file system


def directory_bytes(directory: str, limit: int) -> int:
    """Return the bytes that the files below `directory` take. Counting ends a little beyond `limit`."""
    total = 0
    directories = [directory]
    while directories and total <= limit:
        # Files and directories may disappear while they are counted.
        with contextlib.suppress(OSError), os.scandir(directories.pop()) as entries:
            for entry in entries:
                total += _BYTES_PER_NAME + entry.stat(follow_symlinks=False).st_blocks * _BYTES_PER_BLOCK
                if entry.is_dir(follow_symlinks=False):
                    directories.append(entry.path)
    return total


def count_threads(pid: int) -> int:
    """Return the number of threads of all processes below process `pid`."""
    count = 0
    for child in _child_pids(pid):
        with contextlib.suppress(OSError):
            # A directory has two links, and one more for each directory in it.
            count += Path(f"/proc/{child}/task").stat().st_nlink - 2 + count_threads(child)
    return count


def written_bytes(pid: int) -> int:
    """Return the most bytes that any single process below `pid` has written, to files deleted since then as well."""
    most = 0
    for child in _child_pids(pid):
        with contextlib.suppress(OSError, ValueError):
            lines = Path(f"/proc/{child}/io").read_text().splitlines()
            counters = dict(line.split(": ") for line in lines)
            most = max(most, int(counters["wchar"]), int(counters["write_bytes"]))
        most = max(most, written_bytes(child))
    return most


def _child_pids(pid: int) -> list[int]:
    """Return the processes that the first thread of process `pid` has started: none where it has ended."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
