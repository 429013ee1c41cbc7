"""Read a recipe: YAML, with values of the command line over it, checked.

What is set where: default < recipe file < command line. Nothing heavy is imported here, so that a mistake in a recipe
is found within a second.

    recipe = load_recipe("sft", "recipes/tiny/dev1.yaml", {"training.epochs": 3})
"""

import math
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from r1kit.errors import UNSET, UserError, suggest
from r1kit.recipe.block import fields_along, find_block_class
from r1kit.recipe.checks import check_recipe
from r1kit.recipe.data import normalise_sources
from r1kit.recipe.distill import KEY_OF_TEXT, expand_text
from r1kit.recipe.stages import Recipe, recipe_class
from r1kit.recipe.suite import normalise_suite
from r1kit.recipe.yaml_values import read_yaml
from r1kit.safe_text import MASK, mask_secrets

_UNUSABLE_TEXT = re.compile(r"[\x00\ud800-\udfff]")


def load_recipe(stage: str, file: str | None, overrides: dict[str, Any]) -> Recipe:
    """Read the recipe `file` of `stage`, put `overrides` (dotted key: value) over it, and check it.

    Without a file, the overrides are the recipe. Raises UserError for a missing file, an unknown key, a wrong type or
    fields that contradict each other.
    """
    values = {} if file is None else _read_recipe_file(file)
    if "data" in values:  # so that data.train.0.rows is a key also where a source is given by its path alone
        values["data"] = normalise_sources(values["data"])
    if values.get("suite"):
        values["suite"] = normalise_suite(values["suite"])
    if file is not None:
        _check_trust(values, Path(file), overrides)
    for key, value in overrides.items():
        block_name, dot, _ = key.partition(".")
        if dot and block_name in KEY_OF_TEXT and block_name in values:  # teacher.dtype is a key after teacher=runs/r1
            values[block_name] = expand_text(block_name, values[block_name])
        _set_key(values, key, value)
    _check_values(values, "")
    recipe = parse_recipe(stage, values)
    check_recipe(recipe)
    return recipe


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
        raise UserError("recipe", file, requirement, "check the path") from None
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


def parse_recipe(stage: str, values: dict[str, Any]) -> Recipe:
    """Turn `values` into the recipe of `stage`, without the checks across fields."""
    schema = recipe_class(stage)
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise explain_validation(schema, error) from None


def parse_override(text: str) -> tuple[str, Any]:
    """Split `key.path=value` of the command line into the key and the value, which is read as YAML.

    parse_override("training.steps=50")   ("training.steps", 50)
    """
    key, equals_sign, value = text.partition("=")
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
        raise UserError(key, value, "the recipe has no such key", "check the names and numbers in the key") from None


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


# What pydantic's types of errors mean to somebody who writes a recipe; the names in braces are pydantic's.
_REQUIREMENTS = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list, such as [a, b]",
    "tuple_type": "must be a list, such as [a, b]",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have at least {min_length} entries",
    "dict_type": "must be a mapping, such as {{key: value}}",
    "model_type": "must be a block of keys, such as {{key: value}}",
    "literal_error": "must be {expected}",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be below {lt:.16g}",
    "less_than_equal": "must be at most {le:.16g}",
}


def explain_validation(schema: type[BaseModel], error: ValidationError) -> UserError:
    """Turn pydantic's first error into one that names the field by its dotted key.

    Missing fields come last: often the field is there under a wrong name, and the error about that name says more.
    """
    errors = error.errors(include_url=False)
    first = next((entry for entry in errors if entry["type"] != "missing"), errors[0])
    location = [str(name) for name in first["loc"] if not str(name).startswith("function-")]
    key = ".".join(location) or "recipe"
    action = "change it in the recipe or on the command line"
    if first["type"] == "missing":
        return UserError(key, UNSET, "is required", "set it in the recipe or on the command line")
    value = first["input"]
    if first["type"] == "extra_forbidden":
        return UserError(key, value, "no such key", suggest(location[-1], _sibling_fields(schema, location)))
    if location[:-1] == ["rewards"] and isinstance(value, str):
        return UserError(key, value, "must be a block with the key name", f"write {{name: {value}}}")
    if first["type"] == "value_error":
        return UserError(key, value, str(first["ctx"]["error"]), action)
    if first["type"] in _REQUIREMENTS:
        requirement = _REQUIREMENTS[first["type"]].format(**first.get("ctx", {}))
        return UserError(key, value, requirement.replace("'", ""), action)  # pydantic quotes the names of a literal
    return UserError(key, value, first["msg"].lower(), action)


def _sibling_fields(schema: type[BaseModel], location: list[str]) -> list[str]:
    """Return the field names of the block that the last name of `location` is in."""
    block = schema
    for _, field in fields_along(schema, ".".join(location[:-1])):
        block = find_block_class(field.annotation) or block
    return list(block.model_fields)
