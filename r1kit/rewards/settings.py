"""Checks of the settings of rewards, such as `max_tokens` of `brevity`.

Every reward checks its settings at each call, also at a call without rows. `resolve_reward` makes such a call before
a run starts, and turns a SettingError into an error that names the field of the recipe.
"""

import math
from collections.abc import Mapping
from typing import Any

from r1kit.safe_text import mask_secrets

MAX_SECONDS = 24 * 3600  # longest time limit: one day


class SettingError(ValueError):
    """A setting of a reward has a value that it cannot have; `requirement` says what it must be."""

    def __init__(self, reward: str, setting: str, value: Any, requirement: str):
        super().__init__(f"{reward}: {setting} = {mask_secrets(value, setting)}; {requirement}")
        self.setting = setting
        self.value = value
        self.requirement = requirement


def require_lists(reward: str, completions: Any, **columns: Any) -> None:
    """Raise TypeError unless `completions` is a list, and each column a list of as many values or None.

    A text has a length too, and would be read letter by letter.
    """
    if _is_no_list(completions):
        raise TypeError(f"{reward}: completions must be a list of completions, not {_describe(completions)}")
    for name, column in columns.items():
        if column is None:
            continue
        requirement = f"{name} must be a list with a value for each of the {len(completions)} completions"
        if _is_no_list(column):
            raise TypeError(f"{reward}: {requirement}, not {_describe(column)}")
        if len(column) != len(completions):
            raise TypeError(f"{reward}: {requirement}, not of {len(column)} values")


def _is_no_list(value: Any) -> bool:
    return isinstance(value, str | bytes | Mapping) or not hasattr(value, "__len__")


def _describe(value: Any) -> str:
    kind = "the text" if isinstance(value, str) else f"of type {type(value).__name__}:"
    return f"{kind} {value!r}"[:100]


def require_count(reward: str, setting: str, value: Any) -> None:
    """Raise SettingError unless `value` is a whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SettingError(reward, setting, value, "must be a whole number of at least 1")


def require_number(reward: str, setting: str, value: Any) -> None:
    """Raise SettingError unless `value` is a finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise SettingError(reward, setting, value, "must be a finite number")


def require_positive_number(reward: str, setting: str, value: Any) -> None:
    """Raise SettingError unless `value` is a finite number above 0."""
    require_number(reward, setting, value)
    if value <= 0:
        raise SettingError(reward, setting, value, "must be a number above 0")


def require_seconds(reward: str, setting: str, value: Any) -> None:
    """Raise SettingError unless `value` is a number of seconds above 0 and at most a day."""
    require_positive_number(reward, setting, value)
    if value > MAX_SECONDS:
        raise SettingError(reward, setting, value, f"must be at most {MAX_SECONDS}, which is a day")
