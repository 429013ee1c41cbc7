"""The processes of a run: how many there are, which of them this one is, and a barrier between them.

A launcher (torchrun, accelerate, srun) sets the environment variables that are read here. Without one, a run has a
single process with rank 0.
"""

import os
from datetime import timedelta

_BARRIER_TIMEOUT = timedelta(days=7)


def rank() -> int:
    """Return the rank of this process among all processes of the run, from 0."""
    return int(os.environ.get("RANK") or 0)


def world_size() -> int:
    """Return the number of processes of the run, on all machines."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def local_rank() -> int:
    """Return the rank of this process among the processes on this machine, from 0."""
    return int(os.environ.get("LOCAL_RANK") or 0)


def local_world_size() -> int:
    """Return the number of processes of the run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or world_size())


def is_main_rank() -> bool:
    """Return whether this process is rank 0, which alone writes to the run directory."""
    return rank() == 0


def barrier() -> None:
    """Wait until all processes of the run have come here; a process may wait up to seven days."""
    if world_size() == 1:
        return
    import torch
    from accelerate import PartialState

    PartialState(cpu=not torch.cuda.is_available(), timeout=_BARRIER_TIMEOUT).wait_for_everyone()
