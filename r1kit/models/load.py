"""From a recipe's `model` block to a model and its tokenizer."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError
from r1kit.recipe import ModelConfig, NewModelConfig
from r1kit.runs.paths import resolve_model_path

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_tokenizer(block: ModelConfig) -> "PreTrainedTokenizerBase":
    """Return the tokenizer of a model, which pads on the left with a token of its own where it has one."""
    from transformers import AutoTokenizer

    path = resolve_model_path(block.path or "")
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path, revision=block.revision, trust_remote_code=block.trust_remote_code, padding_side="left"
        )
    except (OSError, ValueError) as error:
        raise _missing(block, error) from None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(block: ModelConfig, training: bool = True, device: str | None = None) -> "PreTrainedModel":
    """Return a model in the recipe's dtype; for sampling, a LoRA run's adapter is merged into its base.

    It is on the CPU for training, whose trainer moves it, else on `device`: this process's GPU where there is one.

    In training, `auto` keeps the weights in float32 (a GPU computes in bfloat16), or in bfloat16 under
    an adapter; else it is the GPU's bfloat16, float32 on a CPU.
    """
    import torch
    from transformers import AutoModelForCausalLM

    path = resolve_model_path(block.path or "")
    if training and (Path(path) / "adapter_config.json").exists():
        # TRL and peft go by the base's name: they would train beside this adapter or hold it against its base.
        must = "this run is an adapter, which no further training can start from"
        raise UserError("model.path", block.path, must, "run it again with model.lora.merge=true")
    settings: dict[str, Any] = {"revision": block.revision, "trust_remote_code": block.trust_remote_code}
    settings["dtype"] = _dtype(block, training)
    if block.attention:
        settings["attn_implementation"] = block.attention
    if block.quantize:
        settings["quantization_config"] = _quantization(block)
    try:
        model = AutoModelForCausalLM.from_pretrained(path, **settings)
    except (OSError, ValueError) as error:
        raise _missing(block, error) from None
    if getattr(model, "_hf_peft_config_loaded", False):
        from peft import PeftModel

        adapter = model.peft_config["default"]
        given = {**settings, "revision": adapter.revision}
        base = AutoModelForCausalLM.from_pretrained(adapter.base_model_name_or_path, **given)
        model = PeftModel.from_pretrained(base, path).merge_and_unload()
    if not training and device is None and torch.cuda.is_available():
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return model if device is None else model.to(device)


def _dtype(block: ModelConfig, training: bool) -> Any:
    import torch

    if block.dtype != "auto":
        return getattr(torch, block.dtype)
    gpu = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if gpu and (block.lora or not training) else torch.float32


def _quantization(block: ModelConfig) -> Any:
    import torch

    if not torch.cuda.is_available():
        raise UserError("model.quantize", block.quantize, "needs a GPU, and there is none", "remove it to train here")
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise UserError(
            "model.quantize", block.quantize, "needs bitsandbytes", "pip install 'r1kit[quantize]'"
        ) from None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def create_model(block: NewModelConfig, tokenizer: "PreTrainedTokenizerBase") -> "PreTrainedModel":
    """Return an untrained model with the ids of `tokenizer`; the caller sets the seed."""
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.for_model(
            block.type,
            vocab_size=len(tokenizer),
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            **block.settings,
        )
        return AutoModelForCausalLM.from_config(config)
    except (TypeError, ValueError) as error:
        raise UserError("model.new.settings", block.settings, f"must be a {block.type} config", str(error)) from None


def build_lora_config(block: ModelConfig) -> Any:
    """Return peft's LoraConfig for the recipe, or None."""
    if block.lora is None:
        return None
    from peft import LoraConfig

    lora = block.lora
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        task_type="CAUSAL_LM",
        revision=block.revision,
    )


def check_context(model: "PreTrainedModel", tokens: int, field: str, value: int) -> None:
    """Raise UserError where `tokens` (prompt and completion) do not fit the model's context."""
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if context is not None and tokens > context:
        must = f"with the prompt that is {tokens} tokens, and the model's context has {context}"
        raise UserError(field, value, must, f"use at most {max(1, value - (tokens - context))}")


def _missing(block: ModelConfig, error: Exception) -> UserError:
    if "trust_remote_code" in str(error):
        must = "brings code of its own, which is not run unasked"
        do = "read it, then set model.trust_remote_code=true (chat, merge: --trust-remote-code)"
        return UserError("model.path", block.path, must, do)
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError("model.path", block.path, f"cannot be loaded: {reason}", "check the path, the id and the network")
