"""`r1kit runs`, `init` and `merge`: what stands in a folder, a recipe to start from, a plain model of an adapter."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from r1kit.errors import UserError
from r1kit.runs.run import Run
from r1kit.tables import format_duration


def find_runs(folder: Path) -> Iterator[Run]:
    """Yield the runs below a folder, also behind links, the earliest first."""
    runs, seen = [], set()
    for path, folders, files in os.walk(folder, followlinks=True):
        here = os.path.realpath(path)
        folders[:] = [] if here in seen else [name for name in folders if name != "checkpoints"]
        if "run.json" in files and here not in seen and Run(Path(path)).info.get("stage"):
            runs.append(Run(Path(path)))
        seen.add(here)
    yield from sorted(runs, key=lambda run: str(run.info.get("started")))


def run_status(run: Run) -> str:
    """Return a run's status; `killed` where it says that it is running and no process holds it."""
    status = str(run.info.get("status"))
    if status != "running" or not (run.path / ".lock").exists():
        return status
    try:
        descriptor = os.open(run.path / ".lock", os.O_RDONLY)
    except OSError:  # a run of somebody else
        return status
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return "running"
    finally:
        os.close(descriptor)
    return "killed"


def list_runs(folder: Path) -> str:
    """Return the runs below a folder as a table. Raises UserError where there is none."""
    lines = [["run", "stage", "state", "begun", "time", "steps", "rows", "from"]]
    for run in find_runs(folder):
        info = run.info
        parents = dict.fromkeys(Path(p["path"]).name if p.get("stage") else p["path"] for p in info.get("parents", []))
        seconds = info.get("seconds")
        time = format_duration(seconds) if seconds else "-"
        lines.append(
            [
                *(
                    str(run.path),
                    str(info.get("stage")),
                    run_status(run),
                    str(info.get("started", ""))[:16].replace("T", " "),
                ),
                *(time, str(info.get("steps") or "-"), str(info.get("rows") or "-"), ", ".join(parents)),
            ]
        )
    if len(lines) == 1:
        raise UserError("FOLDER", folder, "must have runs below it", "give the folder of your runs")
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]) - 1)]
    return "\n".join("  ".join([*(c.ljust(w) for c, w in zip(line, widths, strict=False)), line[-1]]) for line in lines)
