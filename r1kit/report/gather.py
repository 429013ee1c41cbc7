"""Collect what run directories hold, as plain data for the page of `r1kit report`.

Every run becomes one dict: where it comes from, its curves, its warnings, what it dropped, what an evaluation measured.
Its rollouts are read by `r1kit.report.rollouts`.

    runs, rollout_sets = collect_runs(find_run_dirs(["runs/tiny/ladder"]))
"""

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r1kit.errors import UserError
from r1kit.report.curves import read_curves
from r1kit.report.model_size import count_base_parameters, count_parameters
from r1kit.report.recipe_text import drop_defaults, mask_recipe
from r1kit.report.result_files import describe_benchmarks, describe_ladder, describe_scaling
from r1kit.report.rollouts import RolloutSet, find_rollout_sets
from r1kit.runs.lineage import locate_parent
from r1kit.runs.listing import run_status
from r1kit.runs.reading import read_json_object, read_parents, read_run_info
from r1kit.runs.results import describe_result
from r1kit.runs.run import Run
from r1kit.runs.warning_log import read_warnings
from r1kit.safe_text import mask_secrets
from r1kit.stages import STAGES

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
        "benchmarks": describe_benchmarks(run_dir / "eval.json"),
        "scaling": describe_scaling(run_dir / "scaling.json"),
        "verifier": read_json_object(run_dir / "verifier" / "verifier.json") or None,
    }
    return {**mask_secrets(description), "curves": read_curves(run_dir / "metrics.jsonl")}


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


def read_text(file: Path) -> str | None:
    """Return a file's text; None where it is not there."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return None
