"""Turn a recipe into TRL's config: the batch sizes of a recipe are global, and TRL's are for each device.

Which TRL field is set from which field of a recipe is listed in r1kit.recipe.trl; a test compares that table with the
arguments made here. The block `trl` of a recipe adds any other field of TRL.

    config = build_grpo_config(recipe, run)      # trl.GRPOConfig
"""

import contextlib
import copy
import math
from functools import cache
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError
from r1kit.ranks import world_size
from r1kit.recipe import DistillRecipe, RewardModelRecipe, RLRecipe, SFTRecipe, TrainingConfig, TrainingRecipe
from r1kit.recipe.trl import is_uld_field
from r1kit.runs.run import Run
from r1kit.safe_text import mask_secrets
from r1kit.training.trackers import PROJECT, check_trackers

if TYPE_CHECKING:
    from trl import DistillationConfig, GRPOConfig, RewardConfig, SFTConfig
    from trl.experimental.gold import GOLDConfig

FITTING_ROWS_KEY = "micro_batch_size"
"""Key of run.json: the largest micro-batch that fitted into memory, once memory has run out."""

# TRL's name of a schedule, where it has another than the recipe.
_TRL_SCHEDULES = {"cosine": "cosine_with_min_lr", "constant": "constant_with_warmup"}
# Steps between updates of the reference model, if it is never updated: TRL's default, which then has no effect.
_UNUSED_SYNC_STEPS = 512


def split_batch(training: TrainingConfig, processes: int, fitting_rows: int | None = None) -> tuple[int, int]:
    """Return the rows of a micro-batch on one device, and the number of micro-batches whose gradients are added up.

    `fitting_rows` is the largest micro-batch that fits into memory, if that is known. Raises UserError if the global
    batch does not divide evenly.

        split_batch(TrainingConfig(batch_size=128, micro_batch_size=4), processes=8)    # (4, 4): 8 x 4 x 4 = 128
    """
    batch_size = training.batch_size
    if batch_size % processes:
        requirement = f"must be a multiple of the number of processes, {processes}"
        raise UserError("training.batch_size", batch_size, requirement, "change the batch size or the processes")
    rows_per_process = batch_size // processes
    micro_batch_size = training.micro_batch_size or rows_per_process
    if fitting_rows:
        largest = min(fitting_rows, micro_batch_size)
        micro_batch_size = max(size for size in range(1, largest + 1) if rows_per_process % size == 0)
    if rows_per_process % micro_batch_size:
        requirement = f"must divide the {rows_per_process} rows of each process (batch_size / processes)"
        raise UserError("training.micro_batch_size", micro_batch_size, requirement, "use a divisor of it")
    return micro_batch_size, rows_per_process // micro_batch_size


def _common_arguments(recipe: TrainingRecipe, run: Run) -> dict[str, Any]:
    """Return the arguments that the configs of TRL have in common."""
    import torch

    training, dtype = recipe.training, recipe.model.dtype
    micro_batch_size, accumulation_steps = split_batch(training, world_size(), run.info.get(FITTING_ROWS_KEY))
    has_gpu = torch.cuda.is_available()
    computes_in_bfloat16 = dtype == "bfloat16" or (dtype == "auto" and has_gpu and torch.cuda.is_bf16_supported())
    arguments: dict[str, Any] = {
        "output_dir": str(run.path / "checkpoints"),
        "seed": recipe.seed,
        "max_steps": training.steps or -1,
        "num_train_epochs": training.epochs or 1,
        "per_device_train_batch_size": micro_batch_size,
        "per_device_eval_batch_size": micro_batch_size,
        "gradient_accumulation_steps": accumulation_steps,
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": _TRL_SCHEDULES.get(training.schedule, training.schedule),
        "lr_scheduler_kwargs": _schedule_arguments(training),
        "warmup_steps": training.warmup_steps,
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "gradient_checkpointing": training.gradient_checkpointing,
        "save_strategy": "steps",
        "save_steps": training.save_steps,
        "save_total_limit": None,  # r1kit removes old checkpoints itself, and keeps the best
        "logging_steps": training.log_steps,
        "logging_first_step": True,
        "bf16": has_gpu and computes_in_bfloat16,
        "fp16": has_gpu and dtype == "float16",
        "trust_remote_code": recipe.model.trust_remote_code,
        "report_to": [],
        "run_name": run.path.name,
        "project": PROJECT,
        "disable_tqdm": True,  # r1kit has a display of its own
        "use_cpu": not has_gpu,
        "dataloader_pin_memory": has_gpu,
        "hub_private_repo": True,  # of what TRL and trackers send, such as trl.log_completions_hub_repo
    }
    if training.eval_steps:
        arguments["eval_strategy"] = "steps"
        arguments["eval_steps"] = training.eval_steps
        arguments["load_best_model_at_end"] = False  # the best checkpoint is exported without loading it
    return arguments


