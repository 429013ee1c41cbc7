"""The table of rewards that a recipe can name, and how a recipe's reward entry becomes a function.

resolve_reward(RewardConfig(name="brevity", max_tokens=20))     brevity, with max_tokens set
resolve_reward(RewardConfig(name="my_rewards.politeness"))      the function `politeness` of my_rewards.py
"""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from r1kit.errors import UNSET, UserError, format_value, suggest
from r1kit.rewards.accuracy import accuracy
from r1kit.rewards.form import brevity, fenced, format, tags
from r1kit.rewards.judge import judge
from r1kit.rewards.language import language
from r1kit.rewards.own_code import import_object
from r1kit.rewards.preference import preference
from r1kit.rewards.settings import SettingError
from r1kit.rewards.shaping import cosine, length, overlong, repetition, steps
from r1kit.synonyms import KEYS, suggest_value, words_meaning

if TYPE_CHECKING:  # pydantic takes 0.2 s to import, which a script that only wants the functions is spared
    from r1kit.recipe import RewardConfig

RewardFunction = Callable[..., Sequence[float | None]]

REWARDS: dict[str, RewardFunction] = {
    "accuracy": accuracy,
    "format": format,
    "tags": tags,
    "fenced": fenced,
    "language": language,
    "brevity": brevity,
    "length": length,
    "cosine": cosine,
    "overlong": overlong,
    "repetition": repetition,
    "steps": steps,
    "preference": preference,
    "judge": judge,
}

# Keys of a recipe's reward entry that are not settings of the reward function.
_ENTRY_FIELDS = ("name", "weight", "where", "from_step", "last_steps", "max_seconds")


def resolve_reward(entry: "RewardConfig", index: int = 0) -> RewardFunction:
    """Return the function that a recipe's reward entry names, with the entry's settings bound to it.

    `index` is the entry's position in `rewards`, for error messages. Raises UserError for an unknown name, an unknown
    setting, or a setting with a wrong value.
    """
    field = f"rewards.{index}"
    function = _find_function(entry.name, f"{field}.name")
    allowed_settings = setting_names(function)
    for setting, value in entry.settings.items():
        if setting not in allowed_settings:
            action = _suggest_server(setting, value, allowed_settings)
            action = action or suggest(setting, [*_ENTRY_FIELDS, *allowed_settings])
            raise UserError(f"{field}.{setting}", value, f"{entry.name} has no such setting", action)
    bound = partial(function, **entry.settings) if entry.settings else function
    if entry.name in REWARDS:
        _check_setting_values(bound, field)
    return bound


def _suggest_server(setting: str, value: object, allowed_settings: Sequence[str]) -> str:
    """Return how to write a field of the setting `server`, such as `urls` or `base_url`; "" for another word."""
    keys = [key for key in (f"sampling.server.{setting}", *words_meaning(KEYS, setting)) if key in KEYS]
    names = [key.rpartition(".")[2] for key in keys if key.startswith("sampling.server.")]
    if not names or "server" not in allowed_settings:
        return ""
    return f"write server: {{{names[0]}: {format_value(value)}}}"


def setting_names(function: Callable[..., Any]) -> list[str]:
    """Return the names of a reward's settings: its parameters after a bare `*`."""
    parameters = inspect.signature(function).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def _find_function(name: str, field: str) -> RewardFunction:
    """Return the reward of the table, or the user's own function where `name` is a dotted path."""
    if name in REWARDS:
        return REWARDS[name]
    if "." not in name:
        other_name = suggest_value("rewards", name)
        action = f"did you mean {other_name}?" if other_name else suggest(name, REWARDS)
        raise UserError(field, name, "no such reward", action)
    function = import_object(name, field, "a function that Python can import")
    if not callable(function):
        raise UserError(field, name, "must be a function that Python can import", "use the path of a function")
    return function


def _check_setting_values(function: RewardFunction, field: str) -> None:
    """Call one of r1kit's own rewards without rows, at which it checks its settings. Raises UserError."""
    try:
        function([], prompts=[], completion_ids=[])
    except SettingError as error:
        # A required setting that the user did not write has the value "".
        value = UNSET if error.value == "" else error.value
        raise UserError(f"{field}.{error.setting}", value, error.requirement, "correct this setting") from None
    except (ValueError, TypeError) as error:
        raise UserError(field, UNSET, str(error), "correct the settings of this reward") from None
