"""Rewards: pure functions with TRL's signature, and REWARDS, the one table of them.

`f(completions, **columns) -> list[float | None]`. What follows a bare `*` in a function's signature
are its knobs, set in a recipe's reward entry; the rest are columns of the data. `None` means that the
reward does not apply to the row. FAULT means that no verdict could be had (a dead sandbox, a broken
gold answer): r1kit takes that row out of its group's statistics, and counts it. A reward that raises, or
returns what is no number, gives a FAULT for each row, too: it neither ends a run nor makes a low total.
Only its first call in a run's first step may raise, so that a mistake is told at once.
"""

import asyncio
import importlib.util
import inspect
import math
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

from r1kit.answers.fault import FAULT as FAULT
from r1kit.errors import UserError, suggest
from r1kit.languages.detect import is_known_language
from r1kit.recipe import RewardConfig
from r1kit.rewards.accuracy import CHECKERS, accuracy
from r1kit.rewards.form import brevity, fenced, format, tags
from r1kit.rewards.language import language
from r1kit.rewards.preference import load_reward_model, preference
from r1kit.rewards.shaping import cosine, length, overlong, repetition, steps

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
}
# What TRL gives a reward beside the data's columns.
GIVEN = ("completions", "prompts", "completion_ids", "trainer_state", "log_extra", "log_metric", "environments")
# Columns of which a reward needs at least one.
NEEDS = dict.fromkeys(("accuracy", "length", "cosine"), ("answer", "tests"))


def resolve_reward(entry: RewardConfig, index: int = 0) -> RewardFunction:
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
        except Exception as error:  # whatever stands in a user's file
            raise UserError(
                f"{field}.name", entry.name, "must be a function that Python can import", str(error)
            ) from None
    else:
        raise UserError(f"{field}.name", entry.name, "no such reward", suggest(entry.name, REWARDS))
    if not callable(function):
        raise UserError(f"{field}.name", entry.name, "must be a function that Python can import", "check the path")
    knobs = _knobs(function)
    for key, value in entry.knobs.items():
        if key not in knobs:
            fields = ["name", "weight", "where", "from_step", "last_steps", *knobs]
            raise UserError(f"{field}.{key}", value, f"{entry.name} has no such setting", suggest(key, fields))
    bound = partial(function, **entry.knobs) if entry.knobs else function
    if entry.name in REWARDS:
        try:  # of no rows: only the knobs can be wrong
            bound([], prompts=[], completion_ids=[])
        except (ValueError, TypeError) as error:
            raise UserError(field, entry.knobs, str(error), "mend its settings") from None
    return bound


def _knobs(function: Callable[..., Any]) -> list[str]:
    return [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]


def check_reward_columns(entries: Sequence[RewardConfig], columns: Sequence[str], source: str) -> None:
    """Raise UserError where a data set lacks a column that a reward, or its `where`, needs."""
    for index, entry in enumerate(entries):
        function = resolve_reward(entry, index)
        target = function.func if isinstance(function, partial) else function
        required = [
            p.name
            for p in inspect.signature(target).parameters.values()
            if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty and p.name not in GIVEN
        ]
        for column in (*required, *entry.where):
            if column not in columns or (column == "prompt" and column in entry.where):
                do = "add it, or rename one with data.train.0.columns"
                raise UserError("data", source, f"reward {entry.name} needs the column {column}", do)
        either = NEEDS.get(entry.name, ())
        if either and not set(either) & set(columns):
            do = f"it has {', '.join(columns)}; rename one with data.train.0.columns"
            raise UserError("data", source, f"reward {entry.name} needs a column {' or '.join(either)}", do)


def check_reward_rows(
    entries: Sequence[RewardConfig], columns: Mapping[str, Sequence[Any]], source: str
) -> dict[str, Any]:
    """Check what the rows ask of the rewards: known checkers, and a box for code that works here.

    Returns what a run should record of it. Raises UserError.
    """
    if any(e.name == "language" for e in entries):
        for code in sorted({c for c in columns.get("language", ()) if isinstance(c, str) and c}):
            if not is_known_language(code):
                raise UserError("data", source, f"has rows of language {code}, which cannot be told", "drop the rows")
    graders = [e for e in entries if e.name in NEEDS]
    if not graders:
        return {}
    checkers = set(map(str, columns.get("checker", ()))) - {"None"}
    for unknown in sorted(checkers - set(CHECKERS)):
        raise UserError("data", source, f"has rows of checker {unknown}", suggest(unknown, CHECKERS))
    if "reasoning_gym" in checkers and importlib.util.find_spec("reasoning_gym") is None:
        raise UserError("data", source, "has rows of checker reasoning_gym", "pip install r1kit[reasoning-gym]")
    if "code" not in checkers and not any(columns.get("tests", ())):
        return {}
    from r1kit.sandbox.isolation import require_isolation

    found = [require_isolation(entry.knobs.get("isolation", "auto")) for entry in graders]
    return {"isolation": found[0]}


