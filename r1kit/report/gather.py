"""Collect what run directories hold, as plain data for the page of `r1kit report`.

Every run becomes one dict: where it comes from, its curves, its warnings, what it dropped, what an evaluation measured.
Its rollouts are read by `r1kit.report.rollouts`.

    runs, rollout_sets = collect_runs(find_run_dirs(["runs/tiny/ladder"]))
"""

import json
import math
import os
import struct
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from r1kit.errors import UserError
from r1kit.recipe import parse_recipe
from r1kit.report.rollouts import RolloutSet, find_rollout_sets
from r1kit.runs.lineage import locate_parent
from r1kit.runs.listing import run_status
from r1kit.runs.paths import resolve_model_path
from r1kit.runs.results import describe_result
from r1kit.runs.run import Run
from r1kit.safe_text import mask_secrets, mask_text
from r1kit.scaling.methods import method_colour
from r1kit.stages import STAGES

MAX_CURVE_POINTS = 1500  # more than the pixels of a chart's width
# A metric logged at most this often, such as a held-out loss, keeps all its points when a long run is thinned.
RARE_METRIC_POINTS = MAX_CURVE_POINTS // 4
RL_COMMAND = "r1kit.commands.rl"
RUN_JSON_FIELDS = (
    "stage",
    "started",
    "finished",
    "steps",
    "tokens",
    "rows",
    "samples",
    "seed",
    "host",
    "sessions",
    "versions",
)


def find_run_dirs(paths: Sequence[str]) -> list[Path]:
    """Return the directories of runs and of the runs that they come from, parents first.

    Raises UserError for a path that is no run directory.
    """
    run_dirs: dict[Path, Path] = {}
    visited: set[Path] = set()

    def visit(run_dir: Path) -> None:
        resolved = run_dir.resolve()
        if resolved in visited or not (run_dir / "run.json").exists():
            return
        visited.add(resolved)
        for parent in read_parents(read_run_info(run_dir)):
            parent_dir = find_parent_dir(parent, run_dir)
            if parent_dir is not None:
                visit(parent_dir)
        run_dirs[resolved] = run_dir  # after its parents: the page tells the story from its beginning

    for path in paths:
        if not os.path.exists(f"{path}/run.json"):  # false, too, for a path that is too long
            raise UserError("RUN", path, "must be a run directory, with a run.json", "check the path")
        visit(Path(path))
    return list(run_dirs.values())


