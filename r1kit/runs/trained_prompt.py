"""The prompt block that a model was trained with: of its run's recipe, or of the file that goes along with the model.

A model that was trained on one form of a question answers another form worse, or not at all, so that whoever samples
from a run asks it as its training did. `model/` holds the block too, so that a model which was copied, merged or pushed
to the hub still says how it is to be asked.

    read_trained_prompt("runs/r1")   PromptConfig(template="chat", system=None, template_settings={})
"""

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from r1kit.recipe import PromptConfig
from r1kit.runs.files import write_file
from r1kit.runs.paths import SHIPPED_MODELS
from r1kit.runs.run import Run
from r1kit.safe_text import mask_secrets
from r1kit.stages import STAGES

PROMPT_FILE = "r1kit_prompt.yaml"
"""The file in a model's folder that holds the prompt block it was trained with."""

TRAINED_FIELDS = ("template", "system", "template_settings")
"""The fields of the prompt block that a training follows; `prefill` is for sampling alone."""

# The folders within a run that hold a model.
_MODEL_FOLDERS = ("model", "adapter", "reward_model")


def write_trained_prompt(prompt: PromptConfig, model_folder: Path) -> None:
    """Write the prompt block that a model was trained with into the model's folder."""
    values = mask_secrets(prompt.model_dump(mode="json", include=set(TRAINED_FIELDS)))
    write_file(model_folder / PROMPT_FILE, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def read_trained_prompt(path: str) -> PromptConfig | None:
    """Return the prompt block that the model at `path` was trained with; None where that is not known.

    `path` is a run, the `model/` or a checkpoint of a run, a folder that such a model was copied to, or a shipped
    model. It is not known of hub ids, and of folders that r1kit has not made.
    """
    folder = Path(SHIPPED_MODELS.get(path, path))
    run_folder = _find_run(folder)
    if run_folder is not None:
        stage = STAGES.get(str(Run(run_folder).info.get("stage")))
        if stage is None or not stage.trains_model:
            return None
        recipe = _read_yaml(run_folder / "recipe.yaml")
        return _parse_prompt(recipe.get("prompt"))
    return _parse_prompt(_read_yaml(folder / PROMPT_FILE))


def read_trained_tools(path: str) -> list[str]:
    """Return the tools, and the environment, that the run at `path` was trained with; none where that is not known."""
    run_folder = _find_run(Path(SHIPPED_MODELS.get(path, path)))
    recipe = _read_yaml(run_folder / "recipe.yaml") if run_folder is not None else {}
    tools = recipe.get("tools")
    names = [*(tools if isinstance(tools, list) else []), recipe.get("environment")]
    return [str(name) for name in names if name]


def _find_run(folder: Path) -> Path | None:
    """Return the run that a folder is, or that it is the model or a checkpoint of; None for other folders."""
    candidates = [folder]
    if folder.name in _MODEL_FOLDERS:
        candidates.append(folder.parent)
    elif folder.parent.name == "checkpoints":
        candidates.append(folder.parent.parent)
    for candidate in candidates:
        # os.path.exists is false for a path that is too long; Path.exists would raise.
        if all(os.path.exists(candidate / name) for name in ("run.json", "recipe.yaml")):
            return candidate
    return None


def _read_yaml(file: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; empty if there is no such file, or something else in it."""
    try:
        values = yaml.safe_load(file.read_text())
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    return values if isinstance(values, dict) else {}


def _parse_prompt(values: Any) -> PromptConfig | None:
    if not isinstance(values, dict) or "template" not in values:
        return None
    try:
        return PromptConfig(**{name: values[name] for name in TRAINED_FIELDS if name in values})
    except ValidationError:
        return None
