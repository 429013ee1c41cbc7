"""What makes a plan fit its devices: the smallest single change, or the fastest of all settings (`--fit`).

changes = find_changes("sft", recipe, options, lookup)     ["training.gradient_checkpointing=true", ...]
plan, words = fit_plan("sft", recipe, options, lookup)     the fastest plan that fits, and its overrides
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from r1kit.errors import UserError
from r1kit.plan.estimate import choose_hardware, plan_stage
from r1kit.plan.lookup import Lookup
from r1kit.plan.result import PlanOptions, StagePlan
from r1kit.plan.setup import Launch, read_launch, samples_itself, trains_with_vllm, vllm_settings
from r1kit.recipe import (
    EvalRecipe,
    GenerateRecipe,
    LoraConfig,
    Recipe,
    RewardModelRecipe,
    RLRecipe,
    SFTRecipe,
    TrainingRecipe,
    VerifierRecipe,
)

SHARDED_LAUNCHES = (
    Launch("fsdp2", config="recipes/accelerate/fsdp2.yaml"),
    Launch("zero3", offloads_optimizer=True, config="recipes/accelerate/zero3_offload.yaml"),
)
"""Launches that shard a model over the devices, the faster first."""
VLLM_SHARES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1)
LARGE_BATCHES = (32, 64, 128, 256, 512)
SHORTEST_CONTEXT = 256
MOST_DOUBLINGS = 6


@dataclass(frozen=True)
class Change:
    """Settings that differ from the recipe and the command line, and how they are written there."""

    settings: dict[str, Any] = field(default_factory=dict)
    launch: Launch | None = None
    gpus: str | None = None

    def __str__(self) -> str:
        words = [f"{key}={_write(value)}" for key, value in self.settings.items()]
        if self.launch is not None and self.launch.config is not None:
            words.append(f"--accelerate-config {self.launch.config}")
        if self.gpus is not None:
            words.append(f"--gpus {self.gpus}")
        return " ".join(words)


def _write(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "{}" if isinstance(value, dict) else str(value)


def find_changes(stage: str, recipe: Recipe, options: PlanOptions, lookup: Lookup) -> list[str]:
    """Return the single changes that make a stage fit, the smallest first; of those of one kind the mildest.

    Without any, all settings together are tried (`fit_plan`).
    """
    changes = []
    for candidates in _single_changes(recipe, options, lookup):
        for change in candidates:
            if _fits(stage, recipe, change, options, lookup):
                changes.append(str(change))
                break
    if not changes:
        plan, words = fit_plan(stage, recipe, options, lookup)
        if plan.fits and words:
            changes.append(words)
    return changes


def fit_plan(stage: str, recipe: Recipe, options: PlanOptions, lookup: Lookup) -> tuple[StagePlan, str]:
    """Return the fastest plan that fits and the words that set it; the plan as it is where none does.

    Context is shortened only where nothing else makes it fit.
    """
    start = plan_stage(stage, recipe, options, lookup)
    best, best_change = (start, Change()) if start.fits else (None, Change())
    for shortening in ({}, *_shorter_contexts(recipe)):
        for change in _all_settings(recipe, options, lookup):
            change = replace(change, settings={**change.settings, **shortening})
            plan = _try(stage, recipe, change, options, lookup)
            if plan is None or not plan.fits:
                continue
            # One that is hardly faster is not worth a change.
            if best is None or plan.hours < best.hours * 0.99:
                best, best_change = plan, change
        if best is not None:
            break
    return (best, str(best_change)) if best is not None else (start, "")


def _fits(stage: str, recipe: Recipe, change: Change, options: PlanOptions, lookup: Lookup) -> bool:
    plan = _try(stage, recipe, change, options, lookup)
    return plan is not None and plan.fits


def _try(stage: str, recipe: Recipe, change: Change, options: PlanOptions, lookup: Lookup) -> StagePlan | None:
    """Return the plan with a change; None where the stage would refuse it."""
    if change.launch is not None:
        options = replace(options, launch=change.launch)
    if change.gpus is not None:
        options = replace(options, gpus=change.gpus)
    try:
        return plan_stage(stage, with_settings(recipe, change.settings), options, replace(lookup, notes=[]))
    except UserError:
        return None


def with_settings(recipe: Recipe, settings: dict[str, Any]) -> Recipe:
    """Return a copy of a recipe with values by dotted keys."""
    changed = recipe.model_copy(deep=True)
    for key, value in settings.items():
        *blocks, name = key.split(".")
        target: Any = changed
        for block in blocks:
            target = target[block] if isinstance(target, dict) else getattr(target, block)
        if isinstance(target, dict):
            target[name] = value
        else:
            setattr(target, name, LoraConfig() if key == "model.lora" else value)
    return changed


def _single_changes(recipe: Recipe, options: PlanOptions, lookup: Lookup) -> Iterator[list[Change]]:
    """Yield the changes of each kind, the kinds by what they cost, those of a kind by how far they go."""
    if isinstance(recipe, SFTRecipe | RLRecipe | RewardModelRecipe):
        devices = choose_hardware(options, None, replace(lookup, notes=[])).count
        yield [Change({"training.micro_batch_size": rows}) for rows in _micro_batches(recipe, devices)[1:]]
        if trains_with_vllm(recipe):
            share, _, _, sleeps = vllm_settings(recipe)
            if not sleeps:
                yield [Change({"trl.vllm_enable_sleep_mode": True})]
            lower = [value for value in VLLM_SHARES if value < share]
            higher = [value for value in VLLM_SHARES[::-1] if value > share]
            yield [Change({"trl.vllm_gpu_memory_utilization": value}) for value in [*lower, *higher]]
        if not recipe.training.gradient_checkpointing:
            yield [Change({"training.gradient_checkpointing": True})]
        yield [Change(launch=launch) for launch in _other_launches(recipe, options, devices)]
        yield [Change(dict(shorter)) for shorter in _shorter_contexts(recipe)]
        if recipe.model.lora is None:
            yield [Change({"model.lora": {}})]
    elif isinstance(recipe, GenerateRecipe | EvalRecipe | VerifierRecipe):
        yield [Change({"sampling.batch_size": size}) for size in _smaller(recipe.sampling.batch_size)]
        if recipe.sampling.engine == "vllm":
            yield [Change({"sampling.vllm.tensor_parallel_size": count}) for count in (2, 4, 8)]
        yield [Change(dict(shorter)) for shorter in _shorter_contexts(recipe)]
    yield list(_more_gpus(options))


def _other_launches(recipe: Recipe, options: PlanOptions, devices: int) -> list[Launch]:
    """Return the launches that shard a model where that of the options does not, or keeps the optimizer there."""
    if devices == 1 or recipe.model.quantize is not None:
        return []
    hardware = choose_hardware(options, None, Lookup())
    launch = options.launch or read_launch(options.accelerate_config, hardware)
    if launch.sharding in ("none", "ddp"):
        return list(SHARDED_LAUNCHES)
    return [] if launch.offloads_optimizer else [SHARDED_LAUNCHES[-1]]


def _more_gpus(options: PlanOptions) -> Iterator[Change]:
    if options.gpus is None:
        return
    count, times, name = options.gpus.partition("x")
    if not times or not count.isdigit():
        count, name = "1", options.gpus
    for doubling in range(1, MOST_DOUBLINGS + 1):
        yield Change(gpus=f"{int(count) * 2**doubling}x{name}")


def _micro_batches(recipe: TrainingRecipe, devices: int) -> list[int]:
    """Return the sizes of micro-batch that divide the rows of a device, the largest first, from today's on."""
    share = max(1, recipe.training.batch_size // devices)
    largest = recipe.training.micro_batch_size or share
    return [size for size in range(min(largest, share), 0, -1) if share % size == 0]


def _smaller(value: int) -> list[int]:
    sizes = []
    while value > 1:
        value //= 2
        sizes.append(value)
    return sizes


def _shorter_contexts(recipe: Recipe) -> list[dict[str, Any]]:
    """Return settings of shorter rows or completions, halved each time."""
    if isinstance(recipe, EvalRecipe) and recipe.suite:
        return []
    if isinstance(recipe, SFTRecipe | RewardModelRecipe) and not samples_itself(recipe):
        key, value = "training.max_length", recipe.training.max_length
        return [{key: size} for size in _smaller(value) if size >= SHORTEST_CONTEXT]
    sampling: Any = recipe.sampling  # type: ignore[attr-defined]
    shorter = []
    for size in _smaller(sampling.max_tokens):
        if size < SHORTEST_CONTEXT:
            break
        settings: dict[str, Any] = {"sampling.max_tokens": size}
        if getattr(sampling, "schedule", None):
            settings["sampling.schedule"] = []
        shorter.append(settings)
    return shorter


def _all_settings(recipe: Recipe, options: PlanOptions, lookup: Lookup) -> Iterator[Change]:
    """Yield all combinations of micro-batch, checkpointing, sharding and vLLM's share, or those of sampling."""
    if not isinstance(recipe, SFTRecipe | RLRecipe | RewardModelRecipe):
        sampling: Any = recipe.sampling  # type: ignore[attr-defined]
        parallels = (1, 2, 4, 8) if sampling.engine == "vllm" else (None,)
        sizes = [sampling.batch_size, *_smaller(sampling.batch_size)]
        if sampling.engine == "vllm":  # it runs as many at once as its cache holds
            sizes += [size for size in LARGE_BATCHES if size > sampling.batch_size]
        for size, parallel in itertools.product(sizes, parallels):
            settings = {"sampling.batch_size": size} if size != sampling.batch_size else {}
            if parallel not in (None, sampling.vllm.get("tensor_parallel_size", 1)):
                settings["sampling.vllm.tensor_parallel_size"] = parallel
            yield Change(settings)
        return
    devices = choose_hardware(options, None, replace(lookup, notes=[])).count
    whole_share = recipe.model_copy(deep=True)
    whole_share.training.micro_batch_size = None
    launches: list[Launch | None] = [None, *_other_launches(recipe, options, devices)]
    shares: list[float | None] = [None]
    if trains_with_vllm(recipe):
        shares += VLLM_SHARES
    choices = itertools.product(launches, (False, True), _micro_batches(whole_share, devices), shares)
    for launch, checkpointing, rows, share in choices:
        changed: dict[str, Any] = {}
        if rows != recipe.training.micro_batch_size:
            changed["training.micro_batch_size"] = rows
        if checkpointing != recipe.training.gradient_checkpointing:
            changed["training.gradient_checkpointing"] = checkpointing
        if share is not None:
            changed["trl.vllm_gpu_memory_utilization"] = share
        yield Change(changed, launch)
