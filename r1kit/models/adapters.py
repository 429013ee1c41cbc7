"""Adapters of peft: find one where a model is named, merge it into its base, or train it further.

    adapter = find_adapter("runs/sft_lora/model")       Adapter(path=..., base_path="Qwen/Qwen2.5-0.5B", ...)
    model = merge_adapter(base, adapter)                a plain model with the adapter's outputs

A merged model gives the logits of base and adapter, to the rounding of its weights. Where the output head shares the
weights of the input embeddings (a tied model) and the adapter changes one of the two, they are two weights afterwards,
and the merged model is no longer tied.
"""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError, suggest
from r1kit.messages import logger
from r1kit.ranks import is_main_rank
from r1kit.recipe import ModelConfig
from r1kit.recipe.model import LoraConfig as LoraBlock
from r1kit.runs.paths import ADAPTER_BASE_FOLDER

if TYPE_CHECKING:
    from peft import LoraConfig, PeftConfig

ALL_LINEAR = "all-linear"
"""The value of `model.lora.targets` for all linear layers but the output head."""

_MISSING_WEIGHTS_WARNING = "Found missing adapter keys"  # how peft's warning begins


@dataclass(frozen=True)
class Adapter:
    """An adapter of peft, in a folder or on the hub."""

    path: str
    """Folder or hub id of the adapter."""
    revision: str | None
    """Branch, tag or commit of the adapter on the hub."""
    base_path: str
    """Folder or hub id of the model that it changes."""
    config: "PeftConfig"


def find_adapter(path: str, revision: str | None = None, local_files_only: bool = False) -> Adapter | None:
    """Return the adapter that a folder or hub id holds, None where it holds a model.

    With `local_files_only` the hub is not asked. Raises UserError for an adapter that peft cannot read or that does not
    name its base.
    """
    from transformers.utils import find_adapter_config_file

    try:
        if find_adapter_config_file(path, revision=revision, local_files_only=local_files_only) is None:
            return None
    except (OSError, ValueError):  # the id of no repository: whoever loads the model says so
        return None
    from peft import PeftConfig

    try:
        config = PeftConfig.from_pretrained(path, revision=revision, local_files_only=local_files_only)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        requirement = f"its adapter_config.json cannot be read: {_first_line(error)}"
        raise UserError(
            "model.path", path, requirement, "install the peft that wrote it, or correct the file"
        ) from None
    base_path = config.base_model_name_or_path
    if Path(path, "config.json").exists():
        requirement = "holds a model and an adapter"
        raise UserError("model.path", path, requirement, "move adapter_config.json and the adapter to another folder")
    if not base_path:
        requirement = "is an adapter that does not name its base"
        raise UserError("model.path", path, requirement, "set base_model_name_or_path in its adapter_config.json")
    beside_adapter = Path(path).parent / ADAPTER_BASE_FOLDER
    is_base_of_run = Path(base_path).is_absolute() and Path(base_path).name == ADAPTER_BASE_FOLDER
    if is_base_of_run and not Path(base_path).exists() and beside_adapter.is_dir():
        base_path = str(beside_adapter)  # the run was moved, and its base with it
    return Adapter(path, revision, base_path, config)


# Merging


def merge_adapter(base: Any, adapter: Adapter) -> Any:
    """Return the adapter's base with the adapter merged into its weights.

    Raises UserError for an adapter that cannot be merged, such as prompt tuning, and one that does not fit the base.
    """
    from transformers import GenerationConfig

    if adapter.config.is_prompt_learning:
        requirement = f"is an adapter of the type {_type_name(adapter)}, which has no weights to merge into a model"
        raise UserError("model.path", adapter.path, requirement, "use a LoRA adapter or a plain model")
    was_tied = _untie_head(base)
    model = _load_onto(base, adapter)
    with warnings.catch_warnings():
        # What peft warns of, that the head and the embeddings are merged into one, is seen to here.
        warnings.filterwarnings("ignore", message=r"Model with `tie_word_embeddings=True`|Input and output embeddings")
        merged = model.merge_and_unload()
    if was_tied:
        _tie_head_if_equal(merged)
    if Path(adapter.path, "generation_config.json").exists():  # r1kit saves it with an adapter
        merged.generation_config = GenerationConfig.from_pretrained(adapter.path)
    merged.requires_grad_(True)  # peft has frozen them
    return merged


