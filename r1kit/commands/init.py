"""`r1kit init NAME`: copy a shipped recipe folder, to start your own from.

r1kit init qwen2.5-1.5b -o recipes/mine
"""

import os
import shutil
from pathlib import Path

from r1kit.errors import UserError, suggest
from r1kit.runs.files import replace_folder
from r1kit.runs.paths import PACKAGE_DIR

# An installed package carries the recipes inside; in a clone of the repository they are beside the package.
_RECIPES_DIRS = (PACKAGE_DIR / "recipes", PACKAGE_DIR.parent / "recipes")


def find_shipped_recipes() -> dict[str, Path]:
    """Return the recipe folders that come with r1kit, by their names."""
    for recipes_dir in _RECIPES_DIRS:
        if recipes_dir.is_dir():
            return {folder.name: folder for folder in sorted(recipes_dir.iterdir()) if _is_recipe_folder(folder)}
    return {}


def _is_recipe_folder(folder: Path) -> bool:
    return folder.is_dir() and (any(folder.glob("*.yaml")) or (folder / "README.md").exists())


def copy_recipe(name: str, target: Path) -> Path:
    """Copy the shipped recipe folder `name` to `target`, and return `target`.

    Raises UserError for an unknown name, and if `target` exists.
    """
    shipped_recipes = find_shipped_recipes()
    name = Path(name).name  # of recipes/tiny/ too
    if name not in shipped_recipes:
        raise UserError("NAME", name, "no such recipe folder", suggest(name, shipped_recipes))
    if os.path.lexists(target):
        raise UserError("--output", target, "exists already", "use another folder")
    try:
        _copy_folder(shipped_recipes[name], target)
    except OSError as error:
        requirement = f"must be a folder that can be written: {_first_reason(error)}"
        raise UserError("--output", target, requirement, "use another folder") from None
    return target


def _copy_folder(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Copied beside the target and then renamed, so that a kill leaves no half of a folder there.
    unfinished = target.with_name(f".{target.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        shutil.copytree(source, unfinished, ignore=shutil.ignore_patterns("__pycache__"))
        replace_folder(unfinished, target)
    except OSError:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _first_reason(error: OSError) -> str:
    """Return why a folder could not be copied: of the errors that `copytree` collects, the first."""
    if isinstance(error, shutil.Error):
        _, file, reason = error.args[0][0]
        return f"{reason}".partition("] ")[2].partition(": ")[0].lower() or f"{file} cannot be copied"
    return (error.strerror or str(error)).lower()
