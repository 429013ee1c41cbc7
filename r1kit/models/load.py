"""From a recipe's `model` block to a model and its tokenizer.

block = ModelConfig(path="Qwen/Qwen2.5-0.5B", dtype="bfloat16")
tokenizer = load_tokenizer(block)
model = load_model(block, training=False)
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError
from r1kit.messages import logger
from r1kit.models.adapters import (
    Adapter,
    build_lora_config,
    check_lora_targets,
    check_same_shape,
    continue_adapter,
    find_adapter,
    merge_adapter,
)
from r1kit.models.chat_templates import set_chat_template
from r1kit.ranks import barrier, is_main_rank, local_rank
from r1kit.recipe import ModelConfig, NewModelConfig
from r1kit.runs.files import replace_folder
from r1kit.runs.paths import resolve_model_path

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig
    from transformers import BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase

_MERGED = (
    "model.path is an adapter: it is merged into its base, and all weights are trained; set model.lora={} to train the "
    "adapter further"
)
_MERGED_UNDER_NEW = "model.path is an adapter: it is merged into its base, and a new adapter is trained"


def _loading_errors() -> tuple[type[Exception], ...]:
    """Return what transformers raises for files that are missing or malformed, as for a config with a wrong type."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    python_errors = (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, RecursionError)
    return (*python_errors, StrictDataclassError, SafetensorError)


def load_tokenizer(block: ModelConfig, local_files_only: bool = False) -> "PreTrainedTokenizerBase":
    """Return the tokenizer of a model; it pads on the left, with the end token where it has no padding token.

    It has the chat template that the recipe names, if it names one. With `local_files_only` nothing is fetched from the
    hub. Raises UserError where it cannot be loaded.
    """
    path = resolve_model_path(block.path or "")
    tokenizer: Any
    try:
        tokenizer = _read_tokenizer(path, block.revision, block, local_files_only)
    except _loading_errors() as error:
        adapter = find_adapter(path, block.revision, local_files_only)
        if adapter is None:
            raise _loading_error(block, error) from None
        try:  # an adapter may come without the tokenizer of its base
            tokenizer = _read_tokenizer(adapter.base_path, adapter.config.revision, block, local_files_only)
        except _loading_errors() as base_error:
            raise _loading_error(block, base_error, adapter) from None
    if block.chat_template:
        set_chat_template(tokenizer, block.chat_template)
    # Padding is masked, so that any token will do; without one, transformers refuses to pad.
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _read_tokenizer(path: str, revision: str | None, block: ModelConfig, local_files_only: bool) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(
        path,
        revision=revision,
        trust_remote_code=block.trust_remote_code,
        padding_side="left",
        local_files_only=local_files_only,
    )


def load_model(
    block: ModelConfig, training: bool = True, device: str | None = None, scores: bool = False
) -> "PreTrainedModel":
    """Return a model in the recipe's dtype; an adapter is merged into its base.

    For training it is on the CPU, from where the trainer moves it. For sampling it is on `device`, by default this
    process's GPU where there is one.

    The dtype `auto` means, for training, float32 weights (a GPU computes in bfloat16), or bfloat16 under an adapter;
    for sampling, bfloat16 on a GPU that has it and float32 otherwise.

    With `scores` it is a model with one score for a text in place of the next token, such as a reward model.

    Raises UserError where the model cannot be loaded.
    """
    import torch

    path = resolve_model_path(block.path or "")
    adapter = find_adapter(path, block.revision)
    if adapter is None:
        model = _read_model(path, block.revision, block, training, scores=scores)
    else:
        base = _read_model(adapter.base_path, adapter.config.revision, block, training, adapter, scores)
        model = merge_adapter(base, adapter)
    if not training and device is None and torch.cuda.is_available():
        device = f"cuda:{local_rank()}"
    if device is not None:
        model = model.to(device)
    return model


def load_model_to_train(
    block: ModelConfig, base_dir: Path | None = None
) -> tuple["PreTrainedModel", "LoraConfig | None"]:
    """Return the model that a stage trains, and the config of the adapter that the trainer is to add to it, if any.

    Where `model.path` is an adapter, it is trained further if the recipe has `model.lora`; else it is merged into its
    base, and all weights are trained. With `model.lora.start: new` it is merged, saved in `base_dir`, and gets
    a new adapter. Raises UserError where the model cannot be loaded or does not fit `model.lora`.
    """
    path = resolve_model_path(block.path or "")
    adapter = find_adapter(path, block.revision)
    if adapter is None:
        model = _read_model(path, block.revision, block, training=True)
        check_lora_targets(model, block)
        return model, build_lora_config(block)
    if block.lora is None:
        if is_main_rank():
            logger.info(_MERGED)
        return load_model(block), None
    if starts_new_adapter(block):
        if block.quantize:
            requirement = "an adapter cannot be merged into weights of 4 bits"
            raise UserError(
                "model.quantize", block.quantize, requirement, "merge it (r1kit merge) and train the result"
            )
        if is_main_rank():
            logger.info(_MERGED_UNDER_NEW)
        model = load_model(block)
        check_lora_targets(model, block)
        if base_dir is not None:
            save_start_model(model, base_dir)
        return model, build_lora_config(block)
    base = _read_model(adapter.base_path, adapter.config.revision, block, training=True, adapter=adapter)
    model = continue_adapter(base, adapter, block)
    if is_main_rank():
        logger.info(f"model.path is an adapter of rank {model.peft_config['default'].r}, which is trained further")
    return model, None


