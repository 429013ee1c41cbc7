"""Rewards: pure functions with TRL's signature, and REWARDS, the one table of them.

`f(completions, **columns) -> list[float | None]`. What follows a bare `*` in a function's signature
are its knobs, set in a recipe's reward entry; the rest are columns of the data. `None` means that the
reward does not apply to the row. FAULT means that no verdict could be had (a dead sandbox, a broken
gold answer): r1kit takes that row out of its group's statistics, and counts it.
"""

import asyncio
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from r1kit.errors import UserError, suggest
from r1kit.recipe import Reward
from r1kit.rewards.accuracy import FAULT as FAULT
from r1kit.rewards.accuracy import accuracy
from r1kit.rewards.form import brevity, format
from r1kit.rewards.language import language

RewardFunction = Callable[..., Sequence[float | None]]

REWARDS: dict[str, RewardFunction] = {
    "accuracy": accuracy,
    "format": format,
    "language": language,
    "brevity": brevity,
}
# Columns of which a reward needs at least one.
NEEDS = {"accuracy": ("answer", "tests")}


def find(entry: Reward, index: int = 0) -> RewardFunction:
    """Return the function that a reward entry names, with its knobs set.

    Raises UserError for an unknown name or knob.
    """
    field = f"rewards.{index}"
    if entry.name in REWARDS:
        function = REWARDS[entry.name]
    elif "." in entry.name:
        module, _, name = entry.name.rpartition(".")
        if os.getcwd() not in sys.path:  # an installed command does not look where it was called
            sys.path.insert(0, os.getcwd())
        try:
            function = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise UserError(
                f"{field}.name", entry.name, "must be a function that Python can import", str(error)
            ) from None
    else:
        raise UserError(f"{field}.name", entry.name, "no such reward", suggest(entry.name, REWARDS))
    if not callable(function):
        raise UserError(f"{field}.name", entry.name, "must be a function that Python can import", "check the path")
    knobs = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for key, value in entry.knobs.items():
        if key not in knobs:
            fields = ["name", "weight", "where", "from_step", "last_steps", *knobs]
            raise UserError(f"{field}.{key}", value, f"{entry.name} has no such setting", suggest(key, fields))
    return partial(function, **entry.knobs) if entry.knobs else function


def check_columns(entries: Sequence[Reward], columns: Sequence[str], source: str) -> None:
    """Raise UserError where a data set lacks a column that a reward, or its `where`, needs."""
    for index, entry in enumerate(entries):
        function = find(entry, index)
        target = function.func if isinstance(function, partial) else function
        required = [
            p.name
            for p in inspect.signature(target).parameters.values()
            if p.kind is p.POSITIONAL_OR_KEYWORD
            and p.default is p.empty
            and p.name not in ("completions", "prompts", "completion_ids")
        ]
        for column in (*required, *entry.where):
            if column not in columns:
                do = "add it, or rename one with data.train.0.columns"
                raise UserError("data", source, f"reward {entry.name} needs the column {column}", do)
        either = NEEDS.get(entry.name, ())
        if either and not set(either) & set(columns):
            do = f"it has {', '.join(columns)}; rename one with data.train.0.columns"
            raise UserError("data", source, f"reward {entry.name} needs a column {' or '.join(either)}", do)


def bind(entry: Reward, index: int = 0) -> RewardFunction:
    """Return the entry's reward as a function for TRL: `None` on rows and steps it does not apply to."""
    function = find(entry, index)

    def reward(completions: Sequence[Any], trainer_state: Any = None, **columns: Any) -> Sequence[float | None]:
        count = len(completions)
        if trainer_state is not None and not _in_window(entry, trainer_state.global_step, trainer_state.max_steps):
            return [None] * count
        rows = [i for i in range(count) if all(columns[c][i] in values for c, values in entry.where.items())]
        scores: list[float | None] = [None] * count
        if rows:
            chosen = {
                k: [v[i] for i in rows] if isinstance(v, list) and len(v) == count else v for k, v in columns.items()
            }
            values: Any = function(completions=[completions[i] for i in rows], **chosen)
            if inspect.isawaitable(values):
                values = asyncio.run(_awaited(values))
            for i, value in zip(rows, values, strict=True):
                scores[i] = value
        return scores

    reward.__name__ = entry.name.rpartition(".")[2]
    return reward


async def _awaited(values: Any) -> Any:
    return await values


def _in_window(entry: Reward, step: int, steps: int) -> bool:
    """Whether a reward applies in the step after `step` of `steps`."""
    return step + 1 >= entry.from_step and (entry.last_steps is None or step >= steps - entry.last_steps)
