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
from r1kit.recipe.key_words import suggest_setting
from r1kit.recipe.stages import recipe_class
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


# Options of a stage that are no fields of a recipe.
_OPTIONS = ("dry-run", "smoke", "overwrite", "num-processes", "accelerate-config")


def read_stage_recipe(
    stage: Stage, words: Sequence[str], options: StageOptions = StageOptions(), load_models: bool = True
) -> tuple[Recipe, list[str]]:
    """Return a stage's recipe, with the values of options and of `key=value` words set, and notes on its prompts.

    `words` may begin with the recipe's file, and of `eval` with models. Raises UserError for words that are neither,
    for a key that an option sets too, and for all that is wrong with the recipe.
    """
    for word in words:
        _refuse_option_name(word)
    if stage.name == "eval" and words and _is_model(words[0]):
        if options.models:
            action = "name each model by --model"
            raise UserError("--model", ", ".join(options.models), f"{words[0]} is a model too", action)
        count = next((n for n, word in enumerate(words) if not _is_model(word)), len(words))
        options, words = replace(options, models=words[:count]), words[count:]
    has_file = bool(words) and ("=" not in words[0] or os.path.isfile(words[0]))
    recipe_file = words[0] if has_file else None
    if recipe_file is not None:
        _check_recipe_word(stage, words)
    overrides = _read_options(stage, options)
    keys_of_options = set(overrides)
    settings = list(words[1:] if has_file else words)
    for position, word in enumerate(settings):
        following = settings[position + 1 : position + 2]
        is_cut = word.endswith("=") and bool(following) and "=" not in following[0]  # `training.steps= 5`
        if is_cut or not word.partition("=")[1] or word.startswith((*_DASHES, *_PLUS_SIGNS)):
            raise _explain_word_without_value(stage, settings, position)
        key, value = parse_override(word)
        if key in keys_of_options:
            raise UserError(key, value, "an option of this command sets it too", "keep one of the two")
        overrides[key] = value
    return choose_prompts(load_recipe(stage.name, recipe_file, overrides), load_models=load_models)


def _refuse_option_name(word: str) -> None:
    """Raise UserError for a word that is an option without its dashes, such as `dry-run` or `smoke=true`."""
    name = word.partition("=")[0].replace("_", "-")
    if name in _OPTIONS and not os.path.isfile(word):
        raise UserError("argument", word, "is an option, and lacks its two dashes", f"write --{name}")


def _is_model(word: str) -> bool:
    """Return whether the first word after `eval` names a model: it is no file, no value, and no word for a setting."""
    if "=" in word or word == "help" or os.path.isfile(word) or word.startswith((*_DASHES, *_PLUS_SIGNS)):
        return False
    if word.endswith((*_RECIPE_SUFFIXES, *_DATA_SUFFIXES)) or _is_setting_word("eval", word):
        return False
    return not os.path.isdir(word) or not any(name.endswith(_RECIPE_SUFFIXES) for name in _files_of_no_model(word))


def _is_setting_word(stage: str, word: str) -> bool:
    """Return whether a word without a value is a field of a recipe, or means one, and no path or hub id."""
    return "/" not in word and not os.path.exists(word) and bool(suggest_setting(recipe_class(stage), word))


def _files_of_no_model(folder: str) -> list[str]:
    """Return the files of a folder; none of a run and of a model, which may have a recipe beside it."""
    names = os.listdir(folder)
    return [] if {"run.json", "config.json", "adapter_config.json"} & set(names) else names


