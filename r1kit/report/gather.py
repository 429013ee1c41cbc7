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
from typing import Annotated, Any, NotRequired

import yaml
from pydantic import Field
from typing_extensions import TypedDict  # pydantic needs this one below Python 3.12

from r1kit.errors import UserError
from r1kit.recipe import parse_recipe
from r1kit.report.rollouts import RolloutSet, find_rollout_sets
from r1kit.runs.lineage import locate_parent
from r1kit.runs.listing import run_status
from r1kit.runs.paths import resolve_model_path
from r1kit.runs.reading import (
    Count,
    describe_damage,
    is_valid,
    read_json_lines,
    read_json_object,
    read_parents,
    read_run_info,
    warn_of_damage,
)
from r1kit.runs.results import describe_result
from r1kit.runs.run import Run
from r1kit.runs.warning_log import read_warnings
from r1kit.safe_text import mask_secrets, mask_text
from r1kit.scaling.methods import method_colour
from r1kit.stages import STAGES

MAX_CURVE_POINTS = 1500  # more than the pixels of a chart's width
# A metric logged at most this often, such as a held-out loss, keeps all its points when a long run is thinned.
RARE_METRIC_POINTS = MAX_CURVE_POINTS // 4
# What code raises on values of other types than r1kit writes.
WRONG_TYPES = (TypeError, AttributeError, KeyError)
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


_FiniteNumber = Annotated[float, Field(allow_inf_nan=False)]


# The parts of eval.json and scaling.json that the page is made of. Keys such as `pass@1` are no names in Python.
_Accuracy = TypedDict(
    "_Accuracy", {"pass@1": _FiniteNumber | None, "interval": NotRequired[_FiniteNumber | None]}, total=False
)
_Statistics = TypedDict(
    "_Statistics",
    {
        "pass@1": _FiniteNumber | None,
        "interval": NotRequired[_FiniteNumber | None],
        "questions": NotRequired[Count | None],
        "unanswered": NotRequired[Count | None],
        "truncated": NotRequired[_FiniteNumber | None],
        "domains": NotRequired[dict[str, _Accuracy] | None],
    },
)


class _LadderRow(TypedDict):
    model: str
    path: str
    faults: NotRequired[Count | None]
    statistics: _Statistics


class _BenchmarkFigure(TypedDict):
    model: str
    benchmark: str
    metric: str
    program: str
    score: _FiniteNumber | None
    interval: _FiniteNumber | None
    questions: Count | None
    samples: Count | None
    published: dict[str, _FiniteNumber]
    sources: list[str]


class _ScalingPoint(TypedDict):
    method: str
    score: str | None


class _Difference(TypedDict):
    difference: _FiniteNumber
    low: _FiniteNumber
    high: _FiniteNumber


class _RecommendedMethod(TypedDict):
    method: str
    name: str
    tokens: _FiniteNumber
    accuracy: _FiniteNumber
    low: _FiniteNumber
    high: _FiniteNumber
    over_greedy: _Difference | None


class _ScalingModel(TypedDict):
    points: list[_ScalingPoint]
    recommended: NotRequired[list[_RecommendedMethod]]


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
        "method": training_method(info.get("stage"), parents),
        "status": status,
        "seconds": elapsed_seconds(info, status),
        "result": describe_result(Run(run_dir)),
        "parents": parents,
        "parameters": count_parameters(run_dir / product_of(info.get("stage"))),
        "recipe": recipe_text,
        "recipe_without_defaults": drop_defaults(info.get("stage"), recipe_text, run_dir / "recipe.yaml"),
        "warnings": read_warnings(run_dir),
        "drops": read_json_object(run_dir / "drops.json") or None,
        "ladder": describe_ladder(run_dir / "eval.json", parents),
        "benchmarks": read_entries(run_dir / "eval.json", "suite", _BenchmarkFigure) or None,
        "scaling": describe_scaling(run_dir / "scaling.json"),
        "verifier": read_json_object(run_dir / "verifier" / "verifier.json") or None,
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


