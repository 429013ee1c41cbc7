"""Import what is heavy in less time."""

import gc
import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache


@contextmanager
def heavy() -> Iterator[None]:
    """Import without the garbage collector: a fifth of the time of importing torch, transformers and TRL is its.

    What was imported then stays out of its later rounds. And the metadata of all packages, which transformers and TRL
    each read whole, are read once.
    """
    if "transformers" in sys.modules:
        yield
        return
    gc.disable()
    read = importlib.metadata.packages_distributions
    importlib.metadata.packages_distributions = cache(read)
    try:
        yield
    finally:
        importlib.metadata.packages_distributions = read
        gc.freeze()
        gc.enable()
