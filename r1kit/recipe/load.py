"""Read a recipe: YAML, with values of the command line over it, checked.

What is set where: default < recipe file < command line. Nothing heavy is imported here, so that a mistake in a recipe
is found within a second.

    recipe = load_recipe("sft", "recipes/tiny/dev1.yaml", {"training.epochs": 3})
"""

import difflib
import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from r1kit.errors import UserError
from r1kit.recipe.checks import check_recipe
from r1kit.recipe.data import normalise_sources
from r1kit.recipe.distill import KEY_OF_TEXT, expand_text
from r1kit.recipe.evaluated_models import normalise_models
from r1kit.recipe.rewards import normalise_rewards
from r1kit.recipe.stages import Recipe, recipe_class
from r1kit.recipe.suite import normalise_suite
from r1kit.recipe.wrong_values import explain_validation
from r1kit.recipe.yaml_values import read_yaml
from r1kit.safe_text import MASK, mask_secrets

LEAST_LIKENESS = 0.75  # of a file's name to one that is suggested, by difflib

_BRACKETS = re.compile(r"\[(\d+)\]")  # a position in a list, as Python writes it
_UNUSABLE_TEXT = re.compile(r"[\x00\ud800-\udfff]")


def load_recipe(stage: str, file: str | None, overrides: dict[str, Any]) -> Recipe:
    """Read the recipe `file` of `stage`, put `overrides` (dotted key: value) over it, and check it.

    Without a file, the overrides are the recipe. Raises UserError for a missing file, an unknown key, a wrong type or
    fields that contradict each other.
    """
    values = {} if file is None else _read_recipe_file(file)
    for block_name in _SHORT_FORMS:
        _write_in_full(values, block_name)
    if file is not None:
        _check_trust(values, Path(file), overrides)
    for key, value in _outer_keys_first(overrides):
        _write_in_full(values, key.partition(".")[0])
        _set_key(values, key, value)
    _check_values(values, "")
    recipe = parse_recipe(stage, values)
    check_recipe(recipe)
    return recipe


# Blocks that may be written in a short form, each with what writes it in full.
_SHORT_FORMS: dict[str, Callable[[Any], Any]] = {
    "data": normalise_sources,
    "models": normalise_models,
    "rewards": normalise_rewards,
    "suite": normalise_suite,
    **{block_name: partial(expand_text, block_name) for block_name in KEY_OF_TEXT},
}


def _write_in_full(values: dict[str, Any], block_name: str) -> None:
    """Write a block of a recipe in full, so that data.train.0.rows is a key also after `data.train: rows.jsonl`."""
    if values.get(block_name) and block_name in _SHORT_FORMS:
        values[block_name] = _SHORT_FORMS[block_name](values[block_name])


