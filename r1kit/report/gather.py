"""What stands in run directories, as plain data for a page: lineage, curves, drops, ladders and every rollout kept.

A set is rollouts that belong together: those of a training, the samples of `generate`, or those of one model in `eval`.
Of each rollout the page gets a line of numbers at once, and its text when somebody looks, by chunks.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from r1kit.errors import UserError

CHUNK = 256  # rollouts
POINTS = 1500  # of a curve
SCRIPTS = ("other", "Latin", "Arabic", "Han", "Cyrillic")
RANGES = [re.compile(f"[{r}]") for r in ("A-Za-z", "\u0600-\u06ff", "\u3400-\u9fff", "\u0400-\u04ff")]
# What a row has beside its rewards.
KNOWN = {
    *("id", "prompt", "question", "completion", "answer", "tests", "verifier", "metadata", "source", "level"),
    *("fault", "correct", "domain", "thinking", "thinks", "target_language", "tokens", "prompt_tokens"),
    *("finish_reason", "logprob", "model", "seed", "sample", "step", "group", "reward", "advantage", "revised"),
    *("teacher_prompt_tokens", "teacher_tokens"),
}
Row = dict[str, Any]


@dataclass
class Rollouts:
    """A set: numbers of each rollout, and where its texts are."""

    name: str
    run: str
    files: list[Path]
    kind: str  # training, samples
    columns: dict[str, list[Any]] = field(default_factory=dict)
    questions: list[str] = field(default_factory=list)

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
        for row in self.rows():
            name = row.get("id") or asked(row)
            number = numbers.setdefault(name, len(numbers))
            step = row.get("step") or 0
            where = (step, row.get("group")) if self.kind == "training" else (number,)
            scores = [v for v in rewards(row).values() if v is not None]
            reward = row.get("reward", sum(scores) if scores else None)
            right = row["correct"] if "correct" in row else known(row.get("accuracy"))
            values = (
                *(step, groups.setdefault(where, len(groups))),
                *(None if reward is None or not math.isfinite(reward) else round(reward, 3),),
                *(-1 if right is None else int(right), row.get("tokens") or 0, script(row["completion"] or ""), number),
            )
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
        self.columns, self.questions = columns, list(numbers)

    def chunks(self) -> Iterator[list[list[Any]]]:
        """Yield the texts, CHUNK rollouts at once: question, completion, gold answer, rewards, how it ended, domain."""
        part: list[list[Any]] = []
        for row in self.rows():
            part.append(
                [
                    asked(row),
                    row["completion"] or "",
                    row.get("answer"),
                    rewards(row),
                    row.get("finish_reason"),
                    row.get("domain"),
                ]
            )
            if len(part) == CHUNK:
                yield part
                part = []
        if part:
            yield part


def asked(row: Row) -> str:
    """Return the question of a row as text."""
    found = row.get("question") or row.get("prompt") or ""
    return found if isinstance(found, str) else found[-1]["content"]


def rewards(row: Row) -> dict[str, float | None]:
    """Return what rewards gave a row."""
    return {k: v for k, v in row.items() if k not in KNOWN and (v is None or isinstance(v, float | int))}


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

    def visit(path: Path) -> None:
        if str(path.resolve()) in found or not (path / "run.json").exists():
            return
        for parent in info(path).get("parents", []):
            if parent.get("stage"):
                visit(located(parent["path"], path))
        found[str(path.resolve())] = path

    for text in paths:
        path = Path(text)
        if not (path / "run.json").exists():
            raise UserError("RUN", text, "must be a run directory, with a run.json", "check the path")
        visit(path)
    return list(found.values())


def located(parent: str, child: Path) -> Path:
    """Return where a parent is: as its path says, or beside the child where a folder of runs was moved as a whole."""
    path, beside = Path(parent), child.parent / Path(parent).name
    return path if (path / "run.json").exists() else beside


def info(path: Path) -> dict[str, Any]:
    """Return what run.json says, empty where it says nothing."""
    try:
        return json.loads((path / "run.json").read_text())
    except (OSError, ValueError):
        return {}


def collect(paths: Sequence[Path]) -> tuple[list[dict[str, Any]], list[Rollouts]]:
    """Return the runs, each as plain data, and their sets of rollouts, read."""
    names = {path.resolve(): path.name for path in paths}
    runs, sets = [], list[Rollouts]()
    for path in paths:
        told = info(path)
        parents = []
        for parent in told.get("parents", []):
            place = located(parent["path"], path).resolve() if parent.get("stage") else None
            parents.append({"role": parent["role"], "path": parent["path"], "run": names.get(place) if place else None})
        mine = list(rollouts(path))
        for one in mine:
            one.read()
        sets += [one for one in mine if one.count]
        runs.append(
            {
                "name": path.name,
                "path": str(path),
                **{k: told.get(k) for k in ("stage", "status", "started", "finished", "seconds", "steps", "tokens")},
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


def rollouts(path: Path) -> Iterator[Rollouts]:
    """Yield the sets of a run, not yet read."""
    if files := sorted((path / "completions").glob("*.parquet")):
        yield Rollouts(path.name, path.name, files, "training")
    samples = path / "samples"
    if files := sorted(samples.glob("*.parquet")):
        yield Rollouts(path.name, path.name, files, "samples")
    folders = [folder for folder in samples.glob("*/") if (folder / "manifest.json").exists()]
    for folder in sorted(folders, key=lambda folder: (folder / "manifest.json").stat().st_mtime):  # as they were made
        if files := sorted(folder.glob("*.parquet")):
            yield Rollouts(f"{path.name}: {folder.name}", path.name, files, "samples")


def curves(file: Path) -> dict[str, list[Any]]:
    """Return the metrics by name, with `step`; None where a step has none, and of long runs every nth step."""
    lines = []
    for line in (text_of(file) or "").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:  # the last line of a run that goes on
            continue
    lines = [line for line in lines if isinstance(line.get("step"), int)]
    every = -(-len(lines) // POINTS) or 1
    merged: dict[int, dict[str, Any]] = {}
    for line in lines[::every]:
        merged.setdefault(line["step"], {}).update(line)
    steps = sorted(merged)
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
