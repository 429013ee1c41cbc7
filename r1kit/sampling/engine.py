"""Sample completions: one interface, three engines behind it."""

import importlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from r1kit.recipe import ModelConfig, PromptConfig, SamplingConfig


@dataclass(frozen=True)
class SampledCompletion:
    """A completion; `tokens` counts its ids, the end token among them.

    `ids` is empty where an engine does not give them. `finish_reason` is stop or length, or another of a server's;
    `context` where the prompt did not fit, `refused` or `failed` where there is no completion for another reason. The
    first `parted` characters are reasoning that a server returned apart from the text. `logprob` is the mean
    log-probability of the ids, None where an engine does not give it: at the sampling's temperature by the engine
    transformers, at temperature 1 by vllm.
    """

    text: str
    tokens: int
    finish_reason: str
    ids: tuple[int, ...] = ()
    prompt_tokens: int = 0
    parted: int = 0
    logprob: float | None = None


@dataclass(frozen=True)
class PromptBatch:
    """Prompts that are sampled together, with a seed: text, chat messages or, in this process, a tuple of ids."""

    index: int
    prompts: Sequence[Any]
    seed: int


CompletionGroups = list[list[SampledCompletion]]


class Sampler(Protocol):
    """What samples. The same seed gives the same samples, as far as the engine can."""

    def trust(self, prompt: Any) -> None:
        """Hear of a prompt that was answered in an earlier session."""
        ...

    def stream(self, units: Iterable[PromptBatch | None], count: int) -> Iterator[tuple[int, CompletionGroups]]:
        """Yield each unit's index with `count` samples for each of its prompts, in any order.

        Takes no more units than it works on, and works on no more than a few beyond those that were taken from it. None
        among the units says that the next one is to be taken when another has come back.
        """
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...

    def report(self) -> dict[str, int]:
        """Return what a user should know of the work so far, such as how many requests were tried again."""
        ...


class InProcessSampler:
    """An engine in this process: one unit after the other."""

    def trust(self, prompt: Any) -> None:
        pass

    def stream(self, units: Iterable[PromptBatch | None], count: int) -> Iterator[tuple[int, CompletionGroups]]:
        for unit in units:
            assert unit is not None  # each one has come back before the next is taken
            yield unit.index, self.sample(unit.prompts, count, unit.seed)

    def sample(self, prompts: Sequence[Any], count: int, seed: int) -> CompletionGroups:
        """Return `count` samples for each prompt."""
        raise NotImplementedError

    def close(self) -> None:
        pass

    def report(self) -> dict[str, int]:
        return {}


SAMPLERS = {
    "transformers": "r1kit.sampling.local.TransformersSampler",
    "vllm": "r1kit.sampling.vllm_engine.VllmSampler",
    "openai": "r1kit.sampling.server.ServerSampler",
}


def make_sampler(
    model: ModelConfig, prompt: PromptConfig, settings: SamplingConfig, field: str = "sampling"
) -> Sampler:
    """Return the sampler that a recipe names; `field` is the place of its settings. Raises UserError."""
    module, _, name = SAMPLERS[settings.engine].rpartition(".")
    return getattr(importlib.import_module(module), name)(model, prompt, settings, field)
