"""Import a user's own code by its dotted path, call it with a time limit, and undo its changes of the directory.

    import_object("my_rewards.politeness", "rewards.0.name", "a function that Python can import")
    call_with_limit(function, 600)      what function() returns; CallTimeout after 600 seconds
    with keep_directory("my_reward"):   a working directory that is changed in here is changed back

What this defends against: a call that never returns and would hold a run for ever, and relative paths that lead
elsewhere after it. A call in the main thread is interrupted there, so that functions may use signals as they do in a
script; a call in another thread goes on, and its result is ignored. A call that lets no other Python code run (a
regular expression that backtracks for years) ends the process HARD_LIMIT_SECONDS later, with exit code 1, and where it
hung is printed.
"""

import contextlib
import contextvars
import faulthandler
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from r1kit.errors import EXIT_FAILED, UserError
from r1kit.interrupts import is_interrupt
from r1kit.messages import logger
from r1kit.supervisor import report_call

HARD_LIMIT_SECONDS = 60.0  # after a call's own limit
EXIT_SECONDS = 5.0  # after the end of the main thread, in which threads of the user may end too
# A signal that hardly any code uses, unlike SIGALRM.
_SIGNAL = signal.SIGVTALRM

_deadlines: dict[object, float] = {}  # hard limits of the calls that run, on the clock time.monotonic
_lock = threading.Lock()


class CallTimeout(BaseException):
    """A call took too long. It is a BaseException, so that no `except Exception` in the called code catches it."""


def import_object(path: str, field: str, kind: str) -> Any:
    """Return what stands at a dotted path, such as `my_rewards.politeness`, in a module that Python can import.

    Raises UserError, which names the recipe's `field` and says that `kind` is wanted, where it cannot be imported.
    """
    module_name, _, name = path.rpartition(".")
    # An installed command does not search the working directory for modules, and users keep their code there.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        with keep_directory(path):
            return getattr(importlib.import_module(module_name), name)
    except BaseException as error:  # the user's module may raise anything while it is imported, SystemExit included
        if is_interrupt(error):
            raise
        reason = str(error) if isinstance(error, Exception) else repr(error)
        raise UserError(field, path, f"must be {kind}", f"correct this: {reason}") from None


def call_with_limit(function: Callable[[], Any], seconds: float, name: str = "a function") -> Any:
    """Return what a function returns, or raise what it raises. Raises CallTimeout after `seconds`."""
    call = object()
    report_call(f"{name}, which may take {seconds:g} seconds")
    _set_hard_limit(call, time.monotonic() + seconds + HARD_LIMIT_SECONDS)
    in_main_thread = threading.current_thread() is threading.main_thread()
    try:
        return _call_here(function, seconds) if in_main_thread else _call_in_thread(function, seconds)
    except CallTimeout:
        threading.Thread(target=_end_after_main_thread, name="reward-exit", daemon=True).start()
        raise
    finally:
        _set_hard_limit(call, None)
        report_call("")


def _end_after_main_thread() -> None:
    """End the process some seconds after its main thread, since Python waits for threads that may never end."""
    threading.main_thread().join()
    time.sleep(EXIT_SECONDS)
    os._exit(EXIT_FAILED)


def _call_here(function: Callable[[], Any], seconds: float) -> Any:
    """Call a function in the main thread, and interrupt it by a signal."""
    main_thread = threading.get_ident()
    timer = threading.Timer(seconds, lambda: signal.pthread_kill(main_thread, _SIGNAL))
    timer.daemon = True
    old_handler = signal.signal(_SIGNAL, _raise_timeout)
    timer.start()
    try:
        return function()
    finally:
        timer.cancel()
        signal.signal(_SIGNAL, old_handler)


def _raise_timeout(number: int, frame: FrameType | None) -> None:
    raise CallTimeout


def _call_in_thread(function: Callable[[], Any], seconds: float) -> Any:
    """Call a function in a thread of its own; after `seconds` it is not waited for any longer."""
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="reward", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise CallTimeout
    return results[0]


def _set_hard_limit(call: object, deadline: float | None) -> None:
    """Set or remove the hard limit of a call; the process has one timer, for the first of all calls."""
    with _lock:
        if deadline is None:
            _deadlines.pop(call, None)
        else:
            _deadlines[call] = deadline
        with contextlib.suppress(OSError, ValueError, AttributeError, RuntimeError):  # stderr may be no file
            faulthandler.cancel_dump_traceback_later()
            if _deadlines:
                seconds = max(1.0, min(_deadlines.values()) - time.monotonic())
                faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or sys.stderr)


@contextlib.contextmanager
def keep_directory(name: str) -> Iterator[None]:
    """Change the working directory back, with a warning, where the user's code `name` has changed it."""
    try:
        before = os.getcwd()
    except OSError:  # it has been removed
        yield
        return
    try:
        yield
    finally:
        after = None
        with contextlib.suppress(OSError):
            after = os.getcwd()
        if after != before:
            with contextlib.suppress(OSError):
                os.chdir(before)
            warn_once(f"{name} changed the working directory to {after}; it is changed back after each call")


_printed_warnings: set[str] = set()


def warn_once(text: str) -> None:
    """Print a warning, unless this process has printed the same one before."""
    if text not in _printed_warnings:
        _printed_warnings.add(text)
        logger.warning(text)
