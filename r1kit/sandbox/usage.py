"""Measure what a box takes of the machine: bytes in a directory, bytes written, deleted files, threads.

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
    """Return the bytes that the files below `directory` take. Counting ends a little beyond `limit`.

    What cannot be counted, such as a directory that may not be read, counts as more than `limit`.
    """
    total = 0
    directories = [directory]
    while directories and total <= limit:
        try:
            with os.scandir(directories.pop()) as entries:
                for entry in entries:
                    total += _BYTES_PER_NAME + _entry_bytes(entry)
                    if entry.is_dir(follow_symlinks=False):
                        directories.append(entry.path)
                    if total > limit:
                        break
        except (FileNotFoundError, NotADirectoryError):
            continue  # it has disappeared meanwhile
        except OSError:
            return limit + 1
    return total


def _entry_bytes(entry: os.DirEntry) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks * _BYTES_PER_BLOCK
    except FileNotFoundError:
        return 0


def deleted_file_bytes(pid: int, directory: str, limit: int) -> int:
    """Return the bytes of deleted files that processes below `pid` keep open, on the file system of `directory`.

    Pages that are written through memory maps are in no counter of a process where the file system is in memory. A
    file that is only mapped, and open no more, cannot be measured: it counts as more than `limit`.
    """
    bytes_by_file: dict[int, int] = {}
    device = os.stat(directory).st_dev
    waiting_pids = _child_pids(pid)
    while waiting_pids:
        child = waiting_pids.pop()
        waiting_pids += _child_pids(child)
        with contextlib.suppress(OSError), os.scandir(f"/proc/{child}/fd") as descriptors:
            for descriptor in descriptors:
                with contextlib.suppress(OSError):
                    status = os.stat(descriptor.path)
                    if status.st_nlink == 0 and status.st_dev == device:
                        bytes_by_file[status.st_ino] = status.st_blocks * _BYTES_PER_BLOCK
        for mapped_file in _mapped_deleted_files(child, device):
            bytes_by_file.setdefault(mapped_file, limit + 1)
    return sum(bytes_by_file.values())


def _mapped_deleted_files(pid: int, device: int) -> set[int]:
    """Return the inode numbers of deleted files of a file system that a process has mapped into its memory."""
    files = set()
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines():
            # "7f2c00000000-7f2c00001000 rw-s 00000000 00:1b 42                       /dev/shm/x (deleted)"
            _, _, _, device_text, inode, *_ = line.split(maxsplit=5)
            major, _, minor = device_text.partition(":")
            if line.endswith(" (deleted)") and os.makedev(int(major, 16), int(minor, 16)) == device:
                files.add(int(inode))
    return files


def count_threads(pid: int) -> int:
    """Return the number of threads of all processes below process `pid`."""
    count = 0
    for child in _child_pids(pid):
        with contextlib.suppress(OSError):
            # A directory has two links, and one more for each directory in it.
            count += Path(f"/proc/{child}/task").stat().st_nlink - 2 + count_threads(child)
    return count


def written_bytes(pid: int) -> int:
    """Return the most bytes that one process of a test has written, to files deleted since then as well.

    These are the processes that a child of `pid` has started; the child itself writes inputs and replies (boot.py).
    """
    most = 0
    for server_pid in _child_pids(pid):
        for child in _child_pids(server_pid):
            with contextlib.suppress(OSError, ValueError):
                lines = Path(f"/proc/{child}/io").read_text().splitlines()
                counters = dict(line.split(": ") for line in lines)
                most = max(most, int(counters["wchar"]), int(counters["write_bytes"]))
    return most


def _child_pids(pid: int) -> list[int]:
    """Return the processes that the first thread of process `pid` has started: none where it has ended."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