def _untie_head(model: Any) -> bool:
    """Give the output head weights of its own; return whether it shared those of the input embeddings."""
    from torch import nn

    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    if head is None or head.weight is not embeddings.weight:
        return False
    head.weight = nn.Parameter(embeddings.weight.detach().clone(), requires_grad=embeddings.weight.requires_grad)
    return True


def _tie_head_if_equal(model: Any) -> None:
    """Let the output head share the weights of the input embeddings again if they are equal, and say so in the config.

    Otherwise the config says that they are two weights, and both are saved.
    """
    import torch

    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    are_equal = torch.equal(head.weight, embeddings.weight)
    if are_equal:
        head.weight = embeddings.weight
    for config in (model.config, model.config.get_text_config()):
        config.tie_word_embeddings = are_equal
    model.all_tied_weights_keys = model.get_expanded_tied_weights_keys(all_submodels=False)


def _load_onto(base: Any, adapter: Adapter, is_trainable: bool = False) -> Any:
    """Return peft's model of base and adapter. Raises UserError where the adapter's weights do not fit the base."""
    from peft import PeftModel

    try:
        with warnings.catch_warnings():
            # Weights that are missing would stay as they are before any training, which peft only warns of.
            warnings.filterwarnings("error", message=_MISSING_WEIGHTS_WARNING)
            warnings.filterwarnings("ignore", message=r"Model with `tie_word_embeddings=True`")
            return PeftModel.from_pretrained(
                base, adapter.path, revision=adapter.revision, is_trainable=is_trainable, config=adapter.config
            )
    except (UserWarning, OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        requirement = f"this adapter does not fit its base {adapter.base_path}: {_first_line(error)}"
        raise UserError("model.path", adapter.path, requirement, "use the base that it was trained on") from None


# Training


def continue_adapter(base: Any, adapter: Adapter, block: ModelConfig) -> Any:
    """Return peft's model of base and adapter, of which the adapter is trained further.

    Raises UserError where `model.lora` describes another adapter, and for an adapter other than LoRA's.
    """
    if _type_name(adapter) != "LORA":
        requirement = f"is an adapter of the type {_type_name(adapter)}, which r1kit does not train"
        raise UserError("model.path", adapter.path, requirement, "use a LoRA adapter or a plain model")
    for note in check_same_shape(adapter, block):
        if is_main_rank():
            logger.info(note)
    model = _load_onto(base, adapter, is_trainable=True)
    _refuse_adapted_head(model, block)
    return model


def check_same_shape(adapter: Adapter, block: ModelConfig) -> list[str]:
    """Return notes on the defaults of `model.lora` that the adapter has other values of, and which are not used.

    Raises UserError where the recipe sets a field of `model.lora` to another value than the adapter has.
    """
    notes: list[str] = []
    config: Any = adapter.config
    lora = block.lora or LoraBlock()
    shape = {
        "r": config.r,
        "alpha": config.lora_alpha,
        "dropout": config.lora_dropout,
        "targets": config.target_modules,
    }
    for name, value in shape.items():
        recipe_value = getattr(lora, name)
        default = type(lora).model_fields[name].default
        # A default may also come from the recipe of a run, in which all fields are filled in.
        if _as_set(recipe_value) == _as_set(value):
            continue
        if recipe_value == default:
            if name != "targets":
                notes.append(f"model.lora.{name} = {recipe_value} is not used: the adapter has {name} = {value}")
            continue
        requirement = (
            f"the adapter at model.path has {name} = {_as_text(value)}, and keeps it when it is trained further"
        )
        raise UserError(f"model.lora.{name}", recipe_value, requirement, "remove it, or start from a plain model")
    return notes


def _as_set(value: Any) -> Any:
    return set(value) if isinstance(value, list | set | tuple) else value


def _as_text(value: Any) -> str:
    return f"[{', '.join(sorted(value))}]" if isinstance(value, list | set | tuple) else str(value)


def build_lora_config(block: ModelConfig, scores: bool = False) -> "LoraConfig | None":
    """Return peft's LoraConfig for the recipe's adapter, None where all weights are trained.

    `scores` is for a model that scores texts, whose score layer is trained whole.
    """
    if block.lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=block.lora.r,
        lora_alpha=block.lora.alpha,
        lora_dropout=block.lora.dropout,
        target_modules=block.lora.targets,
        task_type="SEQ_CLS" if scores else "CAUSAL_LM",
        revision=block.revision,
    )


