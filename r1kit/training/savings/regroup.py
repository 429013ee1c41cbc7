"""Deal the rows of an accumulation window into micro-batches anew, so that rows of like length come together.

The gradient of a window is a sum over its rows, so their order does not change it; rows without a gradient go last.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from r1kit.training.savings.chunks import padded_cost

MicroBatch = dict[str, Any]
"""What TRL trains on at once: tensors with one row for each completion, (B, ...), and values of the whole batch."""


def deal_rows(
    micro_batches: Sequence[MicroBatch],
    window: int,
    row_order: Callable[[MicroBatch, Sequence[int]], torch.Tensor],
) -> list[MicroBatch]:
    """Return the micro-batches with their rows reordered inside each accumulation window.

    `window` is the number of micro-batches in an optimizer step; `row_order(rows, sizes)` returns the order in which
    all rows of a window are dealt into micro-batches of `sizes`.
    """
    if len(micro_batches) % window:
        window = len(micro_batches) if window % len(micro_batches) == 0 else 1
    dealt = []
    for start in range(0, len(micro_batches), window):
        in_window = micro_batches[start : start + window]
        sizes = [len(batch["completion_ids"]) for batch in in_window]
        merged = {}
        for name in in_window[0]:
            merged[name] = _concatenate([batch[name] for batch in in_window])
        order = row_order(merged, sizes)
        offset = 0
        for size in sizes:
            dealt.append(_take_rows(merged, order[offset : offset + size]))
            offset += size
    return dealt


def cheapest_order(
    batch: MicroBatch, sizes: Sequence[int], has_gradient: torch.Tensor, pass_cost: int, shares_prompts: bool
) -> torch.Tensor:
    """Return (B,) row indices: the order in which training `batch` in micro-batches of `sizes` costs least.

    Rows are sorted by falling length, those without a gradient (`has_gradient`: (B,), bool) last. Where prompts are
    shared and that costs less, rows are sorted group by group, and by length in each group.
    """
    lengths = torch.where(has_gradient, loss_mask(batch).sum(dim=1).clamp(min=1), 0)
    by_length = torch.argsort(lengths, descending=True, stable=True)
    if not shares_prompts:
        return by_length
    prompts = batch["prompt_ids"].masked_fill(batch["prompt_mask"] == 0, -1)
    group_of_row = torch.unique(prompts, dim=0, return_inverse=True)[1]
    group_of_row = group_of_row.masked_fill(~has_gradient, len(has_gradient))  # the last group: nothing to train
    by_group = by_length[torch.argsort(group_of_row[by_length], stable=True)]

    def training_cost(order: torch.Tensor) -> int:
        prompt_width = prompts.size(1)
        total = 0
        for rows in torch.split(order, list(sizes)):
            row_lengths = sorted(lengths[rows].tolist(), reverse=True)
            group_count = group_of_row[rows][has_gradient[rows]].unique().numel()
            prompts_once = group_count * (prompt_width - 1) + pass_cost
            shared = prompts_once + padded_cost(row_lengths, 1, len(rows), pass_cost)
            total += min(shared, padded_cost(row_lengths, prompt_width, len(rows), pass_cost))
        return total

    return min(by_length, by_group, key=training_cost)


def rows_with_gradient(batch: MicroBatch, skips: bool) -> torch.Tensor:
    """Return (B,), bool: which rows have a token that the loss counts and an advantage that is not 0.

    Those are all rows without `skips`, the saving `skip`.
    """
    has_tokens = loss_mask(batch).any(dim=1)
    if not skips:
        return torch.ones_like(has_tokens)
    has_advantage = batch["advantages"] != 0
    return has_tokens & (has_advantage if has_advantage.dim() == 1 else has_advantage.any(dim=1))


def loss_mask(batch: MicroBatch) -> torch.Tensor:
    """Return (B, T): 1 for each completion token that the loss counts."""
    mask = batch["completion_mask"]
    return mask * batch["tool_mask"] if "tool_mask" in batch else mask


def _has_rows(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dim() > 0


def _concatenate(values: list[Any]) -> Any:
    """Return the rows of several micro-batches as one; a value of the whole batch is the same in each of them."""
    return torch.cat(values) if _has_rows(values[0]) else values[0]


def _take_rows(batch: MicroBatch, rows: torch.Tensor) -> MicroBatch:
    return {name: value[rows] if _has_rows(value) else value for name, value in batch.items()}
