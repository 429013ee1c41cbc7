"""Sample with a causal language model in this process, without running a prompt twice or a finished row on.

transformers' `generate` runs a prompt once for each of its completions, copies the whole cache at every step, and goes
on with finished rows until the last one ends. Here each different prompt is run once and its cache is repeated; the
cache grows in place; and rows leave as they finish. The distribution of the samples is that of `generate` with the same
settings, since the logits go through transformers' own warpers in its order.

    prompts = [ids for ids in prompt_ids for _ in range(4)]
    completions, logprobs = sample_completions(model, prompts, generation_config, [tokenizer.eos_token_id])
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import Cache

from r1kit.models.cache import GrowingCacheLayer, cache_argument, extra_state, growing_layers
from r1kit.models.jit_decode import choose_decode_step

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel

# Fields of a generation config that are followed here, and those that change nothing here.
SUPPORTED_FIELDS = {
    "bos_token_id",
    "disable_compile",
    "do_sample",
    "eos_token_id",
    "max_length",
    "max_new_tokens",
    "min_p",
    "pad_token_id",
    "temperature",
    "top_k",
    "top_p",
    "transformers_version",
    "use_cache",
}
# The values with which further fields have no effect; some versions of transformers leave them at None.
NEUTRAL_VALUES = {
    "repetition_penalty": 1.0,
    "num_beams": 1,
    "num_return_sequences": 1,
    "length_penalty": 1.0,
    "typical_p": 1.0,
}
ONE_THREAD_MAX_WORK = 10**8
"""Rows x parameters below which one thread is faster; measured on two cores, with models of 1M to 27M parameters."""
MIN_FINISHED_FRACTION = 0.125
"""The fraction of the rows that must have finished before the others are copied into a smaller cache."""


def merge_generation_config(model: "PreTrainedModel", config: "GenerationConfig") -> "GenerationConfig":
    """Return the settings that `generate` would use: those of `config`, and the model's own where a field is None."""
    merged = copy.deepcopy(config)
    for name, value in vars(model.generation_config).items():
        if getattr(merged, name, None) is None:
            setattr(merged, name, value)
    return merged


def why_generate_is_needed(model: "PreTrainedModel", config: "GenerationConfig") -> str:
    """Return why `sample_completions` would not do what `generate` does, as a clause; empty where it would."""
    from transformers import GenerationConfig

    reason = extra_state(model)
    if reason:
        return reason
    merged = merge_generation_config(model, config)
    default_config = GenerationConfig()
    for name, value in vars(merged).items():
        if name in SUPPORTED_FIELDS or name.startswith("_"):
            continue
        if value not in (None, False, getattr(default_config, name, None), NEUTRAL_VALUES.get(name)):
            return f"only transformers' generate knows {name}"
    return "" if merged.do_sample else "it takes the likeliest token"