def _outer_keys_first(overrides: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return keys with their values so that suite.aime24.samples comes after suite, which would replace it."""

    def count_outer_keys(entry: tuple[str, Any]) -> int:
        return sum(entry[0].startswith(f"{other}.") for other in overrides)

    return sorted(overrides.items(), key=count_outer_keys)


def _check_trust(values: dict[str, Any], file: Path, overrides: dict[str, Any]) -> None:
    """Refuse `trust_remote_code` in the recipe of a run directory unless the command line repeats it.

    Such a recipe comes along with a run, which may be anybody's.
    """
    if not (file.parent / "run.json").exists():
        return
    blocks = {"model": values.get("model"), "teacher": values.get("teacher")}
    for name in ("refine", "journey"):
        teacher = values.get(name)
        blocks[f"{name}.model"] = teacher.get("model") if isinstance(teacher, dict) else None
    for name, block in blocks.items():
        key = f"{name}.trust_remote_code"
        if isinstance(block, dict) and block.get("trust_remote_code") and key not in overrides:
            requirement = "this recipe came with a run, and asks to run Python code that comes with the model"
            raise UserError(key, block["trust_remote_code"], requirement, f"read that code, then pass {key}=true")


def _check_values(value: Any, key: str) -> None:
    """Refuse values that a recipe's file cannot hold exactly, or that no setting can have.

    These are texts with the character NUL or half a surrogate pair, which YAML writes as "\\0" and "\\ud800", numbers
    that are not finite, and secrets that were masked when r1kit wrote the recipe.
    """
    if isinstance(value, dict | list):
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for name, item in entries:
            if isinstance(name, str):
                _check_values(name, key or "recipe")
            _check_values(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, float) and not math.isfinite(value):
        raise UserError(key, value, "must be a finite number", "change it in the recipe or on the command line")
    elif isinstance(value, str) and MASK in value:
        requirement = "is a secret, which r1kit masked when it wrote this recipe"
        raise UserError(key, value, requirement, f"set it again on the command line ({key}=...), or remove it")
    elif isinstance(value, str) and _UNUSABLE_TEXT.search(value):
        escaped = value.encode("unicode_escape").decode()
        raise UserError(
            key, escaped, "must be text without the character NUL or halves of other characters", "correct it"
        )


def _read_recipe_file(file: str) -> dict[str, Any]:
    try:
        values = read_yaml(Path(file).read_text())
    except OSError as error:
        requirement = f"must be a YAML file that can be read: {str(error.strerror).lower()}"
        action = "check the path; r1kit init NAME copies a shipped recipe"
        recipes = _list_recipes(Path(file).parent)
        nearest = difflib.get_close_matches(Path(file).stem, recipes, n=1, cutoff=LEAST_LIKENESS)
        if nearest and not Path(file).exists():
            action = f"did you mean {recipes[nearest[0]]}?"
        raise UserError("recipe", file, requirement, action) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        position = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        requirement = f"must be valid YAML: {error.problem}{position}"
        raise UserError("recipe", file, requirement, "correct that line") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        requirement = f"must be valid YAML: {error}"
        raise UserError("recipe", file, requirement, "use a text file in UTF-8") from None
    if not values:
        return {}
    if not isinstance(values, dict):
        raise UserError("recipe", file, "must be a mapping of keys to values", "see recipes/ for examples")
    return values


def _list_recipes(folder: Path) -> dict[str, Path]:
    """Return the YAML files in a folder by their names without the ending; none where the folder is not there."""
    return {path.stem: path for path in folder.glob("*") if path.suffix in (".yaml", ".yml")}


def parse_recipe(stage: str, values: dict[str, Any]) -> Recipe:
    """Turn `values` into the recipe of `stage`, without the checks across fields."""
    schema = recipe_class(stage)
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise explain_validation(schema, error) from None


def parse_override(text: str) -> tuple[str, Any]:
    """Split `key.path=value` of the command line into the key and the value, which is read as YAML.

    parse_override("training.steps=50")         ("training.steps", 50)
    parse_override("data.train[0].rows=50")     ("data.train.0.rows", 50)
    """
    key, equals_sign, value = text.partition("=")
    key = _BRACKETS.sub(r".\1", key)
    if not equals_sign or not key:
        raise UserError("argument", text, "must be key.path=value", "write for example training.steps=50")
    try:
        return key, read_yaml(value, key)
    except yaml.YAMLError:
        return key, value


def dump_recipe(recipe: Recipe) -> str:
    """Return a recipe as YAML, with all defaults filled in and all secrets masked."""
    return yaml.safe_dump(mask_secrets(recipe.model_dump(mode="json")), sort_keys=False, allow_unicode=True)


def collect_secrets(recipe: Recipe) -> list[tuple[list[str | int], Any]]:
    """Return the values that `dump_recipe` masks, each with the keys that lead to it.

    `[(["trl", "hub_token"], "hf_..."), ...]`. A launcher hands them to its processes, which read the masked recipe of
    the run directory.
    """
    secrets: list[tuple[list[str | int], Any]] = []

    def compare(value: Any, masked: Any, keys: list[str | int]) -> None:
        if isinstance(value, dict | list):
            for name in value if isinstance(value, dict) else range(len(value)):
                compare(value[name], masked[name], [*keys, name])
        elif value != masked:
            secrets.append((keys, value))

    values = recipe.model_dump(mode="json")
    compare(values, mask_secrets(values), [])
    return secrets


def restore_secrets(values: dict[str, Any], secrets: list[tuple[list[str | int], Any]]) -> None:
    """Put what `collect_secrets` returned back into the values of a masked recipe."""
    for (*parents, last), secret in secrets:
        node: Any = values
        for name in parents:
            node = node[name]
        node[last] = secret


def _set_key(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key within nested mappings and lists; those that are missing are created.

    `data.train.0.path` makes `train` a list. An entry is added to a list by the number after its last one.
    """
    node: Any = values
    *parents, last = key.split(".")
    try:
        for name, following in zip(parents, key.split(".")[1:], strict=True):
            node = _find_or_create(node, name, [] if following.isdecimal() else {})
        if isinstance(node, list):
            _find_or_create(node, last, value)
            node[int(last)] = value
        else:
            node[last] = value
    except (ValueError, IndexError, TypeError, AttributeError):
        action = "check the names and numbers in the key"
        if isinstance(node, list):
            action = f"name an entry of the list by its number, such as {_first_entry_key(key, values)}"
        raise UserError(key, value, "the recipe has no such key", action) from None


def _first_entry_key(key: str, values: dict[str, Any]) -> str:
    """Return a dotted key with the number 0 after the first list in it: `data.train.rows` becomes data.train.0.rows."""
    node: Any = values
    names = key.split(".")
    for position, name in enumerate(names):
        node = node[name]
        if isinstance(node, list):
            return ".".join([*names[: position + 1], "0", *names[position + 1 :]])
    return key


def _find_or_create(node: Any, name: str, created: Any) -> Any:
    """Return the member of a mapping by its name, or of a list by its number; a missing one becomes `created`.

    Raises what Python raises for it where there is no such member and none can be added.
    """
    if not isinstance(node, list):
        member = node.setdefault(name, created)
    elif name == str(len(node)):
        node.append(created)
        member = created
    elif name.isdecimal():
        member = node[int(name)]
    else:
        raise ValueError(name)
    if member is None:
        raise TypeError
    return member
