"""Sample the shards that are missing: the core of `generate`, `eval` and `verifier`.

The problems are dealt out in batches. Each batch has a seed of its own and becomes one shard, so that a run that was
interrupted continues with the shards that are missing and ends in the same rows. While a server works on the next
batches, this process scores and writes those that came back. Memory holds only the batches in flight, however many
rows a run has.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.completions import CompletionGroups, Prompt, PromptBatch
from r1kit.data.filters import NO_ANSWER_FILTER
from r1kit.data.questions import render_prompt
from r1kit.errors import Interrupted
from r1kit.messages import logger
from r1kit.models.templates import THINK_START
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.ranks import barrier, is_main_rank, rank, world_size
from r1kit.recipe import EvalRecipe, GenerateRecipe, ModelConfig, PromptConfig, SamplingConfig, VerifierRecipe
from r1kit.recipe.rewards import answers_of_accuracy
from r1kit.rows import Row
from r1kit.runs.run import Run
from r1kit.sampling.budget import BudgetMeter
from r1kit.sampling.engine import Sampler, make_sampler
from r1kit.sampling.progress import IdenticalSamplesCheck, SamplingProgress
from r1kit.sampling.scoring import bind_rewards, score_samples
from r1kit.sampling.shards import Shards, text_fingerprint

if TYPE_CHECKING:
    from datasets import Dataset

FINGERPRINT_ROWS = 10_000  # problems that are read at once while their fingerprint is computed
SEED_STRIDE = 1_000_003  # batches of one recipe seed: a prime, so that the seeds of two recipes do not overlap


@dataclass(frozen=True)
class SamplingJob:
    """What samples, how it samples, and how the progress bar calls it.

    `field` is the name of the sampling settings in the recipe, for error messages.
    """

    model_config: ModelConfig
    prompt_config: PromptConfig
    sampling_config: SamplingConfig
    seed: int
    label: str
    field: str = "sampling"

    def make_sampler(self) -> Sampler:
        return make_sampler(self.model_config, self.prompt_config, self.sampling_config, self.field)


def batch_seed(seed: int, batch_index: int) -> int:
    """Return the seed of a batch."""
    return seed * SEED_STRIDE + batch_index


def prompts_per_batch(sampling_config: SamplingConfig) -> int:
    """Return how many prompts a batch holds, so that all their samples are about `batch_size` completions."""
    return max(1, sampling_config.batch_size // sampling_config.samples)


def sample_problems(
    recipe: GenerateRecipe | EvalRecipe | VerifierRecipe,
    model_config: ModelConfig,
    problems: "Dataset",
    run: Run,
    folder: Path,
    label: str,
    job: SamplingJob | None = None,
    **manifest: Any,
) -> Shards:
    """Sample every problem, score the samples, and return their shards in `folder`.

    `job` replaces the sampling that follows from the recipe (search is such a job); `manifest` holds further settings
    that identify the work. Each process samples its part, and all return all shards. Raises Interrupted if the
    launcher asks for a stop, and UserError if the engine or the data is at fault.
    """
    functions = bind_rewards(recipe.rewards, recipe.answers)
    answers = answers_of_accuracy(recipe.rewards, recipe.answers)
    batch_prompts = prompts_per_batch(recipe.sampling)
    batch_starts = range(0, len(problems), batch_prompts)
    shards = Shards(folder, len(batch_starts), [function.__name__ for function in functions])
    # Shards that were made for other problems must not be taken for these.
    if is_main_rank():
        fingerprint = text_fingerprint(_ids_and_questions(problems))
        shards.check_manifest(problems=len(problems), fingerprint=fingerprint, **manifest)

    def problems_of(index: int) -> dict[str, list[Any]]:
        return problems[batch_starts[index] : batch_starts[index] + batch_prompts]

    def prompts_of(index: int) -> list[Prompt]:
        return [render_prompt(question, recipe.prompt) for question in problems_of(index)["prompt"]]

    def rows_of(index: int, groups: CompletionGroups) -> list[Row]:
        seed = batch_seed(recipe.seed, index)
        problem_columns = problems_of(index)
        return score_samples(problem_columns, prompts_of(index), groups, functions, model_config, seed, answers)

    if job is None:
        job = SamplingJob(model_config, recipe.prompt, recipe.sampling, recipe.seed, label)
    sample_missing_shards(shards, prompts_of, rows_of, job, run)
    return shards


def _ids_and_questions(problems: "Dataset") -> Iterator[str]:
    """Yield the id and the question of each problem, one after the other."""
    columns = problems.select_columns(["id", "question"])
    for start in range(0, len(columns), FINGERPRINT_ROWS):
        block = columns[start : start + FINGERPRINT_ROWS]
        for row_id, question in zip(block["id"], block["question"], strict=True):
            yield row_id
            yield question


def without_thinking(prompt_config: PromptConfig, engine: str) -> PromptConfig:
    """Return the prompt settings that make a model answer at once, without a chain of thought.

    Many chat templates have a switch for that (`enable_thinking`), and thinking that the others open themselves is
    closed at once; with a plain template the completion starts with `<answer>`. A server renders the chat template
    itself, and its settings stay as they are.
    """
    if prompt_config.template == CHAT_TEMPLATE:
        if engine == "openai":
            return prompt_config
        template_settings = {"enable_thinking": False, **prompt_config.template_settings}
        return prompt_config.model_copy(update={"template_settings": template_settings})
    already_answers = prompt_config.prefill and THINK_START not in prompt_config.prefill
    if already_answers:
        return prompt_config
    return prompt_config.model_copy(update={"prefill": "<answer>"})


def sample_missing_shards(
    shards: Shards,
    prompts_of: Callable[[int], Sequence[Prompt]],
    rows_of: Callable[[int, CompletionGroups], list[Row]],
    job: SamplingJob,
    run: Run,
    only: Container[int] | None = None,
) -> None:
    """Sample the shards that are missing and write their rows; each process does its part.

    `prompts_of(index)` returns the prompts of a shard, `rows_of(index, groups)` the rows to write from their samples.
    A shard without prompts is written without rows. `only` limits which shards are sampled. The function also returns
    if the budget is spent; some shards are missing then.
    """
    barrier()  # one process may have been busy for much longer than another with what came before
    # 1. Which shards are missing? Shard i belongs to process i modulo the number of processes.
    failed = set(shards.failed())
    finished = set(shards.finished()) - failed
    assigned = range(rank(), shards.count, world_size())
    missing = [index for index in assigned if index not in finished and (only is None or index in only)]
    meter = BudgetMeter(job.sampling_config.budget, world_size())
    meter.restore(shards, [index for index in assigned if index in finished])
    identical_samples = IdenticalSamplesCheck(job.sampling_config)

    # 2. Sample, score and write them, one batch after the other.
    with SamplingProgress(job.label, len(missing)) as progress:
        batches = _missing_batches(missing, shards, prompts_of, rows_of, job, meter, progress)
        # A model is loaded only if there is something to sample.
        first_batch = next(batches, None)
        if first_batch is not None:
            sampler = job.make_sampler()
            try:
                if finished:
                    _remember_answered_prompt(sampler, shards, min(finished), prompts_of)
                group_size = job.sampling_config.samples
                for index, groups in sampler.stream(chain([first_batch], batches), group_size):
                    if index in failed:
                        _remove_rewritten_shard(run, shards, index)
                    shards.write_shard(index, rows_of(index, groups), _count_failed_samples(groups))
                    meter.finish_batch(groups)
                    identical_samples.add(groups)
                    progress.finish_batch(groups, sampler.count_events(), meter.cost)
                    # A launcher that is told to stop makes this file; whole shards are kept.
                    if (run.path / "stop").exists():
                        raise Interrupted
            finally:
                sampler.close()
    barrier()  # the caller reads the shards of all processes
    still_failed = len(shards.failed())
    if still_failed and is_main_rank():
        logger.warning(
            f"{job.label}: in {still_failed} of {shards.count} batches, samples have no completion, since the server "
            f"gave none; the same command asks for these batches again"
        )


def _count_failed_samples(groups: CompletionGroups) -> int:
    """Return how many samples have no completion because the server failed."""
    failed_samples = 0
    for group in groups:
        failed_samples += sum(sample.finish_reason == "failed" for sample in group)
    return failed_samples


def _remove_rewritten_shard(run: Run, shards: Shards, index: int) -> None:
    """Remove what a teacher made of the samples of a shard, which are sampled again now."""
    if shards.folder == run.path / "samples":
        for folder in ("refine", "journey"):
            (run.path / folder / shards.shard_path(index).name).unlink(missing_ok=True)


def _missing_batches(
    missing: Sequence[int],
    shards: Shards,
    prompts_of: Callable[[int], Sequence[Prompt]],
    rows_of: Callable[[int, CompletionGroups], list[Row]],
    job: SamplingJob,
    meter: BudgetMeter,
    progress: SamplingProgress,
) -> Iterator[PromptBatch | None]:
    """Yield the batches to sample as long as the budget lasts, and None while it allows no further one yet."""
    for index in missing:
        prompts = list(prompts_of(index))
        if not prompts:
            shards.write_shard(index, rows_of(index, []))
            progress.finish_batch([])
            continue
        while not meter.can_start_batch():
            if meter.batches_in_flight == 0:
                logger.info(f"the budget is spent: {meter}")
                return
            yield None
        meter.start_batch()
        yield PromptBatch(index, prompts, batch_seed(job.seed, index))


def _remember_answered_prompt(
    sampler: Sampler, shards: Shards, index: int, prompts_of: Callable[[int], Sequence[Prompt]]
) -> None:
    """Name to the sampler a prompt of a finished shard that was answered."""
    prompts = list(prompts_of(index))
    finish_reasons = [row["finish_reason"] for row in shards.read_shard(index, ["finish_reason"])]
    if prompts and finish_reasons and finish_reasons[0] not in NO_ANSWER_FILTER:
        sampler.remember_answered(prompts[0])
