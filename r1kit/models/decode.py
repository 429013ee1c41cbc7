"""Sample with a causal language model in this process: one prefill a prompt, and no work for what is finished.

transformers' `generate` prefills a prompt once for each of its completions, copies the whole cache at every step, and
decodes finished rows until the last one ends. Here each different prompt is prefilled once and its cache repeated; the
cache grows in place; and rows leave as they finish. The distribution is that of `generate` with the same settings:
logits go through transformers' own warpers in its order.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from transformers import Cache

from r1kit.models.cache import GrowingCacheLayer, cache_argument, extra_state
from r1kit.models.jit_decode import JitDecodeStep, can_trace_model

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel

# Settings that are followed, and those that change nothing here.
UNDERSTOOD = {
    *("max_new_tokens", "max_length", "do_sample", "temperature", "top_k", "top_p", "min_p"),
    *("pad_token_id", "bos_token_id", "eos_token_id", "use_cache", "transformers_version", "disable_compile"),
}
# What fields mean where they are not None, which some versions of transformers leave them.
DEFAULTS = {
    "repetition_penalty": 1.0,
    "num_beams": 1,
    "num_return_sequences": 1,
    "length_penalty": 1.0,
    "typical_p": 1.0,
}
ALONE = 10**8  # rows x parameters below which one thread is faster (measured on two cores, 1M to 27M parameters)
LEAVE = 0.125  # share of the rows that must have finished before the others are moved together


def merge_generation_config(model: "PreTrainedModel", config: "GenerationConfig") -> "GenerationConfig":
    """Return the settings that `generate` would use: where a field is None, the model's own."""
    whole = copy.deepcopy(config)
    for name, value in vars(model.generation_config).items():
        if getattr(whole, name, None) is None:
            setattr(whole, name, value)
    return whole


def why_generate_is_needed(model: "PreTrainedModel", config: "GenerationConfig") -> str:
    """Return why `sample` is not the same as `generate` here; empty where it is."""
    from transformers import GenerationConfig

    why = extra_state(model)
    if why:
        return why
    whole, plain = merge_generation_config(model, config), GenerationConfig()
    for name, value in vars(whole).items():
        same = value in (None, False, getattr(plain, name, None), DEFAULTS.get(name))
        if name not in UNDERSTOOD and not name.startswith("_") and not same:
            return f"only transformers' generate knows {name}"
    return "" if whole.do_sample else "it takes the likeliest token"


