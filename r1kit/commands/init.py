"""`r1kit init`: copy a shipped recipe folder to start from."""

import os
import shutil
from pathlib import Path

from r1kit.errors import UserError
from r1kit.runs.paths import PACKAGE_DIR

RECIPES_DIR = (PACKAGE_DIR / "recipes", PACKAGE_DIR.parent / "recipes")  # in a wheel; in a clone


def shipped_recipes() -> dict[str, Path]:
    """Return the recipe folders that r1kit carries."""
    place = next((p for p in RECIPES_DIR if p.is_dir()), None)
    folders = (
        sorted(p for p in place.iterdir() if p.is_dir() and (any(p.glob("*.yaml")) or (p / "README.md").exists()))
        if place
        else []
    )
    return {folder.name: folder for folder in folders}


def copy_recipe(name: str, target: Path) -> Path:
    """Copy a recipe folder to start from. Raises UserError for a name that is none, or a target that is there."""
    known = shipped_recipes()
    if name not in known:
        raise UserError("NAME", name, "must be a recipe that r1kit carries", f"use one of: {', '.join(known)}")
    if target.exists():
        raise UserError("--output", target, "is there already", "give another folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(known[name], new, ignore=shutil.ignore_patterns("__pycache__"))
    os.replace(new, target)
    return target
