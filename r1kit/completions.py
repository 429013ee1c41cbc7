"""What is sampled and what comes back: prompts in batches, and groups of completions, whichever engine samples them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# A prompt is a text, a list of chat messages or, for the engines of this process, a tuple of token ids.
Prompt = Any


@dataclass(frozen=True)
class SampledCompletion:
    """One completion of a prompt, with what the engine knows about it.

    `finish_reason` is `stop` (the model ended it) or `length` (the limit cut it off); a server may have further ones.
    Three reasons mean that there is no completion: `context` (the prompt does not fit into the model's context),
    `refused` (the server rejects the prompt) and `failed` (no attempt got a usable response).
    """

    text: str
    tokens: int
    """The number of sampled tokens, the end token included."""
    finish_reason: str
    ids: tuple[int, ...] = ()
    """The sampled token ids; empty if the engine does not return them."""
    prompt_tokens: int = 0
    """The number of prompt tokens that a server charged for this sample; 0 for the engines of this process."""
    separate_reasoning_chars: int = 0
    """How many characters at the start of `text` a server returned apart from the text, as the model's reasoning."""
    mean_logprob: float | None = None
    """The mean log-probability of `ids`, None if the engine does not return it.

    The engine transformers measures it at the temperature of the sampling, vLLM at temperature 1, and a server as it is
    started: that of vLLM at temperature 1 without `--logprobs-mode processed_logprobs`.
    """


# One group for each prompt of a batch; each group holds `group_size` samples.
CompletionGroups = list[list[SampledCompletion]]


@dataclass(frozen=True)
class PromptBatch:
    """Prompts that are sampled together; the samples of a batch become one shard."""

    index: int
    prompts: Sequence[Prompt]
    seed: int