def logits_warpers(config: "GenerationConfig") -> Any:
    """Return what transformers puts logits through, in its order."""
    from transformers import (
        LogitsProcessorList,
        MinPLogitsWarper,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    found = LogitsProcessorList()
    if config.temperature is not None and config.temperature != 1.0:
        found.append(TemperatureLogitsWarper(config.temperature))
    if config.top_k:
        found.append(TopKLogitsWarper(top_k=config.top_k))
    if config.top_p is not None and config.top_p < 1.0:
        found.append(TopPLogitsWarper(top_p=config.top_p))
    if config.min_p is not None:
        found.append(MinPLogitsWarper(min_p=config.min_p))
    return found


@contextmanager
def _threads(model: "PreTrainedModel") -> Iterator[Callable[[int], None]]:
    """Give what chooses the threads for a pass over one token of each of some rows of `model`.

    On a CPU one thread is faster than two for a few rows of a small model.
    """
    every = torch.get_num_threads()
    parameters = sum(p.numel() for p in model.parameters()) if model.device.type == "cpu" else math.inf
    try:
        yield lambda rows: torch.set_num_threads(1 if rows * parameters < ALONE else every)
    finally:
        torch.set_num_threads(every)


@torch.no_grad()
def sample_completions(
    model: "PreTrainedModel", prompts: Sequence[Sequence[int]], config: "GenerationConfig", ends: Sequence[int],
    ended: Callable[[int, list[int]], None] | None = None,
) -> tuple[list[list[int]], list[list[float]]]:  # fmt: skip
    """Return a completion (ids, the end token among them) for each prompt, and its ids' log-probabilities.

    `ended` is told of each row that ends before the last one: its place and its ids.

    Raises FloatingPointError where logits are NaN.

    Prompts that follow each other and are equal are prefilled once. The log-probabilities are those of the model at the
    config's temperature, before top_k, top_p and min_p.
    """
    device, most = model.device, config.max_new_tokens
    first = [i for i, prompt in enumerate(prompts) if i == 0 or prompt != prompts[i - 1]]
    counts = torch.tensor([b - a for a, b in zip(first, [*first[1:], len(prompts)], strict=True)], device=device)
    cache = Cache(layer_class_to_replicate=GrowingCacheLayer)
    logits, mask, length = _prefill(model, [prompts[i] for i in first], cache, most)
    if bool(logits.isnan().any()):
        raise FloatingPointError("the model's logits are not numbers")
    rows = torch.repeat_interleave(torch.arange(len(first), device=device), counts)
    _take(cache, rows)
    logits = logits[rows]
    mask, length = (None if mask is None else mask[rows]), length[rows]

    config = merge_generation_config(model, config)
    change, stops = logits_warpers(config), torch.tensor(list(ends), device=device)
    tokens = torch.zeros(len(prompts), most, dtype=torch.long, device=device)
    chances = torch.zeros(len(prompts), most, device=device)
    sizes = torch.zeros(len(prompts), dtype=torch.long, device=device)
    places = torch.arange(len(prompts), device=device)  # of the rows that are decoded
    running = torch.ones(len(prompts), dtype=torch.bool, device=device)
    empty = torch.zeros(len(prompts), 0, dtype=torch.long, device=device)
    temperature = config.temperature or 1.0
    filled = cache.get_seq_length()

    def own(ids: torch.Tensor, mask: torch.Tensor | None, places: torch.Tensor) -> torch.Tensor:
        return _forward(model, ids, mask, places, cache)

    ahead = JitDecodeStep(model, cache, own) if can_trace_model(model) else own
    with _threads(model) as choose:
        for step in range(most):
            scores = logits.float()
            chosen = _drawn(change(empty[: len(scores)], scores))
            chance = torch.log_softmax(scores / temperature, dim=-1).gather(1, chosen).squeeze(1)
            now = places[running]
            tokens[now, step], chances[now, step], sizes[now] = chosen[running, 0], chance[running], step + 1
            done = running & torch.isin(chosen.squeeze(1), stops)
            running = running & ~done
            left = int(running.sum())
            if left == 0 or step + 1 == most:
                break
            if ended:
                for place in places[done].tolist():
                    ended(place, tokens[place, : step + 1].tolist())
            if left <= (1 - LEAVE) * len(places):
                kept = running.nonzero().squeeze(1)
                _take(cache, kept)
                places, chosen, length, running = places[kept], chosen[kept], length[kept], running[kept]
                mask = None if mask is None else mask[kept]
            filled += 1
            choose(len(places))
            shown = None if mask is None else mask[..., :filled]
            logits = ahead(chosen, shown, (length + step).unsqueeze(1))
    ids, sizes = tokens.tolist(), sizes.tolist()
    said = chances.tolist()
    return [row[:n] for row, n in zip(ids, sizes, strict=True)], [row[:n] for row, n in zip(said, sizes, strict=True)]


def _drawn(scores: torch.Tensor) -> torch.Tensor:
    """Return (rows, 1): an id drawn from each row's softmax, by inversion: several times as fast as multinomial."""
    sums = torch.softmax(scores, dim=-1).cumsum(dim=-1, dtype=torch.float64)
    level = torch.rand(len(scores), 1, dtype=torch.float64, device=scores.device) * sums[:, -1:]
    return torch.searchsorted(sums, level, right=True).clamp(max=scores.shape[-1] - 1)


def _prefill(
    model: "PreTrainedModel", prompts: Sequence[Sequence[int]], cache: Cache, most: int
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """Run the prompts; return the last logits, the mask of later steps (None without padding), and their lengths."""
    device, longest = model.device, max(map(len, prompts))
    length = torch.tensor([len(prompt) for prompt in prompts], device=device)
    ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    there = torch.arange(longest, device=device) >= longest - length.unsqueeze(1)
    if bool(there.all()):
        places = torch.arange(longest, device=device).unsqueeze(0)
        return _forward(model, ids, None, places, cache), None, length
    places = (there.long().cumsum(1) - 1).clamp(min=0)
    logits = _forward(model, ids, there.long(), places, cache)
    later = torch.cat([there, there.new_ones(len(prompts), most)], dim=1)
    text = model.config.get_text_config()
    if text._attn_implementation != "sdpa" or getattr(text, "alibi", False):  # alibi is made of the mask itself
        return logits, later.long(), length
    # Four dimensions, which transformers takes as they are: it makes no new mask at each step.
    return logits, later[:, None, None, :], length


def _forward(
    model: "PreTrainedModel", ids: torch.Tensor, mask: torch.Tensor | None, places: torch.Tensor, cache: Cache
) -> torch.Tensor:
    """Return the logits after the last position."""
    kept = {cache_argument(type(model)): cache}
    output = model(input_ids=ids, attention_mask=mask, position_ids=places, use_cache=True, logits_to_keep=1, **kept)
    return output.logits[:, -1]


def _take(cache: Cache, rows: torch.Tensor) -> None:
    for layer in cache.layers:
        layer.take(rows)
