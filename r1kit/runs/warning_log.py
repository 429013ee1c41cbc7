"""The warnings of a run, kept in its directory: each with its time, its step, and how often it came.

    with record_warnings(run):
        logger.warning("the reward x raised ValueError: its 16 rows are left out")

One line of JSON for each warning, with the keys `text`, `count`, `time` and `step` (of the first), `last_time` and
`last_step`, and `name` for an alert of a training. Warnings that differ only in their numbers are one. The main rank
writes warnings.jsonl; the others, and the process that launches them, write a file of their own beside it.
"""

import contextlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from r1kit.messages import early_warnings, logger, training_step
from r1kit.ranks import rank
from r1kit.runs.files import write_file
from r1kit.runs.reading import read_json_lines
from r1kit.runs.run import Run, current_time

WARNING_FILES = "warnings*.jsonl"
"""The pattern of the names of all files of warnings in a run directory."""
# A warning that keeps coming is written at most this often.
_SECONDS_BETWEEN_WRITES = 5.0
# More different warnings than anybody reads: further ones are counted as one.
_MAX_WARNINGS = 500
_NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?")

LoggedWarning = dict[str, Any]


class WarningLog(logging.Handler):
    """Writes the warnings of this process into a file, and counts those that come again."""

    def __init__(self, file: Path):
        super().__init__(logging.WARNING)
        self.file = file
        self.process = os.getpid()
        self.warnings: dict[str, LoggedWarning] = {}
        for warning in read_warning_file(file):  # of an earlier session
            self.warnings[_warning_key(warning["text"])] = warning
        self._written_at = 0.0
        self._is_written = True

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno != logging.WARNING or os.getpid() != self.process:
            return
        text = getattr(record, "warning_text", None) or record.getMessage()
        key = _warning_key(text)
        if key not in self.warnings and len(self.warnings) >= _MAX_WARNINGS:
            key, text = "", "further warnings, of which only the number is kept"
        now = current_time()
        step = training_step.number
        warning = self.warnings.get(key)
        is_new = warning is None
        if warning is None:
            warning = {"text": text, "count": 0, "time": now, "step": step}
            name = getattr(record, "warning_name", None)
            if name is not None:
                warning["name"] = name
            self.warnings[key] = warning
        warning |= {"count": warning["count"] + 1, "last_time": now, "last_step": step}
        self._is_written = False
        if is_new or time.monotonic() - self._written_at >= _SECONDS_BETWEEN_WRITES:
            self.write()

    def write(self) -> None:
        """Write the file if any warning or count is new."""
        if self._is_written or os.getpid() != self.process:
            return
        lines = [f"{json.dumps(warning, ensure_ascii=True)}\n" for warning in self.warnings.values()]
        with contextlib.suppress(OSError):  # a full disk ends the run elsewhere, with its own error
            write_file(self.file, "".join(lines))
            self._is_written = True
            self._written_at = time.monotonic()


@contextlib.contextmanager
def record_warnings(run: Run, role: str = "") -> Iterator[None]:
    """Record all warnings of this process within the block, and those that came before it.

    `role` names a process that is no rank of the run, such as the one that launches them.
    """
    if not role and rank() > 0:
        role = f"rank-{rank()}"
    log = WarningLog(run.path / (f"warnings-{role}.jsonl" if role else "warnings.jsonl"))
    for record in early_warnings.take():
        log.handle(record)
    logger.addHandler(log)
    try:
        yield
    finally:
        logger.removeHandler(log)
        log.write()


def read_warnings(run_dir: Path) -> list[LoggedWarning]:
    """Return the warnings of all processes of a run in the order of their time; equal ones are added up."""
    by_key: dict[str, LoggedWarning] = {}
    for file in sorted(run_dir.glob(WARNING_FILES)):
        for warning in read_warning_file(file):
            first = by_key.setdefault(_warning_key(warning["text"]), {**warning, "count": 0})
            first["count"] += warning["count"]
            if str(warning["time"]) < str(first["time"]):
                first |= {"time": warning["time"], "step": warning["step"]}
    return sorted(by_key.values(), key=lambda warning: str(warning["time"]))


def read_warning_file(file: Path) -> list[LoggedWarning]:
    """Return the warnings of a file; lines that are no warning are skipped."""
    warnings = []
    for warning in read_json_lines(file):
        if isinstance(warning.get("text"), str):
            count = warning.get("count")
            is_count = isinstance(count, int) and not isinstance(count, bool) and count > 0
            defaults = {"time": None, "step": None}
            warnings.append({**defaults, **warning, "count": count if is_count else 1})
    return warnings


def _warning_key(text: str) -> str:
    """Return a text that is the same for warnings which differ only in their numbers."""
    return _NUMBER.sub("0", text)
