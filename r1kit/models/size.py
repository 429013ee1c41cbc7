"""Count a model's parameters from its config, without its weights.

The model is built by transformers on torch's `meta` device, where a tensor has a shape and no memory. So the count is
right for every architecture that transformers can build, mixtures of experts and recurrent layers included; a weight
that two layers share (a tied output head) counts once. Building a model of 30 billion parameters takes two seconds.

    config = load_config(ModelConfig(path="openai-community/gpt2"))
    count_parameters(config)                                            ModelSize(total=124439808, trained=124439808)
"""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError
from r1kit.models.adapters import build_lora_config
from r1kit.recipe import ModelConfig
from r1kit.runs.paths import PACKAGE_DIR, describe_absent_run, resolve_model_path

if TYPE_CHECKING:
    from torch import nn
    from transformers import PretrainedConfig


@dataclass(frozen=True)
class ModelSize:
    """The number of a model's parameters, of those that the optimizer changes, and of those that are in 4 bits."""

    total: int
    trained: int
    quantized: int = 0


class UnknownSizeError(Exception):
    """The parameters cannot be counted; the message is the reason, a clause of one line."""


def load_config(block: ModelConfig, path: str | None = None) -> "PretrainedConfig":
    """Return the transformers config of `path`, else of the recipe's model, without asking the network.

    Looked for in this order: the config of a new model, the copies that r1kit ships for its recipes, a local folder or
    run, and the cache of the hub. Of an adapter it is the config of its base.

    Raises UnknownSizeError where the config is not on this machine or transformers cannot read it, and UserError where
    `path` is a local path that does not exist.
    """
    path = path or block.path or ""
    if path.startswith("runs/") and not Path(path).exists():
        raise UnknownSizeError(f"an earlier stage makes this model{describe_absent_run(path)}")
    try:
        # A dry run never executes a model's own code, whatever the recipe allows for the run itself.
        with _quiet_libraries():
            return _find_config(block, path)
    except (UserError, UnknownSizeError):
        raise
    except OSError as error:
        is_broken = "not a valid JSON file" in str(error)
        reason = "its config.json is not valid JSON" if is_broken else "its config is not on this machine"
        raise UnknownSizeError(reason) from None
    except Exception as error:  # whatever a config that transformers refuses makes its classes raise
        raise UnknownSizeError(_reason(error)) from None


def _find_config(block: ModelConfig, path: str) -> "PretrainedConfig":
    from transformers import AutoConfig

    if block.new:
        return AutoConfig.for_model(block.new.type, vocab_size=block.new.vocab_size, **block.new.settings)
    shipped_config = PACKAGE_DIR / "configs" / f"{path.replace('/', '--')}.json"
    if shipped_config.exists():
        return AutoConfig.for_model(**json.loads(shipped_config.read_text()))
    location = resolve_model_path(path)
    folder = Path(location)
    if folder.is_dir() and not (folder / "config.json").exists():
        adapter_config = folder / "adapter_config.json"
        if not adapter_config.exists():
            raise UnknownSizeError("the folder has no config.json")
        location = json.loads(adapter_config.read_text())["base_model_name_or_path"]
    return AutoConfig.from_pretrained(location, revision=block.revision, local_files_only=True, trust_remote_code=False)


def count_parameters(config: "PretrainedConfig", block: ModelConfig | None = None) -> ModelSize:
    """Return the number of parameters of the causal language model that `config` describes.

    With a recipe's model `block` that has an adapter, the adapter's parameters are counted too, and they alone are
    trained. With `model.quantize`, bitsandbytes keeps linear layers in 4 bits, all but the output head; embeddings,
    norms and the experts that transformers joins in one tensor stay as they are.

    Raises UnknownSizeError where transformers or peft cannot build the model.
    """
    import torch
    from transformers import AutoModelForCausalLM

    # Constructors raise whatever a config makes them raise: an optional package that is missing, a field that is None.
    try:
        with _quiet_libraries(), torch.device("meta"):
            model: nn.Module = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
            quantized = _count_quantized(model) if block and block.quantize else 0
            if block and block.lora:
                from peft import get_peft_model

                model = get_peft_model(model, build_lora_config(block), low_cpu_mem_usage=True)  # type: ignore[arg-type]
    except Exception as error:
        if "Unrecognized configuration class" in str(error):
            reason = f"transformers has no causal language model of the type {config.model_type}"
            raise UnknownSizeError(reason) from None
        raise UnknownSizeError(_reason(error)) from None
    # `parameters()` gives a parameter that several modules share once.
    total = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return ModelSize(total, trained, quantized)


def _count_quantized(model: Any) -> int:
    from torch import nn

    head = model.get_output_embeddings()
    layers = [module for module in model.modules() if isinstance(module, nn.Linear) and module is not head]
    return sum(layer.weight.numel() for layer in layers)


def context_length(config: "PretrainedConfig") -> int | None:
    """Return the most tokens that prompt and completion may have together, None where the config sets no limit."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def check_context(config: "PretrainedConfig", tokens: int, field: str, value: int) -> None:
    """Raise UserError where `tokens`, those of prompt and completion, do not fit into the model's context.

    The error names the recipe's `field`, which sets the length of completions, and its `value`.
    """
    context = context_length(config)
    if context is not None and tokens > context:
        requirement = f"prompt and completion have up to {tokens} tokens, and the model's context has {context}"
        action = f"use at most {max(1, value - (tokens - context))}"
        if tokens == value:  # the length of the prompt is not known yet
            requirement, action = f"the model's context has {context} tokens", f"use fewer than {context}"
        raise UserError(field, value, requirement, action)


def _reason(error: Exception) -> str:
    """Return an exception's message as one line, or its type where it has none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if "trust_remote_code" in str(error):
        return "the model brings code of its own, which a dry run does not execute"
    if isinstance(error, ImportError):
        return lines[0].partition(". ")[0]  # the next sentence says how to install the package, over several lines
    if isinstance(error, ValueError):
        return lines[0]
    if "alidation error" in lines[0] and len(lines) > 1:  # the second line says what is wrong with the field
        return f"{lines[0]} {lines[1]}"
    return f"transformers cannot build it ({type(error).__name__}: {lines[0]})"


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Silence what transformers and peft say about a model while it is built, which no one is going to run."""
    previous_level: Any = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous_level)
