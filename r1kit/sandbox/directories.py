"""Make directories for boxes and remove them, including those that killed processes have left.

Each directory is locked by the process that made it, and the kernel ends the lock with the process. So a directory
whose lock is free is nobody's. What this does NOT do: remove directories where another temporary directory was set
(TMPDIR), or those of other users.
"""

import contextlib
import fcntl
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_PREFIX = "r1kit-box-"
_NEW_PREFIX = "r1kit-new-"  # of a directory that is not locked yet
_SECONDS_TO_LOCK = 60.0  # after which a new directory is nobody's either


@contextlib.contextmanager
def temporary_directory() -> Iterator[str]:
    """Make a directory that a program may write to, and remove it, whatever the program has made of it."""
    parent = tempfile.gettempdir()
    _remove_abandoned_once(parent, os.getpid())
    new_directory = tempfile.mkdtemp(prefix=_NEW_PREFIX, dir=parent)
    lock_fd = os.open(new_directory, os.O_RDONLY | os.O_DIRECTORY)
    with contextlib.suppress(OSError):  # a file system without locks: nobody else can lock it either
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    directory = os.path.join(parent, _PREFIX + os.path.basename(new_directory).removeprefix(_NEW_PREFIX))
    os.rename(new_directory, directory)
    try:
        yield directory
    finally:
        try:
            os.rmdir(directory)
            os.close(lock_fd)
        except OSError:
            # Many files take time, for which a verdict does not wait; but the end of Python waits for no new thread.
            if threading.main_thread().is_alive():
                threading.Thread(target=_remove_and_unlock, args=(directory, lock_fd)).start()
            else:
                _remove_and_unlock(directory, lock_fd)


def _remove_and_unlock(directory: str, lock_fd: int) -> None:
    _remove_tree(directory)
    os.close(lock_fd)


def _remove_tree(directory: str) -> None:
    """Remove a directory with all below it, which may be unreadable, or nested too deeply for Python."""
    subprocess.run(["rm", "-rf", "--", directory], stderr=subprocess.DEVNULL)
    if os.path.lexists(directory):
        subprocess.run(["chmod", "-R", "u+rwx", "--", directory], stderr=subprocess.DEVNULL)
        subprocess.run(["rm", "-rf", "--", directory], stderr=subprocess.DEVNULL)


@cache
def _remove_abandoned_once(parent: str, _pid: int) -> None:
    """Remove the directories of processes that were killed, once for each process that asks (`_pid`)."""
    for path in [*Path(parent).glob(f"{_PREFIX}*"), *Path(parent).glob(f"{_NEW_PREFIX}*")]:
        with contextlib.suppress(OSError):  # another process may be faster, or it is another user's
            status = path.lstat()
            is_new = path.name.startswith(_NEW_PREFIX) and time.time() - status.st_mtime < _SECONDS_TO_LOCK
            if status.st_uid != os.geteuid() or is_new:
                continue
            lock_fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove_tree(str(path))
            finally:
                os.close(lock_fd)
