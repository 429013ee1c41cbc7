"""The plan of a stage that samples: `generate`, `eval` and `verifier`."""

import math
from dataclasses import dataclass, replace

from r1kit.errors import UserError
from r1kit.plan.assumptions import MEAN_FRACTION, PROMPT_TOKENS, UNKNOWN_ROWS, passing_rows, sampled_row_tokens
from r1kit.plan.devices import Hardware
from r1kit.plan.disk import PROCESS_BYTES, sampled_disk
from r1kit.plan.lookup import HUB_ROWS, Lookup, PlannedOutput, count_rows, find_shape
from r1kit.plan.result import PlanOptions, StagePlan
from r1kit.plan.serving import Serving, decoder_serving, vllm_serving
from r1kit.plan.setup import vllm_settings
from r1kit.plan.shape import ModelShape
from r1kit.plan.time import Sampling, sampling_seconds
from r1kit.plan.training import describe_cache
from r1kit.recipe import EvalRecipe, GenerateRecipe, Recipe, SamplingConfig, VerifierRecipe

SamplingRecipe = GenerateRecipe | EvalRecipe | VerifierRecipe


@dataclass(frozen=True)
class _Job:
    """Completions of one model: how many, and how long they may be."""

    recipe: SamplingRecipe
    completions: int
    max_tokens: int
    label: str = ""


def plan_sampling(
    stage: str, recipe: SamplingRecipe, hardware: Hardware, options: PlanOptions, lookup: Lookup
) -> StagePlan:
    """Return the plan of a stage that samples from one model or several."""
    plan = StagePlan(stage, recipe.output or stage, hardware, output=recipe.output, price=options.price)
    plan.launch = "one device"
    jobs = _list_jobs(recipe, lookup)
    completions = sum(job.completions for job in jobs)
    plan.work = f"{completions:,} completions of at most {max((job.max_tokens for job in jobs), default=0):,} tokens"
    served_elsewhere = 0
    for job, shape in zip(jobs, _find_shapes(jobs, lookup), strict=True):
        if shape is None:
            served_elsewhere += job.completions
            plan.tokens["sampled"] = plan.tokens.get("sampled", 0) + job.completions * _mean(job, options)
        else:
            _add_job(plan, job, shape, options)
    if served_elsewhere:
        plan.notes.append(
            f"{served_elsewhere:,} completions come from servers of a model that is not known here; their hours are "
            "left out (--like PATH=MODEL)"
        )
    if options.mean_tokens is None and jobs:
        plan.notes.append(f"completions are taken to have {MEAN_FRACTION:g} of the longest tokens (--mean-tokens)")
    plan.disk = sampled_disk(plan.tokens.get("sampled", 0.0))
    plan.bottleneck = "sampling"
    plan.product = _product(recipe, jobs, options, lookup)
    return plan


def _list_jobs(recipe: SamplingRecipe, lookup: Lookup) -> list[_Job]:
    sampling = recipe.sampling
    if not isinstance(recipe, EvalRecipe):
        problems = count_rows(recipe.data.train or recipe.data.eval, lookup, "data.train").rows or 0
        return [_Job(recipe, problems * sampling.samples, sampling.max_tokens)]
    jobs = []
    for model_recipe in recipe.recipes_by_model().values() if not (recipe.read and not recipe.suite) else ():
        if recipe.suite:
            for name, benchmark in recipe.suite.items():
                problems = benchmark.rows or HUB_ROWS.get(benchmark.path, 0)
                if not problems:
                    problems = UNKNOWN_ROWS
                    lookup.note(f"{name} is taken to have {UNKNOWN_ROWS:,} problems; set suite.{name}.rows")
                jobs.append(_Job(model_recipe, problems * benchmark.samples, benchmark.max_tokens))
        else:
            problems = count_rows(recipe.data.eval, lookup, "data.eval").rows or 0
            jobs.append(_Job(model_recipe, problems * sampling.samples, sampling.max_tokens))
    return jobs


def _find_shapes(jobs: list[_Job], lookup: Lookup) -> list[ModelShape | None]:
    """Return the shape of each job's model, None for one that only a server knows.

    Of several models, one that is not known here is taken to be as large as the largest of the others.
    """
    shapes: list[ModelShape | None] = []
    errors: dict[int, UserError] = {}
    for index, job in enumerate(jobs):
        try:
            shapes.append(find_shape(job.recipe.model, job.recipe.model.path, lookup))
        except UserError as error:
            shapes.append(None)
            if job.recipe.sampling.engine != "openai":
                errors[index] = error
    largest = max((shape for shape in shapes if shape), key=lambda shape: shape.parameters, default=None)
    for index, refusal in errors.items():
        if largest is None:
            raise refusal
        lookup.note(f"{jobs[index].recipe.model.path} is taken to be as large as the largest of the models")
        shapes[index] = largest
    return shapes


