"""Sample and score: the core of `generate` and `eval`, resumable shard by shard.

Prompts are dealt out in units, each with a seed of its own; a unit becomes one shard. While a server works on the next
units, this process scores and writes what came back. Memory holds the units in flight, however many rows there are.
"""

import os
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.data.filters import NO_ANSWER_FILTER
from r1kit.data.questions import render_prompt
from r1kit.errors import Interrupted
from r1kit.models.templates import THINK_START
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.ranks import barrier, is_main_rank
from r1kit.recipe import EvalRecipe, GenerateRecipe, ModelConfig, PromptConfig, SamplingConfig, VerifierRecipe
from r1kit.rewards.binding import bind_reward
from r1kit.rows import Row
from r1kit.runs.run import Run
from r1kit.sampling.budget import BudgetMeter
from r1kit.sampling.engine import CompletionGroups, PromptBatch, Sampler, make_sampler
from r1kit.sampling.progress import IdenticalSamplesCheck, SamplingProgress
from r1kit.sampling.scoring import score_samples
from r1kit.sampling.shards import Shards, text_fingerprint

if TYPE_CHECKING:
    from datasets import Dataset

READ = 10_000  # rows of problems looked at together


@dataclass(frozen=True)
class SamplingJob:
    """What samples, how, and what it is called."""

    model: ModelConfig
    prompt: PromptConfig
    settings: SamplingConfig
    seed: int
    label: str
    field: str = "sampling"

    def sampler(self) -> Sampler:
        return make_sampler(self.model, self.prompt, self.settings, self.field)


def sample_problems(
    recipe: GenerateRecipe | EvalRecipe | VerifierRecipe,
    model: ModelConfig,
    problems: "Dataset",
    run: Run,
    folder: Path,
    label: str,
    work: SamplingJob | None = None,
    **told: Any,
) -> Shards:
    """Sample every problem (its prompt as the source has it), score the samples, and return their shards in `folder`.

    `work` is how, where that is more than the recipe's sampling; `told` goes into the manifest. On several processes
    each samples its share; all return all shards. Raises Interrupted when a launcher asks for a stop, UserError where
    the engine or the data is at fault.
    """
    settings = recipe.sampling
    functions = [bind_reward(entry, i) for i, entry in enumerate(recipe.rewards)]
    per_unit = max(1, settings.batch_size // settings.samples)
    starts = range(0, len(problems), per_unit)
    shards = Shards(folder, len(starts), [f.__name__ for f in functions])
    if is_main_rank():
        asked = problems.select_columns(["id", "question"])
        parts = (asked[i : i + READ] for i in range(0, len(asked), READ))
        texts = (text for part in parts for pair in zip(part["id"], part["question"], strict=True) for text in pair)
        shards.begin(problems=len(problems), fingerprint=text_fingerprint(texts), **told)

    def unit(index: int) -> dict[str, list[Any]]:
        return problems[starts[index] : starts[index] + per_unit]

    def prompts(index: int) -> list[Any]:
        return [render_prompt(question, recipe.prompt) for question in unit(index)["prompt"]]

    def rows(index: int, groups: CompletionGroups) -> list[Row]:
        return score_samples(unit(index), prompts(index), groups, functions, model, _seed(recipe.seed, index))

    sample_missing_shards(
        shards, prompts, rows, work or SamplingJob(model, recipe.prompt, settings, recipe.seed, label), run
    )
    return shards


def without_thinking(prompt: PromptConfig, engine: str) -> PromptConfig:
    """Return how a model is asked to answer straight away: a chat template's own switch, else the answer is begun."""
    if prompt.template == CHAT_TEMPLATE:
        settings = {"enable_thinking": False, **prompt.template_settings} if engine != "openai" else {}
        return prompt.model_copy(update={"template_settings": settings or prompt.template_settings})
    answers = prompt.prefill and THINK_START not in prompt.prefill
    return prompt if answers else prompt.model_copy(update={"prefill": "<answer>"})


def _seed(seed: int, index: int) -> int:
    return seed * 1000003 + index


def sample_missing_shards(
    shards: Shards,
    prompts: Callable[[int], Sequence[Any]],
    rows: Callable[[int, CompletionGroups], list[Row]],
    work: SamplingJob,
    run: Run,
    among: Container[int] | None = None,
) -> None:
    """Sample `prompts` of each missing shard and write the `rows` made of the samples, each process its share.

    A shard without prompts is written without rows; `among` limits which shards are looked at. Returns when the budget
    is spent, too.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    barrier()  # before the work, which may take one of them much longer than another
    done = set(shards.done())
    mine = [i for i in range(shards.count) if i % world == rank]
    missing = [i for i in mine if i not in done and (among is None or i in among)]
    meter = BudgetMeter(work.settings.budget, world)
    meter.restore(shards, [i for i in mine if i in done])
    progress = SamplingProgress(work.label, len(missing))
    likeness = IdenticalSamplesCheck(work.settings, progress)
    sampler: Sampler | None = None

    def units() -> Iterator[PromptBatch | None]:
        for index in missing:
            asked = list(prompts(index))
            while asked and not meter.allows():
                if meter.begun == meter.finished:
                    progress.note(f"the budget is spent: {meter}")
                    return
                yield None
            if asked:
                meter.begin()
                yield PromptBatch(index, asked, _seed(work.seed, index))
            else:
                shards.write(index, rows(index, []))
                progress.step()

    try:
        waiting = units()
        first = next(waiting, None)
        if first is not None:
            sampler = work.sampler()
            if done:
                _trust(sampler, shards, min(done), prompts)
            for index, groups in sampler.stream(_chained(first, waiting), work.settings.samples):
                shards.write(index, rows(index, groups))
                meter.add(groups)
                likeness.add(groups)
                progress.step(groups, sampler.report(), meter.cost)
                if (run.path / "stop").exists():
                    raise Interrupted
    finally:
        if sampler is not None:
            sampler.close()
    barrier()


def _trust(sampler: Sampler, shards: Shards, index: int, prompts: Callable[[int], Sequence[Any]]) -> None:
    """Tell the sampler of a prompt that was answered before: by it a server that is gone is told from a bad prompt."""
    asked = list(prompts(index))
    answered = [row["finish_reason"] not in NO_ANSWER_FILTER for row in shards.read(index, ["finish_reason"])]
    if asked and answered and answered[0]:
        sampler.trust(asked[0])


def _chained(first: PromptBatch | None, rest: Iterator[PromptBatch | None]) -> Iterator[PromptBatch | None]:
    yield first
    yield from rest
