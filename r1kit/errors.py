"""What ends a command early: a user's mistake (exit 2) or an interruption (exit 130)."""

import difflib
from collections.abc import Iterable


class _Unset:
    """The type of UNSET."""


UNSET = _Unset()
"""The value of a field that the user did not set."""


class UserError(Exception):
    """A mistake that the user must correct, described in one line.

    The line is `field = value; requirement; action`. Where the user set no value (`value=UNSET`) it is
    `field: requirement; action`: an error never shows a value that the user did not write.

        UserError("training.steps", 0, "must be at least 1", "use a positive number")
        UserError("output", UNSET, "a run needs a directory", "set output or pass --output DIR")
    """

    def __init__(self, field: str, value: object, requirement: str, action: str):
        subject = f"{field}:" if value is UNSET else f"{field} = {value};"
        super().__init__(" ".join(f"{subject} {requirement}; {action}".split()))


class OutOfMemory(Exception):
    """A training did not fit into memory; the same run goes on with smaller micro-batches, which run.json tells."""


class Interrupted(Exception):
    """SIGINT or SIGTERM came, and the state is saved."""


EXIT_DONE, EXIT_FAILED, EXIT_USER, EXIT_INTERRUPTED = 0, 1, 2, 130
EXIT_AGAIN = 75  # EX_TEMPFAIL: the same command goes on


def suggest(word: str, known: Iterable[str]) -> str:
    """Return what to do about an unknown `word`: the nearest known one, else the list of them."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"use one of: {', '.join(known)}" if len(known) <= 30 else "check its name"
