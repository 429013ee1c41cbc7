"""A run directory: recipe, status, lineage, metrics, resume and lock.

    recipe.yaml  run.json  metrics.jsonl  completions/  checkpoints/  model/ or data/ or eval.json

Whatever is written goes to a temporary name first, is synced, and is then renamed, so that a kill at
any moment leaves the old file or the new one. Only the main rank writes here.
"""

import fcntl
import json
import os
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from r1kit import __version__
from r1kit.errors import UserError
from r1kit.runs.files import write_file


def installed_versions() -> dict[str, str]:
    """Return the versions of r1kit and of what it stands on."""
    found = {"r1kit": __version__, "python": sys.version.split()[0]}
    for name in ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "math-verify"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


class Run:
    """A run directory that is being worked on."""

    def __init__(self, path: Path):
        self.path = path
        self._lock: int | None = None

    @property
    def info(self) -> dict[str, Any]:
        """What run.json says; empty where there is none, or another's."""
        try:
            told = json.loads((self.path / "run.json").read_text())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return {}
        return told if isinstance(told, dict) else {}

    def update(self, **fields: Any) -> None:
        """Set fields of run.json."""
        write_file(self.path / "run.json", json.dumps({**self.info, **fields}, indent=2, ensure_ascii=False) + "\n")

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    def log(self, values: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        with open(self.metrics_file, "a") as file:
            file.write(json.dumps(values) + "\n")

    def cut_metrics(self, step: int) -> None:
        """Drop the lines of metrics.jsonl after `step`, and a line cut short, when training goes on from there."""
        if not self.metrics_file.exists():
            return
        kept = []
        for line in self.metrics_file.read_text().splitlines():
            try:
                if json.loads(line).get("step", 0) <= step:
                    kept.append(line + "\n")
            except json.JSONDecodeError:
                continue
        write_file(self.metrics_file, "".join(kept))

    def lock(self) -> None:
        """Hold the run, so that no second process works on it."""
        self._lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT)
        for _ in range(5):  # who asks for the state of a run (r1kit.runs.listing) holds it for an instant
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                time.sleep(0.02)
        raise UserError("output", self.path, "another process is working on this run", "wait for it or stop it")

    def finish(self, **fields: Any) -> None:
        """Mark the run as done."""
        info = self.info
        seconds = info.get("seconds", 0) + time.time() - info.get("session_started", time.time())
        self.update(status="finished", finished=current_time(), seconds=round(seconds, 2), **fields)

    def pause(self, status: str) -> None:
        """Mark the run as `interrupted` or `failed`, and keep the time it took so far."""
        info = self.info
        seconds = info.get("seconds", 0) + time.time() - info.get("session_started", time.time())
        self.update(status=status, seconds=round(seconds, 2))


def current_time() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
