"""Which fields of TRL's configs a recipe may set in its `trl` block."""

import ast
import importlib.util
from functools import cache
from pathlib import Path

# TRL's field: the recipe's own field that sets it.
OWNED_TRL_FIELDS = {
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
    "save_steps": "training.save_steps",
    "save_strategy": "training.save_steps",
    "save_total_limit": "training.keep_checkpoints",
    "eval_steps": "training.eval_steps",
    "eval_strategy": "training.eval_steps",
    "load_best_model_at_end": "training.eval_steps",
    "logging_steps": "training.log_steps",
    "bf16": "model.dtype",
    "fp16": "model.dtype",
    "trust_remote_code": "model.trust_remote_code",
    "model_init_kwargs": "model",
    "max_length": "training.max_length",
    "packing": "training.packing",
    "include_num_input_tokens_seen": "training",
    "train_sampling_strategy": "training.group_by_length",
    "num_generations": "sampling.group_size",
    "max_completion_length": "sampling.max_tokens",
    "temperature": "sampling.temperature",
    "top_p": "sampling.top_p",
    "top_k": "sampling.top_k",
    "beta": "training.kl",
    "epsilon": "training.clip",
    "sync_ref_model": "training.reference_reset_steps",
    "ref_model_sync_steps": "training.reference_reset_steps",
    "ref_model_mixup_alpha": "training.reference_reset_steps",
    "steps_per_generation": "training.updates_per_rollout",
    "generation_batch_size": "training.updates_per_rollout",
    "reward_weights": "rewards",
    "resume_from_checkpoint": "output",
}


@cache
def trl_fields(config: str) -> frozenset[str]:
    """Return the field names of TRL's `config` and its bases, read from their source without importing them."""
    files = {"SFTConfig": "sft_config", "GRPOConfig": "grpo_config"}
    names: set[str] = set()
    for package, path in (
        ("trl", f"trainer/{files[config]}.py"),
        ("trl", "trainer/base_config.py"),
        ("transformers", "training_args.py"),
    ):
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            return frozenset()
        tree = ast.parse((Path(spec.submodule_search_locations[0]) / path).read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                names |= {
                    n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
                }
    return frozenset(names)
