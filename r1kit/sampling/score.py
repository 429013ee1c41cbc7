"""Sample and score: the core of `generate` and `eval`, resumable shard by shard.

Prompts are dealt out in units, each with a seed of its own; a unit becomes one shard. While a server works on the next
units, this process scores and writes what came back. Memory holds the units in flight, however many rows there are.
"""

import os
import sys
import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.data.filters import UNANSWERED
from r1kit.data.load import shown
from r1kit.errors import Interrupted
from r1kit.prompts import CHAT, read
from r1kit.recipe import Budget, EvalRecipe, GenerateRecipe, Model, Prompt, Reward, Sampling, VerifierRecipe
from r1kit.rewards import FAULT, RewardFunction, bind
from r1kit.run import Run, duration, is_main
from r1kit.sampling.sampler import OPEN, Groups, Sample, Sampler, Unit, make_sampler
from r1kit.sampling.shards import Row, Shards, fingerprint

if TYPE_CHECKING:
    from datasets import Dataset

READ = 10_000  # rows of problems looked at together
CARRIED = ("answer", "tests", "verifier", "metadata", "source", "level")  # of a problem, into its samples' rows


@dataclass(frozen=True)
class Work:
    """What samples, how, and what it is called."""

    model: Model
    prompt: Prompt
    settings: Sampling
    seed: int
    label: str
    field: str = "sampling"

    def sampler(self) -> Sampler:
        return make_sampler(self.model, self.prompt, self.settings, self.field)


def sample_rows(
    recipe: GenerateRecipe | EvalRecipe | VerifierRecipe,
    model: Model,
    problems: "Dataset",
    run: Run,
    folder: Path,
    label: str,
    work: Work | None = None,
    **told: Any,
) -> Shards:
    """Sample every problem (its prompt as the source has it), score the samples, and return their shards in `folder`.

    `work` is how, where that is more than the recipe's sampling; `told` goes into the manifest. On several processes
    each samples its share; all return all shards. Raises Interrupted when a launcher asks for a stop, UserError where
    the engine or the data is at fault.
    """
    settings = recipe.sampling
    functions = [bind(entry, i) for i, entry in enumerate(recipe.rewards)]
    per_unit = max(1, settings.batch_size // settings.samples)
    starts = range(0, len(problems), per_unit)
    shards = Shards(folder, len(starts), [f.__name__ for f in functions])
    if is_main():
        asked = problems.select_columns(["id", "question"])
        parts = (asked[i : i + READ] for i in range(0, len(asked), READ))
        texts = (text for part in parts for pair in zip(part["id"], part["question"], strict=True) for text in pair)
        shards.begin(problems=len(problems), fingerprint=fingerprint(texts), **told)

    def unit(index: int) -> dict[str, list[Any]]:
        return problems[starts[index] : starts[index] + per_unit]

    def prompts(index: int) -> list[Any]:
        return [shown(question, recipe.prompt) for question in unit(index)["prompt"]]

    def rows(index: int, groups: Groups) -> list[Row]:
        return score(unit(index), prompts(index), groups, functions, model, _seed(recipe.seed, index))

    fill(shards, prompts, rows, work or Work(model, recipe.prompt, settings, recipe.seed, label), run)
    return shards


def straight(prompt: Prompt, engine: str) -> Prompt:
    """Return how a model is asked to answer straight away: a chat template's own switch, else the answer is begun."""
    if prompt.template == CHAT:
        settings = {"enable_thinking": False, **prompt.template_settings} if engine != "openai" else {}
        return prompt.model_copy(update={"template_settings": settings or prompt.template_settings})
    answers = prompt.prefill and OPEN not in prompt.prefill
    return prompt if answers else prompt.model_copy(update={"prefill": "<answer>"})


def _seed(seed: int, index: int) -> int:
    return seed * 1000003 + index


def fill(
    shards: Shards,
    prompts: Callable[[int], Sequence[Any]],
    rows: Callable[[int, Groups], list[Row]],
    work: Work,
    run: Run,
    among: Container[int] | None = None,
) -> None:
    """Sample `prompts` of each missing shard and write the `rows` made of the samples, each process its share.

    A shard without prompts is written without rows; `among` limits which shards are looked at. Returns when the budget
    is spent, too.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    meet()  # before the work, which may take one of them much longer than another
    done = set(shards.done())
    mine = [i for i in range(shards.count) if i % world == rank]
    missing = [i for i in mine if i not in done and (among is None or i in among)]
    meter = Meter(work.settings.budget, world)
    meter.restore(shards, [i for i in mine if i in done])
    progress = Progress(work.label, len(missing))
    likeness = Likeness(work.settings, progress)
    sampler: Sampler | None = None

    def units() -> Iterator[Unit | None]:
        for index in missing:
            asked = list(prompts(index))
            while asked and not meter.allows():
                if meter.begun == meter.finished:
                    progress.note(f"the budget is spent: {meter}")
                    return
                yield None
            if asked:
                meter.begin()
                yield Unit(index, asked, _seed(work.seed, index))
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
    meet()


def meet() -> None:
    """Wait for the other processes of this run, for days where it must be."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    import torch
    from accelerate import PartialState

    PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=7)).wait_for_everyone()


