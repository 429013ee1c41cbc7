"""Where a run comes from: its parent runs and files, and a hash of what each of them contained."""

import contextlib
import hashlib
from pathlib import Path
from typing import Any

from r1kit.recipe import DataRecipe, GenerateRecipe, Recipe
from r1kit.runs.run import Run


def find_parents(recipe: Recipe) -> list[dict[str, Any]]:
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
                made_of = content_hash(Path(path), PARTS.get(role, role))
            found.append({"role": role, "path": path, **told, "content": made_of})
    return found


PARTS = {"teacher": "model", "benchmark": "data"}  # of a run, by the role of a parent; else the role's name


LITTLE = 2**26  # bytes of a file that is read whole


PIECES, PIECE = 256, 2**12  # of others: so many pieces of so many bytes


def content_hash(path: Path, part: str) -> str | None:
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


def describe_changed_parent(run: Run, now: list[dict[str, Any]]) -> str:
    """Return which of a run's parents consists of something else now."""
    before = {(p["role"], p["path"]): p.get("content") for p in run.info.get("parents", [])}
    for parent in now:
        known = before.get((parent["role"], parent["path"]))
        if known and parent["content"] and known != parent["content"]:
            return f"{parent['path']} as it was before: it has changed since"
    return ""


def locate_parent(parent: dict[str, Any], child: Path) -> Path | None:
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