def logits_warpers(config: "GenerationConfig") -> Any:
    """Return what `generate` puts the logits through before it samples, in its order."""
    from transformers import (
        LogitsProcessorList,
        MinPLogitsWarper,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    warpers = LogitsProcessorList()
    if config.temperature is not None and config.temperature != 1.0:
        warpers.append(TemperatureLogitsWarper(config.temperature))
    if config.top_k:
        warpers.append(TopKLogitsWarper(top_k=config.top_k))
    if config.top_p is not None and config.top_p < 1.0:
        warpers.append(TopPLogitsWarper(top_p=config.top_p))
    if config.min_p is not None:
        warpers.append(MinPLogitsWarper(min_p=config.min_p))
    return warpers


@contextmanager
def _threads_by_work(model: "PreTrainedModel") -> Iterator[Callable[[int], None]]:
    """Yield a function that sets torch's threads for a step of so many rows, and restore them at the end.

    On a CPU one thread is faster than several for a few rows of a small model.
    """
    thread_count = torch.get_num_threads()
    parameter_count = math.inf  # on a GPU the threads stay as they are
    if model.device.type == "cpu":
        parameter_count = sum(parameter.numel() for parameter in model.parameters())

    def set_threads(row_count: int) -> None:
        torch.set_num_threads(1 if row_count * parameter_count < ONE_THREAD_MAX_WORK else thread_count)

    try:
        yield set_threads
    finally:
        torch.set_num_threads(thread_count)


@dataclass
class _Batch:
    """The rows that the next step runs; some of them may have finished."""

    rows: torch.Tensor  # (B,), their indices among all completions
    is_running: torch.Tensor  # (B,), bool
    prompt_lengths: torch.Tensor  # (B,), in tokens
    mask: torch.Tensor | None  # as `_prefill` returns it

    def select(self, indices: torch.Tensor) -> "_Batch":
        """Return the rows with these indices; one may occur several times."""
        mask = None if self.mask is None else self.mask[indices]
        return _Batch(self.rows[indices], self.is_running[indices], self.prompt_lengths[indices], mask)

    def mask_of(self, tokens: int) -> torch.Tensor | None:
        """Return the mask of the first `tokens` tokens of the cache, None where no prompt is padded."""
        return None if self.mask is None else self.mask[..., :tokens]


class _Completions:
    """What was sampled: for each completion its ids, their log-probabilities, and how many there are."""

    def __init__(self, count: int, max_new_tokens: int, device: torch.device):
        self.ids = torch.zeros(count, max_new_tokens, dtype=torch.long, device=device)
        self.logprobs = torch.zeros(count, max_new_tokens, device=device)
        self.lengths = torch.zeros(count, dtype=torch.long, device=device)

    def record(self, rows: torch.Tensor, step: int, ids: torch.Tensor, logprobs: torch.Tensor) -> None:
        self.ids[rows, step] = ids
        self.logprobs[rows, step] = logprobs
        self.lengths[rows] = step + 1

    def to_lists(self) -> tuple[list[list[int]], list[list[float]]]:
        lengths = self.lengths.tolist()
        ids = [row[:length] for row, length in zip(self.ids.tolist(), lengths, strict=True)]
        logprobs = [row[:length] for row, length in zip(self.logprobs.tolist(), lengths, strict=True)]
        return ids, logprobs


@torch.no_grad()
def sample_completions(
    model: "PreTrainedModel",
    prompts: Sequence[Sequence[int]],
    generation_config: "GenerationConfig",
    end_token_ids: Sequence[int],
    on_row_end: Callable[[int, list[int]], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> tuple[list[list[int]], list[list[float]]]:
    """Return a completion for each prompt: its ids, the end token among them, and their log-probabilities.

    Prompts that follow each other and are equal are run once. The log-probabilities are those of the model at the
    temperature of `generation_config`, before top_k, top_p and min_p.

    `on_row_end(row, ids)` is called for each row that ends before the last one, as soon as it has ended.
    `on_step(tokens, rows)` is called after each step: so many tokens are sampled of the rows that go on.

    Raises FloatingPointError where the model's logits are NaN.
    """
    config = merge_generation_config(model, generation_config)
    max_new_tokens = config.max_new_tokens or 0
    cache = Cache(layer_class_to_replicate=GrowingCacheLayer)
    logits, batch = _start_batch(model, prompts, cache, max_new_tokens)
    completions = _Completions(len(prompts), max_new_tokens, model.device)
    warpers = logits_warpers(config)
    # The warpers above take the ids so far and do not read them.
    no_ids = torch.zeros(len(prompts), 0, dtype=torch.long, device=model.device)
    end_ids = torch.tensor(list(end_token_ids), device=model.device)
    temperature = config.temperature or 1.0
    cached_tokens = cache.get_seq_length()

    def model_step(ids: torch.Tensor, mask: torch.Tensor | None, positions: torch.Tensor) -> torch.Tensor:
        return _run_model(model, ids, mask, positions, cache)

    decode_step = choose_decode_step(model, cache, model_step)
    with _threads_by_work(model) as set_threads:
        for step in range(max_new_tokens):
            # 1. Draw the next token of each row.
            scores = logits.float()
            next_ids = _draw(warpers(no_ids[: len(scores)], scores))  # (B, 1)
            logprobs = torch.log_softmax(scores / temperature, dim=-1).gather(1, next_ids).squeeze(1)
            # 2. Record it, unless the row has finished before, and see which rows end with it.
            running = batch.is_running
            completions.record(batch.rows[running], step, next_ids[running, 0], logprobs[running])
            has_ended = running & torch.isin(next_ids.squeeze(1), end_ids)
            batch.is_running = running & ~has_ended
            running_count = int(batch.is_running.sum())
            if on_step:
                on_step(step + 1, running_count)
            if running_count == 0 or step + 1 == max_new_tokens:
                break
            if on_row_end:
                for row in batch.rows[has_ended].tolist():
                    on_row_end(row, completions.ids[row, : step + 1].tolist())
            # 3. Drop finished rows, once there are enough of them to pay for copying the cache of the others.
            if running_count <= (1 - MIN_FINISHED_FRACTION) * len(batch.rows):
                running_indices = batch.is_running.nonzero().squeeze(1)
                _select_rows(cache, running_indices)
                batch = batch.select(running_indices)
                next_ids = next_ids[running_indices]
            # 4. Run the model on the new tokens.
            cached_tokens += 1
            set_threads(len(batch.rows))
            positions = (batch.prompt_lengths + step).unsqueeze(1)  # (B, 1)
            logits = decode_step(next_ids, batch.mask_of(cached_tokens), positions)
    return completions.to_lists()


def _start_batch(
    model: "PreTrainedModel", prompts: Sequence[Sequence[int]], cache: Cache, max_new_tokens: int
) -> tuple[torch.Tensor, _Batch]:
    """Run each different prompt once; return the logits of the first tokens, and a batch of all completions."""
    device = model.device
    first_rows = [row for row, prompt in enumerate(prompts) if row == 0 or prompt != prompts[row - 1]]
    boundaries = torch.tensor([*first_rows, len(prompts)], device=device)
    logits, mask, lengths = _prefill(model, [prompts[row] for row in first_rows], cache, max_new_tokens)
    # Found here, weights that diverged raise an error; sampling from NaN would give ids without a meaning.
    if bool(logits.isnan().any()):
        raise FloatingPointError("the model's logits are not numbers")
    prompt_indices = torch.arange(len(first_rows), device=device)
    is_running = torch.ones(len(first_rows), dtype=torch.bool, device=device)
    prompt_batch = _Batch(prompt_indices, is_running, lengths, mask)
    prompt_of_row = torch.repeat_interleave(prompt_indices, boundaries.diff())
    _select_rows(cache, prompt_of_row)
    batch = prompt_batch.select(prompt_of_row)
    batch.rows = torch.arange(len(prompts), device=device)
    return logits[prompt_of_row], batch


def _draw(scores: torch.Tensor) -> torch.Tensor:
    """Return (B, 1), an id drawn from the softmax of each row of `scores`.

    It inverts the cumulative distribution, which is several times as fast as torch.multinomial.
    """
    # In float64, since the rounding of a sum over a large vocabulary would change the rarest tokens' probabilities.
    cumulative = torch.softmax(scores, dim=-1).cumsum(dim=-1, dtype=torch.float64)
    level = torch.rand(len(scores), 1, dtype=torch.float64, device=scores.device) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, level, right=True).clamp(max=scores.shape[-1] - 1)


def _prefill(
    model: "PreTrainedModel", prompts: Sequence[Sequence[int]], cache: Cache, max_new_tokens: int
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """Run the prompts, padded on the left, into the cache.

    Return the logits after each prompt (B, vocabulary), the attention mask of the later steps, and the prompts' lengths
    (B,). The mask is None where no prompt is padded; else its last dimension has room for `max_new_tokens` more.
    """
    device = model.device
    width = max(len(prompt) for prompt in prompts)
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    # Any id will do for padding, since it is masked.
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    columns = torch.arange(width, device=device)
    is_token = columns >= width - lengths.unsqueeze(1)  # (B, width)
    if bool(is_token.all()):
        return _run_model(model, ids, None, columns.unsqueeze(0), cache), None, lengths
    positions = (is_token.long().cumsum(1) - 1).clamp(min=0)
    logits = _run_model(model, ids, is_token.long(), positions, cache)
    later_mask = torch.cat([is_token, is_token.new_ones(len(prompts), max_new_tokens)], dim=1)
    text_config = model.config.get_text_config()
    # ALiBi's biases are computed from the two-dimensional mask.
    if text_config._attn_implementation != "sdpa" or getattr(text_config, "alibi", False):
        return logits, later_mask.long(), lengths
    # transformers takes a mask of four dimensions as it is, and so makes no new one at each step.
    return logits, later_mask[:, None, None, :], lengths


def _run_model(
    model: "PreTrainedModel", ids: torch.Tensor, mask: torch.Tensor | None, positions: torch.Tensor, cache: Cache
) -> torch.Tensor:
    """Run `ids` (B, T) after what the cache holds, and return the logits at the last position (B, vocabulary)."""
    cache_kwarg: dict[str, Any] = {cache_argument(type(model)): cache}
    output = model(
        input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1, **cache_kwarg
    )
    return output.logits[:, -1]


def _select_rows(cache: Cache, rows: torch.Tensor) -> None:
    for layer in growing_layers(cache):
        layer.select_rows(rows)
