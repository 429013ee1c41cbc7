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

from r1kit.messages import stdout_to_stderr


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Import within this block without the garbage collector; what was imported is never looked at by it again.

    What libraries print while they are imported, as DeepSpeed does, goes to stderr. Afterwards transformers loads
    models without a progress bar.
    """
    if "transformers" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        with stdout_to_stderr():
            yield
        if "transformers" in sys.modules:
            _hide_loading_bars()
    finally:
        gc.freeze()
        gc.enable()


def _hide_loading_bars() -> None:
    """Hide the progress bars of transformers, such as "Loading weights"; those of downloads from the hub are kept."""
    from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
    from transformers.utils import logging as transformers_logging

    download_bars_are_hidden = are_progress_bars_disabled()
    transformers_logging.disable_progress_bar()  # hides those of downloads too
    if not download_bars_are_hidden:
        enable_progress_bars()
