"""Import what is heavy in less time."""

import gc
import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Import without the garbage collector: a fifth of the time of importing torch, transformers and TRL is its.

    What was imported then stays out of its later rounds. The metadata of all packages, which transformers and TRL each
    read whole, are read once, and so are the files of transformers' models.
    """
    if "transformers" in sys.modules:
        yield
        return
    gc.disable()
    read = importlib.metadata.packages_distributions
    importlib.metadata.packages_distributions = cache(read)
    try:
        import transformers.utils.import_utils

        _read_models_once(transformers.utils.import_utils)
        _hide_loading_bars()
        yield
    finally:
        importlib.metadata.packages_distributions = read
        gc.freeze()
        gc.enable()


def _hide_loading_bars() -> None:
    """Hide transformers' progress bars, such as "Loading weights"; those of downloads from the hub are kept."""
    from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
    from transformers.utils import logging as transformers_logging

    download_bars_are_hidden = are_progress_bars_disabled()
    transformers_logging.disable_progress_bar()  # hides those of downloads too
    if not download_bars_are_hidden:
        enable_progress_bars()


def _read_models_once(utils: Any) -> None:
    """Spare transformers the second reading of its 2,600 files of models, 0.4 s.

    It reads them for itself, with a prefix, and again for `transformers.models`: of 560 folders its cache keeps 128.
    """
    define = getattr(utils, "define_import_structure", None)
    if define is None:  # a version that does it otherwise
        return
    folder = Path(utils.__file__).parents[1] / "models"

    def once(module_path: Any, prefix: str | None = None) -> Any:
        if prefix is not None or Path(module_path) != folder / "__init__.py":
            return define(module_path, prefix=prefix)
        found = define(folder, prefix="models")  # kept, since transformers has asked it; others stand beside the models
        return {
            needs: {k.removeprefix("models."): names for k, names in of.items() if k.startswith("models.")}
            for needs, of in found.items()
        }

    utils.define_import_structure = once
