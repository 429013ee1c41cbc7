"""A run directory: recipe, status, lineage, metrics, resume and lock.

    recipe.yaml  run.json  metrics.jsonl  completions/  checkpoints/  model/ or data/ or eval.json

Whatever is written goes to a temporary name first, is synced, and is then renamed, so that a kill at
any moment leaves the old file or the new one. Only the main rank writes here.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from r1kit import __version__
from r1kit.errors import UserError
from r1kit.recipe import DataRecipe, GenerateRecipe, Recipe, dump, parse

PACKAGE = Path(__file__).parent
PRODUCTS = ("model", "data", "eval.json", "verifier")  # what a stage leaves
SHIPPED = {"tiny:base": PACKAGE / "tiny" / "base", "tiny:student": PACKAGE / "tiny" / "student"}


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name; what is written there becomes `path`, or nothing does."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def sync_folder(folder: Path) -> None:
    """Make renames within `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Sync every file below `folder`."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
    sync_folder(folder)


def replace_folder(new: Path, target: Path) -> None:
    """Put the folder `new` in the place of `target`."""
    sync_tree(new)
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        os.replace(target, old)
    os.replace(new, target)
    sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def is_main() -> bool:
    """Whether this process is the main rank of its run."""
    return int(os.environ.get("RANK", "0")) == 0


def versions() -> dict[str, str]:
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
        for _ in range(5):  # who asks for the state of a run (r1kit.runs) holds it for an instant
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
        self.update(status="finished", finished=_now(), seconds=round(seconds, 2), **fields)

    def pause(self, status: str) -> None:
        """Mark the run as `interrupted` or `failed`, and keep the time it took so far."""
        info = self.info
        seconds = info.get("seconds", 0) + time.time() - info.get("session_started", time.time())
        self.update(status=status, seconds=round(seconds, 2))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def peek(stage: str, recipe: Recipe) -> bool:
    """Whether the run that `recipe` asks for is finished already, of what there is now; changes nothing."""
    run = Run(Path(recipe.output or ""))
    if run.info.get("status") != "finished" or not any((run.path / name).exists() for name in PRODUCTS):
        return False
    return not _difference(run, recipe, stage, more=False) and not _changed(run, parents(recipe))


def open_run(stage: str, recipe: Recipe, overwrite: bool = False) -> Run:
    """Make the run directory of `recipe`, or go on with it, and lock it.

    Raises UserError where it holds another recipe's run, is in use, or cannot be written.
    """
    path = Path(recipe.output or "")
    try:
        if overwrite and path.exists():
            if (path / ".lock").exists():
                Run(path).lock()  # held until this process ends: it moves along with the folder
            move_aside(path)
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError(13, "Permission denied")
        run = Run(path)
        run.lock()
        _start(run, stage, recipe)
    except OSError as error:
        raise UserError("output", path, "must be a folder that can be written", error.strerror or str(error)) from None
    return run


def _start(run: Run, stage: str, recipe: Recipe) -> None:
    info = run.info
    ours = (".lock", "recipe.yaml")  # all that a kill before the first run.json leaves
    if not info and any(p.name not in ours and p.suffix != ".tmp" for p in run.path.iterdir()):
        raise UserError("output", run.path, "must be empty or a run directory", "give another one")
    made_of = parents(recipe)
    if info and _made(run):
        difference = _difference(run, recipe, stage) or _changed(run, made_of)
        if difference:
            raise UserError("output", run.path, f"holds a run with {difference}", "give another output or --overwrite")
    for left in ("exit.json", "stop"):
        (run.path / left).unlink(missing_ok=True)
    fields = {
        "stage": stage,
        "status": "running",
        "started": info.get("started", _now()),
        "session_started": time.time(),
        "seconds": info.get("seconds", 0),
        "sessions": info.get("sessions", 0) + 1,
        "seed": recipe.seed,
        "host": socket.gethostname(),
        "versions": versions(),
        "parents": made_of,
    }
    run.update(**fields)  # before the recipe: another rank that looks in between must not find it finished with it
    write_file(run.path / "recipe.yaml", dump(recipe))


def _made(run: Run) -> bool:
    """Whether anything came of a run; one that ended at a mistake in its recipe may take another recipe."""
    return any((run.path / name).exists() for name in ("metrics.jsonl", "checkpoints", "samples", "model", "data"))


def move_aside(path: Path) -> Path:
    """Rename `path` to the first free NAME.1, NAME.2, ..."""
    number = 1
    while (aside := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    path.rename(aside)
    return aside


def _difference(run: Run, recipe: Recipe, stage: str, more: bool = True) -> str:
    """Return the first difference between the run's recipe and `recipe`; `more` steps or epochs are none."""
    if run.info.get("stage") != stage:
        return f"stage {run.info.get('stage')}, not {stage}"
    try:
        values = yaml.safe_load((run.path / "recipe.yaml").read_text())
    except FileNotFoundError:
        return ""
    with contextlib.suppress(UserError):  # fields that are newer than the run have their defaults
        values = yaml.safe_load(dump(parse(stage, values)))
    old, new = _flat(values), _flat(yaml.safe_load(dump(recipe)))
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if before == after or key == "output" or _MEANS.search(key):
            continue
        if any(other.startswith(f"{key}.") for other in old.keys() | new.keys()):
            continue  # a block that one of the two has nothing in: what the other has there is shown
        if more and _more(key, before, after):
            continue
        return f"{key} = {before}, not {after}"
    return ""


# What changes nothing of the result but rounding: how often is saved and logged, and what fits into memory.
_MANNER = re.compile(
    r"training\.(keep_checkpoints|save_steps|log_steps|micro_batch_size|gradient_checkpointing)$"
    r"|trl\.(report_to|vllm_(gpu_memory_utilization|enable_sleep_mode|tensor_parallel_size|server_\w+))(\.|$)"
    r"|sampling\.vllm\."
)
# How servers are reached says nothing of what is sampled from them: they may move while a run waits.
MEANS = ("urls", "key", "concurrency", "timeout", "retries", "backoff")
_MEANS = re.compile(rf"(^|\.)server\.({'|'.join(MEANS)})(\.|$)")


def _more(key: str, before: Any, after: Any) -> bool:
    """Whether a field says that a run should go on for longer or in another manner, or what becomes of its samples."""
    if _MANNER.match(key):
        return True
    if key in ("training.steps", "training.epochs"):
        return bool(before and after and after > before)
    if re.search(r"(^|\.)budget\.(tokens|cost)$", key):
        return after is None or bool(before and after > before)
    # Filters and rewriting come after the samples, which stay as they are; rewritten rows look after themselves.
    return key.startswith(("card.", "keep.")) or bool(re.match(r"(refine|journey|scaling|head)(\.|$)", key))


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(values, dict) and values:
        pairs = list(values.items())
    elif isinstance(values, list) and values:
        pairs = list(enumerate(values))
    else:
        return {prefix[:-1]: values}
    return {k: v for key, value in pairs for k, v in _flat(value, f"{prefix}{key}.").items()}


def parents(recipe: Recipe) -> list[dict[str, Any]]:
    """Return the runs and files that a recipe reads from, for the lineage, and what they consist of now."""
    models = [recipe.model.path] if recipe.model.path else []
    models += list(getattr(recipe, "models", {}).values())
    roles = {"model": models, "data": [s.path for s in recipe.data.train + recipe.data.eval]}
    if isinstance(recipe, GenerateRecipe):
        taught = [t.model.path for t in (recipe.refine, recipe.journey) if t and t.model and t.model.path]
        roles["teacher"] = taught
    scaling = getattr(recipe, "scaling", None)
    if scaling is not None and scaling.verifier:
        roles["verifier"] = [scaling.verifier]
    if isinstance(recipe, GenerateRecipe | DataRecipe):
        roles["benchmark"] = [s.path for s in recipe.hygiene.decontaminate]
    found = []
    for role, paths in roles.items():
        for path in paths:
            info = Run(Path(path)).info if Path(path).is_dir() else {}
            told = {k: info.get(k) for k in ("stage", "status", "started")}
            made_of = None
            with contextlib.suppress(OSError):  # what cannot be read is told of by who needs it
                made_of = content_of(Path(path), PARTS.get(role, role))
            found.append({"role": role, "path": path, **told, "content": made_of})
    return found


PARTS = {"teacher": "model", "benchmark": "data"}  # of a run, by the role of a parent; else the role's name
LITTLE = 2**26  # bytes of a file that is read whole
PIECES, PIECE = 256, 2**12  # of others: so many pieces of so many bytes


def content_of(path: Path, part: str) -> str | None:
    """Return 16 hex digits of the files of a model or of data, of a run its `part`; None where there are none.

    Large files are looked at in places: training changes them everywhere.
    """
    path = path / part if (path / "run.json").exists() else path
    if path.is_dir():
        below = path.iterdir() if part == "model" else path.rglob("*")
        files = sorted(f for f in below if f.is_file() and f.suffix != ".md" and not f.name.startswith("."))
    else:
        files = [path] if path.is_file() else []
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\0".encode())
        with open(file, "rb") as data:
            if size <= LITTLE:
                digest.update(data.read())
                continue
            for i in range(PIECES):
                data.seek((size - PIECE) * i // (PIECES - 1))
                digest.update(data.read(PIECE))
    return digest.hexdigest()[:16] if files else None


def _changed(run: Run, now: list[dict[str, Any]]) -> str:
    """Return which of a run's parents consists of something else now."""
    before = {(p["role"], p["path"]): p.get("content") for p in run.info.get("parents", [])}
    for parent in now:
        known = before.get((parent["role"], parent["path"]))
        if known and parent["content"] and known != parent["content"]:
            return f"{parent['path']} as it was before: it has changed since"
    return ""


def located(parent: dict[str, Any], child: Path) -> Path | None:
    """Return where a parent of the run `child` is now: it may have been moved, with its child or to NAME.1.

    Another run that has its name since is not it; None where it is nowhere.
    """
    path = Path(parent["path"])
    beside = child.resolve().parent / path.name
    places = [path, beside] if path.is_absolute() else [beside, path]
    asides = [aside for place in places for aside in sorted(place.parent.glob(f"{place.name}.[0-9]*"))]
    for place in [*places, *asides]:
        info = Run(place).info if place.resolve() != child.resolve() else {}
        if info and parent.get("started") in (None, info.get("started")):  # older runs do not tell
            return place
    return None


def model_path(path: str, field: str = "model.path") -> str:
    """Return what `from_pretrained` takes for a recipe's model: a hub id or a folder.

    Raises UserError for a local path that is not there and for a run without a model.
    """
    if path in SHIPPED:
        return str(SHIPPED[path])
    must = "must be a folder with a model, a run or a hub id"
    found = _local(path, field, "model", must)
    if Path(found).is_file():
        raise UserError(field, path, must, "check the path")
    return found


def data_path(path: str, field: str = "data") -> str:
    """Return the folder, file or hub id of a recipe's data source. Raises UserError as `model_path` does."""
    return _local(path, field, "data", "must be a file, a folder, a run or a hub id")


def _local(path: str, field: str, part: str, must: str) -> str:
    """Return `path`, of a run its `part`; raise UserError where it is meant for a local one and is not there."""
    folder = Path(path)
    if (folder / "run.json").exists():
        status, do = Run(folder).info.get("status"), "finish it, or give another one"
        if not (folder / part).exists():
            raise UserError(field, path, f"this run is {status} and has no {part}", do)
        if part == "data" and status in ("running", "interrupted"):
            raise UserError(field, path, f"this run is {status}: what it has is of before", do)
        return str(folder / part)
    file_like = folder.suffix in (".json", ".jsonl", ".csv", ".parquet", ".arrow", ".gz")
    local = file_like or path.startswith((".", "/", "~", "runs/")) or path.count("/") > 1
    if local and not folder.exists():
        raise UserError(field, path, must, "check the path")
    return path
