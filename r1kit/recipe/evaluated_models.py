"""The key `models` of `eval`: several models that are measured on the same problems, and their names.

models: [runs/zero, runs/r1]                                  named by their paths: zero and r1
models: {base: "tiny:base", R1: runs/r1}
models: {R1: {path: runs/r1, prompt: {template: chat}}}
models: {student: runs/distill, teacher: {path: deepseek-r1, server: {urls: "http://gpu1:8000/v1"}}}
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from r1kit.errors import UserError
from r1kit.recipe.block import Block, expand_path
from r1kit.recipe.prompt import PromptConfig
from r1kit.recipe.sampling import SamplingConfig, ServerConfig

# The folder of a run that holds its model: such a path is named by the run.
_MODEL_FOLDER = "model"


class EvaluatedModelConfig(Block):
    """One of several models that `eval` measures."""

    path: str
    """Where the model is read from, as `model.path`."""
    prompt: PromptConfig | None = None
    """How this model is asked; a key that is not set here is taken from the recipe's `prompt`."""
    server: ServerConfig | None = None
    """Servers of this model, which the engine `openai` asks; nothing is taken from `sampling.server`. Default: it is
    sampled as `sampling` says."""

    _expand_path = field_validator("path")(expand_path)

    def choose_sampling(self, sampling: SamplingConfig) -> SamplingConfig:
        """Return how this model is sampled: as the recipe says, or from servers of its own."""
        if self.server is None:
            return sampling
        return sampling.model_copy(update={"engine": "openai", "server": self.server, "vllm": {}})


def name_models(models: Sequence[str], field: str) -> dict[str, str]:
    """Return the paths of several models by their names; each is written as a path or as NAME=PATH.

        name_models(["runs/zero", "R1=runs/r1/model"], "--model")   {"zero": "runs/zero", "R1": "runs/r1/model"}

    A path alone is named by its last part, and by more of its parts where two would have the same name. Raises
    UserError, which names `field`, for a model or a name that stands there twice, and for a name without a path.
    """
    named: list[tuple[str, str]] = []
    for model in models:
        name, path = _split_name(model)
        if name and not path:
            raise UserError(field, model, "names no path after =", f"write {name}=PATH, or {name} alone")
        named.append((name, path))
    names = _name_paths([path for name, path in named if not name])
    paths_by_name: dict[str, str] = {}
    for name, path in named:
        name = name or names[path]
        if name in paths_by_name:
            requirement = f"the name {name} stands for {paths_by_name[name]} already"
            raise UserError(field, path, requirement, "write NAME=PATH with another name, or remove one of the two")
        paths_by_name[name] = path
    return paths_by_name


def _split_name(model: str) -> tuple[str, str]:
    """Return the name and the path of NAME=PATH, or "" and the path; folders may have an equals sign in their name."""
    name, equals_sign, path = model.partition("=")
    if not equals_sign or not name or "/" in name or os.path.exists(model):
        return "", model
    return name, path


def has_name(model: str) -> bool:
    """Return whether a model is written as NAME=PATH."""
    return bool(_split_name(model)[0])


def _name_paths(paths: Sequence[str]) -> dict[str, str]:
    """Return a name for each path: as many of its last parts as no other path ends in."""
    parts_by_path: dict[str, tuple[str, ...]] = {}
    for path in paths:
        parts = PurePath(path).parts or (path,)
        parts_by_path[path] = parts[:-1] if parts[-1] == _MODEL_FOLDER and len(parts) > 1 else parts
    names: dict[str, str] = {}
    for length in range(1, max(map(len, parts_by_path.values()), default=0) + 1):
        endings = {path: "/".join(parts[-length:]) for path, parts in parts_by_path.items()}
        counts = Counter(endings.values())
        for path, ending in endings.items():
            if path not in names and counts[ending] == 1:
                names[path] = ending
    return {path: names.get(path, path) for path in paths}


def normalise_models(models: Any) -> Any:
    """Return `models` as a mapping of names to blocks: a list is named by its paths, a path alone becomes a block.

    Raises UserError where two models of a list have the same name.
    """
    if isinstance(models, list) and all(isinstance(model, str) for model in models):
        models = name_models(models, "models")
    if not isinstance(models, dict):
        return models
    return {name: {"path": model} if isinstance(model, str) else model for name, model in models.items()}


def _accept_short_forms(models: Any) -> Any:
    try:
        return normalise_models(models)
    except UserError as error:
        raise ValueError(str(error).split("; ")[1]) from None


def _allow_short_forms(schema: dict[str, Any]) -> None:
    """Change the JSON schema of `models` so that it accepts a list of paths, and a path in the place of a block."""
    mapping = {"type": schema.pop("type"), "additionalProperties": schema.pop("additionalProperties")}
    mapping["additionalProperties"] = {"anyOf": [{"type": "string"}, mapping["additionalProperties"]]}
    schema["anyOf"] = [mapping, {"type": "array", "items": {"type": "string"}}]


EvaluatedModels = Annotated[
    dict[str, EvaluatedModelConfig],
    BeforeValidator(_accept_short_forms),
    Field(json_schema_extra=_allow_short_forms),
]
