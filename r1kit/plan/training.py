"""The plan of a stage that trains: SFT, distillation, reward models and RL."""

import math
from dataclasses import dataclass, replace

from r1kit.errors import UserError
from r1kit.plan.assumptions import MEAN_FRACTION, PROMPT_TOKENS
from r1kit.plan.devices import Hardware
from r1kit.plan.disk import training_disk, training_host_memory
from r1kit.plan.lookup import Lookup, PlannedOutput, count_rows, find_shape
from r1kit.plan.memory import resident_memory, training_memory
from r1kit.plan.result import SPARE, PlanOptions, StagePlan
from r1kit.plan.serving import Serving, decoder_serving, vllm_serving
from r1kit.plan.setup import (
    Launch,
    row_width,
    samples_itself,
    training_setup,
    trains_with_vllm,
    vllm_settings,
)
from r1kit.plan.shape import ModelShape
from r1kit.plan.step import TrainingSetup
from r1kit.plan.time import MicroStep, Sampling, micro_step_seconds, sampling_seconds
from r1kit.recipe import DistillRecipe, RewardModelRecipe, RLRecipe, TrainingRecipe
from r1kit.recipe.trl_checks import longest_completion


@dataclass(frozen=True)
class _Batches:
    """How an optimizer step is divided."""

    rows: int
    """Rows of a micro-batch on one device."""
    accumulation: int
    is_chosen: bool = False
    """Whether the recipe leaves the micro-batch to r1kit, which takes the largest that fits."""


def plan_training(
    stage: str,
    recipe: TrainingRecipe,
    shape: ModelShape,
    hardware: Hardware,
    launch: Launch,
    options: PlanOptions,
    lookup: Lookup,
) -> StagePlan:
    """Return the plan of a training stage. Raises UserError for a batch that does not divide by the devices."""
    batches = _divide_batch(recipe, shape, hardware, launch)
    setup = training_setup(recipe, shape, hardware, launch, batches.rows)
    plan = StagePlan(stage, recipe.output or stage, hardware, launch=str(launch), output=recipe.output)
    plan.price, plan.product = options.price, PlannedOutput(shape=shape)
    if batches.is_chosen and batches.rows < recipe.training.batch_size // hardware.count:
        lookup.note(
            f"training.micro_batch_size is not set; {batches.rows} is the largest that fits, and a run that starts "
            "with more halves it whenever memory runs out"
        )
    use = training_memory(shape, setup)
    plan.memory, plan.moment = dict(use.sizes), f"while training ({use.moment})"
    _add_teacher(plan, recipe, lookup)
    data = count_rows(recipe.data.train, lookup, "data.train", recipe.data.rows)
    rows = data.rows or 0
    if samples_itself(recipe):
        _plan_own_samples(plan, recipe, shape, setup, batches, rows, options)
    else:
        _plan_rows(plan, recipe, shape, setup, batches, data, options)
    sampled = plan.tokens.get("sampled", 0.0)
    plan.disk = training_disk(recipe, shape, setup, sampled)
    plan.host_memory = training_host_memory(shape, setup, math.ceil(hardware.count / hardware.nodes))
    return plan


