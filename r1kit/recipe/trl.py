"""Which fields of TRL's configs r1kit sets, from which field of a recipe.

The block `trl` may set all fields but those of OWNED_TRL_FIELDS, which r1kit sets, and of REPLACED_TRL_FIELDS, whose
work a field of the recipe does.

The table here is what r1kit.training.arguments fills in: a test holds the two together. TRL's own field names are read
from its source, because importing it takes seconds.
"""

import ast
import importlib.util
from functools import cache
from pathlib import Path

FIXED_BY_R1KIT = ""
"""The value in the table of a field that r1kit always sets to the same value, from no field of a recipe."""

# TRL's field: the recipe's field that sets it.
_COMMON_FIELDS = {
    "output_dir": "output",
    "seed": "seed",
    "max_steps": "training.steps",
    "num_train_epochs": "training.epochs",
    "per_device_train_batch_size": "training.micro_batch_size",
    "per_device_eval_batch_size": "training.micro_batch_size",
    "gradient_accumulation_steps": "training.batch_size",
    "learning_rate": "training.learning_rate",
    "lr_scheduler_type": "training.schedule",
    "lr_scheduler_kwargs": "training.min_learning_rate",
    "warmup_steps": "training.warmup_steps",
    "weight_decay": "training.weight_decay",
    "max_grad_norm": "training.max_grad_norm",
    "gradient_checkpointing": "training.gradient_checkpointing",
    "save_strategy": "training.save_steps",
    "save_steps": "training.save_steps",
    "save_total_limit": "training.keep_checkpoints",
    "eval_strategy": "training.eval_steps",
    "eval_steps": "training.eval_steps",
    "load_best_model_at_end": "training.eval_steps",
    "logging_steps": "training.log_steps",
    "logging_first_step": FIXED_BY_R1KIT,
    "bf16": "model.dtype",
    "fp16": "model.dtype",
    "trust_remote_code": "model.trust_remote_code",
    "disable_tqdm": FIXED_BY_R1KIT,
    "use_cpu": FIXED_BY_R1KIT,
}
_SFT_FIELDS = {
    "max_length": "training.max_length",
    "packing": "training.packing",
    "include_num_input_tokens_seen": FIXED_BY_R1KIT,
}
_GRPO_FIELDS = {
    "num_generations": "sampling.group_size",
    "max_completion_length": "sampling.max_tokens",
    "temperature": "sampling.temperature",
    "top_p": "sampling.top_p",
    "top_k": "sampling.top_k",
    "beta": "training.kl",
    "epsilon": "training.clip",
    "steps_per_generation": "training.updates_per_rollout",
    "reward_weights": "rewards",
    "chat_template_kwargs": "prompt.template_settings",
    "sync_ref_model": "training.reference_reset_steps",
    "ref_model_mixup_alpha": "training.reference_reset_steps",
    "ref_model_sync_steps": "training.reference_reset_steps",
    "model_init_kwargs": "model.revision",
}
_DISTILLATION_FIELDS = {
    "max_completion_length": "sampling.max_tokens",
    "temperature": "sampling.temperature",
    "top_p": "sampling.top_p",
    "top_k": "sampling.top_k",
    "beta": "distill.divergence",
    "chat_template_kwargs": "prompt.template_settings",
}
_REWARD_MODEL_FIELDS = {
    "max_length": "training.max_length",
    "include_num_input_tokens_seen": FIXED_BY_R1KIT,
}
OWNED_TRL_FIELDS = {
    "SFTConfig": _COMMON_FIELDS | _SFT_FIELDS,
    "GRPOConfig": _COMMON_FIELDS | _GRPO_FIELDS,
    "RewardConfig": _COMMON_FIELDS | _REWARD_MODEL_FIELDS,
    "DistillationConfig": _COMMON_FIELDS | _DISTILLATION_FIELDS,
    "GOLDConfig": _COMMON_FIELDS | _DISTILLATION_FIELDS,
    "ServerDistillationConfig": _COMMON_FIELDS | _DISTILLATION_FIELDS | {"teacher_model_server_url": "teacher.server"},
}
"""Config of TRL: its fields that r1kit sets, each with the recipe's field that it is set from."""

DEFAULTED_TRL_FIELDS = frozenset(
    {
        "report_to",
        "run_name",
        "project",
        "dataloader_pin_memory",
        "metric_for_best_model",
        "greater_is_better",
        "hub_private_repo",
    }
)
"""Fields that r1kit gives another default than TRL, and that the block `trl` may set."""

