"""How the ranks of a launch ended: each that did not finish its work leaves exit-RANK.json in the run directory.

A rank that fails takes the others along: their connections to it break, and the launcher stops them. So the error to
show is that of the rank that ended first.
"""

import contextlib
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from r1kit.safe_text import mask_secrets


@dataclass(frozen=True)
class RankExit:
    """The end of a rank that did not finish its work."""

    rank: int
    code: int
    """An exit code of r1kit.errors."""
    line: str
    """The line of a UserError; for a rank that died, how it ended: "was killed by SIGKILL"."""
    trace: str = ""
    """The traceback of any other exception."""
    is_death: bool = False
    """Whether the process ended without a chance to say why: by a signal, or by os._exit in code that it ran."""
    time: float = field(default_factory=time.time)


def record_exit(run_dir: Path, rank_exit: RankExit) -> None:
    """Write the end of a rank into the run directory, unless it is there already."""
    with contextlib.suppress(FileExistsError), open(_exit_file(run_dir, rank_exit.rank), "x") as file:
        json.dump(mask_secrets(asdict(rank_exit)), file)


def forget_exits(run_dir: Path) -> None:
    """Remove the files of an earlier session."""
    for file in run_dir.glob("exit-*.json"):
        file.unlink(missing_ok=True)


def find_first_exit(run_dir: Path) -> RankExit | None:
    """Return the end that the other ranks followed: the first death, else the first error; None without any."""
    exits = []
    for file in run_dir.glob("exit-*.json"):
        with contextlib.suppress(OSError, ValueError, TypeError):
            exits.append(RankExit(**json.loads(file.read_text())))
    return min(exits, key=lambda rank_exit: (not rank_exit.is_death, rank_exit.time), default=None)


def describe_exit(rank_exit: RankExit, processes: int) -> str:
    """Return the line to print about the end of a rank; "" for a rank that was interrupted."""
    goes_on = "the same command goes on from what is saved"
    name = f"rank {rank_exit.rank} of {processes}"
    if rank_exit.is_death:
        return f"{name} {rank_exit.line}; the other ranks were stopped, and {goes_on}"
    if rank_exit.trace and not rank_exit.line:
        return f"{name} failed with this exception; {goes_on}"
    return rank_exit.line


def _exit_file(run_dir: Path, rank: int) -> Path:
    return run_dir / f"exit-{rank}.json"
