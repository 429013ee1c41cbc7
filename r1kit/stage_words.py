"""What stands after a stage's name on the command line: the recipe's file, options, and values as `key.path=value`.

recipe, notes = read_stage_recipe(STAGES["sft"], ["sft.yaml", "seed=1"], models=["tiny:base"])
"""

import os
from collections.abc import Sequence
from typing import Any

from r1kit.errors import UserError
from r1kit.models.prompt_choice import choose_prompts
from r1kit.recipe import Recipe, load_recipe, parse_override
from r1kit.recipe.evaluated_models import has_name, name_models
from r1kit.stages import Stage


def read_stage_recipe(
    stage: Stage,
    words: Sequence[str],
    models: Sequence[str] = (),
    datasets: Sequence[str] = (),
    output: str | None = None,
    load_models: bool = True,
) -> tuple[Recipe, list[str]]:
    """Return a stage's recipe, with the values of options and of `key=value` words set, and notes on its prompts.

    `words` may begin with the recipe's file. Raises UserError for words that are neither, for a key that an option sets
    too, and for all that is wrong with the recipe.
    """
    has_file = bool(words) and ("=" not in words[0] or os.path.isfile(words[0]))
    recipe_file = words[0] if has_file else None
    overrides = _read_options(stage, models, datasets, output)
    options = set(overrides)
    for word in words[1:] if has_file else words:
        key, value = parse_override(word)
        if key in options:
            raise UserError(key, value, "an option of this command sets it too", "keep one of the two")
        overrides[key] = value
    return choose_prompts(load_recipe(stage.name, recipe_file, overrides), load_models=load_models)


def _read_options(stage: Stage, models: Sequence[str], datasets: Sequence[str], output: str | None) -> dict[str, Any]:
    """Return the values of the options --model, --dataset and --output by the keys of the recipe that they set."""
    overrides: dict[str, Any] = {}
    if stage.name == "eval" and models:
        # The recipe's own models are replaced, whether it has one or several.
        several = len(models) > 1 or has_name(models[0])
        overrides["model.path"] = None if several else models[0]
        overrides["models"] = name_models(models, "--model") if several else {}
    elif len(models) > 1:
        requirement = f"stands {len(models)} times in this command, and {stage.name} takes one model"
        raise UserError("--model", ", ".join(models), requirement, "keep one of them")
    elif models:
        overrides["model.path"] = models[0]
    if datasets:
        overrides["data.eval" if stage.name == "eval" else "data.train"] = [{"path": path} for path in datasets]
    if output is not None:
        overrides["output"] = output
    return overrides
