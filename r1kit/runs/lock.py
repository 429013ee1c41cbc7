"""The lock of a run: who works on it, and whether anybody still does.

The process that works on a run holds an flock on the file `.lock`, which the kernel releases when that process ends,
however it ends. Not every file system tells other machines of the lock (NFS without a lock daemon, Lustre). So the
process also touches the file every ten seconds, and writes its machine into it: from another machine, a run counts as
alive while the file was touched lately, even if its lock looks free.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

from r1kit.errors import UserError
from r1kit.messages import logger

LOCK_FILE = ".lock"
HEARTBEAT_SECONDS = 10.0
# Longer than a heartbeat is delayed by a machine under load, by the caches of a network's file system and by two clocks
# that differ.
STALE_SECONDS = 180.0
# How long a process on another machine watches for a heartbeat before it takes over a run that seems alive.
_WATCH_SECONDS = 2.5 * HEARTBEAT_SECONDS
# `r1kit runs` holds a run's lock for an instant to see whether it is free, so locking is tried a few times.
_LOCK_TRIES = 5
_LOCK_RETRY_SECONDS = 0.02
# What flock raises on a file system that has no locks: the heartbeat alone must tell then.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
_BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


class RunLock:
    """The lock of a run directory, held from its creation until `release` or the end of the process."""

    def __init__(self, run_dir: Path):
        """Take the lock. Raises UserError if another process works on the run."""
        self.file = run_dir / LOCK_FILE
        self._descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o666)
        self._released = threading.Event()
        try:
            self._take(run_dir)
        except BaseException:
            os.close(self._descriptor)
            raise
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(this_process()).encode(), 0)
        threading.Thread(target=self._touch_until_released, name="heartbeat", daemon=True).start()

    def _take(self, run_dir: Path) -> None:
        if not self._lock_here() or self._is_held_elsewhere():
            requirement = f"another process is working on this run{_name_holder(self.file)}"
            raise UserError("output", run_dir, requirement, "wait for it or stop it")

    def _lock_here(self) -> bool:
        """Lock the file; return False if another process holds a lock that this machine can see."""
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                time.sleep(_LOCK_RETRY_SECONDS)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                return True
        return False

    def _is_held_elsewhere(self) -> bool:
        """Return whether a process on another machine, whose lock this machine cannot see, still touches the file."""
        last = os.fstat(self._descriptor).st_mtime_ns
        if _is_of_this_machine(read_holder(self.file)) or not _is_recent(last):
            return False
        logger.info(f"{self.file.parent}: watching for {_WATCH_SECONDS:g} s whether another machine works on it")
        deadline = time.monotonic() + _WATCH_SECONDS
        while time.monotonic() < deadline:
            time.sleep(min(1.0, _WATCH_SECONDS))
            if self.file.stat().st_mtime_ns != last:
                return True
        return False

    def _touch_until_released(self) -> None:
        process = os.getpid()
        while not self._released.wait(HEARTBEAT_SECONDS) and os.getpid() == process:
            with contextlib.suppress(OSError):
                os.utime(self._descriptor)

    def release(self) -> None:
        """Release the lock; the file stays, and names no process."""
        self._released.set()
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def this_process() -> dict[str, Any]:
    """Return what the lock file says of this process: its machine's name, the id of the boot, and its pid."""
    return {"host": socket.gethostname(), "boot": _boot_id(), "pid": os.getpid()}


def read_holder(file: Path) -> dict[str, Any]:
    """Return what a lock file says of the process that has written it; {} where it says nothing."""
    try:
        holder = json.loads(file.read_text(errors="replace"))
    except (OSError, ValueError, RecursionError):
        return {}
    return holder if isinstance(holder, dict) else {}


def is_held(run_dir: Path) -> bool:
    """Return whether a process works on a run, on this machine or on another."""
    file = run_dir / LOCK_FILE
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:  # the run belongs to another user: only its heartbeat can be seen
        return _was_touched_lately(file)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return _was_touched_lately(file)
    finally:
        os.close(descriptor)
    holder = read_holder(file)
    return bool(holder) and not _is_of_this_machine(holder) and _was_touched_lately(file)


def _is_of_this_machine(holder: dict[str, Any]) -> bool:
    """Return whether the process that has written a lock file ran under the kernel of this machine, in this boot.

    True for a file that names no process.
    """
    return not holder or holder.get("boot") == _boot_id()


def _boot_id() -> str:
    """Return the id of this boot of this machine, which its containers share; outside of Linux the host's name."""
    try:
        return _BOOT_ID_FILE.read_text().strip()
    except OSError:
        return socket.gethostname()


def _was_touched_lately(file: Path) -> bool:
    try:
        return _is_recent(file.stat().st_mtime_ns)
    except OSError:
        return False


def _is_recent(time_ns: int) -> bool:
    return abs(time.time() - time_ns / 1e9) < STALE_SECONDS


def _name_holder(file: Path) -> str:
    """Return ` (process 12 on node3)`, or "" where the file does not say who holds it."""
    holder = read_holder(file)
    if not isinstance(holder.get("pid"), int) or not isinstance(holder.get("host"), str):
        return ""
    return f" (process {holder['pid']} on {holder['host']})"