def _trust(sampler: Sampler, shards: Shards, index: int, prompts: Callable[[int], Sequence[Any]]) -> None:
    """Tell the sampler of a prompt that was answered before: by it a server that is gone is told from a bad prompt."""
    asked = list(prompts(index))
    answered = [row["finish_reason"] not in UNANSWERED for row in shards.read(index, ["finish_reason"])]
    if asked and answered and answered[0]:
        sampler.trust(asked[0])


def _chained(first: Unit | None, rest: Iterator[Unit | None]) -> Iterator[Unit | None]:
    yield first
    yield from rest


class Meter:
    """What sampling has spent, on all processes an equal part of the budget."""

    def __init__(self, budget: Budget, world: int = 1):
        self.budget, self.world = budget, world
        self.tokens, self.cost = 0, 0.0
        self.begun = self.finished = 0  # units, those of earlier sessions among them

    def restore(self, shards: Shards, done: Sequence[int]) -> None:
        """Count what finished shards have spent."""
        if self.budget.tokens or self.budget.cost:
            for index in done:
                self._count(*shards.usage(index))
            self.begun = self.finished = len(done)

    def begin(self) -> None:
        self.begun += 1

    def add(self, groups: Groups) -> None:
        self.finished += 1
        for sample in (s for group in groups for s in group):
            self._count(sample.prompt_tokens, sample.tokens)

    def _count(self, asked: int, said: int) -> None:
        self.tokens += asked + said
        self.cost += (asked * self.budget.input_price + said * self.budget.output_price) / 1e6

    def allows(self) -> bool:
        """Whether the budget holds for those in flight and one more, at the mean of the finished ones.

        As long as none is finished, one at a time.
        """
        flying = self.begun - self.finished
        both = [(self.tokens, self.budget.tokens), (self.cost, self.budget.cost)]
        limits = [(used, limit / self.world) for used, limit in both if limit]
        if not self.finished:
            return not limits or flying == 0
        return all(used + (flying + 1) * used / self.finished <= limit for used, limit in limits)

    def __str__(self) -> str:
        return f"{self.tokens} tokens" + (f", {self.cost:.2f} paid" if self.cost else "")


