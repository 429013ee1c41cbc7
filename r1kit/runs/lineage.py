"""Where a run comes from: the runs and files that its recipe reads, with a hash of what each of them contained.

The hashes tell whether a finished run still belongs to the models and data that are there now.
"""

import contextlib
import hashlib
from pathlib import Path
from typing import Any

from r1kit.recipe import DataRecipe, DistillRecipe, GenerateRecipe, Recipe
from r1kit.runs.reading import read_parents
from r1kit.runs.run import Run
from r1kit.safe_text import mask_text

# The folder of a run that a parent in this role is read from; the other roles are named like their folder.
_FOLDER_OF_ROLE = {"teacher": "model", "benchmark": "data"}

# A file up to this size in bytes is hashed whole. Of a larger one (weights), samples are hashed, since training changes
# it everywhere, and reading tens of gigabytes would take minutes.
_WHOLE_FILE_BYTES = 2**26
_SAMPLE_COUNT = 256
_SAMPLE_BYTES = 2**12


def find_parents(recipe: Recipe) -> list[dict[str, Any]]:
    """Return the runs and files that a recipe reads, each with its role, path, status and content hash."""
    parents = []
    for role, paths in paths_by_role(recipe).items():
        for path in paths:
            info = Run(Path(path)).info if Path(path).is_dir() else {}
            content = None
            with contextlib.suppress(OSError):  # whoever reads the file reports that it cannot be read
                content = content_hash(Path(path), _FOLDER_OF_ROLE.get(role, role))
            parents.append(
                {
                    "role": role,
                    "path": mask_text(path),
                    "stage": info.get("stage"),
                    "status": info.get("status"),
                    "started": info.get("started"),
                    "content": content,
                }
            )
    return parents


def paths_by_role(recipe: Recipe) -> dict[str, list[str]]:
    """Return the paths that a recipe reads, by what it reads them as."""
    models = [recipe.model.path] if recipe.model.path else []
    models += [model.path for model in getattr(recipe, "models", {}).values()]
    paths = {"model": models, "data": [source.path for source in recipe.data.train + recipe.data.eval]}
    paths["data"] += [benchmark.path for benchmark in getattr(recipe, "suite", {}).values()]
    paths["data"] += getattr(recipe, "read", [])
    if isinstance(recipe, GenerateRecipe):
        teachers = []
        for block in (recipe.refine, recipe.journey):
            if block and block.model and block.model.path:
                teachers.append(block.model.path)
        paths["teacher"] = teachers
    if isinstance(recipe, DistillRecipe) and recipe.teacher.path:
        paths["teacher"] = [recipe.teacher.path]
    scaling = getattr(recipe, "scaling", None)
    if scaling is not None and scaling.verifier:
        paths["verifier"] = [scaling.verifier]
    reward_models = []
    for entry in getattr(recipe, "rewards", []):
        model = entry.settings.get("model")
        if entry.name == "preference" and isinstance(model, str):
            reward_models.append(model)
    if reward_models:
        paths["reward_model"] = reward_models
    if isinstance(recipe, GenerateRecipe | DataRecipe):
        paths["benchmark"] = [source.path for source in recipe.hygiene.decontaminate]
    return paths


def content_hash(path: Path, product: str) -> str | None:
    """Return 16 hexadecimal digits that identify the content of a model or of data; None if there are no files.

    `path` may be a run directory, whose folder `product` is read, such as `model` or `data`. Cards (.md) and hidden
    files do not count.
    """
    path = path / product if (path / "run.json").exists() else path
    files = _content_files(path, is_model=product in ("model", "reward_model"))
    if not files:
        return None
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\0".encode())
        with open(file, "rb") as content:
            if size <= _WHOLE_FILE_BYTES:
                digest.update(content.read())
                continue
            for i in range(_SAMPLE_COUNT):
                content.seek((size - _SAMPLE_BYTES) * i // (_SAMPLE_COUNT - 1))
                digest.update(content.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:16]


def _content_files(path: Path, is_model: bool) -> list[Path]:
    """Return the files of a model (those of its folder itself) or of data (those of all subfolders), sorted."""
    if not path.is_dir():
        return [path] if path.is_file() else []
    files = []
    for file in path.iterdir() if is_model else path.rglob("*"):
        if file.is_file() and file.suffix != ".md" and not file.name.startswith("."):
            files.append(file)
    return sorted(files)


def describe_changed_parent(run: Run, parents_now: list[dict[str, Any]]) -> str:
    """Return which parent of a run has other content now than when the run was started; empty if none has."""
    content_before = {}
    for parent in read_parents(run.info):
        content_before[parent["role"], parent["path"]] = parent.get("content")
    for parent in parents_now:
        before = content_before.get((parent["role"], parent["path"]))
        if before and parent["content"] and before != parent["content"]:
            return f"{parent['path']}, whose content has changed since"
    return ""


def locate_parent(parent: dict[str, Any], child: Path) -> Path | None:
    """Return where a parent of the run `child` is now, or None if it is not found.

    It may have been moved together with its child, or aside to NAME.1 by `--overwrite`. A run that has its name but was
    started at another time is not the parent.
    """
    path = Path(parent["path"])
    sibling = child.resolve().parent / path.name
    candidates = [path, sibling] if path.is_absolute() else [sibling, path]
    for candidate in list(candidates):
        candidates += sorted(candidate.parent.glob(f"{candidate.name}.[0-9]*"))
    for candidate in candidates:
        if candidate.resolve() == child.resolve():
            continue
        info = Run(candidate).info
        # Runs of earlier versions of r1kit do not record when their parents were started.
        if info and parent.get("started") in (None, info.get("started")):
            return candidate
    return None
