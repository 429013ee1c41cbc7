"""Run a command in a child process, so that its exit code is true however that child ends.

A stage runs code that is not r1kit's: rewards, the code of models, libraries in C. Such code may end its process at any
moment (`os._exit(0)`, a segmentation fault), and a process that ends so can tell nobody. So the command forks before it
does anything: the child works, and reports its exit code at its very end; the parent waits, and ends with that code. A
child that ended without a report has not done its work: the parent says how it ended, marks its run as failed, and ends
with exit code 1.

The parent costs about 20 milliseconds and 20 MB. It passes signals on to the child, and the child dies with it.

    supervise()          the rest of the command runs in the child
    report_run(path)     the child works on this run from now on
    report_end(0)        the last thing that the child does
"""

import contextlib
import json
import os
import select
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from r1kit.errors import EXIT_FAILED
from r1kit.interrupts import raise_on_signals
from r1kit.messages import logger

_PR_SET_PDEATHSIG = 1  # prctl(2): the signal that this process gets when its parent dies
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_CRASH_SIGNALS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)
_PIPE_BYTES = 2**16
_POLL_SECONDS = 0.05  # between two looks at whether the child has ended, where the system does not tell
_SECONDS_WITHOUT_FILES = 5.0  # after which a child that has closed all its files is killed

# What the parent does about a child that ended without a report. Its arguments: how the child ended, and its run.
ReportDeath = Callable[[str, Path | None], None]


class _Report:
    """The child's end of the pipe to its parent; `descriptor` is None in a process without one."""

    descriptor: int | None = None
    inode: tuple[int, int] = (0, 0)
    pid = 0


def supervise(report_death: ReportDeath | None = None) -> None:
    """Go on in a child process. In this process the call never returns: it ends as the child does.

    `report_death` replaces what is done about a child that ended without a report.
    """
    if _Report.pid == os.getpid():
        return
    reader, writer = os.pipe()
    # No signal must come between the fork and the handlers of the two processes.
    old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        die_with_parent()
        if os.getppid() != parent:
            os._exit(EXIT_FAILED)
        os.close(reader)
        os.set_blocking(writer, False)
        _Report.descriptor, _Report.inode, _Report.pid = writer, _inode(writer), os.getpid()
        raise_on_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
        return
    os.close(writer)
    for number in _PASSED_ON:  # ignored ones too, as in the background of a script: the child may handle them
        signal.signal(number, lambda number, frame: _send(child, number))
    signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
    os._exit(_wait_for_child(child, reader, report_death or _report_death))


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies, so that a killed command leaves no processes behind."""
    import ctypes  # here, since `r1kit --help` imports this module

    with contextlib.suppress(OSError, AttributeError):  # only Linux has prctl
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def report_run(run_dir: Path, stage: str = "", webhook: str | None = None) -> None:
    """Tell the parent which run this process works on, so that it can mark the run as failed.

    The parent posts to the address `webhook`, if there is one, that the process of this `stage` has died.
    """
    _send_report({"run": str(run_dir), "stage": stage, "webhook": webhook})


def report_call(name: str) -> None:
    """Tell the parent which code of the user runs from now on, "" for none; it names that code if the child dies."""
    _send_report({"call": name})


def report_end(code: int, error_line: str = "") -> None:
    """Tell the parent that the work has come to its end, with this exit code.

    `error_line` is an error that this process could not print itself, since code has closed its stderr.
    """
    _send_report({"code": code, "line": error_line})


def find_closed_descriptors() -> list[int]:
    """Return which of the descriptors that this process needs are closed: 1 and 2, and the pipe to the parent."""
    needed = [1, 2]
    if _Report.descriptor is not None and _Report.pid == os.getpid():
        needed.append(_Report.descriptor)
    closed = []
    for descriptor in needed:
        try:
            os.fstat(descriptor)
        except OSError:
            closed.append(descriptor)
    return closed


def describe_sys_exit(error: SystemExit) -> str:
    """Return where sys.exit was called: `sys.exit(0) was called in model.py, line 7 (load)`."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    code = "" if error.code is None else repr(error.code)
    return f"sys.exit({code}) was called in {frame.filename}, line {frame.lineno} ({frame.name})"


def describe_end(status: int) -> str:
    """Return how a process ended, by its status from os.waitpid: "was killed by SIGKILL", "ended with exit code 0"."""
    return describe_exit_code(os.waitstatus_to_exitcode(status))


