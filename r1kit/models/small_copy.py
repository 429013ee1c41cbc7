"""A small model of the same architecture with random weights, for a quick trial where the real one is too large.

write_small_copy(config, tokenizer, Path("runs/zero.smoke.models/Qwen2.5-7B"))
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.runs.files import replace_folder

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

WEIGHTS_SEED = 0
_VOCABULARY_MULTIPLE = 64
# Fields of the configs of transformers, as families name them, each with a small value. A field that a config lacks, or
# that is None there, stays so.
_SMALL_VALUES: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim"), 64),
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_dim", "d_ff"), 128),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads"), 4),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 32),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "global_head_dim", "mamba_d_state"), 16),
    **dict.fromkeys(("linear_num_key_heads", "num_global_key_value_heads"), 2),
    **dict.fromkeys(("linear_num_value_heads", "mamba_n_heads"), 4),
    "hidden_size_per_layer_input": 16,
    "mamba_d_head": 32,
    "shared_intermediate_size": 32,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "num_experts_per_tok": 2,
    "rotary_dim": 8,
    "word_embed_proj_dim": 64,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
}
_LAYER_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "max_window_layers")
_FEWEST_LAYERS = 2
_TRIAL_TOKENS = 8


class CannotShrinkError(Exception):
    """transformers cannot build or run the small model; the message is the reason."""


def write_small_copy(
    config: "PretrainedConfig",
    tokenizer: "PreTrainedTokenizerBase",
    folder: Path,
    change_weights: Callable[[Any], None] | None = None,
) -> None:
    """Write a small model of the class of `config` with `tokenizer` to `folder`: a layer of each kind, random weights.

    An existing folder is replaced. `change_weights(model)` may draw the weights in another way. Raises
    CannotShrinkError where the architecture cannot be made small this way.
    """
    import torch
    from transformers import AutoModelForCausalLM, set_seed

    set_seed(WEIGHTS_SEED)
    try:
        model = AutoModelForCausalLM.from_config(shrink_config(config, tokenizer), trust_remote_code=False)
        model = model.float().eval()
        if change_weights is not None:
            change_weights(model)
        ids = torch.arange(_TRIAL_TOKENS)[None] % len(tokenizer)  # (1, T)
        with torch.inference_mode():
            logits = model(input_ids=ids).logits  # (1, T, V)
    except Exception as error:  # constructors raise whatever a config makes them raise
        raise CannotShrinkError(str(error).splitlines()[0] if str(error) else type(error).__name__) from None
    if not math.isfinite(logits.sum().item()):
        raise CannotShrinkError("its outputs are no numbers")
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}.new")
    model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    replace_folder(unfinished, folder)


def shrink_config(config: "PretrainedConfig", tokenizer: "PreTrainedTokenizerBase") -> "PretrainedConfig":
    """Return the config of the small model; that of a model with images too is its text's."""
    text_config = config.get_text_config()
    values = text_config.to_dict()
    old_layers = text_config.num_hidden_layers
    values |= {name: small for name, small in _SMALL_VALUES.items() if isinstance(values.get(name), int)}
    if values.get("num_key_value_heads") and _has_as_many_key_heads(text_config):
        values["num_key_value_heads"] = values["num_attention_heads"]
    by_layer = {name: value for name, value in values.items() if isinstance(value, list) and len(value) == old_layers}
    layers = _one_of_each_kind(old_layers, list(by_layer.values()))
    values |= {name: [value[layer] for layer in layers] for name, value in by_layer.items()}
    values |= {name: len(layers) for name in _LAYER_COUNTS if isinstance(values.get(name), int)}
    if isinstance(values.get("qk_rope_head_dim"), int):
        values["head_dim"] = values["qk_rope_head_dim"]
    # Some room, as most models have: a chat template may bring a token of its own.
    vocabulary_size = math.ceil((len(tokenizer) + 1) / _VOCABULARY_MULTIPLE) * _VOCABULARY_MULTIPLE
    values |= {"vocab_size": vocabulary_size, "dtype": "float32"}
    if "vocab_size_per_layer_input" in values:
        values["vocab_size_per_layer_input"] = vocabulary_size
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        values[name] = getattr(tokenizer, name)
    # per_layer_config names layers by their number, and is made anew of layer_types.
    for name in ("quantization_config", "auto_map", "architectures", "_name_or_path", "per_layer_config"):
        values.pop(name, None)
    return type(text_config)(**values)


def _has_as_many_key_heads(config: "PretrainedConfig") -> bool:
    return config.num_key_value_heads == config.num_attention_heads


def _one_of_each_kind(layer_count: int, lists: list[list[Any]]) -> list[int]:
    """Return the first layer of each kind, and at least two layers; `lists`, such as layer_types, tell the kinds."""
    kinds: dict[tuple[Any, ...], int] = {}
    for layer in range(layer_count):
        kinds.setdefault(tuple(str(entries[layer]) for entries in lists), layer)
    layers = list(kinds.values())
    return layers if len(layers) >= _FEWEST_LAYERS else [0, layer_count - 1]