# TRL's field that r1kit does not set: the recipe's field that does what it does.
_REPLACED_COMMON = {
    "resume_from_checkpoint": "output",
    "train_sampling_strategy": "training.group_by_length",
    # A repository that TRL creates would be public, and hold every checkpoint without r1kit's card.
    "push_to_hub": "card.push_to_hub",
    "hub_model_id": "card.push_to_hub",
    "hub_strategy": "card.push_to_hub",
    "hub_always_push": "card.push_to_hub",
    "hub_revision": "card.push_to_hub",
}
_REPLACED_DISTILLATION = {
    "model_init_kwargs": "model",
    "teacher_model_name_or_path": "teacher.path",
    "teacher_model_revision": "teacher.revision",
    "teacher_model_init_kwargs": "teacher",
}
REPLACED_TRL_FIELDS = {
    "SFTConfig": _REPLACED_COMMON
    | {
        "model_init_kwargs": "model",
        "assistant_only_loss": "training.loss_on",
        "completion_only_loss": "training.loss_on",
        "truncation_mode": "training.too_long",
        "chat_template_path": "model.chat_template",
        "dataset_text_field": "data.train",
    },
    "RewardConfig": _REPLACED_COMMON
    | {
        "model_init_kwargs": "model",
        "chat_template_path": "model.chat_template",
    },
    "GRPOConfig": _REPLACED_COMMON | {"generation_batch_size": "training.updates_per_rollout"},
    "DistillationConfig": _REPLACED_COMMON | _REPLACED_DISTILLATION,
    "GOLDConfig": _REPLACED_COMMON | _REPLACED_DISTILLATION,
    "ServerDistillationConfig": _REPLACED_COMMON | _REPLACED_DISTILLATION,
}
"""Config of TRL: its fields that would do nothing or contradict r1kit, each with the recipe's field to use instead."""

RESUMABLE_TRL_FIELDS = frozenset(
    {
        "report_to",
        "run_name",
        "project",
        "vllm_gpu_memory_utilization",
        "vllm_enable_sleep_mode",
        "vllm_tensor_parallel_size",
        "vllm_server_base_url",
        "vllm_server_host",
        "vllm_server_port",
        "vllm_server_timeout",
    }
)
"""Fields of the block `trl` that may change when a run is resumed: they change nothing of the result but rounding."""

TRL_CHOICES: dict[str, dict[str, tuple[object, ...]]] = {
    "SFTConfig": {
        "loss_type": ("nll", "dft"),
        "packing_strategy": ("bfd", "bfd_split", "bfd-requeue", "wrapped"),
    },
    "GRPOConfig": {
        "loss_type": ("grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo"),
        "importance_sampling_level": ("token", "sequence"),
        "scale_rewards": ("group", "batch", "none", True, False),
        "multi_objective_aggregation": ("sum_then_normalize", "normalize_then_sum"),
        "vllm_mode": ("colocate", "server"),
        "vllm_model_impl": ("vllm", "transformers"),
        "vllm_importance_sampling_mode": ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask"),
    },
}
"""Config of TRL: the values of the fields that TRL itself checks only when the trainer samples or computes a loss."""

_DISTILLATION_FILE = "trainer/distillation_config.py"
_GOLD_FILE = "experimental/gold/gold_config.py"
_CONFIG_FILES = {
    "SFTConfig": ("trainer/sft_config.py",),
    "GRPOConfig": ("trainer/grpo_config.py",),
    "RewardConfig": ("trainer/reward_config.py",),
    "DistillationConfig": (_DISTILLATION_FILE,),
    "GOLDConfig": (_DISTILLATION_FILE,),
    "ServerDistillationConfig": (
        _DISTILLATION_FILE,
        "experimental/server_distillation/server_distillation_config.py",
    ),
}


@cache
def trl_fields(config: str) -> frozenset[str]:
    """Return the field names of TRL's `config` and its bases, such as `SFTConfig`; empty where TRL is not installed.

    Of GOLDConfig they are DistillationConfig's, and GOLDConfig's own for its loss: the trainer is DistillationTrainer.
    """
    names = _fields_in_file("trl", "trainer/base_config.py") | _fields_in_file("transformers", "training_args.py")
    for file in _CONFIG_FILES[config]:
        names |= _fields_in_file("trl", file)
    if config == "GOLDConfig":
        names |= {name for name in _fields_in_file("trl", _GOLD_FILE) if is_uld_field(name)}
    return frozenset(names)


def is_uld_field(name: str) -> bool:
    """Return whether a field of TRL's GOLDConfig is one of its loss."""
    return name.startswith("uld_") or name == "use_extended_uld"


def _fields_in_file(package: str, file: str) -> set[str]:
    """Return the names of the fields in a source file of a package; none where it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return set()
    return _annotated_names(ast.parse((Path(spec.submodule_search_locations[0]) / file).read_text()))


def _annotated_names(tree: ast.Module) -> set[str]:
    """Return the names of the fields (`name: type = value`) of all classes in a source file."""
    names = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                names.add(statement.target.id)
    return names