def describe_exit_code(code: int) -> str:
    """Return how a process ended; `code` is minus the number of a signal, as in the module subprocess."""
    if code >= 0:
        return (
            f"ended with exit code {code} before its work was done, by code that it ran, such as a reward or a library"
        )
    with contextlib.suppress(ValueError):
        number = signal.Signals(-code)
        return f"was killed by {number.name}{_explain_signal(number)}"
    return f"was killed by signal {-code}"


def _explain_signal(number: signal.Signals) -> str:
    """Return the usual cause of a signal; "" for those that users send."""
    if number == signal.SIGKILL:
        return ", by a user or by the kernel where memory has run out"
    if number in _CRASH_SIGNALS:
        return ", a crash in a library or a reward: PYTHONFAULTHANDLER=1 in the environment shows where"
    return ""


def _send_report(values: dict[str, Any]) -> None:
    """Send a line to the parent, unless this is a fork of the child, or code has closed the pipe meanwhile."""
    descriptor = _Report.descriptor
    if descriptor is None or _Report.pid != os.getpid():
        return
    with contextlib.suppress(OSError):
        if _inode(descriptor) == _Report.inode:
            os.write(descriptor, f"{json.dumps(values)}\n".encode())


def _inode(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _wait_for_child(child: int, reader: int, report_death: ReportDeath) -> int:
    """Wait for the end of the child, and return the exit code of the command."""
    text, status, has_closed_all = _read_until_end(child, reader)
    os.set_blocking(reader, False)
    with contextlib.suppress(BlockingIOError):  # forks of the child may still hold the pipe open
        text += os.read(reader, _PIPE_BYTES)
    report: dict[str, Any] = {}
    for line in text.decode().splitlines():
        report |= json.loads(line)
    if "code" in report:
        if report["line"]:
            logger.error(report["line"])
        return int(report["code"])
    ending = describe_end(status)
    if report.get("call"):
        ending += f"; it ended in {report['call']}"
    if has_closed_all:
        ending = "has lost its file descriptors, which code that it ran has closed, such as a reward or a library"
    report_death(ending, Path(report["run"]) if "run" in report else None)
    if report.get("webhook"):
        from r1kit.runs.run import Run
        from r1kit.runs.webhook import Webhook, post_end

        run = Run(Path(report["run"]))
        post_end(Webhook(report["webhook"], report["stage"], run.path), run, EXIT_FAILED, f"the process {ending}")
    return EXIT_FAILED


def _read_until_end(child: int, reader: int) -> tuple[bytes, int, bool]:
    """Return what the child reports until it ends, its status as of os.waitpid, and whether it had to be killed.

    A child that has closed its end of the pipe, but lives, has closed all its files: it often waits for ever for one of
    them, and is killed after some seconds.
    """
    text = b""
    try:
        ending = os.pidfd_open(child)  # can be read when the child has ended
    except (AttributeError, OSError):  # only Linux has it
        return *_poll_until_end(child, reader), False
    must_be_killed = False
    while not must_be_killed:
        ready, _, _ = select.select([reader, ending], [], [])
        if ending in ready:
            break
        received = os.read(reader, _PIPE_BYTES)
        text += received
        if not received:
            must_be_killed = not select.select([ending], [], [], _SECONDS_WITHOUT_FILES)[0]
            break
    if must_be_killed:
        _send(child, signal.SIGKILL)
    return text, os.waitpid(child, 0)[1], must_be_killed


def _poll_until_end(child: int, reader: int) -> tuple[bytes, int]:
    """Return what the child reports until it ends, and its status, on a system that does not tell of its end."""
    text = b""
    while True:
        ended_pid, status = os.waitpid(child, os.WNOHANG)
        if ended_pid:
            return text, status
        if select.select([reader], [], [], _POLL_SECONDS)[0]:
            received = os.read(reader, _PIPE_BYTES)
            text += received
            if not received:  # the child has closed its end, but lives
                time.sleep(_POLL_SECONDS)


def _report_death(ending: str, run_dir: Path | None) -> None:
    """Print how the child ended, and mark its run as failed."""
    if run_dir is None:
        logger.error(f"the command {ending}")
        return
    logger.error(f"the process of {run_dir} {ending}; the same command goes on from what is saved")
    from r1kit.runs.run import Run

    Run(run_dir).mark_as_failed()
