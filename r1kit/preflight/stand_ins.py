"""What takes the place of a model, data or an engine that this machine lacks, where a recipe is only tried.

`r1kit STAGE --smoke` and `r1kit prove` try recipes on any machine. Each replacement appends a note to a list, which
the command shows.
"""

import importlib.util
import os
import socket
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from r1kit.data.sources.generated import is_generated_source
from r1kit.errors import UserError
from r1kit.preflight.sources import LARGEST_DATA_READ, local_size
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.recipe import ModelConfig, RewardConfig, RLRecipe, SourceConfig
from r1kit.recipe.filters import FiltersConfig
from r1kit.recipe.smoke import OUTPUT_SUFFIX, SMOKE_ROWS

HUB_SECONDS = 3.0
"""Seconds that the hub has to accept a connection."""
STAND_IN_MODEL = "tiny:student"
STAND_IN_TEMPLATE = "r1-distill"
"""The chat template of a stand-in for a model whose own is not on this machine."""
STAND_IN_PROBLEMS = SourceConfig(path="world:arithmetic")
STAND_IN_EXAMPLES = SourceConfig(path="self-cognition:R1-Smoke", settings={"maker": "r1kit"})
STAND_IN_REWARD = RewardConfig(name="format")


# Data


def replace_source(source: SourceConfig, field: str, stand_in: SourceConfig, notes: list[str]) -> SourceConfig:
    """Return a source that can be read here within seconds."""
    if is_generated_source(source.path):
        return source
    path = find_smoke_run(source.path, "data", f"{field}.path", notes)
    if path is not None:
        source = source.model_copy(update={"path": path})
        size = local_size(path)
        if size is not None:
            is_large = size > LARGEST_DATA_READ
            return source.model_copy(update={"stream": True}) if is_large else source
        if is_hub_reachable():
            return source.model_copy(update={"stream": True})
    reason = "the hub cannot be reached" if path else f"neither this run nor {source.path}{OUTPUT_SUFFIX} is there yet"
    notes.append(f"{field} = {source.path}: rows of {stand_in.path} take its place, because {reason}")
    source_settings = {"rows": source.rows or SMOKE_ROWS, "share": source.share, "seed": source.seed}
    return stand_in.model_copy(update=source_settings)


def find_smoke_run(path: str, product: str, field: str, notes: list[str]) -> str | None:
    """Return a path, or the smoke run in place of a run that is missing or unfinished; None if there is neither."""
    run_dir = Path(path)
    is_run = (run_dir / "run.json").exists() or (path.startswith("runs/") and not run_dir.exists())
    if not is_run or (run_dir / product).exists():
        return path
    smoke_dir = Path(f"{path}{OUTPUT_SUFFIX}")
    if not (smoke_dir / product).exists():
        return None
    notes.append(f"{field} = {path} is not there yet: its smoke run {smoke_dir} takes its place")
    return str(smoke_dir)


@cache
def is_hub_reachable() -> bool:
    """Return whether the hub may be asked for models and data, and accepts a connection; behind a proxy it counts."""
    if any(
        os.environ.get(name, "").lower() in ("1", "true", "yes", "on")
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
    ):
        return False
    if os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY"):
        return True
    address = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((address.hostname or "", port), timeout=HUB_SECONDS).close()
    except OSError:
        return False
    return True


# Models


def read_config(block: ModelConfig) -> Any:
    """Return a model's config: from this machine, else from the hub. Raises UnknownSizeError."""
    from r1kit.models.size import UnknownSizeError, load_config

    try:
        return load_config(block)
    except UnknownSizeError:
        if Path(block.path or "").exists() or not is_hub_reachable():
            raise
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(block.path or "", revision=block.revision, trust_remote_code=False)
    except Exception as error:  # of the hub or of a config's class
        raise UnknownSizeError(str(error).splitlines()[0] if str(error) else type(error).__name__) from None


def find_tokenizer(block: ModelConfig) -> tuple[Any, bool]:
    """Return the tokenizer of a model, or a stand-in where it cannot be had; and whether it is its own."""
    from r1kit.models.load import load_tokenizer

    try:
        return load_tokenizer(block, local_files_only=not is_hub_reachable()), True
    except UserError:
        return load_tokenizer(ModelConfig(path=STAND_IN_MODEL)), False