def _schedule_arguments(training: TrainingConfig) -> dict[str, float]:
    """Return the arguments of the learning rate's schedule.

    The lowest rate is given as a fraction of the highest one: where it is given as `min_lr`, transformers divides it by
    what the optimizer has as its default, and the optimizers of DeepSpeed have no defaults.
    """
    if training.schedule != "cosine":
        return {}
    return {"min_lr_rate": training.min_learning_rate / training.learning_rate}


def sft_arguments(recipe: SFTRecipe, run: Run) -> dict[str, Any]:
    """Return the arguments of SFTConfig that a recipe's own blocks set."""
    arguments = _common_arguments(recipe, run)
    arguments["max_length"] = recipe.training.max_length
    arguments["packing"] = recipe.training.packing
    arguments["include_num_input_tokens_seen"] = "non_padding"
    if recipe.training.eval_steps:
        arguments["metric_for_best_model"] = "eval_loss"
        arguments["greater_is_better"] = False
    return arguments


def reward_model_arguments(recipe: RewardModelRecipe, run: Run) -> dict[str, Any]:
    """Return the arguments of TRL's RewardConfig that a recipe's own blocks set."""
    arguments = _common_arguments(recipe, run)
    arguments["max_length"] = recipe.training.max_length
    arguments["include_num_input_tokens_seen"] = "non_padding"
    if recipe.training.eval_steps:
        arguments["metric_for_best_model"] = "eval_accuracy"
        arguments["greater_is_better"] = True
    return arguments


