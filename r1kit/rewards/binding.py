"""Turn a recipe's reward entry into the function that TRL calls.

A bound reward returns `None` on rows and steps that its entry excludes, runs asynchronous reward functions, and
survives a reward that fails (or calls sys.exit): each row of that call is a FAULT, which neither ends the run nor reads
as a low reward.
Only the first call in a run's first step may raise, so that the user learns of a mistake at once.

    reward = bind_reward(RewardConfig(name="accuracy", where={"domain": ["math"]}))
    reward(completions=["<answer>4</answer>", "<answer>Paris</answer>"], answer=["4", "Paris"], domain=["math",
    "facts"])
    # [1.0, None]
"""

import asyncio
import inspect
import math
import os
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

from r1kit.answers.fault import FAULT
from r1kit.errors import UserError
from r1kit.interrupts import is_interrupt
from r1kit.messages import logger
from r1kit.recipe import RewardConfig
from r1kit.recipe.rewards import Answers
from r1kit.rewards.own_code import CallTimeout, call_with_limit, keep_directory, warn_once
from r1kit.rewards.registry import REWARDS, RewardFunction, resolve_reward, setting_names
from r1kit.supervisor import find_closed_descriptors

# Seconds that a call of a user's own reward may take unless its entry says so: longer than a server takes to judge a
# batch, and shorter than the half hour for which the other ranks of a training wait.
DEFAULT_CALL_SECONDS = 600.0
DEFAULT_SECONDS_PER_COMPLETION = 10.0


def bind_reward(entry: RewardConfig, index: int = 0, answers: Answers | None = None) -> RewardFunction:
    """Return the entry's reward as a function for TRL: `None` on rows and steps to which it does not apply.

    `answers` is the recipe's, for a reward that has this setting and whose entry does not set it. A setting wins over a
    column of the same name. `index` is the entry's position in `rewards`, for error messages. Raises UserError as
    `resolve_reward` does.
    """
    function = resolve_reward(_with_answers(entry, index, answers), index)
    settings = setting_names(function.func if isinstance(function, partial) else function)
    has_returned = False

    def reward(completions: Sequence[Any], trainer_state: Any = None, **columns: Any) -> Sequence[float | None]:
        nonlocal has_returned
        row_count = len(completions)
        rewards: list[float | None] = [None] * row_count
        if trainer_state is not None and not _applies_at_step(
            entry, trainer_state.global_step, trainer_state.max_steps
        ):
            return rewards
        applicable_rows = _find_applicable_rows(entry, columns, row_count)
        if not applicable_rows:
            return rewards
        arguments = _select_rows(columns, applicable_rows, row_count)
        for setting in settings:
            arguments.pop(setting, None)
        if trainer_state is not None:
            arguments["trainer_state"] = trainer_state
        closed_before = find_closed_descriptors()
        try:
            call = partial(_call_reward, entry.name, function, [completions[i] for i in applicable_rows], arguments)
            values = _call_guarded(call, entry, index, len(applicable_rows))
        except UserError:
            raise
        except BaseException as error:  # a user's own function may raise anything, SystemExit and KeyboardInterrupt too
            if is_interrupt(error):
                raise
            is_first_step = trainer_state is None or trainer_state.global_step == 0
            if is_first_step and not has_returned:
                action = "correct the reward, or the data"
                raise UserError(f"rewards.{index}", entry.name, f"raised {error!r}", action) from error
            logger.warning(f"reward {entry.name} raised {error!r}: its {len(applicable_rows)} rows are left out")
            values = [FAULT] * len(applicable_rows)
        newly_closed = set(find_closed_descriptors()) - set(closed_before)
        if newly_closed:  # the next file that is opened would get what is printed
            numbers = ", ".join(map(str, sorted(newly_closed)))
            requirement = f"closed the file descriptors {numbers}, which r1kit needs"
            raise UserError(f"rewards.{index}", entry.name, requirement, "have it close its own files only")
        has_returned = True
        for i, value in zip(applicable_rows, values, strict=True):
            rewards[i] = value
        return rewards

    reward.__name__ = entry.name.rpartition(".")[2]
    return reward


def _call_guarded(
    call: Callable[[], list[float | None]], entry: RewardConfig, index: int, row_count: int
) -> list[float | None]:
    """Call a reward within its time limit. Raises UserError where it takes too long.

    r1kit's own rewards limit each answer themselves, so they have no other limit unless the entry sets one.
    """
    if entry.name in REWARDS and entry.max_seconds is None:
        return call()
    seconds = entry.max_seconds or DEFAULT_CALL_SECONDS + row_count * DEFAULT_SECONDS_PER_COMPLETION
    try:
        with keep_directory(entry.name):
            return call_with_limit(call, seconds, f"the reward {entry.name}")
    except CallTimeout:
        requirement = f"{entry.name} has not returned after so many seconds, for {row_count} completions"
        action = "correct the reward, or set a longer limit"
        raise UserError(f"rewards.{index}.max_seconds", seconds, requirement, action) from None


