"""How many parameters a model on this disk has, by the headers of its files."""

import json
import math
import struct
from functools import lru_cache
from pathlib import Path

from r1kit.errors import UserError
from r1kit.runs.paths import resolve_model_path
from r1kit.runs.reading import warn_of_damage

# What code raises on values of other types than r1kit writes.
_WRONG_TYPES = (TypeError, AttributeError, KeyError)


def count_base_parameters(path: str) -> int | None:
    """Return the parameters of a base model on this disk; None for a model of the hub or one that is gone."""
    try:
        return count_parameters(Path(resolve_model_path(path)))
    except UserError:
        return None


def count_parameters(model_dir: Path) -> int | None:
    """Return the number of parameters in the safetensors files of a model; None where there are none."""
    files = sorted(model_dir.glob("*.safetensors"))
    counts = [_count_file_parameters(file, file.stat().st_mtime_ns) for file in files]
    return sum(counts) if counts else None


@lru_cache(maxsize=1000)
def _count_file_parameters(file: Path, modified_ns: int) -> int:
    """Return the number of parameters in one file, by its header: 8 bytes of length, then JSON with the shapes."""
    try:
        with open(file, "rb") as data:
            (header_length,) = struct.unpack("<Q", data.read(8))
            header = json.loads(data.read(header_length))
        return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    except (OSError, ValueError, struct.error, RecursionError, MemoryError, OverflowError, *_WRONG_TYPES):
        warn_of_damage(file, "its header cannot be read")
        return 0
