"""What r1kit says on stderr: notes and warnings through `logging`, each a line of its own.

    logger.info("2 broken lines are skipped")         note: 2 broken lines are skipped
    logger.warning("the loss is not a number")        warning: the loss is not a number

`r1kit -q` shows warnings only; `r1kit -v` shows debug messages too. Modules log to `r1kit.messages.logger`.
"""

import logging
import sys

_PREFIXES = {logging.DEBUG: "debug", logging.INFO: "note", logging.WARNING: "warning", logging.ERROR: "error"}

logger = logging.getLogger("r1kit")


class _StderrHandler(logging.Handler):
    """Writes each message to what `sys.stderr` is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = _PREFIXES.get(record.levelno, record.levelname.lower())
        print(f"{prefix}: {record.getMessage()}", file=sys.stderr, flush=True)


def set_verbosity(verbose: bool = False, quiet: bool = False) -> None:
    """Show warnings only (`quiet`), notes too (the default), or debug messages as well (`verbose`)."""
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)


if not logger.handlers:
    logger.addHandler(_StderrHandler())
    logger.propagate = False
    set_verbosity()