def product_of(stage: str | None) -> str:
    """Return the folder of a stage's run that holds weights, `model` where the stage is not known."""
    return STAGES[stage].product if stage in STAGES else "model"


def training_method(stage: str | None, parents: Sequence[Mapping[str, Any]] = ()) -> str | None:
    """Return how a stage trains: rl, reward-model, sft, or distill with a teacher; None where it trains no model."""
    if stage not in STAGES or not STAGES[stage].trains_model:
        return None
    if stage == "reward-model":
        return stage
    if STAGES[stage].command_module == RL_COMMAND:
        return "rl"
    return "distill" if any(parent["role"] == "teacher" for parent in parents) else "sft"


def describe_parents(info: dict[str, Any], run_dir: Path, names: Mapping[Path, str]) -> list[dict[str, Any]]:
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


def describe_ladder(file: Path, parents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """Return the evaluated models of eval.json, each with the name of the run that trained it; None without any."""
    run_names = {parent["path"]: parent["run"] for parent in parents}
    rows = []
    for row in read_entries(file, "models", _LadderRow):
        rows.append({**row, "run": run_names.get(row["path"])})
    return rows or None


def describe_scaling(file: Path) -> list[dict[str, Any]] | None:
    """Return the curves of scaling.json, each point with the colour of its method in the pictures of `r1kit eval`."""
    models = []
    for model in read_entries(file, "models", _ScalingModel):
        points = [{**point, "colour": method_colour(point["method"], point["score"])} for point in model["points"]]
        models.append({**model, "points": points})
    return models or None


def read_entries(file: Path, name: str, schema: type) -> list[dict[str, Any]]:
    """Return the entries of a list in a JSON file that have the types of `schema`; a warning names the file of others.

    [] where the file or the list is missing.
    """
    entries = read_json_object(file).get(name)
    if not isinstance(entries, list):
        return []
    valid_entries = [entry for entry in entries if is_valid(entry, schema)]
    if len(valid_entries) < len(entries):
        warn_of_damage(file, f"{len(entries) - len(valid_entries)} of its {name} are not as r1kit writes them")
    return valid_entries


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


def elapsed_seconds(info: Mapping[str, Any], status: str) -> float | None:
    """Return the seconds that a run took, up to now where it is running."""
    if status != "running":
        return info.get("seconds")
    now = time.time()
    return (info.get("seconds") or 0) + max(0, now - (info.get("session_started") or now))


def read_curves(file: Path) -> dict[str, list[Any]]:
    """Return the metrics of metrics.jsonl by their names, and `step`; None where a step has no value.

    A run of more than `MAX_CURVE_POINTS` steps is thinned; metrics that are seldom logged keep all their points.
    """
    values_by_step: dict[int, dict[str, Any]] = {}
    for line in read_json_lines(file):
        if is_valid(line.get("step"), Count):
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
    return value if is_valid(value, _FiniteNumber) else None


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
        return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    except (OSError, ValueError, struct.error, RecursionError, MemoryError, OverflowError, *WRONG_TYPES):
        warn_of_damage(file, "its header cannot be read")
        return 0


@lru_cache(maxsize=1000)
def drop_defaults(stage: str | None, recipe_text: str | None, file: Path = Path("recipe.yaml")) -> str | None:
    """Return a resolved recipe without the fields that have their default values; None where it cannot be parsed."""
    if stage is None or stage not in STAGES or recipe_text is None:
        return None
    try:
        saved_recipe = yaml.safe_load(recipe_text)
        if not isinstance(saved_recipe, dict):
            raise ValueError("it holds no mapping of keys to values")
        recipe = parse_recipe(stage, saved_recipe)
    except UserError:  # written by another version of r1kit
        return None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        warn_of_damage(file, f"it is no YAML: {describe_damage(error)}")
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
