"""What stands in run directories, as plain data for a page: lineage, curves, drops, ladders and every rollout kept.

A set is rollouts that belong together: those of a training, the samples of `generate`, or those of one model in `eval`.
Of each rollout the page gets a line of numbers at once, and its text when somebody looks, by chunks.
"""

import json
import math
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from r1kit.errors import UserError
from r1kit.rows import COLUMNS_BESIDE_REWARDS, Row
from r1kit.runs.lineage import locate_parent
from r1kit.runs.listing import run_status
from r1kit.runs.run import Run

CHUNK = 256  # rollouts
POINTS = 1500  # of a curve
SCRIPTS = ("other", "Latin", "Arabic", "Han", "Cyrillic")
RANGES = [re.compile(f"[{r}]") for r in ("A-Za-z", "\u0600-\u06ff", "\u3400-\u9fff", "\u0400-\u04ff")]


@dataclass
class Rollouts:
    """A set: numbers of each rollout, and where its texts are."""

    name: str
    run: str
    files: list[Path]
    kind: str  # training, samples
    columns: dict[str, list[Any]] = field(default_factory=dict)
    questions: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # rows of each file

    @property
    def count(self) -> int:
        return len(self.columns["tokens"])

    def rows(self) -> Iterator[Row]:
        """Yield the rows, file by file."""
        for file in self.files:
            yield from pq.read_table(file).to_pylist()

    def read(self) -> None:
        """Fill the columns.

        step (0 outside a training), group (the samples of one question together), reward (of samples: the sum of their
        rewards), right (1, 0, or -1 without a verdict), tokens, script (of SCRIPTS), question (its number).
        """
        columns: dict[str, list[Any]] = {
            name: [] for name in ("step", "group", "reward", "right", "tokens", "script", "question")
        }
        numbers: dict[str, int] = {}
        groups: dict[tuple[Any, ...], int] = {}
        self.sizes = []
        for file in self.files:
            rows = read_rows(file, file.stat().st_mtime_ns)
            self.sizes.append(len(rows))
            for name, step, group, reward, right, tokens, kind in rows:
                number = numbers.setdefault(name, len(numbers))
                where = (step, group) if self.kind == "training" else (number,)
                place = groups.setdefault(where, len(groups))
                values = (step, place, reward, right, tokens, kind, number)
                for column, value in zip(columns.values(), values, strict=True):
                    column.append(value)
        self.columns, self.questions = columns, list(numbers)

    def chunks(self) -> Iterator[list[list[Any]]]:
        """Yield the texts, CHUNK rollouts at once; see `texts`."""
        part: list[list[Any]] = []
        for row in self.rows():
            part.append(texts(row))
            if len(part) == CHUNK:
                yield part
                part = []
        if part:
            yield part

    def chunk(self, number: int) -> list[list[Any]]:
        """Return one of the chunks, reading the files that it is of alone."""
        start, at, found = number * CHUNK, 0, list[list[Any]]()
        for file, size in zip(self.files, self.sizes, strict=True):
            if at >= start + CHUNK:
                break
            if at < start + CHUNK and at + size > start:
                first = max(0, start - at)
                part = pq.read_table(file).slice(first, start + CHUNK - at - first)
                found += [texts(row) for row in part.to_pylist()]
            at += size
        return found


def texts(row: Row) -> list[Any]:
    """Return the texts of a row: question, completion, gold answer, rewards, how it ended, domain."""
    ended, domain = row.get("finish_reason"), row.get("domain")
    return [asked(row), row["completion"] or "", row.get("answer"), rewards(row), ended, domain]


@lru_cache(maxsize=20_000)
def read_rows(file: Path, changed: int) -> list[tuple[Any, ...]]:
    """Return of each row of a file, which is written once: id, step, group, reward, right, tokens, script."""
    found = []
    for row in pq.read_table(file).to_pylist():
        scores = [v for v in rewards(row).values() if v is not None]
        reward = row.get("reward", sum(scores) if scores else None)
        reward = None if reward is None or not math.isfinite(reward) else round(reward, 3)
        right = row["correct"] if "correct" in row else known(row.get("accuracy"))
        kind = script(row["completion"] or "")
        verdict = -1 if right is None else int(right)
        name = row.get("id") or asked(row)
        found.append((name, row.get("step") or 0, row.get("group"), reward, verdict, row.get("tokens") or 0, kind))
    return found


def asked(row: Row) -> str:
    """Return the question of a row as text."""
    found = row.get("question") or row.get("prompt") or ""
    return found if isinstance(found, str) else found[-1]["content"]


def rewards(row: Row) -> dict[str, float | None]:
    """Return what rewards gave a row."""
    scores = {name: value for name, value in row.items() if name not in COLUMNS_BESIDE_REWARDS}
    return {name: value for name, value in scores.items() if value is None or isinstance(value, float | int)}


def known(accuracy: float | None) -> bool | None:
    return None if accuracy is None else accuracy == 1.0


def script(text: str) -> int:
    """Return in which script most of a text's letters are, tags left out: a place in SCRIPTS."""
    bare = re.sub(r"</?\w+>", "", text)
    counts = [len(pattern.findall(bare)) for pattern in RANGES]
    return counts.index(max(counts)) + 1 if any(counts) else 0