def read_parents(info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parents in a run.json, without those that lack a role or a path."""
    parents = info.get("parents")
    if not isinstance(parents, list):
        return []
    return [parent for parent in parents if isinstance(parent, dict) and {"role", "path"} <= parent.keys()]


def find_parent_dir(parent: dict[str, Any], run_dir: Path) -> Path | None:
    """Return the directory of a parent that is a run; None for a data set or a model from elsewhere."""
    if not parent.get("stage"):
        return None
    return locate_parent(parent, run_dir)


def collect_runs(run_dirs: Sequence[Path]) -> tuple[list[dict[str, Any]], list[RolloutSet]]:
    """Return the runs, each as plain data, and their rollout sets with the columns read."""
    names = name_runs(run_dirs)
    runs: list[dict[str, Any]] = []
    rollout_sets: list[RolloutSet] = []
    for run_dir in run_dirs:
        name = names[run_dir.resolve()]
        runs.append(describe_run(run_dir, names))
        for rollout_set in find_rollout_sets(run_dir, name):
            rollout_set.read_columns()
            if rollout_set.count:
                rollout_sets.append(rollout_set)
    return runs, rollout_sets


def describe_run(run_dir: Path, names: Mapping[Path, str]) -> dict[str, Any]:
    """Return one run as plain data; `names` has the names of all runs on the page."""
    info, status = read_run_info(run_dir), run_status(Run(run_dir))
    recipe_text = mask_recipe(read_text(run_dir / "recipe.yaml"))
    parents = describe_parents(info, run_dir, names)
    # Masked again, since the run may be of an earlier version of r1kit, which wrote secrets as they were.
    description = {
        "name": names[run_dir.resolve()],
        "path": str(run_dir),
        **{field: info.get(field) for field in RUN_JSON_FIELDS},
        "method": training_method(info.get("stage")),
        "status": status,
        "seconds": elapsed_seconds(info, status),
        "result": describe_result(Run(run_dir)),
        "parents": parents,
        "parameters": count_parameters(run_dir / "model"),
        "recipe": recipe_text,
        "recipe_without_defaults": drop_defaults(info.get("stage"), recipe_text),
        "warnings": read_warnings(run_dir / "warnings.jsonl"),
        "drops": read_json(run_dir / "drops.json"),
        "ladder": describe_ladder(read_json(run_dir / "eval.json"), parents),
        "scaling": describe_scaling(read_json(run_dir / "scaling.json")),
        "verifier": read_json(run_dir / "verifier" / "verifier.json"),
    }
    return {**mask_secrets(description), "curves": read_curves(run_dir / "metrics.jsonl")}


@lru_cache(maxsize=1000)
def mask_recipe(recipe_text: str | None) -> str | None:
    """Return the text of a recipe.yaml with its secrets masked; as it is where it has none."""
    if recipe_text is None:
        return None
    try:
        values = yaml.safe_load(recipe_text)
    except (ValueError, RecursionError, yaml.YAMLError):
        return mask_text(recipe_text)
    masked = mask_secrets(values)
    if masked == values:
        return recipe_text
    return yaml.safe_dump(masked, sort_keys=False, allow_unicode=True)


def training_method(stage: str | None) -> str | None:
    """Return by which method a stage trains: rl or sft; None where it trains no model."""
    if stage not in STAGES or not STAGES[stage].trains_model:
        return None
    return "rl" if STAGES[stage].command_module == RL_COMMAND else "sft"


def describe_parents(info: Mapping[str, Any], run_dir: Path, names: Mapping[Path, str]) -> list[dict[str, Any]]:
    """Return a run's parents: role, path, the name of the run where it is one, and the size of a base model."""
    parents = []
    for parent in read_parents(info):
        parent_dir = find_parent_dir(parent, run_dir)
        run_name = None
        if parent_dir is not None:
            run_name = names.get(parent_dir.resolve())
        parameters = None
        if run_name is None and parent["role"] in ("model", "teacher"):
            parameters = count_base_parameters(parent["path"])
        parents.append({"role": parent["role"], "path": parent["path"], "run": run_name, "parameters": parameters})
    return parents


def describe_ladder(
    evaluation: Mapping[str, Any] | None, parents: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]] | None:
    """Return the evaluated models of eval.json, each with the name of the run that trained it; None without any."""
    run_names = {parent["path"]: parent["run"] for parent in parents}
    rows = []
    models = evaluation.get("models") if isinstance(evaluation, dict) else None
    for row in models if isinstance(models, list) else []:
        if isinstance(row, dict) and {"model", "path", "statistics"} <= row.keys():  # else the file is damaged
            rows.append({**row, "run": run_names.get(row["path"])})
    return rows or None


def describe_scaling(scaling: Mapping[str, Any] | None) -> list[dict[str, Any]] | None:
    """Return the curves of scaling.json, each point with the colour of its method in the pictures of `r1kit eval`."""
    if not scaling:
        return None
    models = []
    for model in scaling.get("models", []):
        points = [{**point, "colour": method_colour(point["method"], point["score"])} for point in model["points"]]
        models.append({**model, "points": points})
    return models


def name_runs(run_dirs: Sequence[Path]) -> dict[Path, str]:
    """Return the name of each run by its resolved path: its folder, with the folder above where two are alike."""
    folders = Counter(run_dir.resolve().name for run_dir in run_dirs)
    names: dict[Path, str] = {}
    taken: Counter[str] = Counter()
    for run_dir in run_dirs:
        path = run_dir.resolve()
        name = path.name
        if folders[name] > 1:
            name = f"{path.parent.name}/{name}"
        taken[name] += 1
        if taken[name] > 1:  # even the folders above are alike
            name = f"{name} ({taken[name]})"
        names[path] = name
    return names


def read_run_info(run_dir: Path) -> dict[str, Any]:
    """Return what run.json says; empty where it cannot be read."""
    try:
        info = Run(run_dir).info
    except OSError:
        return {}
    for name, types in (("stage", str), ("seconds", int | float), ("session_started", int | float)):
        if not isinstance(info.get(name), types):  # missing, or a damaged file
            info.pop(name, None)
    return info


def elapsed_seconds(info: Mapping[str, Any], status: str) -> float | None:
    """Return the seconds that a run took, up to now where it is running."""
    if status != "running":
        return info.get("seconds")
    now = time.time()
    return info.get("seconds", 0) + now - info.get("session_started", now)