def _read_options(stage: Stage, options: StageOptions) -> dict[str, Any]:
    """Return the values of a stage's options by the keys of the recipe that they set."""
    overrides: dict[str, Any] = {}
    models, datasets = options.models, options.datasets
    for model in models:
        if model.startswith("=") and not os.path.exists(model):
            raise UserError("--model", model, "has no name before =", f"write --model {model.lstrip('=') or 'PATH'}")
        if "," in model and not os.path.exists(model):
            action = f"write {' '.join(f'--model {name.strip()}' for name in model.split(','))}"
            raise UserError("--model", model, "names one model", action)
    if stage.name == "eval" and models:
        # The recipe's own models are replaced, whether it has one or several.
        several = len(models) > 1 or has_name(models[0])
        overrides["model.path"] = None if several else models[0]
        overrides["models"] = name_models(models, "--model") if several else {}
    elif len(models) > 1:
        requirement = f"stands {len(models)} times in this command, and {stage.name} takes one model"
        raise UserError("--model", ", ".join(models), requirement, "keep one of them")
    elif models and has_name(models[0]):
        name, _, path = models[0].partition("=")
        requirement = f"gives the model a name, and {stage.name} takes the path alone"
        raise UserError("--model", models[0], requirement, f"write --model {path or name}")
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


# Words that are no recipe and no setting

_DATA_SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")
_RECIPE_SUFFIXES = (".yaml", ".yml")
# What word processors and web pages make of two hyphens.
_DASHES = ("\N{EN DASH}", "\N{EM DASH}")
# Hydra's signs for a value that is added to a recipe.
_PLUS_SIGNS = ("+", "~")
MOST_LISTED_FILES = 6


def _check_recipe_word(stage: Stage, words: Sequence[str]) -> None:
    """Raise UserError if the first word after a stage is clearly something else than the name of a recipe's file."""
    word = words[0]
    if word.endswith(_RECIPE_SUFFIXES):
        return
    requirement = "must be a YAML file"
    if word.endswith(_DATA_SUFFIXES):
        raise UserError("recipe", word, f"{requirement}, and this is data", f"write --dataset {word}")
    if os.path.isfile(word):
        return
    if word == "help":
        raise UserError("recipe", word, requirement, f"run r1kit {stage.name} --help")
    if os.path.exists(os.path.join(word, "run.json")) or os.path.exists(os.path.join(word, "config.json")):
        action = f"write --model {word}, or --dataset {word}"
        raise UserError("recipe", word, f"{requirement}, and this is a run or a model", action)
    if os.path.isdir(word):
        names = sorted(name for name in os.listdir(word) if name.endswith(_RECIPE_SUFFIXES))
        action = f"name one of its files, such as {', '.join(names[:MOST_LISTED_FILES])}"
        if not names:
            action = f"write --dataset {word}, or --model {word}"
        raise UserError("recipe", word, f"{requirement}, and this is a folder", action)
    if word.startswith(_DASHES) or _is_setting_word(stage.name, word):
        raise _explain_word_without_value(stage, words, 0)
    action = f"write --model {word} or --dataset {word}; r1kit init NAME copies a shipped recipe"
    raise UserError("recipe", word, f"{requirement}: no such file", action)


def _explain_word_without_value(stage: Stage, words: Sequence[str], position: int) -> UserError:
    """Return the error for a word on the command line that is no `key.path=value`."""
    word, schema = words[position], recipe_class(stage.name)
    requirement, action = "must be key.path=value", ""
    plain_word, _, value = word.lstrip("".join((*_DASHES, *_PLUS_SIGNS))).partition("=")
    following = [other.removeprefix("=") for other in words[position + 1 : position + 3] if other != "="]
    if word.startswith(_DASHES):
        requirement = "begins with a long dash in place of two hyphens"
        action = f"write --{word.lstrip(''.join(_DASHES))}"
    elif word.startswith(_PLUS_SIGNS):
        action = f"write {plain_word}={value}"
    elif word.endswith(_RECIPE_SUFFIXES):
        requirement, action = "a command reads one recipe, which stands first", "keep one of the two"
    elif word.endswith(_DATA_SUFFIXES):
        action = f"write --dataset {word}"
    elif ":" in plain_word:
        key, _, value = plain_word.partition(":")
        action = suggest_setting(schema, key, value)
    elif following and "=" not in following[0]:
        setting = suggest_setting(schema, plain_word, following[0])
        action = f"{setting}, without spaces" if setting else ""
    else:
        action = suggest_setting(schema, plain_word)
    return UserError("argument", word, requirement, action or "write for example training.steps=50")