def closure(paths: Sequence[str]) -> list[Path]:
    """Return the directories of runs and of those that they come from, the earliest first. Raises UserError."""
    found: dict[str, Path] = {}

    begun: set[Path] = set()

    def visit(path: Path) -> None:
        if path.resolve() in begun or not (path / "run.json").exists():
            return
        begun.add(path.resolve())
        for parent in info(path).get("parents", []):
            if parent.get("stage") and (place := locate_parent(parent, path)):
                visit(place)
        found[str(path.resolve())] = path

    for text in paths:
        path = Path(text)
        if not (path / "run.json").exists():
            raise UserError("RUN", text, "must be a run directory, with a run.json", "check the path")
        visit(path)
    return list(found.values())


def info(path: Path) -> dict[str, Any]:
    """Return what run.json says, empty where it cannot be read."""
    try:
        return Run(path).info
    except OSError:
        return {}


def spent(told: dict[str, Any], status: str) -> float | None:
    """Return the seconds that a run took, up to now where it goes on."""
    if status != "running":
        return told.get("seconds")
    return told.get("seconds", 0) + time.time() - told.get("session_started", time.time())


def collect(paths: Sequence[Path]) -> tuple[list[dict[str, Any]], list[Rollouts]]:
    """Return the runs, each as plain data, and their sets of rollouts, read."""
    names = called(paths)
    runs, sets = [], list[Rollouts]()
    for path in paths:
        told, status = info(path), run_status(Run(path))
        parents = []
        for parent in told.get("parents", []):
            place = locate_parent(parent, path) if parent.get("stage") else None
            run = names.get(place.resolve()) if place else None
            parents.append({"role": parent["role"], "path": parent["path"], "run": run})
        mine = list(rollouts(path, names[path.resolve()]))
        for one in mine:
            one.read()
        sets += [one for one in mine if one.count]
        runs.append(
            {
                "name": names[path.resolve()],
                "path": str(path),
                **{k: told.get(k) for k in ("stage", "started", "finished", "steps", "tokens")},
                "status": status,
                "seconds": spent(told, status),
                **{k: told.get(k) for k in ("rows", "samples", "seed", "host", "sessions", "versions")},
                "parents": parents,
                "recipe": text_of(path / "recipe.yaml"),
                "curves": curves(path / "metrics.jsonl"),
                "drops": json_of(path / "drops.json"),
                "ladder": (json_of(path / "eval.json") or {}).get("models"),
                "scaling": (json_of(path / "scaling.json") or {}).get("models"),
                "verifier": json_of(path / "verifier" / "verifier.json"),
            }
        )
    return runs, sets


def called(paths: Sequence[Path]) -> dict[Path, str]:
    """Return what each run is called: by its folder, and where several have that name, by the one above it, too."""
    found: dict[Path, str] = {}
    for path in (path.resolve() for path in paths):
        often = sum(other.resolve().name == path.name for other in paths) > 1
        name = f"{path.parent.name}/{path.name}" if often else path.name
        number = sum(one == name or one.startswith(f"{name} (") for one in found.values())
        found[path] = f"{name} ({number + 1})" if number else name
    return found


def rollouts(path: Path, name: str) -> Iterator[Rollouts]:
    """Yield the sets of a run, not yet read."""
    if files := sorted((path / "completions").glob("*.parquet")):
        yield Rollouts(name, name, files, "training")
    samples = path / "samples"
    if files := sorted(samples.glob("*.parquet")):
        yield Rollouts(name, name, files, "samples")
    folders = [folder for folder in samples.glob("*/") if (folder / "manifest.json").exists()]
    for folder in sorted(folders, key=lambda folder: (folder / "manifest.json").stat().st_mtime):  # as they were made
        if files := sorted(folder.glob("*.parquet")):
            yield Rollouts(f"{name}: {folder.name}", name, files, "samples")


def curves(file: Path) -> dict[str, list[Any]]:
    """Return the metrics by name, with `step`; None where a step has none, and of long runs every nth step."""
    lines = []
    for line in (text_of(file) or "").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:  # the last line of a run that goes on
            continue
    merged: dict[int, dict[str, Any]] = {}
    for line in lines:
        if isinstance(line.get("step"), int):
            merged.setdefault(line["step"], {}).update(line)
    steps = sorted(merged)
    every = -(-len(steps) // POINTS) or 1
    if every > 1:  # what is seldom logged, such as held-out losses, is kept whole
        often = Counter(key for values in merged.values() for key in values)
        rare = {key for key, count in often.items() if count <= POINTS // 4}
        steps = [s for i, s in enumerate(steps) if i % every == 0 or s == steps[-1] or rare & merged[s].keys()]
    keys = dict.fromkeys(k for step in steps for k, v in merged[step].items() if isinstance(v, int | float))
    found: dict[str, list[Any]] = {"step": steps}
    for key in keys:
        values = [merged[step].get(key) for step in steps]
        values = [v if isinstance(v, int | float) and math.isfinite(v) else None for v in values]
        if key != "step" and any(v is not None for v in values):
            found[key] = values
    return found if steps else {}


def text_of(file: Path) -> str | None:
    """Return a file's text, None where it is not there."""
    try:
        return file.read_text()
    except OSError:
        return None


def json_of(file: Path) -> Any:
    """Return what a JSON file says, None where it is not there or not whole."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return None
