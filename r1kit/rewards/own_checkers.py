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
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from r1kit.answers.fault import FAULT
from r1kit.errors import UserError
from r1kit.rewards.own_code import CallTimeout, call_with_limit, import_object, warn_once
from r1kit.rewards.settings import SettingError
from r1kit.rows import CHECKERS

Checkers = Mapping[str, str] | Sequence[str]
"""Dotted paths by the names that rows have, or dotted paths alone."""
CALL_SECONDS = 60.0
"""Seconds that a checker may take for one answer."""
MAX_TIMEOUTS = 3
"""Answers in a row on which a checker did not return, after which it has less time: twice that of its longest call."""
SHORT_SECONDS = 1.0
"""The least time that a checker has for one answer."""
# What a checker can ask for whatever the columns of the data set are.
_COLUMNS_OF_EVERY_ROW = ("question", "completion", "completion_ids")


@dataclass
class _Pace:
    """How long the calls of a checker have taken in this process."""

    timeouts: int = 0
    """Calls in a row that did not return."""
    longest_seconds: float = 0.0
    """Of the calls that returned."""

    @property
    def limit(self) -> float:
        if self.timeouts < MAX_TIMEOUTS:
            return CALL_SECONDS
        return min(CALL_SECONDS, max(SHORT_SECONDS, 2 * self.longest_seconds))


_paces: defaultdict[str, _Pace] = defaultdict(_Pace)


def checker_paths(checkers: Checkers | None) -> dict[str, str]:
    """Return the dotted path of each checker by the name that rows have. Raises SettingError for anything else."""
    if not checkers:
        return {}
    if isinstance(checkers, str) or not isinstance(checkers, Mapping | Sequence):
        raise SettingError("accuracy", "checkers", checkers, "must map names to dotted paths, or list such paths")
    paths = dict(checkers) if isinstance(checkers, Mapping) else {path: path for path in checkers}
    for name, path in paths.items():
        if name in CHECKERS:
            requirement = f"{name} is a checker of r1kit's own"
            raise SettingError("accuracy", "checkers", checkers, f"{requirement}: give yours another name")
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


def check_checker_signature(path: str, index: int, columns: Collection[str]) -> None:
    """Raise UserError where a checker cannot be called with the `columns` of a data set.

    `index` is the position in `rewards` of the entry that lists the checker.
    """
    checker = load_checker(path)
    available = dict.fromkeys([*columns, *_COLUMNS_OF_EVERY_ROW])
    try:
        signature = inspect.signature(checker)
    except ValueError:  # of some functions in C nothing is known
        return
    try:
        signature.bind(None, None, **_wanted_columns(checker, available))
    except TypeError as error:
        requirement = f"must be called as check(answer, gold, COLUMN, ...) with columns of the data ({error})"
        action = "correct its parameters, or give them defaults; question and completion are always there"
        raise UserError(f"rewards.{index}.checkers", path, requirement, action) from None


def call_checker(path: str, answer: str | None, gold: Any, columns: Mapping[str, Any]) -> float:
    """Return the reward of one answer by the checker at a dotted path; FAULT where that gives no verdict.

    `columns` holds the values of the row's columns. No answer is wrong, and the checker is not asked.
    """
    if answer is None:
        return 0.0
    checker = load_checker(path)
    checker_columns = _wanted_columns(checker, columns)
    pace = _paces[path]
    limit = pace.limit
    start = time.monotonic()
    try:
        verdict = call_with_limit(lambda: checker(answer, gold, **checker_columns), limit, f"the checker {path}")
    except CallTimeout:
        if time.monotonic() - start < limit:
            raise  # the limit of the whole reward, `max_seconds`
        pace.timeouts += 1
        _warn_of_timeouts(path, pace)
        return FAULT
    pace.timeouts = 0
    pace.longest_seconds = max(pace.longest_seconds, time.monotonic() - start)
    if verdict is None:
        return FAULT
    reward = float(verdict)
    if not math.isfinite(reward):
        return FAULT
    if not 0 <= reward <= 1:
        raise ValueError(f"the checker {path} must return true, false, or a number from 0 to 1, not {verdict!r}")
    return reward


def _warn_of_timeouts(path: str, pace: _Pace) -> None:
    """Say once that a checker did not return, and once that it has less time for that."""
    warn_once(f"checker {path}: it did not return within {CALL_SECONDS:g} seconds; such rows are left out as faults")
    if pace.timeouts == MAX_TIMEOUTS:
        limit = "a second" if pace.limit == 1 else f"{pace.limit:.3g} seconds"
        warn_once(
            f"checker {path}: it did not return {MAX_TIMEOUTS} times in a row; until it does, it has {limit} an answer"
        )


def _wanted_columns(checker: Callable[..., Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that a checker's signature names after the answer and the gold answer."""
    parameters = list(inspect.signature(checker).parameters.values())[2:]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return {name: value for name, value in columns.items() if name not in ("answer", "gold")}
    return {parameter.name: columns[parameter.name] for parameter in parameters if parameter.name in columns}