def check_lora_targets(model: Any, block: ModelConfig) -> None:
    """Raise UserError where `model.lora.targets` names modules that the model does not have, or cannot be adapted.

    peft ignores a name that matches nothing, as long as another one of the list matches.
    """
    targets = block.lora.targets if block.lora else ALL_LINEAR
    if targets == ALL_LINEAR:
        return
    if not targets:
        raise UserError("model.lora.targets", targets, "must name a module", f"use {ALL_LINEAR}, or names of modules")
    modules = dict(model.named_modules())
    head = model.get_output_embeddings()
    for target in [targets] if isinstance(targets, str) else targets:
        matched = _matching_names(target, list(modules), is_pattern=isinstance(targets, str))
        if not matched:
            leaves = {name.rpartition(".")[2] for name, layer in modules.items() if _is_target(layer, head)}
            requirement = "no module of this model has this name"
            raise UserError("model.lora.targets", target, requirement, suggest(target, leaves))
        for name in matched:
            if modules[name] is head:
                _raise_adapted_head(target)
            if not _can_be_adapted(modules[name]):
                requirement = f"{name} is a {type(modules[name]).__name__}, and LoRA changes single layers alone"
                raise UserError("model.lora.targets", target, requirement, "name the linear layers in it")


def _matching_names(target: str, names: list[str], is_pattern: bool) -> list[str]:
    """Return the modules that peft matches with a target: by the end of their name, or by a pattern for all of it."""
    if not is_pattern:
        return [name for name in names if name == target or name.endswith(f".{target}")]
    try:
        return [name for name in names if re.fullmatch(target, name)]
    except re.error as error:
        requirement = f"must be a list of names or a regular expression: {error}"
        raise UserError("model.lora.targets", target, requirement, "write [name, name], or correct it") from None


def _is_target(module: Any, head: Any) -> bool:
    return module is not head and _can_be_adapted(module)


def _can_be_adapted(module: Any) -> bool:
    """Return whether peft's LoRA has an adapter for this type of layer."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    layers = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.MultiheadAttention, Conv1D)
    return isinstance(module, layers)


def _refuse_adapted_head(model: Any, block: ModelConfig) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    if isinstance(model.get_output_embeddings(), BaseTunerLayer):
        requirement = "this adapter changes the output head, which TRL's loss does not train"
        raise UserError("model.path", block.path, requirement, "merge it (r1kit merge), and train the merged model")


def _raise_adapted_head(target: str) -> None:
    requirement = "names the output head, whose adapter TRL's loss would never train"
    raise UserError("model.lora.targets", target, requirement, f"remove it, or use {ALL_LINEAR}")


def _type_name(adapter: Adapter) -> str:
    return str(getattr(adapter.config.peft_type, "value", adapter.config.peft_type))


def _first_line(error: BaseException) -> str:
    """Return what an exception of a library says, as a clause of one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # torch lists the weights that do not fit after a line that names the class alone.
    text = " ".join(lines[:2]) if lines and lines[0].endswith(":") else (lines or [type(error).__name__])[0]
    return text[:200].rstrip(".")