def grpo_arguments(recipe: RLRecipe, run: Run) -> dict[str, Any]:
    """Return the arguments of GRPOConfig that a recipe's own blocks set."""
    training, sampling = recipe.training, recipe.sampling
    arguments = _common_arguments(recipe, run)
    # A run can be resumed only at the end of a rollout, so checkpoints and evaluations wait for it.
    block = recipe.steps_per_rollout
    for key in ("save_steps", "eval_steps"):
        if key in arguments:
            arguments[key] = math.ceil(arguments[key] / block) * block
    # An evaluation splits no group: on each device, the rows are a multiple of the smallest share of a group.
    group_rows = sampling.group_size // math.gcd(sampling.group_size, world_size())
    eval_groups = max(1, arguments["per_device_eval_batch_size"] // group_rows)
    arguments |= {
        "per_device_eval_batch_size": eval_groups * group_rows,
        "num_generations": sampling.group_size,
        "max_completion_length": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "beta": training.kl,
        "epsilon": training.clip,
        "steps_per_generation": arguments["gradient_accumulation_steps"] * training.updates_per_rollout,
        "reward_weights": [reward.weight for reward in recipe.rewards],
        "chat_template_kwargs": recipe.prompt.template_settings or None,
        # Under LoRA the reference model is an adapter, which TRL cannot replace: r1kit.training.grpo does.
        "sync_ref_model": training.reference_reset_steps is not None and recipe.model.lora is None,
        "ref_model_mixup_alpha": 1.0,  # the policy replaces the reference model, it is not mixed in
        "ref_model_sync_steps": training.reference_reset_steps or _UNUSED_SYNC_STEPS,
    }
    if recipe.model.revision:
        # TRL loads the reference model by the model's name, and would load its main branch.
        arguments["model_init_kwargs"] = {"revision": recipe.model.revision}
    if training.eval_steps:
        arguments["metric_for_best_model"] = "eval_reward"
        arguments["greater_is_better"] = True
    return arguments


def distillation_arguments(recipe: DistillRecipe, run: Run) -> dict[str, Any]:
    """Return the arguments of DistillationConfig that a recipe's own blocks set."""
    sampling = recipe.sampling
    arguments = _common_arguments(recipe, run)
    arguments |= {
        "max_completion_length": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "beta": recipe.distill.divergence,
        "chat_template_kwargs": recipe.prompt.template_settings or None,
    }
    if recipe.teacher.server is not None:
        arguments["teacher_model_server_url"] = recipe.teacher.server
    if recipe.training.eval_steps:
        arguments["metric_for_best_model"] = "eval_loss"
        arguments["greater_is_better"] = False
    return arguments


def build_sft_config(recipe: SFTRecipe, run: Run) -> "SFTConfig":
    """Return TRL's SFTConfig for a recipe. Raises UserError for a value in `trl` that TRL refuses."""
    from trl import SFTConfig

    return _build_config(SFTConfig, sft_arguments(recipe, run), recipe.trl)


def build_reward_model_config(recipe: RewardModelRecipe, run: Run) -> "RewardConfig":
    """Return TRL's RewardConfig for a recipe. Raises UserError for a value in `trl` that TRL refuses."""
    from trl import RewardConfig

    return _build_config(RewardConfig, reward_model_arguments(recipe, run), recipe.trl)


def build_grpo_config(recipe: RLRecipe, run: Run) -> "GRPOConfig":
    """Return TRL's GRPOConfig for a recipe. Raises UserError for a value in `trl` that TRL refuses."""
    from trl import GRPOConfig

    config = _build_config(GRPOConfig, grpo_arguments(recipe, run), recipe.trl)
    if "num_completions_to_print" not in recipe.trl:
        config.num_completions_to_print = 0  # r1kit shows completions itself, without their control characters
    return config


def build_distillation_config(recipe: DistillRecipe, run: Run) -> "DistillationConfig":
    """Return TRL's DistillationConfig, or ServerDistillationConfig for a teacher behind a server.

    Raises UserError for a value in `trl` that TRL refuses.
    """
    from trl import DistillationConfig

    config_class = DistillationConfig
    if recipe.teacher.server is not None:
        from r1kit.training.served_teacher import ServerDistillationConfig as config_class
    own_fields = {name: value for name, value in recipe.trl.items() if not is_uld_field(name)}
    config = _build_config(config_class, distillation_arguments(recipe, run), own_fields)
    if "num_completions_to_print" not in recipe.trl:
        config.num_completions_to_print = 0  # r1kit shows completions itself, without their control characters
    return config


def build_uld_config(recipe: DistillRecipe, run: Run) -> "GOLDConfig":
    """Return TRL's GOLDConfig with the settings of GOLD's loss. Raises UserError for a value that TRL refuses."""
    from r1kit.training.gold import GOLDConfig

    loss_fields = {name: value for name, value in recipe.trl.items() if is_uld_field(name)}
    arguments = {"output_dir": str(run.path / "checkpoints"), "use_uld_loss": True, "beta": recipe.distill.divergence}
    arguments |= {"use_cpu": True, "bf16": False}  # it configures a loss, which has no device or dtype of its own
    return _build_config(GOLDConfig, arguments, loss_fields)


def _build_config(config_class: Any, arguments: dict[str, Any], trl_block: dict[str, Any]) -> Any:
    from r1kit.training.refusals import check_types, library_refusals

    # The token is for `card.push_to_hub` (r1kit.training.card); TRL has no use for it.
    trl_fields = {name: value for name, value in trl_block.items() if name != "hub_token"}
    with library_refusals(trl_block):
        config = _masked_class(config_class)(**{**arguments, **check_types(config_class, trl_fields)})
        if "optim" in trl_fields:
            _check_optimizer(config)
    check_trackers(config.report_to)
    return config


@cache
def _masked_class(config_class: Any) -> Any:
    """Return a subclass of TRL's config that shows no secret, such as a password in `vllm_server_base_url`.

    Trackers get `to_dict`, and a checkpoint the pickled config (training_args.bin), which is a plain one of TRL's.
    """

    class MaskedConfig(config_class):
        def to_dict(self) -> dict[str, Any]:
            return mask_secrets(super().to_dict())

        def __reduce_ex__(self, protocol: Any) -> Any:
            plain = object.__new__(config_class)
            plain.__dict__ = mask_secrets(self.__dict__)
            return plain.__reduce_ex__(0)  # later protocols refuse an object of another class

        def __deepcopy__(self, memo: dict[int, Any]) -> Any:
            copied = copy.copy(self)
            copied.__dict__ = copy.deepcopy(self.__dict__, memo)
            return copied

        def __copy__(self) -> Any:
            copied = object.__new__(type(self))
            copied.__dict__ = dict(self.__dict__)
            return copied

    MaskedConfig.__name__ = MaskedConfig.__qualname__ = config_class.__name__
    return MaskedConfig


def _check_optimizer(config: Any) -> None:
    """Raise the ImportError of transformers for an optimizer whose library is not installed.

    Its ValueErrors are about the model, which some optimizers need and which is not loaded yet.
    """
    from transformers import Trainer

    with contextlib.suppress(ValueError):
        Trainer.get_optimizer_cls_and_kwargs(config)
