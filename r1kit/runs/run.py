"""A run directory: where a stage writes its recipe, status, metrics and results.

    recipe.yaml     the recipe, with all defaults filled in
    run.json        stage, status, parents, versions, times
    metrics.jsonl   one line of metrics for each logged step
    checkpoints/ completions/ samples/          what a stage writes on its way
    model/ or data/ or eval.json or verifier/   its result

Only the main rank writes here, but for exit-RANK.json and the micro-batch that fits into memory, which any rank may
write. Files are replaced in one step (r1kit.runs.files), so a kill leaves no half of one.
"""

import contextlib
import json
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from r1kit.errors import UserError
from r1kit.runs.files import write_file
from r1kit.runs.lock import RunLock
from r1kit.runs.reading import parse_json, read_json_lines
from r1kit.safe_text import mask_secrets
from r1kit.version import __version__

# Libraries whose versions can change a run's result.
_RECORDED_LIBRARIES = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "math-verify")


def installed_versions() -> dict[str, str]:
    """Return the versions of r1kit, Python and the libraries that a run depends on."""
    versions = {"r1kit": __version__, "python": sys.version.split()[0]}
    for library in _RECORDED_LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return versions


def current_time() -> str:
    """Return the time now in UTC, as in run.json: 2026-01-31T12:00:00+00:00."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Run:
    """A run directory. Creating the object reads and writes nothing."""

    def __init__(self, path: Path):
        self.path = path
        self._lock: RunLock | None = None  # held until it is released or the process ends

    @property
    def info(self) -> dict[str, Any]:
        """Return the content of run.json; empty if it is missing or is no run's."""
        try:
            info = parse_json((self.path / "run.json").read_text())
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, RecursionError):
            return {}
        return info if isinstance(info, dict) else {}

    def update(self, **fields: Any) -> None:
        """Set fields of run.json and keep the others; secrets in them are masked."""
        text = json.dumps({**self.info, **mask_secrets(fields)}, indent=2, ensure_ascii=False)
        write_file(self.path / "run.json", f"{text}\n")

    @property
    def metrics_file(self) -> Path:
        """Return the path of metrics.jsonl."""
        return self.path / "metrics.jsonl"

    def log(self, values: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        with open(self.metrics_file, "a") as file:
            file.write(f"{json.dumps(mask_secrets(values))}\n")

    def cut_metrics(self, step: int) -> None:
        """Remove the lines of metrics.jsonl after `step`, from which a training is resumed, and a line cut short."""
        if not self.metrics_file.exists():
            return
        kept_lines = []
        for values in read_json_lines(self.metrics_file):
            logged_step = values.get("step", 0)
            if isinstance(logged_step, int | float) and logged_step <= step:
                kept_lines.append(f"{json.dumps(values)}\n")
        write_file(self.metrics_file, "".join(kept_lines))

    def lock(self) -> None:
        """Lock the run until `unlock` or the end of this process. Raises UserError if another process has locked it.

        The kernel releases the lock of a process that is killed, so none is ever left behind; see r1kit.runs.lock.
        """
        self._lock = RunLock(self.path)

    def unlock(self) -> None:
        """Release the lock, so that the same process may open the run again."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def record_result(self) -> None:
        """Record that this session has written the run's result, which belongs to its recipe from now on."""
        self.update(has_result=True)

    def finish(self, **fields: Any) -> None:
        """Mark the run as finished, and set further fields of run.json."""
        self.update(status="finished", finished=current_time(), seconds=self._total_seconds(), **fields)

    def pause(self, status: str) -> None:
        """Mark the run as `interrupted` or `failed`; the time spent so far is kept."""
        self.update(status=status, seconds=self._total_seconds())

    def mark_as_failed(self) -> None:
        """Mark the run as failed after its process has died, unless another process works on it by now."""
        with contextlib.suppress(UserError, OSError):
            self.lock()
            if self.info.get("status") == "running":
                self.pause("failed")
            self.unlock()

    def _total_seconds(self) -> float:
        """Return the seconds spent on the run in earlier sessions and in this one."""
        info = self.info
        session_seconds = time.time() - info.get("session_started", time.time())
        return round(info.get("seconds", 0) + session_seconds, 2)
