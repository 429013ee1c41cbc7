"""Which part of a completion is the answer."""

import re

_FENCE = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)


def extract_program(said: str | None) -> str:
    """Return the program of an answer: its last fenced block, else all of it."""
    fenced = _FENCE.findall(said or "")
    return (fenced[-1] if fenced else said or "").strip()
