"""Checkers of a user's own, by which `accuracy` judges the rows that name them.

    rewards:
      - name: accuracy
        checkers: {geometry: my_checkers.check_geometry}     rows with `checker: geometry`
      - name: accuracy
        checkers: [my_checkers.check_geometry]               rows with `checker: my_checkers.check_geometry`

    def check_geometry(answer: str, gold: str | None, question: str) -> bool: ...

A checker gets the text of an answer and the gold answer, and besides, by their names, the columns of the row that its
signature asks for; `question` and `completion` are among them. It returns whether the answer is right, or a number from
0 to 1. An answer on which it does not return within CALL_SECONDS is a FAULT. The functions must be listed in the
recipe: what a data set names is never imported for that alone.
"""

import inspect
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from r1kit.answers.fault import FAULT
from r1kit.errors import UserError
from r1kit.rewards.own_code import CallTimeout, call_with_limit, import_object, warn_once
from r1kit.rewards.settings import SettingError

Checkers = Mapping[str, str] | Sequence[str]
"""Dotted paths by the names that rows have, or dotted paths alone."""
CALL_SECONDS = 60.0
"""Seconds that a checker may take for one answer."""


def checker_paths(checkers: Checkers | None) -> dict[str, str]:
    """Return the dotted path of each checker by the name that rows have. Raises SettingError for anything else."""
    if not checkers:
        return {}
    if isinstance(checkers, str) or not isinstance(checkers, Mapping | Sequence):
        raise SettingError("accuracy", "checkers", checkers, "must map names to dotted paths, or list such paths")
    paths = dict(checkers) if isinstance(checkers, Mapping) else {path: path for path in checkers}
    for path in paths.values():
        if not isinstance(path, str) or "." not in path:
            raise SettingError(
                "accuracy", "checkers", path, "must be the dotted path of a function, such as mine.check"
            )
    return paths


@lru_cache(maxsize=64)
def load_checker(path: str) -> Callable[..., Any]:
    """Return the function at a dotted path. Raises UserError where there is none."""
    checker = import_object(path, "rewards: checkers", "a function that Python can import")
    if not callable(checker):
        raise UserError("rewards: checkers", path, "must be a function that Python can import", "correct the path")
    return checker


def call_checker(path: str, answer: str | None, gold: Any, columns: Mapping[str, Any]) -> float:
    """Return the reward of one answer by the checker at a dotted path; FAULT where that gives no verdict.

    `columns` holds the values of the row's columns. No answer is wrong, and the checker is not asked.
    """
    if answer is None:
        return 0.0
    checker = load_checker(path)
    checker_columns = _wanted_columns(checker, columns)
    start = time.monotonic()
    try:
        verdict = call_with_limit(lambda: checker(answer, gold, **checker_columns), CALL_SECONDS, f"the checker {path}")
    except CallTimeout:
        if time.monotonic() - start < CALL_SECONDS:
            raise  # the limit of the whole reward, `max_seconds`
        warn_once(
            f"checker {path}: it did not return within {CALL_SECONDS:g} seconds; such rows are left out as faults"
        )
        return FAULT
    if verdict is None:
        return FAULT
    reward = float(verdict)
    if not math.isfinite(reward):
        return FAULT
    if not 0 <= reward <= 1:
        raise ValueError(f"the checker {path} must return true, false, or a number from 0 to 1, not {verdict!r}")
    return reward


def _wanted_columns(checker: Callable[..., Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that a checker's signature names after the answer and the gold answer."""
    parameters = list(inspect.signature(checker).parameters.values())[2:]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return {name: value for name, value in columns.items() if name not in ("answer", "gold")}
    return {parameter.name: columns[parameter.name] for parameter in parameters if parameter.name in columns}
