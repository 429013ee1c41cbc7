"""The processes of a run: how many there are, which of them this one is, and a barrier between them.

A launcher (torchrun, accelerate, srun) sets the environment variables that are read here. Without one, a run has a
single process with rank 0.
"""

import os
from datetime import timedelta

# Longer than any stage takes: a rank may sample for days while the others wait for it.
_BARRIER_TIMEOUT = timedelta(days=7)
# The port at which the ranks of `srun` meet, if MASTER_PORT names none; it is torchrun's.
_DEFAULT_PORT = "29500"


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
    """Wait until all processes of the run have called this; a process waits up to seven days."""
    if world_size() == 1:
        return
    import torch
    from accelerate import PartialState

    PartialState(cpu=not torch.cuda.is_available(), timeout=_BARRIER_TIMEOUT).wait_for_everyone()


def adopt_slurm_ranks() -> None:
    """Take over the ranks that Slurm's `srun` has set, if MASTER_ADDR shows that its tasks belong together.

    Without MASTER_ADDR, the tasks of `srun` are separate runs.
    """
    environment = os.environ
    has_tasks = int(environment.get("SLURM_NTASKS", "1")) > 1
    if "RANK" in environment or "MASTER_ADDR" not in environment or not has_tasks:
        return
    environment["RANK"] = environment["SLURM_PROCID"]
    environment["WORLD_SIZE"] = environment["SLURM_NTASKS"]
    environment["LOCAL_RANK"] = environment.get("SLURM_LOCALID", "0")
    tasks_here = _count_slurm_tasks_here()
    if tasks_here is not None:
        environment["LOCAL_WORLD_SIZE"] = str(tasks_here)
    environment.setdefault("MASTER_PORT", _DEFAULT_PORT)


def _count_slurm_tasks_here() -> int | None:
    """Return the number of Slurm's tasks on this machine; None where Slurm does not say it.

    Slurm writes the tasks of all machines as "8(x2),4": 8 on each of the first two, 4 on the third.
    """
    environment = os.environ
    tasks_per_node = environment.get("SLURM_STEP_TASKS_PER_NODE") or environment.get("SLURM_TASKS_PER_NODE") or ""
    counts: list[int] = []
    for entry in filter(None, tasks_per_node.split(",")):
        tasks, _, repetitions = entry.partition("(x")
        counts += [int(tasks)] * int(repetitions.removesuffix(")") or 1)
    node = int(environment.get("SLURM_NODEID", "0"))
    return counts[node] if node < len(counts) else None