def with_chat_template(block: ModelConfig, path: str, tokenizer: Any, template: str) -> ModelConfig:
    """Return the block of a replacement, with a chat template where it needs one and its tokenizer has none."""
    changes: dict[str, Any] = {"path": path, "revision": None}
    if template == CHAT_TEMPLATE and block.chat_template is None and tokenizer.chat_template is None:
        changes["chat_template"] = STAND_IN_TEMPLATE
    return block.model_copy(update=changes)


def without_gpu_settings(block: ModelConfig, notes: list[str]) -> dict[str, Any]:
    """Return the changes to a block `model` on a machine without a GPU."""
    changes: dict[str, Any] = {}
    for name, value in (("quantize", None), ("attention", None), ("dtype", "auto")):
        old = getattr(block, name)
        if old in (None, "auto", "float32", "eager", "sdpa"):
            continue
        changes[name] = value
        note = f"model.{name} = {old} is left out: it is for a GPU, and there is none"
        if note not in notes:
            notes.append(note)
    return changes


def replace_tokens(trl: dict[str, Any], model: ModelConfig, notes: list[str]) -> dict[str, Any]:
    """Return the block `trl` without tokens that the tokenizer of a replacement does not have."""
    from r1kit.models.load import load_tokenizer

    vocabulary = load_tokenizer(model).get_vocab()
    usable_settings = {}
    for key, value in trl.items():
        if key in ("eos_token", "pad_token") and value not in vocabulary:
            notes.append(f"trl.{key} = {value} is left out: the tokenizer that takes the place of the model's lacks it")
            continue
        usable_settings[key] = value
    return usable_settings


# Engines and rewards


def replace_engine(sampling: Any, notes: list[str]) -> Any:
    """Return a block of sampling that samples with transformers where vLLM is not installed."""
    if sampling.engine != "vllm" or importlib.util.find_spec("vllm") is not None:
        return sampling
    notes.append("sampling.engine = vllm: transformers samples in its place, because vLLM is not installed")
    return sampling.model_copy(update={"engine": "transformers", "vllm": {}})


def replace_vllm(trl: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return the block `trl` without vLLM where that is not installed."""
    if not trl.get("use_vllm") or importlib.util.find_spec("vllm") is not None:
        return trl
    notes.append("trl.use_vllm is left out, because vLLM is not installed")
    return {key: value for key, value in trl.items() if "vllm" not in key}


def replace_rewards(recipe: Any, notes: list[str]) -> list[Any]:
    """Return the rewards of a recipe without those that this machine cannot have.

    They are `judge`, whose server may cost money, and `preference` where its model is not on this machine. Where none
    is left for RL, `format` takes their place.
    """
    rewards = []
    for entry in recipe.rewards:
        model = entry.settings.get("model") if entry.name == "preference" else None
        if entry.name == "judge":
            notes.append("the reward judge is left out: its server, which may cost money, is not asked")
        elif model is not None and not Path(str(model)).exists():
            notes.append(f"the reward preference is left out: its model {model} is not on this machine")
        else:
            rewards.append(entry)
    if recipe.rewards and not rewards and isinstance(recipe, RLRecipe) and recipe.environment is None:
        notes.append(f"the reward {STAND_IN_REWARD.name} takes its place, since RL needs one")
        rewards.append(STAND_IN_REWARD)
    return rewards


def without_left_out_rewards(recipe: Any, rewards: Sequence[RewardConfig]) -> dict[str, Any]:
    """Return the changes to the blocks of a recipe that name rewards, where only `rewards` are left of its own."""
    left_out = {entry.short_name for entry in recipe.rewards} - {entry.short_name for entry in rewards}
    changes: dict[str, Any] = {}
    filters = getattr(recipe, "keep", None)
    if filters is not None and filters.prefer in left_out:
        changes["keep"] = filters.model_copy(update={"prefer": FiltersConfig().prefer})
    scaling = getattr(recipe, "scaling", None)
    if scaling is not None:
        by = [name for name in scaling.by if name not in left_out]
        changes["scaling"] = scaling.model_copy(update={"by": by})
    return changes
