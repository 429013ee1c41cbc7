"""What a model's architecture allows: whether its rows may be cut, sorted or packed without changing the update."""

from typing import Any

import torch

# Fields of transformers configs that hold a dropout probability.
DROPOUT_FIELDS = (
    "activation_dropout",
    "attention_dropout",
    "attn_pdrop",
    "dropout",
    "embd_pdrop",
    "hidden_dropout",
    "layerdrop",
    "resid_pdrop",
    "router_jitter_noise",
)


def has_dropout(model: Any) -> bool:
    """Return whether the model draws random numbers for whole batches, so that other batches draw others."""
    config = model.config.get_text_config()
    if any(getattr(config, field, None) for field in DROPOUT_FIELDS):
        return True
    return any(module.p > 0 for module in model.modules() if isinstance(module, torch.nn.Dropout))


def has_virtual_tokens(model: Any) -> bool:
    """Return whether peft puts virtual tokens before each row (prompt, prefix and p-tuning).

    The outputs of such a model are wider than its inputs.
    """
    configs = getattr(model, "peft_config", None) or {}
    return any(config.is_prompt_learning for config in configs.values())


def positions_depend_on_width(model: Any) -> bool:
    """Return whether the rotary frequencies depend on how wide a batch is (rope types `longrope` and `dynamic`)."""
    parameters = getattr(model.config.get_text_config(), "rope_parameters", None) or {}
    per_layer_type = [value for value in parameters.values() if isinstance(value, dict)]
    return any(rope.get("rope_type") in ("longrope", "dynamic") for rope in [parameters, *per_layer_type])


def has_rotary_positions(model: Any) -> bool:
    """Return whether positions are rotary, so that padding to the left of a prompt changes nothing."""
    config = model.config.get_text_config()
    return bool(getattr(config, "rope_parameters", None) or getattr(config, "rope_theta", None))


def needs_single_pass(trainer: Any) -> bool:
    """Return whether a micro-batch must go through the model in one forward pass where gradients flow.

    With FSDP and DeepSpeed the gathered weights would stay in memory until the last chunk's backward pass, and with
    reentrant checkpointing each chunk would have a backward pass of its own.
    """
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        return True
    checkpointing_settings = trainer.args.gradient_checkpointing_kwargs or {}
    return trainer.args.gradient_checkpointing and checkpointing_settings.get("use_reentrant", False)


def has_only_attention(model: Any) -> bool:
    """Return whether attention alone carries information between tokens.

    A recurrent layer does not see where one of several packed rows ends.
    """
    layer_types = set(getattr(model.config.get_text_config(), "layer_types", None) or ())
    return not getattr(model, "_is_stateful", False) and layer_types <= {"full_attention", "sliding_attention"}


def has_only_full_attention(model: Any) -> bool:
    """Return whether attention to all tokens, by sdpa or eager, alone carries information between tokens."""
    config = model.config.get_text_config()
    layer_types = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    if not has_only_attention(model) or window or not layer_types <= {"full_attention"}:
        return False
    return config._attn_implementation in ("sdpa", "eager")
