"""From a recipe to TRL's config: global batch sizes to per-device ones, one way for SFT and GRPO."""

import math
import os
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError, suggest
from r1kit.recipe import RLRecipe, SFTRecipe, TrainingConfig
from r1kit.runs.run import Run

if TYPE_CHECKING:
    from trl import GRPOConfig, SFTConfig


FITTING_ROWS_KEY = "micro_batch_size"  # in run.json: what was found to fit into memory


def split_batch(training: TrainingConfig, world_size: int, fits: int | None = None) -> tuple[int, int]:
    """Return the rows at once on a device, and the accumulation steps, for a global batch.

    `fits`: how many rows fit into memory, where that is known. Raises UserError where the batch does not divide.
    """
    size = training.batch_size
    if size % world_size:
        raise UserError("training.batch_size", size, f"must divide over {world_size} processes", "change one of them")
    local = size // world_size
    micro = training.micro_batch_size or local
    if fits:
        micro = max(size for size in range(1, min(fits, micro) + 1) if local % size == 0)
    if local % micro:
        must = f"must divide batch_size / processes = {local}"
        raise UserError("training.micro_batch_size", micro, must, "use a divisor")
    return micro, local // micro


def _common(recipe: SFTRecipe | RLRecipe, run: Run) -> dict[str, Any]:
    import torch

    t = recipe.training
    micro, accumulation = split_batch(t, int(os.environ.get("WORLD_SIZE", "1")), run.info.get(FITTING_ROWS_KEY))
    gpu = torch.cuda.is_available()
    half = gpu and (
        recipe.model.dtype == "bfloat16" or (recipe.model.dtype == "auto" and torch.cuda.is_bf16_supported())
    )
    schedule = {"cosine": "cosine_with_min_lr", "constant": "constant_with_warmup"}.get(t.schedule, t.schedule)
    arguments: dict[str, Any] = {
        "output_dir": str(run.path / "checkpoints"),
        "seed": recipe.seed,
        "max_steps": t.steps or -1,
        "num_train_epochs": t.epochs or 1,
        "per_device_train_batch_size": micro,
        "per_device_eval_batch_size": micro,
        "gradient_accumulation_steps": accumulation,
        "learning_rate": t.learning_rate,
        "lr_scheduler_type": schedule,
        "lr_scheduler_kwargs": {"min_lr": t.min_learning_rate} if t.schedule == "cosine" else {},
        "warmup_steps": t.warmup_steps,
        "weight_decay": t.weight_decay,
        "max_grad_norm": t.max_grad_norm,
        "gradient_checkpointing": t.gradient_checkpointing,
        "save_strategy": "steps",
        "save_steps": t.save_steps,
        "save_total_limit": None,
        "logging_steps": t.log_steps,
        "logging_first_step": True,
        "bf16": half,
        "fp16": gpu and recipe.model.dtype == "float16",
        "trust_remote_code": recipe.model.trust_remote_code,
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": not gpu,
        "dataloader_pin_memory": gpu,
    }
    if t.eval_steps:
        arguments |= {"eval_strategy": "steps", "eval_steps": t.eval_steps, "load_best_model_at_end": False}
    return arguments


def build_sft_config(recipe: SFTRecipe, run: Run) -> "SFTConfig":
    """Return TRL's SFTConfig for a recipe."""
    from trl import SFTConfig

    t = recipe.training
    own = {"max_length": t.max_length, "packing": t.packing, "include_num_input_tokens_seen": "non_padding"}
    if t.eval_steps:
        own |= {"metric_for_best_model": "eval_loss", "greater_is_better": False}
    return _build(SFTConfig, {**_common(recipe, run), **own}, recipe.trl)


def build_grpo_config(recipe: RLRecipe, run: Run) -> "GRPOConfig":
    """Return TRL's GRPOConfig for a recipe. Checkpoints fall on the ends of rollouts (DESIGN: traps)."""
    from trl import GRPOConfig

    t, s = recipe.training, recipe.sampling
    common = _common(recipe, run)
    block = t.updates_per_rollout * int(recipe.trl.get("num_iterations", 1))
    for key in ("save_steps", "eval_steps"):
        if key in common:
            common[key] = -(-common[key] // block) * block
    own = {
        "num_generations": s.group_size,
        "max_completion_length": s.max_tokens,
        "temperature": s.temperature,
        "top_p": s.top_p,
        "top_k": s.top_k,
        "beta": t.kl,
        "epsilon": t.clip,
        "steps_per_generation": common["gradient_accumulation_steps"] * t.updates_per_rollout,
        "reward_weights": [r.weight for r in recipe.rewards],
        # Of a LoRA run the reference is an adapter, which r1kit.training.grpo replaces: TRL refuses to.
        "sync_ref_model": t.reference_reset_steps is not None and recipe.model.lora is None,
        "ref_model_mixup_alpha": 1.0,
        "ref_model_sync_steps": t.reference_reset_steps or 512,
    }
    whole = s.group_size // math.gcd(s.group_size, int(os.environ.get("WORLD_SIZE", "1")))  # no group in parts
    own["per_device_eval_batch_size"] = max(1, common["per_device_eval_batch_size"] // whole) * whole
    if recipe.model.revision:
        own["model_init_kwargs"] = {"revision": recipe.model.revision}  # of the reference, which TRL loads by name
    if t.eval_steps:
        own |= {"metric_for_best_model": "eval_reward", "greater_is_better": True}
    return _build(GRPOConfig, {**common, **own}, recipe.trl)


def _build(kind: Any, own: dict[str, Any], given: dict[str, Any]) -> Any:
    if given.get("report_to"):
        own.pop("report_to")
    try:
        made = kind(**{**own, **given})
    except (TypeError, ValueError) as error:
        raise UserError("trl", given, "TRL refuses this", str(error)) from None
    _check_trackers(made.report_to)
    return made


def _check_trackers(names: list[str]) -> None:
    """Raise UserError for a tracker that transformers does not know, or that is not installed."""
    from transformers.integrations.integration_utils import (
        INTEGRATION_TO_CALLBACK,
        get_available_reporting_integrations,
    )

    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            raise UserError("trl.report_to", name, "no such tracker", suggest(name, INTEGRATION_TO_CALLBACK))
        if name != "flyte" and name not in get_available_reporting_integrations():  # flyte is left out there
            raise UserError("trl.report_to", name, "needs the tracker's own library", f"pip install {name}")