def read_curves(file: Path) -> dict[str, list[Any]]:
    """Return the metrics of metrics.jsonl by their names, and `step`; None where a step has no value.

    A run of more than `MAX_CURVE_POINTS` steps is thinned; metrics that are seldom logged keep all their points.
    """
    values_by_step: dict[int, dict[str, Any]] = {}
    for line in read_json_lines(file):
        if isinstance(line.get("step"), int):
            values_by_step.setdefault(line["step"], {}).update(line)
    steps = thin_steps(values_by_step)
    metrics: dict[str, None] = {}  # a set that keeps the order of the log
    for step in steps:
        metrics.update(dict.fromkeys(values_by_step[step]))
    curves: dict[str, list[Any]] = {"step": steps}
    for metric in metrics:
        values = [finite_number(values_by_step[step].get(metric)) for step in steps]
        if metric != "step" and any(value is not None for value in values):
            curves[metric] = values
    return curves if steps else {}


def read_warnings(file: Path) -> list[dict[str, Any]]:
    """Return the first warning of each name; a training that was resumed may have warned of the same thing again."""
    warnings: dict[str, dict[str, Any]] = {}
    for line in read_json_lines(file):
        warnings.setdefault(str(line.get("name")), line)
    return list(warnings.values())


def thin_steps(values_by_step: Mapping[int, Mapping[str, Any]]) -> list[int]:
    """Return the steps to show: all of a short run, about `MAX_CURVE_POINTS` of a long one."""
    steps = sorted(values_by_step)
    interval = math.ceil(len(steps) / MAX_CURVE_POINTS)
    if interval <= 1:
        return steps
    logged_steps = Counter[str]()
    for values in values_by_step.values():
        logged_steps.update(values.keys())
    rare_metrics = {metric for metric, count in logged_steps.items() if count <= RARE_METRIC_POINTS}
    thinned = []
    for i, step in enumerate(steps):
        if i % interval == 0 or step == steps[-1] or rare_metrics & values_by_step[step].keys():
            thinned.append(step)
    return thinned


def finite_number(value: Any) -> float | None:
    """Return a number as it is; None for anything else, infinities and NaN included."""
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def count_base_parameters(path: str) -> int | None:
    """Return the parameters of a base model on this disk; None for a model of the hub or one that is gone."""
    try:
        return count_parameters(Path(resolve_model_path(path)))
    except UserError:
        return None


def count_parameters(model_dir: Path) -> int | None:
    """Return the number of parameters in the safetensors files of a model; None where there are none."""
    files = sorted(model_dir.glob("*.safetensors"))
    counts = [_count_file_parameters(file, file.stat().st_mtime_ns) for file in files]
    return sum(counts) if counts else None


@lru_cache(maxsize=1000)
def _count_file_parameters(file: Path, modified_ns: int) -> int:
    """Return the number of parameters in one file, by its header: 8 bytes of length, then JSON with the shapes."""
    try:
        with open(file, "rb") as data:
            (header_length,) = struct.unpack("<Q", data.read(8))
            header = json.loads(data.read(header_length))
    except (OSError, ValueError, struct.error):
        return 0
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


@lru_cache(maxsize=1000)
def drop_defaults(stage: str | None, recipe_text: str | None) -> str | None:
    """Return a resolved recipe without the fields that have their default values; None where it cannot be parsed."""
    if stage is None or stage not in STAGES or not recipe_text:
        return None
    try:
        recipe = parse_recipe(stage, yaml.safe_load(recipe_text))
    except (UserError, ValueError, RecursionError, yaml.YAMLError):  # written by another version of r1kit
        return None
    values = recipe.model_dump(mode="json", exclude_defaults=True)
    # Some fields of an empty recipe are filled in from others, such as one epoch where no number of steps is set.
    drop_equal_values(values, parse_recipe(stage, {}).model_dump(mode="json", exclude_defaults=True))
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def drop_equal_values(values: dict[str, Any], others: Mapping[str, Any]) -> None:
    """Remove from nested `values` whatever `others` has, too."""
    for key, other in others.items():
        value = values.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            drop_equal_values(value, other)
        if key in values and (value == other or value == {}):
            del values[key]


def read_text(file: Path) -> str | None:
    """Return a file's text; None where it is not there."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return None


def read_json(file: Path) -> Any:
    """Return what a JSON file holds; None where it is not there or not complete."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError, RecursionError):
        return None


def read_json_lines(file: Path) -> list[dict[str, Any]]:
    """Return the lines of a JSON Lines file; a last line that is still being written is skipped."""
    lines = []
    for text in (read_text(file) or "").splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict):
            lines.append(line)
    return lines
