"""List the runs below a folder, for `r1kit runs`: their stage, state, duration, result and parents."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from r1kit.errors import UserError
from r1kit.runs.lock import is_held
from r1kit.runs.reading import read_parents, read_run_info, warn_of_damage
from r1kit.runs.results import describe_result
from r1kit.runs.run import Run
from r1kit.tables import Cell, format_duration, format_table

# In a narrower terminal each run would take many lines, so these columns are left out.
_COLUMNS_FOR_ALL = 120
_LONG_HEADERS = ("started", "from")


DEFAULT_FOLDER = "runs"
"""The folder whose runs are listed where none is named."""


def find_runs(folder: Path) -> Iterator[Run]:
    """Yield the runs below a folder, those behind symbolic links too, in the order in which they were started."""
    runs: list[Run] = []
    visited: set[str] = set()
    for path, subfolders, files in os.walk(folder, followlinks=True):
        real_path = os.path.realpath(path)
        if real_path in visited:  # a loop of links
            subfolders.clear()
            continue
        visited.add(real_path)
        subfolders[:] = [name for name in subfolders if name != "checkpoints"]
        if "run.json" in files:
            runs.append(Run(Path(path)))
    yield from sorted(runs, key=lambda run: str(read_run_info(run.path).get("started")))


def run_status(run: Run) -> str:
    """Return a run's status: `killed` if run.json says `running` but no process works on the run.

    It is `damaged` where run.json cannot be read or has no stage; a warning says so.
    """
    info = read_run_info(run.path)
    if not info.get("stage"):
        warn_of_damage(run.path / "run.json", "it has no stage, so that nothing is known of this run")
        return "damaged"
    status = str(info.get("status"))
    return "killed" if status == "running" and not is_held(run.path) else status


def list_runs(folder: Path, width: int | None = None) -> str:
    """Return a table of the runs below a folder, in the order in which they were started.

    With a `width` (of the terminal) results and parents are wrapped to fit it, and a narrow one leaves out the times
    at which the runs started and their parents; without a `width` each run is one line. Raises UserError if there is
    no run.
    """
    descriptions = [_describe_run(run) for run in find_runs(folder)]
    if not descriptions:
        if str(folder) == DEFAULT_FOLDER:
            return f"no runs yet in {folder}"
        raise UserError("FOLDER", folder, "must have runs below it", "use the folder that your runs are in")
    headers = list(descriptions[0])
    hint = ""
    if width is not None and width < _COLUMNS_FOR_ALL:
        headers = [header for header in headers if header not in _LONG_HEADERS]
        hint = f"\n(a terminal of {_COLUMNS_FOR_ALL} columns shows start times and parents too)"
    rows = []
    for description in descriptions:
        rows.append([description[header] for header in headers])
    return format_table(headers, rows, width=width, wrap=("result", "from")) + hint


def _describe_run(run: Run) -> dict[str, Cell]:
    """Return the cells of a run by the headers of their columns."""
    info = read_run_info(run.path)
    seconds = info.get("seconds")
    return {
        "run": str(run.path),
        "stage": info.get("stage"),
        "state": run_status(run),
        "started": str(info.get("started") or "")[:16].replace("T", " "),
        "time": format_duration(seconds) if seconds else None,
        "result": describe_result(run),
        "from": ", ".join(_parent_names(info)),
    }


def _parent_names(info: dict[str, Any]) -> list[str]:
    """Return the names of the runs, models and data sets that a run was made from, each once."""
    names: dict[str, None] = {}
    for parent in read_parents(info):
        is_run = bool(parent.get("stage"))
        name = Path(parent["path"]).name if is_run else parent["path"]
        names[name] = None
    return list(names)
