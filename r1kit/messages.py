"""Messages of r1kit to its user, on stderr: notes and warnings through `logging`, one line each.

    logger.info("2 broken lines are skipped")         note: 2 broken lines are skipped
    logger.warning("the loss is not a number")        warning: the loss is not a number
    print_progress("sft 10/100  loss 0.41")           sft 10/100  loss 0.41

`r1kit -q` shows warnings only, without progress; `r1kit -v` shows debug messages too. The choice is kept in an
environment variable, so that the processes that a launcher starts make the same one.
"""

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from types import TracebackType

from r1kit.safe_text import escape_control_characters, format_result, mask_text

PrintLine = Callable[[str], object]

_PREFIXES = {logging.DEBUG: "debug", logging.INFO: "note", logging.WARNING: "warning", logging.ERROR: "error"}
# Holds the name of a level of `logging`: DEBUG, INFO or WARNING.
_LEVEL_VARIABLE = "R1KIT_LOG_LEVEL"

logger = logging.getLogger("r1kit")


def _make_safe(record: logging.LogRecord) -> bool:
    """Mask secrets and escape control characters in a message, for every handler that it goes to."""
    record.msg, record.args = escape_control_characters(mask_text(record.getMessage())), None
    return True


class _StderrHandler(logging.Handler):
    """Writes each message to what `sys.stderr` is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = _PREFIXES.get(record.levelno, record.levelname.lower())
        print(f"{prefix}: {record.getMessage()}", file=sys.stderr, flush=True)


class _EarlyWarnings(logging.Handler):
    """Keeps the warnings that are printed before the run directory exists (see r1kit.runs.warning_log)."""

    MAX_WARNINGS = 100

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.records) < self.MAX_WARNINGS:
            self.records.append(record)

    def take(self) -> list[logging.LogRecord]:
        """Return the warnings so far, and keep no further ones: from now on the run directory records them."""
        logger.removeHandler(self)
        records, self.records = self.records, []
        return records


class _TrainingStep:
    """The optimizer step that is being computed now, which is recorded with each warning; None outside a training."""

    number: int | None = None


early_warnings = _EarlyWarnings()
training_step = _TrainingStep()


def set_verbosity(verbose: bool = False, quiet: bool = False) -> None:
    """Show warnings only (`quiet`), notes too (the default), or debug messages as well (`verbose`).

    The setting holds for this process and for those that it starts.
    """
    level_name = "INFO"
    if quiet:
        level_name = "WARNING"
    if verbose:
        level_name = "DEBUG"
    os.environ[_LEVEL_VARIABLE] = level_name
    logger.setLevel(level_name)


def is_quiet() -> bool:
    """Return whether only warnings and errors are to be shown: no notes, no progress."""
    return not logger.isEnabledFor(logging.INFO)


def print_progress(line: str, is_table: bool = False) -> None:
    """Print a line about the progress or the result of a stage on stderr, without a prefix, unless r1kit is quiet.

    A table (`is_table`) of r1kit.tables is printed as it is: its cells are safe, and its headers may be bold.
    """
    if not is_quiet():
        print(line if is_table else escape_control_characters(mask_text(line)), file=sys.stderr, flush=True)


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback as Python does, with secrets masked: the hook for exceptions that nobody catches."""
    text = "".join(traceback.format_exception(kind, error, trace))
    print(escape_control_characters(mask_text(text)), end="", file=sys.stderr, flush=True)


if not logger.handlers:
    logger.addFilter(_make_safe)
    logger.addHandler(_StderrHandler())
    logger.addHandler(early_warnings)
    logger.propagate = False
    logger.setLevel(os.environ.get(_LEVEL_VARIABLE, "INFO"))


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[PrintLine]:
    """Redirect stdout to stderr, and yield a function that prints a line to the real stdout.

    The descriptor itself is redirected, so that what libraries in C and child processes print goes to stderr too.
    """
    sys.stdout.flush()
    real_stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield lambda line: os.write(real_stdout, f"{format_result(line, os.isatty(real_stdout))}\n".encode())
    finally:
        sys.stdout.flush()
        os.dup2(real_stdout, 1)
        os.close(real_stdout)
