"""What ends a command early: a user's mistake (exit 2) or an interruption (exit 130)."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user must change, said in one line: `field = value; what must hold; what to do`."""

    def __init__(self, field: str, value: object, must: str, do: str):
        line = f"{field} = {value}; {must}; {do}"
        super().__init__(" ".join(line.split()))


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