def check_reward_data(entries: Sequence[RewardConfig], rows: Any, source: str) -> dict[str, Any]:
    """Check a data set (`datasets.Dataset`) by its columns and rows; see check_columns and check_rows."""
    check_reward_columns(entries, rows.column_names, source)
    return check_reward_rows(
        entries, {c: rows[c] for c in ("checker", "tests", "language") if c in rows.column_names}, source
    )


def preload_reward_models(entries: Sequence[RewardConfig]) -> None:
    """Load now what `preference` would load at its first call, perhaps after days. Raises UserError."""
    for entry in entries:
        if entry.name == "preference":
            load_reward_model(**{k: v for k, v in entry.knobs.items() if k in ("model", "revision", "device")})


def bind_reward(entry: RewardConfig, index: int = 0) -> RewardFunction:
    """Return the entry's reward as a function for TRL: `None` on rows and steps it does not apply to.

    A knob wins over a column of its name. Faults: see the module.
    """
    function = resolve_reward(entry, index)
    target = function.func if isinstance(function, partial) else function
    knobs, called = _knobs(target), False

    def reward(completions: Sequence[Any], trainer_state: Any = None, **columns: Any) -> Sequence[float | None]:
        nonlocal called
        count = len(completions)
        if trainer_state is not None and not _in_window(entry, trainer_state.global_step, trainer_state.max_steps):
            return [None] * count
        rows = [i for i in range(count) if all(columns[c][i] in values for c, values in entry.where.items())]
        scores: list[float | None] = [None] * count
        if not rows:
            return scores
        chosen: dict[str, Any] = {
            k: [v[i] for i in rows] if isinstance(v, list) and len(v) == count else v
            for k, v in columns.items()
            if k not in knobs
        }
        log_extra: Any = chosen.get("log_extra")
        if log_extra:
            chosen["log_extra"] = lambda name, values: log_extra(name, _spread(values, rows, count))
        if trainer_state is not None:
            chosen["trainer_state"] = trainer_state
        try:
            values: Any = function(completions=[completions[i] for i in rows], **chosen)
            if inspect.isawaitable(values):
                values = asyncio.run_coroutine_threadsafe(_awaited(values), _loop(os.getpid())).result()
            checked = [_number(value) for value in values]
            if len(checked) != len(rows):
                raise ValueError(f"returned {len(checked)} values for {len(rows)} completions")
        except UserError:
            raise
        except Exception as error:
            if not called and (trainer_state is None or trainer_state.global_step == 0):
                raise UserError(f"rewards.{index}", entry.name, f"raised {error!r}", "mend it, or the data") from error
            print(f"reward {entry.name} raised {error!r}: its {len(rows)} rows are left out", file=sys.stderr)
            checked = [FAULT] * len(rows)
        called = True
        for i, value in zip(rows, checked, strict=True):
            scores[i] = value
        return scores

    reward.__name__ = entry.name.rpartition(".")[2]
    return reward


def with_prefix(start: str, reward: RewardFunction) -> RewardFunction:
    """Return `reward` as it is of completions that begin with `start`, which stands in the prompt already."""
    if not start:
        return reward

    def begun(completions: Sequence[Any], **given: Any) -> Sequence[float | None]:
        return reward([_begun(completion, start) for completion in completions], **given)

    begun.__name__ = reward.__name__
    return begun


def _begun(completion: Any, start: str) -> Any:
    if isinstance(completion, str):
        return start + completion
    return [{**completion[0], "content": start + completion[0]["content"]}, *completion[1:]]


def _spread(values: Sequence[Any], rows: Sequence[int], count: int) -> list[Any]:
    """Return `values` of some of `count` rows as values of all."""
    given = dict(zip(rows, values, strict=True))
    return [given.get(i) for i in range(count)]


@cache
def _loop(_process: int) -> asyncio.AbstractEventLoop:
    """Return this process's loop for asynchronous rewards: what they keep open belongs to one loop."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="rewards", daemon=True).start()
    return loop


def _number(value: Any) -> float | None:
    """Return a reward's value as a number, FAULT where it is none."""
    return None if value is None else float(value) if math.isfinite(value) else FAULT


def run_in_thread(function: RewardFunction) -> Callable[..., Any]:
    """Return `function` as an asynchronous one, in a thread of its own: TRL calls all such at once."""

    async def reward(**given: Any) -> Any:
        return await asyncio.to_thread(function, **given)

    reward.__name__ = function.__name__
    return reward


async def _awaited(values: Any) -> Any:
    return await values


def _in_window(entry: RewardConfig, step: int, steps: int) -> bool:
    """Whether a reward applies in the step after `step` of `steps`."""
    return step + 1 >= entry.from_step and (entry.last_steps is None or step >= steps - entry.last_steps)
