"""The processes of a run: which rank this process is, and a barrier between all of them."""

import os
from datetime import timedelta


def is_main_rank() -> bool:
    """Whether this process is the main rank of its run."""
    return int(os.environ.get("RANK", "0")) == 0


def barrier() -> None:
    """Wait for the other processes of this run, for days where it must be."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    import torch
    from accelerate import PartialState

    PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=7)).wait_for_everyone()