class Progress:
    """Lines on stderr: batches done, rates, time left. Every ten seconds; on a terminal one line that changes."""

    def __init__(self, label: str, total: int):
        self.label, self.total, self.done = label, total, 0
        self.live = sys.stderr.isatty()
        self.started = self.shown = time.time()
        self.rows = self.tokens = 0

    def step(self, groups: Groups = (), told: dict[str, int] | None = None, cost: float = 0.0) -> None:  # type: ignore[assignment]
        self.done += 1
        samples = [s for group in groups for s in group]
        self.rows += len(samples)
        self.tokens += sum(s.tokens for s in samples)
        now = time.time()
        if now - self.shown < (0.5 if self.live else 10) and self.done < self.total:
            return
        self.shown, spent = now, max(1e-6, now - self.started)
        left = spent / self.done * (self.total - self.done)
        parts = [f"{self.label} {self.done}/{self.total} batches", f"{self.rows / spent:.1f} rows/s",
                 f"{self.tokens / spent:.0f} tokens/s", f"{duration(left)} left"]  # fmt: skip
        parts += [f"{cost:.2f} paid"] if cost else []
        parts += [f"{name} {count}" for name, count in sorted((told or {}).items()) if name != "answered"]
        line = "  ".join(parts)
        end = "\n" if not self.live or self.done == self.total else ""
        print(f"\r\x1b[K{line}" if self.live else line, end=end, file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        print(f"\nnote: {text}" if self.live else f"note: {text}", file=sys.stderr, flush=True)


class Likeness:
    """Says it where the first prompts' samples are all alike: some servers take no notice of a temperature."""

    LOOKED = 16  # prompts

    def __init__(self, settings: Sampling, progress: Progress):
        self.settings, self.progress = settings, progress
        self.seen = self.alike = 0

    def add(self, groups: Groups) -> None:
        """Look at some groups of samples."""
        asked = self.settings.engine == "openai" and self.settings.samples > 1 and self.settings.temperature > 0
        if not asked or self.seen >= self.LOOKED:
            return
        texts = [{sample.text for sample in group} for group in groups if group[0].text]
        self.seen += len(texts)
        self.alike += sum(len(different) == 1 for different in texts)
        if self.seen >= self.LOOKED and self.alike == self.seen:
            same = f"the {self.settings.samples} samples of each prompt are equal"
            self.progress.note(
                f"{same}, at temperature {self.settings.temperature}; `transformers serve` samples only if the model's "
                "generation_config.json has do_sample: true"
            )


def score(
    unit: dict[str, list[Any]],
    prompts: Sequence[Any],
    groups: Groups,
    functions: Sequence[RewardFunction],
    model: Model,
    seed: int,
) -> list[Row]:
    """Return a row for each sample of a unit (columns of problems, and their prompts as asked), with its rewards."""
    columns = {
        name: [v for v, group in zip(values, groups, strict=True) for _ in group]
        for name, values in {**unit, "prompt": prompts}.items()
    }
    given = [question for question, group in zip(unit["prompt"], groups, strict=True) for _ in group]
    samples = [s for group in groups for s in group]
    numbers = [n for group in groups for n in range(len(group))]
    scores = rewards_of([s.text for s in samples], [_ids(s) for s in samples], columns, functions)
    rows = []
    for i, sample in enumerate(samples):
        rows.append(
            {
                "id": columns["id"][i],
                "prompt": given[i],
                "completion": sample.text,
                **{n: _text(columns[n][i]) for n in CARRIED if n in columns},
                **verdict({name: values[i] for name, values in scores.items()}),
                **({"correct": None, "fault": True} if sample.finish_reason in ("failed", "refused") else {}),
                "domain": columns["domain"][i],
                "thinking": columns["thinking"][i],
                "thinks": read(sample.text).thinks,
                "target_language": columns["language"][i],
                "tokens": sample.tokens,
                "prompt_tokens": sample.prompt_tokens,
                "finish_reason": sample.finish_reason,
                "logprob": sample.logprob,
                "model": model.path,
                "seed": seed,
                "sample": numbers[i],
            }
        )
    return rows


def rewards_of(
    completions: list[str], ids: list[Any], columns: dict[str, list[Any]], functions: Sequence[RewardFunction]
) -> dict[str, Sequence[float | None]]:
    """Return each reward's values of completions, whose problems stand in `columns`."""
    more = {k: v for k, v in columns.items() if k != "prompt"}
    given = {**more, "completions": completions, "prompts": columns["prompt"], "completion_ids": ids}
    return {f.__name__: f(**given) for f in functions}


def verdict(given: dict[str, float | None]) -> Row:
    """Return a row's reward columns, and whether it is right, or has no verdict."""
    accuracy = given.get("accuracy")
    return {
        **{n: (None if v == FAULT else v) for n, v in given.items()},
        "fault": FAULT in given.values(),
        "correct": None if accuracy in (None, FAULT) else accuracy == 1.0,
    }


def _ids(sample: Sample) -> Sequence[int]:
    """Return a sample's ids; where the engine gives none, as many numbers, since rewards count them."""
    return sample.ids or range(sample.tokens)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def bound(entries: Sequence[Reward]) -> list[RewardFunction]:
    """Return the functions of reward entries."""
    return [bind(entry, i) for i, entry in enumerate(entries)]