def _divide_batch(recipe: TrainingRecipe, shape: ModelShape, hardware: Hardware, launch: Launch) -> _Batches:
    from r1kit.training.arguments import split_batch

    rows, accumulation = split_batch(recipe.training, hardware.count)
    if recipe.training.micro_batch_size is not None:
        return _Batches(rows, accumulation)
    share = rows * accumulation
    while rows > 1:
        memory = training_memory(shape, training_setup(recipe, shape, hardware, launch, rows))
        if memory.total <= hardware.device.memory * (1 - SPARE):
            break
        rows = max(size for size in range(1, rows // 2 + 1) if share % size == 0)
    return _Batches(rows, share // rows, is_chosen=True)


def _add_teacher(plan: StagePlan, recipe: TrainingRecipe, lookup: Lookup) -> None:
    """Add the weights of a teacher that judges the student's answers on the same device."""
    if not isinstance(recipe, DistillRecipe) or recipe.trains_on_rows or recipe.teacher.server is not None:
        return
    teacher = find_shape(recipe.teacher.to_model_config(), recipe.teacher.path, lookup, "teacher.path")
    weight_bytes = 4 if plan.hardware.device.is_cpu or recipe.teacher.dtype == "float32" else 2
    plan.memory["teacher"] = float(teacher.parameters * weight_bytes)


# Rows that are there before


def _plan_rows(
    plan: StagePlan,
    recipe: TrainingRecipe,
    shape: ModelShape,
    setup: TrainingSetup,
    batches: _Batches,
    data: PlannedOutput,
    options: PlanOptions,
) -> None:
    """Fill in the work of fine-tuning on rows, its tokens and its seconds."""
    training, limit = recipe.training, row_width(recipe)
    mean = float(options.mean_tokens or data.mean_tokens or MEAN_FRACTION * limit)
    mean = min(mean, limit)
    rows = float(data.rows or 0)
    packs = getattr(training, "packing", False)
    sequences, length = (rows * mean / limit, float(limit)) if packs else (rows, mean)
    steps = training.steps or max(1, math.ceil((training.epochs or 1) * sequences / training.batch_size))
    pairs = 2 if isinstance(recipe, RewardModelRecipe) else 1
    plan.work = _describe_work(steps, recipe, batches, plan.hardware, "pairs" if pairs == 2 else "rows")
    plan.tokens["trained"] = steps * training.batch_size * length * pairs
    micro_steps = steps * batches.accumulation
    step = _micro_step(setup, setup.rows * length, mean)
    time = micro_step_seconds(shape, step, plan.hardware.device)
    plan.seconds["training"] = micro_steps * time.total
    longest = micro_step_seconds(shape, _micro_step(setup, setup.tokens, limit), plan.hardware.device)
    plan.most_seconds = micro_steps * longest.total if not packs else plan.seconds["training"]
    plan.bottleneck = time.bottleneck
    if options.mean_tokens is None and data.mean_tokens is None:
        share = f"{MEAN_FRACTION:g} of the longest (--mean-tokens)"
        plan.notes.append(f"rows are taken to have {mean:,.0f} tokens, {share}")


def _micro_step(setup: TrainingSetup, tokens: float, row_length: float) -> MicroStep:
    return MicroStep(
        tokens=round(tokens),
        row_length=row_length,
        trains_adapter=setup.trained is not None,
        checkpointing=setup.checkpointing,
        is_sharded=setup.sharding in ("fsdp2", "zero3") and setup.devices > 1,
        offloads_optimizer=setup.offloads_optimizer,
    )


def _describe_work(steps: int, recipe: TrainingRecipe, batches: _Batches, hardware: Hardware, rows: str) -> str:
    at_once = rows if batches.rows > 1 else rows.removesuffix("s")
    factors = [f"{hardware.count} device{'s' if hardware.count > 1 else ''}", f"{batches.rows} {at_once} at once"]
    factors.append(f"{batches.accumulation} accumulated")
    return f"{steps:,} steps, each of {recipe.training.batch_size:,} {rows} = {' x '.join(factors)}"


# Completions that the model samples itself


def _plan_own_samples(
    plan: StagePlan,
    recipe: TrainingRecipe,
    shape: ModelShape,
    setup: TrainingSetup,
    batches: _Batches,
    problems: int,
    options: PlanOptions,
) -> None:
    """Fill in the work of RL and of distillation on own answers: sampling, scoring and training."""
    assert isinstance(recipe, RLRecipe | DistillRecipe)
    training, hardware = recipe.training, plan.hardware
    group = recipe.sampling.group_size if isinstance(recipe, RLRecipe) else 1
    updates = recipe.training.updates_per_rollout if isinstance(recipe, RLRecipe) else 1
    steps = training.steps or max(1, math.ceil((training.epochs or 1) * problems * group / training.batch_size))
    limit, longest = _mean_limit(recipe, steps), longest_completion(recipe)
    mean = min(float(options.mean_tokens or MEAN_FRACTION * limit), limit)
    prompt = float(min(PROMPT_TOKENS, longest))
    serving = _plan_sampling_memory(plan, recipe, shape, setup, mean)
    iterations = int(recipe.trl.get("num_iterations", 1))
    rollouts = max(1, math.ceil(steps / (updates * iterations)))
    completions = training.batch_size * updates
    plan.work = _describe_work(steps, recipe, batches, hardware, "completions")
    if isinstance(recipe, RLRecipe):
        plan.work += f"; {rollouts:,} rollouts of {completions // group:,} prompts x {group} completions"
    plan.tokens = {"sampled": rollouts * completions * mean, "trained": steps * training.batch_size * (prompt + mean)}
    seconds = _seconds_of_rollout(recipe, shape, setup, batches, serving, prompt, mean, longest, hardware)
    plan.seconds = {name: rollouts * value for name, value in seconds.items()}
    most = _seconds_of_rollout(recipe, shape, setup, batches, serving, prompt, limit, longest, hardware)
    plan.most_seconds = rollouts * sum(most.values())
    plan.bottleneck = max(plan.seconds, key=lambda name: plan.seconds[name])
    if options.mean_tokens is None:
        share = f"{MEAN_FRACTION:g} of the longest (--mean-tokens)"
        plan.notes.append(f"completions are taken to have {mean:,.0f} tokens on average, {share}")
    plan.notes.append("the time of rewards is left out")


def _mean_limit(recipe: RLRecipe | DistillRecipe, steps: int) -> float:
    """Return the limit of a completion's tokens, on average over the steps of `sampling.schedule`."""
    limits = [(1, recipe.sampling.max_tokens)]
    if isinstance(recipe, RLRecipe):
        limits += [(step.from_step, step.max_tokens) for step in recipe.sampling.schedule]
    limits.sort()
    total = 0.0
    for index, (first, tokens) in enumerate(limits):
        end = limits[index + 1][0] if index + 1 < len(limits) else steps + 1
        total += max(0, min(end, steps + 1) - first) * tokens
    return total / steps


def _plan_sampling_memory(
    plan: StagePlan, recipe: RLRecipe | DistillRecipe, shape: ModelShape, setup: TrainingSetup, mean: float
) -> Serving:
    """Add the memory of sampling to the plan's, where it is there while training or takes more."""
    longest, hardware = row_width(recipe), plan.hardware
    resident = sum(resident_memory(shape, setup).values()) + plan.memory.get("teacher", 0.0)
    prompt = longest - longest_completion(recipe)
    if not trains_with_vllm(recipe):
        updates = recipe.training.updates_per_rollout if isinstance(recipe, RLRecipe) else 1
        batch = max(1, recipe.training.batch_size * updates // hardware.count)
        serving = decoder_serving(shape, hardware, batch, longest, prompt + mean, resident)
        plan.cache = f"{max(1, math.floor(serving.sequences)):,} of {batch:,} completions at once on a device"
        phase = {**resident_memory(shape, setup), **serving.sizes}
    else:
        share, parallel, limit, sleeps = vllm_settings(recipe)
        if parallel > hardware.count:
            requirement = f"needs {parallel} GPUs, and there are {hardware.count}"
            raise UserError("trl.vllm_tensor_parallel_size", parallel, requirement, "lower it, or name more GPUs")
        serving = vllm_serving(shape, hardware, share, parallel, limit or longest, prompt + mean)
        plan.cache = describe_cache(serving, limit or longest)
        plan.longest_sequences = serving.longest_sequences
        if not sleeps:
            plan.memory |= serving.sizes
            return serving
        phase = {**resident_memory(shape, setup), **serving.sizes}
    if sum(phase.values()) > plan.peak:
        plan.memory, plan.moment = phase, "while sampling"
    return serving


def describe_cache(serving: Serving, longest: int) -> str:
    """Return how many sequences vLLM's cache holds on a replica, in words."""
    return (
        f"vLLM's cache holds {serving.longest_sequences:,.1f} sequences of {longest:,} tokens on a replica, and runs "
        f"{serving.sequences:,.0f} of mean length at once"
    )


def _seconds_of_rollout(
    recipe: RLRecipe | DistillRecipe,
    shape: ModelShape,
    setup: TrainingSetup,
    batches: _Batches,
    serving: Serving,
    prompt: float,
    mean: float,
    longest: float,
    hardware: Hardware,
) -> dict[str, float]:
    """Return the seconds of one rollout by part: sampling, forward passes without a gradient, training."""
    is_rl = isinstance(recipe, RLRecipe)
    updates = recipe.training.updates_per_rollout if isinstance(recipe, RLRecipe) else 1
    completions = recipe.training.batch_size * updates
    has_vllm = bool(recipe.trl.get("use_vllm"))
    _, parallel, _, _ = vllm_settings(recipe)
    device = hardware.device
    if has_vllm and parallel > 1:
        device = replace(device, bandwidth=device.bandwidth * parallel, flops=device.flops * parallel)
    sampling = Sampling(
        completions=math.ceil(completions / serving.replicas),
        prompt_tokens=prompt / (recipe.sampling.group_size if isinstance(recipe, RLRecipe) else 1),
        mean_tokens=mean,
        longest_tokens=longest,
        batch=serving.sequences,
        engine="vllm" if has_vllm else "transformers",
    )
    micro_steps = updates * batches.accumulation
    step = _micro_step(setup, setup.rows * (prompt + mean), prompt + mean)
    forward = micro_step_seconds(shape, replace(step, forward_only=True), hardware.device).total
    training = micro_step_seconds(shape, step, hardware.device).total
    # The old policy's log-probabilities, where they are not those of the sampling, and the reference model's.
    iterations = int(recipe.trl.get("num_iterations", 1))
    passes = 0
    if is_rl:
        passes = int(has_vllm or updates * iterations > 1) + int(recipe.training.kl > 0)  # type: ignore[union-attr]
    elif isinstance(recipe, DistillRecipe):
        passes = 1  # the teacher, taken to be as large as the student
    return {
        "sampling": sampling_seconds(shape, sampling, device),
        "scoring tokens": passes * micro_steps * forward,
        "training": iterations * micro_steps * training,
    }
