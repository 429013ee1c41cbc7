"""The schema of every recipe: load, override, check across fields.

A recipe is YAML. What is set where: default < recipe file < command line. Nothing heavy is imported
here, so that a fault in a recipe is found before torch is.
"""

import re
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from r1kit.errors import UserError, suggest
from r1kit.recipe.blocks import (
    DataConfig,
    LengthStepConfig,
    LoraConfig,
    ModelConfig,
    NewModelConfig,
    PromptConfig,
    RewardConfig,
    RLSamplingConfig,
    SourceConfig,
    TrainingConfig,
    normalise_sources,
)
from r1kit.recipe.generation import (
    PREFERENCES,
    BudgetConfig,
    CardConfig,
    FiltersConfig,
    HygieneConfig,
    JourneyConfig,
    RefineConfig,
    SamplingConfig,
    ScalingConfig,
    ServerConfig,
    TeacherConfig,
)
from r1kit.recipe.stages import (
    DataRecipe,
    EvalRecipe,
    GenerateRecipe,
    Recipe,
    RLRecipe,
    RLZeroRecipe,
    SFTRecipe,
    VerifierRecipe,
    recipe_class,
)
from r1kit.recipe.trl import OWNED_TRL_FIELDS, trl_fields

__all__ = [
    "OWNED_TRL_FIELDS",
    "PREFERENCES",
    "BudgetConfig",
    "CardConfig",
    "DataConfig",
    "DataRecipe",
    "EvalRecipe",
    "FiltersConfig",
    "GenerateRecipe",
    "HygieneConfig",
    "JourneyConfig",
    "LengthStepConfig",
    "LoraConfig",
    "ModelConfig",
    "NewModelConfig",
    "PromptConfig",
    "RLRecipe",
    "RLSamplingConfig",
    "RLZeroRecipe",
    "Recipe",
    "RefineConfig",
    "RewardConfig",
    "SFTRecipe",
    "SamplingConfig",
    "ScalingConfig",
    "ServerConfig",
    "SourceConfig",
    "TeacherConfig",
    "TrainingConfig",
    "VerifierRecipe",
    "dump_recipe",
    "load_recipe",
    "parse_override",
    "parse_recipe",
    "recipe_class",
    "trl_fields",
]


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-5 as text; here it is a number, as in YAML 1.2."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(text: str) -> Any:
    """Parse YAML, numbers like 1e-5 included."""
    return yaml.load(text, Loader=_Loader)


def load_recipe(stage: str, file: str | None, overrides: dict[str, Any]) -> Recipe:
    """Read the recipe `file` for `stage`, put `overrides` (dotted key: value) over it, and check it.

    Raises UserError for a missing file, an unknown key, a wrong type or fields that contradict each other.
    """
    values: Any = {}
    if file is not None:
        try:
            values = read_yaml(Path(file).read_text()) or {}
        except OSError as error:
            raise UserError("recipe", file, "must be a YAML file that can be read", str(error.strerror)) from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError("recipe", file, "must be valid YAML", str(error)) from None
        if not isinstance(values, dict):
            raise UserError("recipe", file, "must be a mapping of keys to values", "see recipes/ for examples")
    if "data" in values:  # so that data.train.0 is a place also where a source stands alone
        values["data"] = normalise_sources(values["data"])
    for key, value in overrides.items():
        _set(values, key, value)
    recipe = parse_recipe(stage, values)
    recipe.check()
    return recipe


def parse_recipe(stage: str, values: dict[str, Any]) -> Recipe:
    """Turn `values` into the recipe of `stage`, without the checks across fields."""
    try:
        return recipe_class(stage).model_validate(values)
    except ValidationError as error:
        raise _explain(recipe_class(stage), error) from None


def parse_override(text: str) -> tuple[str, Any]:
    """Read `key.path=value` of the command line; the value is YAML."""
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise UserError("argument", text, "must be key.path=value", "for example training.steps=50")
    try:
        return key, read_yaml(value)
    except yaml.YAMLError:
        return key, value


def dump_recipe(recipe: Recipe) -> str:
    """Return the resolved recipe as YAML."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    node: Any = values
    *path, last = key.split(".")
    try:
        for part in path:
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
            if node is None:
                raise TypeError
        if isinstance(node, list):
            node[int(last)] = value
        else:
            node[last] = value
    except (ValueError, IndexError, TypeError, AttributeError):
        raise UserError(key, value, "there is no such place in the recipe", "check the key's path") from None


def _explain(model: type[BaseModel], error: ValidationError) -> UserError:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(p) for p in first["loc"] if not str(p).startswith("function-"))
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, first["loc"][:-1])
        return UserError(place, _short(first["input"]), "no such key", suggest(str(first["loc"][-1]), known))
    message = first["msg"].removeprefix("Value error, ").lower()
    value = "" if first["type"] == "missing" else _short(first["input"])
    return UserError(place or "recipe", value, message, "change it in the recipe or on the command line")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _fields_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """Return the field names of the block at `loc` below `model`."""
    for part in loc:
        if part in model.model_fields:
            annotation = model.model_fields[part].annotation
            inner = (annotation, *get_args(annotation))
            model = next((a for a in inner if isinstance(a, type) and issubclass(a, BaseModel)), model)
    return list(model.model_fields)
