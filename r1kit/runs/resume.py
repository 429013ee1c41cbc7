"""Open a run directory: start a new run, resume an interrupted one, or refuse with the difference."""

import contextlib
import os
import re
import socket
import time
from pathlib import Path
from typing import Any

import yaml

from r1kit.errors import UserError
from r1kit.recipe import Recipe, dump_recipe, parse_recipe
from r1kit.runs.files import write_file
from r1kit.runs.lineage import _changed, find_parents
from r1kit.runs.paths import RUN_PRODUCTS
from r1kit.runs.run import Run, _now, installed_versions


def already_finished(stage: str, recipe: Recipe) -> bool:
    """Whether the run that `recipe` asks for is finished already, of what there is now; changes nothing."""
    run = Run(Path(recipe.output or ""))
    if run.info.get("status") != "finished" or not any((run.path / name).exists() for name in RUN_PRODUCTS):
        return False
    return not _difference(run, recipe, stage, more=False) and not _changed(run, find_parents(recipe))


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
    made_of = find_parents(recipe)
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
        "versions": installed_versions(),
        "parents": made_of,
    }
    run.update(**fields)  # before the recipe: another rank that looks in between must not find it finished with it
    write_file(run.path / "recipe.yaml", dump_recipe(recipe))


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
        values = yaml.safe_load(dump_recipe(parse_recipe(stage, values)))
    old, new = _flat(values), _flat(yaml.safe_load(dump_recipe(recipe)))
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
SERVER_CONNECTION_FIELDS = ("urls", "key", "concurrency", "timeout", "retries", "backoff")


_MEANS = re.compile(rf"(^|\.)server\.({'|'.join(SERVER_CONNECTION_FIELDS)})(\.|$)")


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
