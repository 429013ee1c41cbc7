"""What stands after a stage's name on the command line: the recipe's file, options, and values as `key.path=value`.

recipe, notes = read_stage_recipe(STAGES["sft"], ["sft.yaml", "seed=1"], StageOptions(models=["tiny:base"]))
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from r1kit.errors import UserError
from r1kit.models.prompt_choice import choose_prompts
from r1kit.recipe import Recipe, load_recipe, parse_override
from r1kit.recipe.evaluated_models import has_name, name_models
from r1kit.stages import Stage
from r1kit.suites import expand_suite


@dataclass(frozen=True)
class StageOptions:
    """The options of a stage that set keys of its recipe: --model, --dataset, --suite, --read and --output."""

    models: Sequence[str] = ()
    datasets: Sequence[str] = ()
    suite: str | None = None
    read: Sequence[str] = ()
    output: str | None = None


def read_stage_recipe(
    stage: Stage, words: Sequence[str], options: StageOptions = StageOptions(), load_models: bool = True
) -> tuple[Recipe, list[str]]:
    """Return a stage's recipe, with the values of options and of `key=value` words set, and notes on its prompts.

    `words` may begin with the recipe's file, and of `eval` with a model. Raises UserError for words that are neither,
    for a key that an option sets too, and for all that is wrong with the recipe.
    """
    if stage.name == "eval" and words and _is_model(words[0]):
        if options.models:
            action = "name each model by --model"
            raise UserError("--model", ", ".join(options.models), f"{words[0]} is a model too", action)
        options, words = replace(options, models=[words[0]]), words[1:]
    has_file = bool(words) and ("=" not in words[0] or os.path.isfile(words[0]))
    recipe_file = words[0] if has_file else None
    overrides = _read_options(stage, options)
    keys_of_options = set(overrides)
    for word in words[1:] if has_file else words:
        key, value = parse_override(word)
        if key in keys_of_options:
            raise UserError(key, value, "an option of this command sets it too", "keep one of the two")
        overrides[key] = value
    return choose_prompts(load_recipe(stage.name, recipe_file, overrides), load_models=load_models)


def _is_model(word: str) -> bool:
    """Return whether the first word after `eval` names a model: it is neither a recipe's file nor a value."""
    return "=" not in word and not os.path.isfile(word) and not word.endswith((".yaml", ".yml"))


def _read_options(stage: Stage, options: StageOptions) -> dict[str, Any]:
    """Return the values of a stage's options by the keys of the recipe that they set."""
    overrides: dict[str, Any] = {}
    models, datasets = options.models, options.datasets
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
    for option, value in (("suite", options.suite), ("read", list(options.read))):
        if value and stage.name != "eval":
            raise UserError(f"--{option}", value, f"{stage.name} measures no benchmarks", "use it with r1kit eval")
    if options.suite is not None:
        overrides["suite"] = expand_suite(options.suite)
    if options.read:
        overrides["read"] = list(options.read)
    if options.output is not None:
        overrides["output"] = options.output
    return overrides
