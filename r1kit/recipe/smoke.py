"""A recipe made small for `--smoke`: the same code paths with few rows, few steps and short completions.

    shrink_recipe(recipe, processes=1)

Only numbers change here, and what would leave the machine is switched off: the hub, trackers, and filters that would
drop all of a few rows. What depends on this machine (model, GPU, data) is in r1kit.commands.smoke.
"""

import math
from typing import Any, TypeVar

from r1kit.recipe.data import DataConfig, SourceConfig
from r1kit.recipe.filters import FiltersConfig
from r1kit.recipe.rewards import RewardConfig
from r1kit.recipe.scaling import ScalingConfig
from r1kit.recipe.stages import (
    DataRecipe,
    DistillRecipe,
    EvalRecipe,
    GenerateRecipe,
    Recipe,
    RewardModelRecipe,
    RLRecipe,
    SFTRecipe,
    VerifierRecipe,
)
from r1kit.recipe.suite import BenchmarkConfig
from r1kit.recipe.training import TrainingConfig

SMOKE_ROWS = 32
"""Rows of each source."""
SMOKE_PROBLEMS = 8
"""Problems that `generate` and `eval` sample."""
SMOKE_STEPS = 4
"""Optimizer steps of fine-tuning; RL has two rollouts."""
SMOKE_TOKENS = 32
"""Tokens of a completion."""
SMOKE_ROW_TOKENS = 256
"""Tokens of a row of fine-tuning."""
SMOKE_GROUP = 4
"""Completions of a prompt in RL."""
SMOKE_SAMPLES = 2
"""Completions of a problem in the other stages; `scaling` and `verifier` have twice as many."""
OUTPUT_SUFFIX = ".smoke"
"""What the output of a smoke run ends with, after the recipe's own."""

AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


