"""Why a saving is switched off: the reasons for which it would change what a trainer learns."""

from typing import Any

from r1kit.messages import logger
from r1kit.models.cache import extra_state
from r1kit.models.decode import why_generate_is_needed
from r1kit.training.savings.architecture import has_dropout, has_virtual_tokens, positions_depend_on_width


def keep_exact_savings(trainer: Any, obstacles: dict[str, str]) -> frozenset[str]:
    """Return the savings that leave the update as it is; say on the main rank which of them do not, and why.

    `obstacles` has for each saving why it would change the update; an empty text if it would not.
    """
    if trainer.accelerator.is_main_process:
        for reason in dict.fromkeys(filter(None, obstacles.values())):
            names = ", ".join(saving for saving, obstacle in obstacles.items() if obstacle == reason)
            logger.info(f"training.savings: {names} switched off, because {reason}")
    return frozenset(saving for saving, obstacle in obstacles.items() if not obstacle)


def find_obstacle(trainer: Any, saving: str) -> str:
    """Return why `saving` would change what `trainer` (a GRPOTrainer) learns; an empty text if it would not.

    `saving` is a name of the recipe's `training.savings`: trim, regroup, skip, share or rollouts.
    """
    if trainer._is_vlm:
        return "inputs are more than text"
    if has_virtual_tokens(trainer.model):
        return "virtual tokens stand before each row"
    if has_dropout(trainer.model) or trainer.args.neftune_noise_alpha:
        return "dropout draws random numbers for whole batches"
    if saving == "rollouts":
        return find_sampling_obstacle(trainer)
    if saving in ("trim", "regroup", "share") and positions_depend_on_width(trainer.model):
        return "the model's positions depend on the width of a batch"
    if trainer.aux_loss_enabled:
        return "the router's auxiliary loss counts every token"
    uses_entropy = trainer._entropy_bonus_enabled or trainer.top_entropy_quantile < 1.0
    if saving in ("skip", "regroup") and uses_entropy:
        return "entropy terms count every token of a micro-batch"
    if saving == "skip" and trainer.beta != 0.0:
        return "the KL term counts every row"
    if saving == "regroup" and trainer.loss_type == "bnpo":
        return "bnpo is a mean over a micro-batch's tokens"
    return find_sharing_obstacle(trainer) if saving == "share" else ""


def find_sharing_obstacle(trainer: Any) -> str:
    """Return why a prompt cannot be run once for its whole group; an empty text if it can."""
    model = base_model(trainer.model)
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        return "sharded weights need a single pass through the model"
    if trainer.args.gradient_checkpointing:
        return "gradient checkpointing keeps no keys and values"
    if model.config._attn_implementation not in ("sdpa", "eager"):
        return f"attention by {model.config._attn_implementation}"
    return extra_state(model)


def find_sampling_obstacle(trainer: Any) -> str:
    """Return why r1kit's decoder cannot sample the rollouts; an empty text if it can."""
    if trainer.use_vllm or trainer.use_transformers_continuous_batching or trainer.rollout_func:
        return "another engine samples"
    if trainer.tools or getattr(trainer, "environment_factories", None) is not None:
        return "rollouts with tools have turns, which TRL's own loop samples"
    return find_decoder_obstacle(trainer)


def find_decoder_obstacle(trainer: Any) -> str:
    """Return why r1kit's decoder cannot sample from a trainer's model; an empty text if it can."""
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        return "ranks that share sharded weights must decode the same number of tokens"
    return why_generate_is_needed(base_model(trainer.model), trainer.generation_config)


def base_model(model: Any) -> Any:
    """Return the transformers model below a peft adapter, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
