"""Open a run directory: start a new run, resume an interrupted one, or refuse with the difference.

The same command given again resumes the run. Its recipe may then differ only in fields whose `OnResume` rule in
r1kit.recipe allows it, such as more steps; any other difference is named in an error.
"""

import contextlib
import os
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import yaml

from r1kit.errors import UserError
from r1kit.recipe import Recipe, dump_recipe, parse_recipe
from r1kit.recipe.block import OnResume, find_resume_rule
from r1kit.runs.exits import forget_exits
from r1kit.runs.files import remove_temporary_files, write_file
from r1kit.runs.lineage import describe_changed_parent, find_parents, paths_by_role
from r1kit.runs.paths import ADAPTER_BASE_FOLDER, RUN_PRODUCTS, START_MODEL_FOLDER
from r1kit.runs.run import Run, current_time, installed_versions
from r1kit.safe_text import MASK

# Files that show that a run has made something; before that, it may be started again with another recipe.
_WORK_FILES = ("metrics.jsonl", "checkpoints", "samples", "model", "reward_model", "data")
# All that a kill before the first run.json leaves behind.
_FIRST_FILES = (".lock", "recipe.yaml")


def already_finished(stage: str, recipe: Recipe) -> bool:
    """Return whether the run that `recipe` describes is finished, from the models and data that are there now."""
    run = Run(Path(recipe.output or ""))
    has_product = any((run.path / name).exists() for name in RUN_PRODUCTS)
    if run.info.get("status") != "finished" or not has_product:
        return False
    if any(run.path.glob("*/shard-*.failed")) or any(run.path.glob("samples/*/shard-*.failed")):
        return False  # a server gave no completion for some samples: they are asked for again
    if describe_difference(run, recipe, stage, resuming=False):
        return False
    return not describe_changed_parent(run, find_parents(recipe))


def open_run(stage: str, recipe: Recipe, overwrite: bool = False, is_smoke: bool = False) -> Run:
    """Create the run directory of `recipe`, or resume the run in it, and lock it; `is_smoke` marks a smoke run.

    `overwrite` renames an existing run to NAME.1 first. Where `output` is a link, the run is behind it, and the link
    stays. Raises UserError if the directory holds a run of another recipe or no run, is in use, or cannot be written.
    """
    path = Path(recipe.output or "")
    try:
        if overwrite and os.path.lexists(path):
            _move_old_run_aside(path, recipe)
        Path(os.path.realpath(path)).mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError(13, "Permission denied")
        run = Run(path)
        run.lock()
        _start_session(run, stage, recipe)
        if is_smoke:
            run.update(smoke=True)
    except OSError as error:
        requirement = f"must be a folder that can be written: {(error.strerror or str(error)).lower()}"
        raise UserError("output", path, requirement, "set output to another directory") from None
    return run


def remove_smoke_run(path: Path) -> None:
    """Remove an earlier smoke run, which is made anew each time.

    Raises UserError for a directory that is no smoke run, and for one that another process works on.
    """
    if not os.path.lexists(path):
        return
    run = Run(path)
    if run.info.get("smoke") is not True and _has_other_files(path):
        requirement = "is no smoke run of r1kit, and --smoke writes here"
        raise UserError("output", path, requirement, "move it, or set output to another directory")
    run.lock()
    shutil.rmtree(os.path.realpath(path))
    run.unlock()


def _start_session(run: Run, stage: str, recipe: Recipe) -> None:
    """Check that the directory may hold this run, and write run.json and recipe.yaml."""
    info = run.info
    if not info and _has_other_files(run.path):
        raise UserError("output", run.path, "must be empty or a run directory", "set output to another directory")
    parents = find_parents(recipe)
    if info and _has_work(run):
        difference = describe_difference(run, recipe, stage) or describe_changed_parent(run, parents)
        if difference:
            action = "set output to another directory, or pass --overwrite"
            raise UserError("output", run.path, f"holds a run that was started with {difference}", action)
    elif info:  # the corrected recipe may start from another model
        for name in (ADAPTER_BASE_FOLDER, START_MODEL_FOLDER):
            shutil.rmtree(run.path / name, ignore_errors=True)
    forget_exits(run.path)
    remove_temporary_files(run.path)
    (run.path / "stop").unlink(missing_ok=True)
    # run.json comes first: another rank that reads between the two must not take the run for a finished one.
    run.update(
        stage=stage,
        status="running",
        started=info.get("started", current_time()),
        session_started=time.time(),
        seconds=info.get("seconds", 0),
        sessions=info.get("sessions", 0) + 1,
        has_result=False,
        seed=recipe.seed,
        host=socket.gethostname(),
        versions=installed_versions(),
        parents=parents,
    )
    write_file(run.path / "recipe.yaml", dump_recipe(recipe))


