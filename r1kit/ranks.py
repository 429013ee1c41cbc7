"""The processes of a run: how many there are, which of them this one is, and a barrier between them.

A launcher (torchrun, accelerate, srun) sets the environment variables that are read here. Without one, a run has a
single process with rank 0.
"""

import os
import re
from datetime import timedelta
from pathlib import Path

from r1kit.errors import UserError

# Longer than any stage takes: a rank may sample for days while the others wait for it.
_BARRIER_TIMEOUT = timedelta(days=7)
# The port at which the ranks of `srun` meet, if MASTER_PORT names none; it is torchrun's.
_DEFAULT_PORT = "29500"
# Where Open MPI and MVAPICH, MPICH and Intel MPI say how many processes they started on this machine.
_LOCAL_SIZES_OF_MPI = ("OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")
_WHOLE_NUMBER = re.compile(r"[0-9]{1,9}")
# Tasks on each machine, as Slurm writes them: 8 on each of two machines, then 4 on one.
_SLURM_TASKS = re.compile(r"([0-9]{1,9})(?:\(x([0-9]{1,9})\))?")
_CPU_LIMIT_FILE = Path("/sys/fs/cgroup/cpu.max")


def _read_number(name: str, default: int, smallest: int = 0) -> int:
    """Return the whole number that an environment variable holds, `default` where it is unset or empty.

    Raises UserError for another value: a process that does not know its rank would write into the run of another.
    """
    text = os.environ.get(name) or str(default)
    if not _WHOLE_NUMBER.fullmatch(text) or int(text) < smallest:
        requirement = f"must be a whole number of at least {smallest}, as a launcher sets it"
        raise UserError(f"the environment variable {name}", text, requirement, "correct or unset it")
    return int(text)


def rank() -> int:
    """Return the rank of this process among all processes of the run, from 0."""
    number = _read_number("RANK", 0)
    if number >= world_size():
        requirement = f"must be below WORLD_SIZE, which is {world_size()}"
        raise UserError("the environment variable RANK", number, requirement, "correct or unset it")
    return number


def world_size() -> int:
    """Return the number of processes of the run, on all machines."""
    return _read_number("WORLD_SIZE", 1, smallest=1)


def local_rank() -> int:
    """Return the rank of this process among the processes on this machine, from 0."""
    return _read_number("LOCAL_RANK", 0)


def local_world_size() -> int:
    """Return the number of processes of the run on this machine.

    A launcher that does not say it (a script of `srun` that exports RANK and WORLD_SIZE alone) is asked by the
    variables of its own; where those are missing too, all processes are taken to be on this machine.
    """
    for name in ("LOCAL_WORLD_SIZE", *_LOCAL_SIZES_OF_MPI):
        if os.environ.get(name):
            return _read_number(name, 1, smallest=1)
    tasks_here = _count_slurm_tasks_here()
    return tasks_here if tasks_here is not None and world_size() > 1 else world_size()


def cores_of_rank() -> int:
    """Return how many cores are this process's own share, at least 1.

    The cores that a task of `srun` has, or else those of the machine or the container, are shared among the processes
    that a launcher has started within it.
    """
    cores = _available_cores()
    if "SLURM_STEP_ID" not in os.environ:
        return max(1, cores // local_world_size())
    # torchrun, which `accelerate launch` uses too, may have started several ranks in one task of srun.
    ranks_of_task = local_world_size() if "TORCHELASTIC_RUN_ID" in os.environ else 1
    return max(1, _cores_of_slurm_task(cores) // ranks_of_task)


def _cores_of_slurm_task(available_cores: int) -> int:
    """Return how many of the cores on which this process may run belong to its task of `srun`."""
    cores_per_task = _leading_number(os.environ.get("SLURM_CPUS_PER_TASK", ""))
    if cores_per_task:
        return min(available_cores, cores_per_task)
    cores_of_step = _leading_number(os.environ.get("SLURM_CPUS_ON_NODE", ""))
    if not cores_of_step or available_cores < cores_of_step:  # each task is bound to cores of its own
        return available_cores
    return cores_of_step // (_count_slurm_tasks_here() or 1)


def _available_cores() -> int:
    """Return the cores that this process may use: by its affinity, and by the CPU limit of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _cpu_limit()
    return cores if limit is None else max(1, min(cores, limit))


def _cpu_limit() -> int | None:
    """Return the cores that a container's CPU limit amounts to, rounded up; None where there is none.

    cpu.max of cgroup 2 holds microseconds of CPU time in each period, such as "400000 100000" for 4 cores.
    """
    try:
        quota, period = _CPU_LIMIT_FILE.read_text().split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError):  # without a limit, the quota is "max"
        return None


def _leading_number(text: str) -> int | None:
    """Return the number that a text begins with, as in "8(x2)"; None where it begins with none."""
    digits = text.partition("(")[0]
    return int(digits) if digits.isdigit() else None


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
    has_tasks = _read_number("SLURM_NTASKS", 1, smallest=1) > 1
    if "RANK" in environment or "MASTER_ADDR" not in environment or not has_tasks:
        return
    environment["RANK"] = str(_read_number("SLURM_PROCID", 0))
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
        match = _SLURM_TASKS.fullmatch(entry)
        if match is None:
            requirement = "must be tasks of each machine, such as 8(x2),4, as Slurm writes them"
            action = "correct or unset it"
            raise UserError("the environment variable SLURM_TASKS_PER_NODE", tasks_per_node, requirement, action)
        counts += [int(match[1])] * int(match[2] or 1)
    node = _read_number("SLURM_NODEID", 0)
    return counts[node] if node < len(counts) else None
