"""SIGINT and SIGTERM: what they do to this process, and how to tell them from an exception that a reward raises.

A signal often comes twice: the terminal, Slurm and `timeout` send it to all processes of a command, and the process
that supervises a stage passes it on as well. A signal that follows another within a second is therefore the same one.
"""

import signal
import threading
import time
from types import FrameType

_SAME_SIGNAL_SECONDS = 1.0
_HANDLED_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# When the last signal came, on the clock time.monotonic; empty until the first.
_last_signal: list[float] = []


def is_new_signal() -> bool:
    """Record that a signal came; return whether it is a new one, and not a repetition of the last one."""
    now = time.monotonic()
    is_new = not _last_signal or now - _last_signal[0] >= _SAME_SIGNAL_SECONDS
    if is_new:
        _last_signal[:] = [now]
    return is_new


def raise_on_signals() -> None:
    """Have SIGINT and SIGTERM raise KeyboardInterrupt from now on; a signal that was ignored stays ignored."""
    for number in _HANDLED_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise_interrupt)


def _raise_interrupt(number: int, frame: FrameType | None) -> None:
    if is_new_signal():
        raise KeyboardInterrupt


def is_interrupt(error: BaseException) -> bool:
    """Return whether an exception comes from a signal, and not from code that raised KeyboardInterrupt by itself.

    Where another handler than r1kit's is set (in a notebook), every KeyboardInterrupt of the main thread counts.
    """
    if not isinstance(error, KeyboardInterrupt) or threading.current_thread() is not threading.main_thread():
        return False
    handlers = [signal.getsignal(number) for number in _HANDLED_SIGNALS]
    return _raise_interrupt not in handlers or bool(_last_signal)