def _with_answers(entry: RewardConfig, index: int, answers: Answers | None) -> RewardConfig:
    """Return an entry with the recipe's `answers`, where its reward has this setting and the entry does not set it."""
    if answers is None or "answers" in entry.settings:
        return entry
    function = resolve_reward(entry, index)
    if "answers" not in setting_names(function.func if isinstance(function, partial) else function):
        return entry
    return entry.model_copy(update={"answers": answers})


def _applies_at_step(entry: RewardConfig, steps_done: int, max_steps: int) -> bool:
    """Return whether the reward applies in the step that follows `steps_done` of `max_steps` steps."""
    if steps_done + 1 < entry.from_step:
        return False
    return entry.last_steps is None or steps_done >= max_steps - entry.last_steps


def _find_applicable_rows(entry: RewardConfig, columns: Mapping[str, Any], row_count: int) -> list[int]:
    """Return the indices of the rows whose columns have the values that the entry's `where` names."""
    applicable_rows = []
    for i in range(row_count):
        if all(columns[name][i] in allowed for name, allowed in entry.where.items()):
            applicable_rows.append(i)
    return applicable_rows


def _select_rows(columns: Mapping[str, Any], rows: Sequence[int], row_count: int) -> dict[str, Any]:
    """Return the arguments of a reward for some of the rows; what is no column (a logger, say) stays as it is."""
    arguments: dict[str, Any] = {}
    for name, value in columns.items():
        is_column = isinstance(value, list) and len(value) == row_count
        arguments[name] = [value[i] for i in rows] if is_column else value
    log_extra = arguments.get("log_extra")
    if log_extra:
        # TRL's logger wants a value for each row of the batch.
        arguments["log_extra"] = lambda name, values: log_extra(name, _spread_values(values, rows, row_count))
    return arguments


def _spread_values(values: Sequence[Any], rows: Sequence[int], row_count: int) -> list[Any]:
    """Return a list of `row_count` values: `values` at the indices `rows`, and None elsewhere."""
    value_by_row = dict(zip(rows, values, strict=True))
    return [value_by_row.get(i) for i in range(row_count)]


def _call_reward(
    name: str, function: RewardFunction, completions: Sequence[Any], arguments: Mapping[str, Any]
) -> list[float | None]:
    """Call a reward, asynchronous or not, and return one value for each completion. Raises what the reward raises."""
    process = os.getpid()
    try:
        values: Any = function(completions=completions, **arguments)
    except BaseException as error:
        if os.getpid() != process:
            os._exit(_exit_code_of(error))
        raise
    if os.getpid() != process:  # a fork that the function has made must not go on with the run a second time
        os._exit(0)
    if inspect.isawaitable(values):
        values, raised = asyncio.run_coroutine_threadsafe(_await_values(values), _event_loop(os.getpid())).result()
        if raised is not None:
            raise raised
    if values is None or isinstance(values, str | bytes | Mapping | int | float):
        text = "must return a list with a number, or None, for each completion"
        raise TypeError(f"{text}, not {type(values).__name__}")
    rewards = [_to_reward_value(name, value) for value in values]
    if len(rewards) != len(completions):
        raise ValueError(f"returned {len(rewards)} values for {len(completions)} completions")
    return rewards


def _exit_code_of(error: BaseException) -> int:
    """Return the exit code with which Python ends a process on this exception."""
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        return error.code or 0
    return 1


def _to_reward_value(name: str, value: Any) -> float | None:
    """Return what a reward function returned for one row as a number or None; FAULT where it is NaN or infinite."""
    if value is None:
        return None
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        raise TypeError(f"must return a number, or None, for each completion, not {value!r}"[:200])
    number = float(value)
    if math.isfinite(number):
        return number
    if number != FAULT:
        warn_once(f"reward {name} returned {number}: such rows are left out and counted as faults")
    return FAULT


async def _await_values(values: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    """Return what an awaitable returns, and the exception that it raises; one of the two is None.

    A SystemExit that is raised here would end the event loop without any message. This is a coroutine of its own, since
    `run_coroutine_threadsafe` takes no other awaitable.
    """
    try:
        return await values, None
    except BaseException as error:
        return None, error


@cache
def _event_loop(_process: int) -> asyncio.AbstractEventLoop:
    """Return this process's event loop for asynchronous rewards, which runs in a thread of its own.

    One loop serves all calls, since a connection that a reward keeps open belongs to the loop in which it was opened.
    """
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="rewards", daemon=True).start()
    return loop


def run_in_thread(reward: RewardFunction) -> Callable[..., Any]:
    """Return `reward` as an asynchronous function that runs in a thread; TRL runs all asynchronous rewards at once."""

    async def threaded_reward(**columns: Any) -> Any:
        return await asyncio.to_thread(reward, **columns)

    threaded_reward.__name__ = reward.__name__
    return threaded_reward
