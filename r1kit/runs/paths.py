"""Find what a recipe names as a model or as data: a hub id, a local path, a run directory, or a shipped model."""

import difflib
import errno
import os
from pathlib import Path

from r1kit.errors import UserError, suggest
from r1kit.runs.listing import run_status
from r1kit.runs.run import Run
from r1kit.user_paths import describe_unexpanded, expand_home

PACKAGE_DIR = Path(__file__).parent.parent

RUN_PRODUCTS = ("model", "data", "eval.json", "verifier", "reward_model")
"""The results that stages leave in a run directory."""

ADAPTER_BASE_FOLDER = "base"
"""The folder of a run with the base of its adapter, where that is a merged model of no other folder."""

START_MODEL_FOLDER = "start"
"""The folder of a run with the merged model that all of its weights are trained from, for a penalty on the KL."""

SHIPPED_MODELS = {"tiny:base": PACKAGE_DIR / "tiny" / "base", "tiny:student": PACKAGE_DIR / "tiny" / "student"}
"""The two models of about 1M parameters that come with r1kit, by their names in recipes."""

_DATA_SUFFIXES = (".json", ".jsonl", ".csv", ".parquet", ".arrow", ".gz")
_MODEL_REQUIREMENT = "must be a folder with a model, a run or a hub id"
_DATA_REQUIREMENT = "must be a file, a folder, a run or a hub id"


def resolve_model_path(path: str, field: str = "model.path") -> str:
    """Return what `from_pretrained` takes for a recipe's model: a hub id or a folder.

    resolve_model_path("runs/dev1")   "runs/dev1/model"

    Raises UserError, which names `field`, for an empty path, a local one that does not exist and a run without a model.
    """
    if not path.strip():
        raise UserError(field, path, "must not be empty", "name a run, a folder or a model of the hub")
    if path in SHIPPED_MODELS:
        return str(SHIPPED_MODELS[path])
    if path.startswith("tiny:"):
        raise UserError(field, path, "no such shipped model", suggest(path, SHIPPED_MODELS))
    resolved = _resolve_local_path(path, field, "model", _MODEL_REQUIREMENT)
    if Path(resolved).is_file():
        raise UserError(field, path, _MODEL_REQUIREMENT, "check the path")
    return resolved


def resolve_reward_model_path(path: str, field: str) -> str:
    """Return what `from_pretrained` takes for a reward model: a hub id or a folder.

    resolve_reward_model_path("runs/preferred", "rewards.preference.model")   "runs/preferred/reward_model"

    Raises UserError, which names `field`, for a local path that does not exist and for a run without a reward model.
    """
    return _resolve_local_path(path, field, "reward_model", _MODEL_REQUIREMENT)


def resolve_data_path(path: str, field: str = "data") -> str:
    """Return the folder, file or hub id of a recipe's data source.

    Raises UserError, which names `field`, for a local path that does not exist and for a run without finished data.
    """
    return _resolve_local_path(path, field, "data", _DATA_REQUIREMENT)


def _resolve_local_path(path: str, field: str, product: str, requirement: str) -> str:
    """Return `path`, or the `product` in it if it is a run directory.

    Raises UserError for a path that looks local and does not exist, and for a run whose last session has not written
    the product: the one in the folder then belongs to an earlier recipe.
    """
    written_path, path = path, expand_home(path)
    folder = Path(path)
    if not _is_possible_path(path):
        raise UserError(field, path, requirement, "check the path")
    if (folder / "run.json").exists():
        run = Run(folder)
        status = run_status(run) if run.info.get("status") else "damaged (its run.json has no status)"
        action = f"use a run that has {'data' if product == 'data' else 'one'}"
        if status != "finished":
            action = "finish that run, or use another one"
        if not (folder / product).exists():
            name = product.replace("_", " ")
            raise UserError(field, path, f"this run is {status} and has no {name}", action)
        if status != "finished" and not run.info.get("has_result"):
            verb = "are" if product == "data" else "is"
            requirement = f"this run is {status}, and its {product.replace('_', ' ')} {verb} from before"
            raise UserError(field, path, requirement, f"{action}, or take it as it is: {folder / product}")
        return str(folder / product)
    if not folder.exists() and (_looks_local(path) or describe_unexpanded(path)):
        raise UserError(field, written_path, requirement, describe_unexpanded(path) or _describe_wrong_path(path))
    return path


def _describe_wrong_path(path: str) -> str:
    """Return what to do about a local path that does not exist."""
    if "," in path:
        return "write several as a list, such as [a, b], or give an option for each"
    key, equals_sign, value = path.partition("=")
    if equals_sign and "." in key:
        return f"write {key}={value} without an option before it"
    return "check the path"


def describe_absent_run(path: str) -> str:
    """Return the end of a sentence on a run that is not there, where one of a similar name is; else ""."""
    folder = Path(path)
    run_names = [run.parent.name for run in folder.parent.glob("*/run.json")]
    nearest = difflib.get_close_matches(folder.name, run_names, n=1)
    return f"; no run is there now; did you mean {folder.parent / nearest[0]}?" if nearest else ""


def _is_possible_path(path: str) -> bool:
    """Return whether the system can look up a path at all: it is not too long, for one."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return True
    except OSError as error:
        return error.errno not in (errno.ENAMETOOLONG, errno.EINVAL)
    return True


def _looks_local(path: str) -> bool:
    """Return whether a path is meant as a local one rather than as a hub id, which has at most one slash."""
    has_local_start = path.startswith((".", "/", "~", "runs/"))
    return has_local_start or path.count("/") > 1 or Path(path).suffix in _DATA_SUFFIXES