def shrink_recipe(recipe: AnyRecipe, processes: int = 1) -> AnyRecipe:
    """Return the recipe with small numbers and an output of its own; `processes` is how many work on a batch."""
    changes: dict[str, Any] = {"output": f"{recipe.output}{OUTPUT_SUFFIX}", "data": _shrink_data(recipe)}
    if "webhook" in type(recipe).model_fields:
        changes["webhook"] = None
    if "card" in type(recipe).model_fields:
        changes["card"] = recipe.card.model_copy(update={"push_to_hub": None})  # type: ignore[attr-defined]
    if isinstance(recipe, RLRecipe):
        changes |= _shrink_rl(recipe, processes)
    elif isinstance(recipe, SFTRecipe):
        changes |= _shrink_sft(recipe, processes)
    elif isinstance(recipe, RewardModelRecipe):
        training = _shrink_training(recipe.training, 4 * processes, SMOKE_STEPS, SMOKE_STEPS // 2, processes)
        changes |= {"training": recipe.training.model_copy(update=training), "trl": _shrink_trl(recipe.trl)}
    elif isinstance(recipe, GenerateRecipe):
        changes |= _shrink_generate(recipe)
    elif isinstance(recipe, EvalRecipe):
        changes |= _shrink_eval(recipe)
    elif isinstance(recipe, VerifierRecipe):
        changes |= _shrink_verifier(recipe)
    elif isinstance(recipe, DataRecipe):
        changes["keep"] = _keep_all(recipe.keep)
    return recipe.model_copy(update=changes)


def _shrink_data(recipe: Recipe) -> DataConfig:
    """Return the sources with few rows; without `data.rows`, a mixture is as large as the shares allow."""
    is_sampled = isinstance(recipe, GenerateRecipe | EvalRecipe)
    if isinstance(recipe, RewardModelRecipe):  # whose pairs are made of rows with the same prompt
        return recipe.data
    changes: dict[str, Any] = {"rows": None}
    for role in ("train", "eval"):
        changes[role] = [
            shrink_source(source, SMOKE_PROBLEMS if is_sampled else SMOKE_ROWS) for source in getattr(recipe.data, role)
        ]
    return recipe.data.model_copy(update=changes)


def shrink_source(source: SourceConfig, rows: int = SMOKE_ROWS) -> SourceConfig:
    """Return a source with at most `rows` rows."""
    return source.model_copy(update={"rows": min(source.rows or rows, rows)})


def _shrink_trl(trl: dict[str, Any]) -> dict[str, Any]:
    """Return the block `trl` without what sends anything to trackers or the hub."""
    local_settings = {key: value for key, value in trl.items() if not key.startswith(("log_completions", "hub_"))}
    return {**local_settings, "report_to": []} if "report_to" in local_settings else local_settings


def _shrink_training(
    training: TrainingConfig, batch_size: int, steps: int, save_steps: int, processes: int
) -> dict[str, Any]:
    """Return the changes to a block `training`; a batch that was accumulated still is."""
    is_accumulated = bool(training.micro_batch_size and training.micro_batch_size * processes < training.batch_size)
    return {
        "batch_size": batch_size,
        "micro_batch_size": max(1, batch_size // processes // 2) if is_accumulated else None,
        "steps": steps,
        "epochs": None,
        "warmup_steps": min(training.warmup_steps, 1),
        "save_steps": save_steps,
        "eval_steps": save_steps if training.eval_steps else None,
        "log_steps": 1,
    }


def _shrink_sft(recipe: SFTRecipe, processes: int) -> dict[str, Any]:
    changes = _shrink_training(recipe.training, 4 * processes, SMOKE_STEPS, SMOKE_STEPS // 2, processes)
    if isinstance(recipe, DistillRecipe) and not recipe.trains_on_rows:
        sampling = recipe.sampling.model_copy(update={"max_tokens": min(recipe.sampling.max_tokens, SMOKE_TOKENS)})
        training = recipe.training.model_copy(update=changes)
        return {"training": training, "sampling": sampling, "trl": _shrink_trl(recipe.trl)}
    changes["max_length"] = min(recipe.training.max_length, SMOKE_ROW_TOKENS)
    if recipe.training.max_length > SMOKE_ROW_TOKENS:
        changes["too_long"] = "truncate"  # else most rows of a recipe for long ones would be dropped
    return {"training": recipe.training.model_copy(update=changes), "trl": _shrink_trl(recipe.trl)}


def _shrink_rl(recipe: RLRecipe, processes: int) -> dict[str, Any]:
    group_size = min(recipe.sampling.group_size, SMOKE_GROUP)
    updates = min(recipe.training.updates_per_rollout, 2)
    steps_per_rollout = updates * int(recipe.trl.get("num_iterations", 1))
    batch_size = 2 * math.lcm(group_size, processes)
    training = _shrink_training(recipe.training, batch_size, 2 * steps_per_rollout, steps_per_rollout, processes)
    training["updates_per_rollout"] = updates
    if recipe.training.reference_reset_steps:
        training["reference_reset_steps"] = min(recipe.training.reference_reset_steps, steps_per_rollout)
    schedule = []
    for entry in recipe.sampling.schedule[:1]:
        later = {"from_step": steps_per_rollout + 1, "max_tokens": min(entry.max_tokens, 2 * SMOKE_TOKENS)}
        schedule.append(entry.model_copy(update=later))
    sampling = {
        "group_size": group_size,
        "max_tokens": min(recipe.sampling.max_tokens, SMOKE_TOKENS),
        "resample": min(recipe.sampling.resample, 1),
        "schedule": schedule,
    }
    return {
        "training": recipe.training.model_copy(update=training),
        "sampling": recipe.sampling.model_copy(update=sampling),
        "rewards": [_shrink_reward(reward, steps_per_rollout) for reward in recipe.rewards],
        "trl": _shrink_trl(recipe.trl),
    }


def _shrink_reward(reward: RewardConfig, steps_per_rollout: int) -> RewardConfig:
    """Return a reward that begins, or counts, in the second rollout if it does so at a later step of the recipe."""
    changes = {
        "from_step": min(reward.from_step, steps_per_rollout),
        "last_steps": reward.last_steps and min(reward.last_steps, steps_per_rollout),
    }
    return reward.model_copy(update=changes)


def _shrink_sampling(sampling: Any, samples: int = SMOKE_SAMPLES) -> Any:
    changes = {
        "max_tokens": min(sampling.max_tokens, SMOKE_TOKENS),
        "samples": min(sampling.samples, samples),
        "batch_size": min(sampling.batch_size, 2 * SMOKE_PROBLEMS),
    }
    return sampling.model_copy(update=changes)


def _keep_all(keep: FiltersConfig) -> FiltersConfig:
    """Return filters that drop no completion of an untrained model; how many of each prompt are kept stays."""
    return FiltersConfig(finished=False, correct=False, format=False, per_prompt=keep.per_prompt, prefer=keep.prefer)


def _shrink_generate(recipe: GenerateRecipe) -> dict[str, Any]:
    changes: dict[str, Any] = {"sampling": _shrink_sampling(recipe.sampling), "keep": _keep_all(recipe.keep)}
    if recipe.thinking == "short":
        changes["keep"] = changes["keep"].model_copy(update={"max_thinking": 10**6})
    if recipe.refine is not None:
        teacher = {"sampling": _shrink_sampling(recipe.refine.sampling), "otherwise": "keep"}
        changes["refine"] = recipe.refine.model_copy(update=teacher)
    # A journey needs a wrong and a right completion of one prompt, which a few samples seldom have.
    changes["journey"] = None
    return changes


def _shrink_eval(recipe: EvalRecipe) -> dict[str, Any]:
    if recipe.scaling is None:
        suite = {name: _shrink_benchmark(benchmark) for name, benchmark in recipe.suite.items()}
        return {"sampling": _shrink_sampling(recipe.sampling), "suite": suite}
    sampling = _shrink_sampling(recipe.sampling, 2 * SMOKE_SAMPLES)
    return {"sampling": sampling, "scaling": _shrink_scaling(recipe.scaling, sampling.samples)}


def _shrink_benchmark(benchmark: BenchmarkConfig) -> BenchmarkConfig:
    changes = {
        "rows": min(benchmark.rows or SMOKE_PROBLEMS, SMOKE_PROBLEMS),
        "samples": min(benchmark.samples, SMOKE_SAMPLES),
        "max_tokens": min(benchmark.max_tokens, SMOKE_TOKENS),
    }
    return benchmark.model_copy(update=changes)


def _shrink_scaling(scaling: ScalingConfig, samples: int) -> ScalingConfig:
    width = min(scaling.width, 2)
    changes = {
        "samples": [count for count in scaling.samples if count <= samples],
        "paths": [2 * width],
        "width": width,
        "step_tokens": min(scaling.step_tokens, 8),
        "direct": min(scaling.direct, samples),
        "budgets": [min(budget, SMOKE_TOKENS // 2) for budget in scaling.budgets[:1]],
        "waits": min(scaling.waits, 1),
        "answer_tokens": min(scaling.answer_tokens, 8),
        "draws": min(scaling.draws, 16),
    }
    return scaling.model_copy(update=changes)


def _shrink_verifier(recipe: VerifierRecipe) -> dict[str, Any]:
    head = recipe.head
    first_settings = {name: getattr(head, name)[:1] for name in ("penalties", "fractions", "ridges")}
    return {
        "sampling": _shrink_sampling(recipe.sampling, 2 * SMOKE_SAMPLES),
        "head": head.model_copy(update={**first_settings, "folds": 2}),
    }
