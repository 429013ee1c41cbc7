"""Whoever looks at a run sees whether a process works on it: on this machine, on another, on any file system."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import time

import pytest

from r1kit.errors import UserError
from r1kit.runs import lock
from r1kit.runs.listing import run_status
from r1kit.runs.run import Run

ELSEWHERE = {"host": "node7", "boot": "another kernel", "pid": 4711}
DIE = """
import os, sys
from pathlib import Path
from r1kit.runs.run import Run
run = Run(Path(sys.argv[1]))
run.lock()
run.update(status="running", stage="sft")
{end}
"""


@pytest.fixture
def running(tmp_path):
    run = Run(tmp_path)
    run.update(status="running", stage="sft")
    return run


def pretend_holder(run: Run, holder: dict, age: float) -> None:
    """Leave the lock file of a process that touched it `age` seconds ago."""
    file = run.path / ".lock"
    file.write_text(json.dumps(holder))
    os.utime(file, (time.time() - age, time.time() - age))


@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), 9)", "import ctypes; ctypes.string_at(0)"])
def test_a_run_whose_process_has_died_is_seen_as_killed(tmp_path, end):
    subprocess.run([sys.executable, "-c", DIE.format(end=end), str(tmp_path)], capture_output=True)
    assert Run(tmp_path).info["status"] == "running"
    assert run_status(Run(tmp_path)) == "killed"
    run = Run(tmp_path)
    run.lock()
    assert run_status(Run(tmp_path)) == "running"
    run.unlock()
    assert run_status(Run(tmp_path)) == "killed"


def test_a_run_that_was_copied_without_its_lock_is_not_running(running):
    assert run_status(running) == "killed"


@pytest.mark.parametrize(
    ("holder", "age", "status"),
    [
        (ELSEWHERE, 5, "running"),
        (ELSEWHERE, -60, "running"),  # the clock of the other machine is ahead
        (ELSEWHERE, 1000, "killed"),
        ({**ELSEWHERE, "boot": lock._boot_id()}, 5, "killed"),  # this machine's kernel would hold its lock
        ({}, 5, "killed"),
    ],
)
def test_a_lock_that_another_machine_does_not_show_is_known_by_its_heartbeat(running, holder, age, status):
    pretend_holder(running, holder, age)
    assert run_status(running) == status


def test_a_file_system_without_locks_has_heartbeats(running, monkeypatch):
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    running.lock()
    assert run_status(running) == "running"
    os.utime(running.path / ".lock", (0, 0))
    assert run_status(running) == "killed"
    running.unlock()


@pytest.mark.parametrize("is_alive", [True, False])
def test_a_run_of_another_machine_is_taken_over_only_without_a_heartbeat(running, monkeypatch, is_alive):
    monkeypatch.setattr(lock, "_WATCH_SECONDS", 0.05)
    pretend_holder(running, ELSEWHERE, 5)
    if not is_alive:
        running.lock()
        assert lock.read_holder(running.path / ".lock") == lock.this_process()
        running.unlock()
        return
    monkeypatch.setattr(lock.time, "sleep", lambda seconds: os.utime(running.path / ".lock"))
    with pytest.raises(UserError, match=r"another process is working on this run \(process 4711 on node7\); wait"):
        running.lock()


def test_the_process_that_holds_a_run_touches_its_lock(running, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.01)
    running.lock()
    os.utime(running.path / ".lock", (0, 0))
    while (running.path / ".lock").stat().st_mtime < 1000:
        time.sleep(0.01)
    running.unlock()


@pytest.mark.parametrize(
    "content", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000, b'{"pid": "x", "host": 3, "boot": []}']
)
def test_a_broken_lock_file_is_no_obstacle(running, monkeypatch, content):
    monkeypatch.setattr(lock, "_WATCH_SECONDS", 0.01)
    (running.path / ".lock").write_bytes(content)
    assert run_status(running) in ("killed", "running")
    running.lock()
    with pytest.raises(UserError, match="another process is working on this run"):
        Run(running.path).lock()
    running.unlock()