def _mean(job: _Job, options: PlanOptions) -> float:
    return min(float(options.mean_tokens or MEAN_FRACTION * job.max_tokens), job.max_tokens)


def _add_job(plan: StagePlan, job: _Job, shape: ModelShape, options: PlanOptions) -> None:
    """Add what a model's completions take to the plan; the memory is that of the largest model."""
    hardware, sampling = plan.hardware, job.recipe.sampling
    prompt = float(min(PROMPT_TOKENS, job.max_tokens))
    mean = _mean(job, options)
    serving, parallel, description = _serve(job, shape, hardware, prompt + mean, prompt + job.max_tokens)
    if hardware.count > 1:
        plan.launch = (
            f"{'a' if parallel == 1 else f'1/{parallel} of a'} model on each (--num-processes {serving.replicas})"
        )
        if sampling.engine == "openai":
            plan.launch = "taken by the servers"
    if sum(serving.sizes.values()) >= plan.peak:
        plan.memory, plan.moment, plan.cache = serving.sizes, "while sampling", description
        plan.longest_sequences = serving.longest_sequences
        plan.host_memory = 0.0
        if not hardware.device.is_cpu:
            per_node = math.ceil(hardware.count / hardware.nodes)
            plan.host_memory = per_node * (PROCESS_BYTES + 2.0 * shape.parameters)
    device = hardware.device
    if parallel > 1:
        device = replace(device, bandwidth=device.bandwidth * parallel, flops=device.flops * parallel)
    work = Sampling(
        completions=math.ceil(job.completions / serving.replicas),
        prompt_tokens=prompt / max(1, sampling.samples),
        mean_tokens=mean,
        longest_tokens=job.max_tokens,
        batch=serving.sequences,
        engine="transformers" if sampling.engine == "transformers" else "vllm",
        handed_over=None if sampling.engine == "openai" else sampling.batch_size,
    )
    plan.seconds["sampling"] = plan.seconds.get("sampling", 0.0) + sampling_seconds(shape, work, device)
    plan.most_seconds += sampling_seconds(shape, replace(work, mean_tokens=job.max_tokens), device)
    plan.tokens["sampled"] = plan.tokens.get("sampled", 0.0) + job.completions * mean


def _serve(job: _Job, shape: ModelShape, hardware: Hardware, mean: float, longest: float) -> tuple[Serving, int, str]:
    """Return how a model is sampled: its memory on a device, devices of a replica, and the cache in words."""
    sampling: SamplingConfig = job.recipe.sampling
    if sampling.engine == "transformers":
        serving = decoder_serving(shape, hardware, sampling.batch_size, longest, mean)
        count = max(1, math.floor(serving.sequences))
        return serving, 1, f"{count:,} of {sampling.batch_size:,} completions at once on a device"
    share, parallel, limit, _ = vllm_settings(job.recipe)
    if sampling.engine == "openai":
        parallel = _devices_for_server(shape, hardware)
        limit = None
    if parallel > hardware.count:
        requirement = f"needs {parallel} GPUs, and there are {hardware.count}"
        action = "lower it, or name more GPUs"
        raise UserError("sampling.vllm.tensor_parallel_size", parallel, requirement, action)
    serving = vllm_serving(shape, hardware, share, parallel, limit or longest, mean)
    description = describe_cache(serving, round(limit or longest))
    if sampling.engine == "vllm" and sampling.batch_size < serving.sequences:
        description += f"; sampling.batch_size hands it {sampling.batch_size:,} at a time"
    if sampling.engine == "openai":
        description = f"servers on the same kind of devices, {parallel} for each; " + description
    return serving, parallel, description


def _devices_for_server(shape: ModelShape, hardware: Hardware) -> int:
    """Return the fewest devices, by doubling, on which a server has at least half of the memory for its cache."""
    parallel = 1
    while 2 * shape.parameters / parallel > hardware.device.memory / 2 and parallel * 2 <= hardware.count:
        parallel *= 2
    return parallel


def _product(recipe: Recipe, jobs: list[_Job], options: PlanOptions, lookup: Lookup) -> PlannedOutput:
    """Return the rows that `generate` makes; other stages make none that a later stage reads."""
    if not isinstance(recipe, GenerateRecipe) or not jobs:
        return PlannedOutput()
    samples = recipe.sampling.samples
    per_prompt = recipe.journey.per_prompt if recipe.journey is not None else recipe.keep.per_prompt
    rows = passing_rows(jobs[0].completions / samples, samples, per_prompt)
    lookup.note(f"half of the completions of {recipe.output} are taken to pass the filters: {rows:,} rows")
    return PlannedOutput(rows=rows, mean_tokens=sampled_row_tokens(jobs[0].max_tokens, options.mean_tokens))