def _has_other_files(folder: Path) -> bool:
    """Return whether a folder without run.json has files that are not a run's."""
    return any(path.name not in _FIRST_FILES and path.suffix != ".tmp" for path in folder.iterdir())


def _has_work(run: Run) -> bool:
    """Return whether a run has made anything; one that ended at a mistake in its recipe has not."""
    return any((run.path / name).exists() for name in _WORK_FILES)


def _move_old_run_aside(path: Path, recipe: Recipe) -> None:
    """Move the run at `path` aside. Raises UserError if r1kit has not made it, or if the recipe reads from it."""
    action = "set output to another directory, or move it yourself"
    if not path.is_dir():
        raise UserError("output", path, "is no run, and --overwrite replaces only runs", action)
    run = Run(path)
    if not run.info and not _has_other_files(path):  # there is nothing to keep
        return
    if not _is_run(run):
        raise UserError("output", path, "is no run of r1kit, and --overwrite replaces only runs", action)
    folder = path.resolve()
    for role, read_paths in paths_by_role(recipe).items():
        for read_path in read_paths:
            if folder in (Path(read_path).resolve(), *Path(read_path).resolve().parents):
                requirement = f"this recipe reads it ({role}: {read_path}), and --overwrite would move it aside"
                raise UserError("output", path, requirement, "set output to another directory")
    if (path / ".lock").exists():
        run.lock()  # held until this process ends: the lock moves along with the directory
    move_aside(folder)


def _is_run(run: Run) -> bool:
    """Return whether r1kit has made a directory; its run.json may be damaged."""
    files = (run.path / "run.json", run.path / ".lock")
    return "stage" in run.info or all(file.exists() for file in files)


def move_aside(path: Path) -> Path:
    """Rename `path` to the first free name of NAME.1, NAME.2 and so on, and return it."""
    number = 1
    while os.path.lexists(path.with_name(f"{path.name}.{number}")):
        number += 1
    new_path = path.with_name(f"{path.name}.{number}")
    path.rename(new_path)
    return new_path


# Differences between recipes


def describe_difference(run: Run, recipe: Recipe, stage: str, resuming: bool = True) -> str:
    """Return the first difference between the recipe of `run` and `recipe`, or an empty string.

    Secrets do not count: they are masked in the recipe of `run`.
    While `resuming`, differences that the fields' rules allow do not count. Otherwise only fields that a run's results
    do not depend on may differ.
    """
    if run.info.get("stage") != stage:
        return f"stage {run.info.get('stage')}, and this command is {stage}"
    try:
        values = yaml.safe_load((run.path / "recipe.yaml").read_text())
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        requirement = f"its recipe.yaml cannot be read: {str(error).splitlines()[0]}"
        raise UserError(
            "output", run.path, requirement, "set output to another directory, or pass --overwrite"
        ) from None
    if not isinstance(values, dict):
        return "another recipe.yaml, which is damaged"
    with contextlib.suppress(UserError):  # a run of an earlier version: fields that it lacks get their defaults
        values = yaml.safe_load(dump_recipe(parse_recipe(stage, values)))
    old = flatten_keys(values)
    new = flatten_keys(yaml.safe_load(dump_recipe(recipe)))
    keys = sorted(old.keys() | new.keys())
    for key in keys:
        before, after = old.get(key), new.get(key)
        if before == after or MASK in (before, after):  # a secret may be replaced by another
            continue
        if any(other.startswith(f"{key}.") for other in keys):
            continue  # a block that is empty in one of the two recipes: the fields in the other are compared
        if not _may_differ(recipe, key, before, after, resuming):
            started_with = f"no {key}" if before is None else f"{key} = {before}"
            return f"{started_with}, and this command has {'none' if after is None else after}"
    return ""


def _may_differ(recipe: Recipe, key: str, before: Any, after: Any, resuming: bool) -> bool:
    """Return whether a field may change from `before` to `after` by its rule."""
    rule = find_resume_rule(type(recipe), key)
    if rule is OnResume.IGNORED:
        return True
    if not resuming:
        return False
    if rule is OnResume.MAY_CHANGE:
        return True
    has_grown = bool(before and after and after > before)
    if rule is OnResume.MAY_GROW:
        return has_grown
    if rule is OnResume.MAY_GROW_OR_BE_REMOVED:
        return after is None or has_grown
    return False


def flatten_keys(values: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings and lists as one mapping of dotted keys: {"a": {"b": [7]}} becomes {"a.b.0": 7}."""
    if isinstance(values, dict) and values:
        items = list(values.items())
    elif isinstance(values, list) and values:
        items = list(enumerate(values))
    else:
        return {prefix.removesuffix("."): values}
    flat: dict[str, Any] = {}
    for name, value in items:
        flat |= flatten_keys(value, f"{prefix}{name}.")
    return flat
