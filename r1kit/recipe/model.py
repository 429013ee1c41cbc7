"""The block `model`: which model a stage loads, and in which form it is trained."""

from typing import Any, Literal

from pydantic import field_validator

from r1kit.recipe.block import Block, Fraction, PositiveInt, expand_path


class LoraConfig(Block):
    """Train a low-rank adapter (LoRA, arXiv 2106.09685) instead of all weights."""

    r: PositiveInt = 16
    """Rank of the adapter's matrices; a higher rank can learn more and takes more memory."""
    alpha: PositiveInt = 32
    """Scale of the adapter: its update is multiplied by alpha / r."""
    dropout: Fraction = 0.0
    """Probability with which each input of the adapter is set to zero while training."""
    targets: str | list[str] = "all-linear"
    """Modules that get an adapter, as peft's `target_modules`: `all-linear`, or names such as [q_proj, v_proj]."""
    start: Literal["further", "new"] = "further"
    """What is trained where `model.path` is an adapter: `further` trains that adapter on, `new` trains one of this
    block's shape on the merged model, which is saved in `base/` of the run."""
    merge: bool = False
    """Save `model/` as a plain model with the adapter merged in; the adapter is then kept in `adapter/`."""


class NewModelConfig(Block):
    """An untrained model with random weights, and a tokenizer trained on the data."""

    type: Literal["llama", "qwen3"] = "llama"
    """Architecture of the new model, as the `model_type` of transformers."""
    vocab_size: PositiveInt = 1024
    """Number of token ids of the new tokenizer, including one for each of the 256 bytes."""
    settings: dict[str, Any] = {}
    """Fields of the architecture's transformers config, such as hidden_size: 128 and num_hidden_layers: 4."""


class ModelConfig(Block):
    """The model that a stage trains, samples from or evaluates."""

    path: str | None = None
    """Where the model is read from: a hub id, a local folder, a run directory, or the shipped `tiny:base` and
    `tiny:student`."""
    new: NewModelConfig | None = None
    """Start from an untrained model instead of `path`; only `sft` and `distill` can."""
    revision: str | None = None
    """Branch, tag or commit of the model on the hub; default: its main branch."""
    chat_template: str | None = None
    """Chat template in place of the model's own, for training and for sampling: a file, `r1-distill` (plain text, for a
    base model without a template), `plain-tools` (plain text with calls of tools) or a family whose template TRL ships,
    such as qwen3 or llama3_1."""
    trust_remote_code: bool = False
    """Whether to run Python code that comes with the model; set it only for authors you trust."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights. `auto` trains in float32 (computing in bfloat16 on a GPU that supports it, and in
    bfloat16 throughout under an adapter), and samples in bfloat16 on such a GPU."""
    attention: str | None = None
    """Implementation of attention, as transformers' `attn_implementation`, such as sdpa or flash_attention_2."""
    lora: LoraConfig | None = None
    """Train a LoRA adapter instead of all weights; `lora: {}` takes the defaults."""
    quantize: Literal["4bit"] | None = None
    """Load the frozen weights under an adapter in 4 bits (QLoRA); needs `lora`, a GPU and bitsandbytes."""

    _expand_paths = field_validator("path", "chat_template")(expand_path)