def load_scoring_model_to_train(block: ModelConfig) -> tuple["PreTrainedModel", "LoraConfig | None"]:
    """Return a model that scores texts, and the config of the adapter that the trainer is to add to it, if any.

    The layers are those of the language model or the reward model at `model.path`. A language model gets a new score
    layer, drawn from torch's seed. Raises UserError where it cannot be loaded, and for an adapter.
    """
    if is_adapter(block):
        requirement = "is an adapter of a language model, which a reward model cannot start from"
        raise UserError("model.path", block.path, requirement, "merge it first: r1kit merge RUN -o FOLDER")
    model = _read_model(resolve_model_path(block.path or ""), block.revision, block, training=True, scores=True)
    check_lora_targets(model, block)
    return model, build_lora_config(block, scores=True)


def save_start_model(model: Any, folder: Path) -> None:
    """Save the model from which a training starts, and name it by that folder from then on; all ranks call it.

    TRL loads the reference model by the name of the policy, and peft writes it into a new adapter as that of its base.
    The name of an adapter that was merged would be that of its base, without the adapter.
    """
    if is_main_rank() and not folder.exists():
        unfinished = folder.with_name(f".{folder.name}.tmp")
        shutil.rmtree(unfinished, ignore_errors=True)
        model.save_pretrained(unfinished)
        replace_folder(unfinished, folder)
    barrier()
    model.config._name_or_path = model.name_or_path = str(folder.resolve())


def describe_adapter(block: ModelConfig) -> list[str]:
    """Return notes on how a training will use the adapter at `model.path`; none for a model, and for what is not here.

    Raises UserError where `model.lora` describes another adapter.
    """
    try:
        adapter = find_adapter(resolve_model_path(block.path or ""), block.revision, local_files_only=True)
    except UserError:  # whoever loads the model says so
        return []
    if adapter is None:
        return []
    if block.lora is None:
        return [_MERGED]
    if block.lora.start == "new":
        return [_MERGED_UNDER_NEW]
    rank = getattr(adapter.config, "r", None)
    notes = [f"model.path is an adapter of rank {rank}, which is trained further"]
    return [*check_same_shape(adapter, block), *notes] if rank is not None else []


def starts_new_adapter(block: ModelConfig) -> bool:
    """Return whether `model.path` is an adapter, which is merged before another one is trained."""
    return block.lora is not None and block.lora.start == "new" and is_adapter(block)


def is_adapter(block: ModelConfig) -> bool:
    """Return whether `model.path` is an adapter rather than a model."""
    return find_adapter(resolve_model_path(block.path or ""), block.revision) is not None


def _read_model(
    path: str,
    revision: str | None,
    block: ModelConfig,
    training: bool,
    adapter: Adapter | None = None,
    scores: bool = False,
) -> Any:
    """Return the model in a folder or on the hub; `adapter` is the one of `model.path`, whose base this is.

    With `scores` it has a layer with one score on top, which is new where the files hold a language model.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    settings = {**_loading_settings(block, training), "revision": revision}
    try:
        if scores:
            from trl.trainer.reward_trainer import suppress_seqcls_warning

            with suppress_seqcls_warning():  # that a language model has no score layer
                return AutoModelForSequenceClassification.from_pretrained(path, num_labels=1, **settings)
        return AutoModelForCausalLM.from_pretrained(path, **settings)
    except _loading_errors() as error:
        raise _loading_error(block, error, adapter) from None


def _loading_settings(block: ModelConfig, training: bool) -> dict[str, Any]:
    """Return the keyword arguments of `from_pretrained`."""
    settings: dict[str, Any] = {
        "trust_remote_code": block.trust_remote_code,
        "dtype": _choose_dtype(block, training),
    }
    if block.attention:
        settings["attn_implementation"] = block.attention
    if block.quantize:
        settings["quantization_config"] = _build_quantization_config(block)
    return settings


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


def _loading_error(block: ModelConfig, error: Exception, adapter: Adapter | None = None) -> UserError:
    """Return what to tell the user of an exception that `from_pretrained` raised, for the base of `adapter` or else."""
    if "trust_remote_code" in str(error):
        requirement = "brings code of its own, which r1kit runs only if you allow it"
        action = "read that code, then set model.trust_remote_code=true (chat, merge: --trust-remote-code)"
        return UserError("model.path", block.path, requirement, action)
    folder = Path(block.path or "")
    model_files = ("run.json", "config.json", "adapter_config.json")
    if adapter is None and folder.is_dir() and not any((folder / name).exists() for name in model_files):
        return UserError("model.path", block.path, "holds no model: it has no config.json", "check the path")
    if "attn_implementation" in str(error) or (block.attention and "kernels" in str(error)):
        requirement = "transformers has no such implementation of attention for this model"
        return UserError("model.attention", block.attention, requirement, "use eager or sdpa, or remove it")
    reason = " ".join(str(error).splitlines()[:2]).rstrip(".") if str(error) else type(error).__name__
    if adapter is not None:
        requirement = f"is an adapter, whose base {adapter.base_path} cannot be loaded: {reason}"
        action = "correct base_model_name_or_path in its adapter_config.json, or bring the base to that path"
        return UserError("model.path", block.path, requirement, action)
    return UserError("model.path", block.path, f"cannot be loaded: {reason}", "check the path, the id and the network")
