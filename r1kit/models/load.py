"""From a recipe's `model` block to a model and its tokenizer.

block = ModelConfig(path="Qwen/Qwen2.5-0.5B", dtype="bfloat16")
tokenizer = load_tokenizer(block)
model = load_model(block, training=False)
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError
from r1kit.models.chat_templates import set_chat_template
from r1kit.ranks import local_rank
from r1kit.recipe import ModelConfig, NewModelConfig
from r1kit.runs.paths import resolve_model_path

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig
    from transformers import BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase


def load_tokenizer(block: ModelConfig) -> "PreTrainedTokenizerBase":
    """Return the tokenizer of a model; it pads on the left, with the end token where it has no padding token.

    It has the chat template that the recipe names, if it names one. Raises UserError where it cannot be loaded.
    """
    from transformers import AutoTokenizer

    path = resolve_model_path(block.path or "")
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path, revision=block.revision, trust_remote_code=block.trust_remote_code, padding_side="left"
        )
    except (OSError, ValueError) as error:
        raise _loading_error(block, error) from None
    if block.chat_template:
        set_chat_template(tokenizer, block.chat_template)
    # Padding is masked, so that any token will do; without one, transformers refuses to pad.
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(block: ModelConfig, training: bool = True, device: str | None = None) -> "PreTrainedModel":
    """Return a model in the recipe's dtype; for sampling, the adapter of a LoRA run is merged into its base.

    For training it is on the CPU, from where the trainer moves it. For sampling it is on `device`, by default this
    process's GPU where there is one.

    The dtype `auto` means, for training, float32 weights (a GPU computes in bfloat16), or bfloat16 under an adapter;
    for sampling, bfloat16 on a GPU that has it and float32 otherwise.

    Raises UserError where the model cannot be loaded, and where an adapter is to be trained further.
    """
    import torch
    from transformers import AutoModelForCausalLM

    path = resolve_model_path(block.path or "")
    if training and (Path(path) / "adapter_config.json").exists():
        # TRL and peft know the model by the name of its base: they would train a second adapter on that, and compare
        # with that.
        requirement = "this run is an adapter, which no further training can start from"
        raise UserError("model.path", block.path, requirement, "run it again with model.lora.merge=true")
    settings = _loading_settings(block, training)
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(path, **settings)
    except (OSError, ValueError) as error:
        raise _loading_error(block, error) from None
    if getattr(model, "_hf_peft_config_loaded", False):
        model = _merge_adapter(model, path, settings)
    if not training and device is None and torch.cuda.is_available():
        device = f"cuda:{local_rank()}"
    if device is not None:
        model = model.to(device)
    return model


def _loading_settings(block: ModelConfig, training: bool) -> dict[str, Any]:
    """Return the keyword arguments of `from_pretrained`."""
    settings: dict[str, Any] = {
        "revision": block.revision,
        "trust_remote_code": block.trust_remote_code,
        "dtype": _choose_dtype(block, training),
    }
    if block.attention:
        settings["attn_implementation"] = block.attention
    if block.quantize:
        settings["quantization_config"] = _build_quantization_config(block)
    return settings


def _merge_adapter(model_with_adapter: Any, adapter_path: str, settings: dict[str, Any]) -> Any:
    """Return the base of an adapter, loaded anew, with the adapter merged into its weights."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    # transformers has loaded base and adapter into one model, which cannot be merged; peft's own can.
    adapter_config = model_with_adapter.peft_config["default"]
    base_settings = {**settings, "revision": adapter_config.revision}
    base = AutoModelForCausalLM.from_pretrained(adapter_config.base_model_name_or_path, **base_settings)
    merged: Any = PeftModel.from_pretrained(base, adapter_path)
    return merged.merge_and_unload()


def _choose_dtype(block: ModelConfig, training: bool) -> "torch.dtype":
    import torch

    if block.dtype != "auto":
        return getattr(torch, block.dtype)
    gpu_has_bfloat16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    weights_stay_unchanged = block.lora is not None or not training
    # Small updates of a weight are lost in bfloat16, so weights that are trained stay in float32.
    if gpu_has_bfloat16 and weights_stay_unchanged:
        return torch.bfloat16
    return torch.float32


def _build_quantization_config(block: ModelConfig) -> "BitsAndBytesConfig":
    """Return QLoRA's: 4-bit NormalFloat with double quantization (arXiv 2305.14314, section 3)."""
    import torch

    if not torch.cuda.is_available():
        raise UserError("model.quantize", block.quantize, "needs a GPU, and there is none", "remove it to train here")
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        action = "pip install 'r1kit[quantize]'"
        raise UserError("model.quantize", block.quantize, "needs bitsandbytes", action) from None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def create_model(block: NewModelConfig, tokenizer: "PreTrainedTokenizerBase") -> "PreTrainedModel":
    """Return an untrained model with the vocabulary of `tokenizer`; its weights depend on torch's seed.

    Raises UserError where the recipe's settings are no config of that type of model.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.for_model(
            block.type,
            vocab_size=len(tokenizer),
            bos_token_id=None,  # r1kit's tokenizers have no token for the beginning of a text
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            **block.settings,
        )
        return AutoModelForCausalLM.from_config(config)
    except (TypeError, ValueError, StrictDataclassError) as error:
        # Its last line names the field, after the class of an exception.
        reason = str(error).splitlines()[-1].strip().rstrip(".")
        reason = reason.removeprefix("TypeError: ").removeprefix("ValueError: ")
        requirement = f"must be fields of a {block.type} config: {reason}"
        raise UserError("model.new.settings", block.settings, requirement, "correct them") from None


def build_lora_config(block: ModelConfig) -> "LoraConfig | None":
    """Return peft's LoraConfig for the recipe's adapter, None where all weights are trained."""
    if block.lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=block.lora.r,
        lora_alpha=block.lora.alpha,
        lora_dropout=block.lora.dropout,
        target_modules=block.lora.targets,
        task_type="CAUSAL_LM",
        revision=block.revision,
    )


def check_context(model: "PreTrainedModel", tokens: int, field: str, value: int) -> None:
    """Raise UserError where `tokens`, those of prompt and completion, do not fit into the model's context.

    The error names the recipe's `field`, which sets the length of completions, and its `value`.
    """
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if context is not None and tokens > context:
        requirement = f"with the prompt that is {tokens} tokens, and the model's context has {context}"
        raise UserError(field, value, requirement, f"use at most {max(1, value - (tokens - context))}")


def _loading_error(block: ModelConfig, error: Exception) -> UserError:
    """Return what to tell the user of an exception that `from_pretrained` raised."""
    if "trust_remote_code" in str(error):
        requirement = "brings code of its own, which r1kit runs only if you allow it"
        action = "read that code, then set model.trust_remote_code=true (chat, merge: --trust-remote-code)"
        return UserError("model.path", block.path, requirement, action)
    folder = Path(block.path or "")
    model_files = ("run.json", "config.json", "adapter_config.json")
    if folder.is_dir() and not any((folder / name).exists() for name in model_files):
        return UserError("model.path", block.path, "holds no model: it has no config.json", "check the path")
    if "attn_implementation" in str(error):
        requirement = "transformers has no such implementation of attention for this model"
        return UserError("model.attention", block.attention, requirement, "use eager or sdpa, or remove it")
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return UserError("model.path", block.path, f"cannot be loaded: {reason}", "check the path, the id and the network")
