"""The interface of everything that samples completions, and the table of the three engines.

Example:

    sampler = make_sampler(recipe.model, recipe.prompt, recipe.sampling)
    batches = [PromptBatch(index=0, prompts=["What is 2 + 3?"], seed=1)]
    for batch_index, groups in sampler.stream(batches, group_size=4):
        print(groups[0][0].text)  # the first of four completions of the first prompt
    sampler.close()
"""

import importlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from r1kit.completions import CompletionGroups, Prompt, PromptBatch
from r1kit.recipe import ModelConfig, PromptConfig, SamplingConfig


class Sampler(Protocol):
    """What every engine does. The same seed gives the same samples, as far as the engine can guarantee it."""

    def remember_answered(self, prompt: Prompt) -> None:
        """Remember a prompt that was answered in an earlier session.

        An engine that asks servers sends it again to find out whether a server is down or only refuses one prompt.
        """
        ...

    def stream(self, batches: Iterable[PromptBatch | None], group_size: int) -> Iterator[tuple[int, CompletionGroups]]:
        """Yield the index and the samples of each batch, in any order.

        The sampler takes only as many batches from `batches` as it needs to be busy. A None among them means that the
        next batch may be taken only after another one has been yielded (a budget holds it back).
        """
        ...

    def close(self) -> None:
        """Free what the sampler holds: connections, threads."""
        ...

    def count_events(self) -> dict[str, int]:
        """Return how often each event happened that a user should know of, such as `retried 429`."""
        ...


class InProcessSampler:
    """The base of the engines in this process, which sample one batch after the other."""

    def remember_answered(self, prompt: Prompt) -> None:
        """Do nothing: an engine in this process answers or raises an error."""

    def stream(self, batches: Iterable[PromptBatch | None], group_size: int) -> Iterator[tuple[int, CompletionGroups]]:
        for batch in batches:
            # None can not occur: every batch was yielded before the next one is taken.
            assert batch is not None
            yield batch.index, self.sample(batch.prompts, group_size, batch.seed)

    def sample(self, prompts: Sequence[Prompt], group_size: int, seed: int) -> CompletionGroups:
        """Return `group_size` samples of each prompt."""
        raise NotImplementedError

    def close(self) -> None:
        pass

    def count_events(self) -> dict[str, int]:
        return {}


# The values of a recipe's `sampling.engine`, with the class that implements each. Dotted paths, so that no engine's
# libraries are imported before it is used.
SAMPLERS = {
    "transformers": "r1kit.sampling.local.TransformersSampler",
    "vllm": "r1kit.sampling.vllm_engine.VllmSampler",
    "openai": "r1kit.sampling.server.ServerSampler",
}


def make_sampler(
    model_config: ModelConfig, prompt_config: PromptConfig, sampling_config: SamplingConfig, field: str = "sampling"
) -> Sampler:
    """Return the sampler that a recipe asks for; it loads the model or connects to the servers.

    `field` is the name of `sampling_config` in the recipe (such as `refine.sampling`), for error messages. Raises
    UserError if the model can not be loaded or a server can not be reached.
    """
    module_name, _, class_name = SAMPLERS[sampling_config.engine].rpartition(".")
    sampler_class = getattr(importlib.import_module(module_name), class_name)
    return sampler_class(model_config, prompt_config, sampling_config, field)
