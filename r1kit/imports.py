"""Import what is heavy in less time."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heavy() -> Iterator[None]:
    """Import without the garbage collector: a fifth of the time of importing torch, transformers and TRL is its.

    What was imported then stays out of its later rounds.
    """
    if "transformers" in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
