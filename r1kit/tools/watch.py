"""Watch the calls of tools: what takes too long or cannot work is a fault of the row, and ends nothing.

watch = ToolWatch(row_count=2)
search = watch.guard(my_tools.search, row=0)
search(query="capital of Chad")          what my_tools.search returns
watch.has_fault                          [False, False]
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from r1kit.interrupts import is_interrupt
from r1kit.rewards.own_code import CallTimeout, call_with_limit, keep_directory, warn_once

CALL_SECONDS = 120.0
"""Seconds that one call of a tool may take; a longer one is a fault."""


class ToolFault(Exception):
    """A tool could not do its work, whatever the model called it with: the row gets no reward and is left out."""


class ToolWatch:
    """Which rows of a generation had a call that failed for no fault of the model's."""

    def __init__(self, row_count: int):
        self.has_fault = [False] * row_count

    def guard(self, tool: Callable[..., Any], row: int) -> Callable[..., Any]:
        """Return a tool that does what `tool` does, and marks its row where that is a fault.

        The model reads of a fault as of any other failed call; its row is left out afterwards.
        """
        name = tool.__name__

        @functools.wraps(tool)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                with keep_directory(name):
                    return call_with_limit(lambda: tool(*args, **kwargs), CALL_SECONDS, f"the tool {name}")
            except BaseException as error:
                raise self._failure(name, row, error) from None

        @functools.wraps(tool)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            import asyncio

            try:
                return await asyncio.wait_for(tool(*args, **kwargs), CALL_SECONDS)
            except BaseException as error:
                raise self._failure(name, row, error) from None

        return call_async if inspect.iscoroutinefunction(tool) else call

    def _failure(self, name: str, row: int, error: BaseException) -> BaseException:
        """Return what is raised for a failed call: an exception that the model reads of, or an interrupt as it is."""
        if isinstance(error, CallTimeout | TimeoutError):
            error = ToolFault(f"it did not return within {CALL_SECONDS:g} seconds")
        elif is_interrupt(error):
            return error
        if isinstance(error, ToolFault):
            self.has_fault[row] = True
            warn_once(f"tool {name}: {error}: such rows are left out and counted as faults")
        return error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}: {error}")
