"""Import torch, transformers and TRL in less time.

    with heavy_imports():
        from r1kit.training.grpo import RLTrainer

The imports create millions of objects that are never freed, and a fifth of their time (1.2 of 6 s of a CPU core) goes
to the garbage collector, which looks at them again and again.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Import within this block without the garbage collector; what was imported is never looked at by it again."""
    if "transformers" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
