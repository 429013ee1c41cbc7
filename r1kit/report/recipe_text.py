"""The recipe of a run as the page of `r1kit report` shows it: without secrets, and without what is a default."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from r1kit.errors import UserError
from r1kit.recipe import parse_recipe
from r1kit.runs.reading import describe_damage, warn_of_damage
from r1kit.safe_text import mask_secrets, mask_text
from r1kit.stages import STAGES


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
