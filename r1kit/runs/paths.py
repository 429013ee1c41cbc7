"""Resolve what a recipe names as a model or as data: a hub id, a local path, a run, or a shipped model."""

from pathlib import Path

from r1kit.errors import UserError
from r1kit.runs.run import Run

PACKAGE_DIR = Path(__file__).parent.parent


RUN_PRODUCTS = ("model", "data", "eval.json", "verifier")  # what a stage leaves


SHIPPED_MODELS = {"tiny:base": PACKAGE_DIR / "tiny" / "base", "tiny:student": PACKAGE_DIR / "tiny" / "student"}


def resolve_model_path(path: str, field: str = "model.path") -> str:
    """Return what `from_pretrained` takes for a recipe's model: a hub id or a folder.

    Raises UserError for a local path that is not there and for a run without a model.
    """
    if path in SHIPPED_MODELS:
        return str(SHIPPED_MODELS[path])
    must = "must be a folder with a model, a run or a hub id"
    found = _local(path, field, "model", must)
    if Path(found).is_file():
        raise UserError(field, path, must, "check the path")
    return found


def resolve_data_path(path: str, field: str = "data") -> str:
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
