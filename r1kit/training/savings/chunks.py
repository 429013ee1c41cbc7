"""Where to cut a batch, sorted by length, into chunks that are padded only to their own longest row.

A chunk of n rows costs n times the width of its longest row, plus a fixed cost for one more pass through the model.
Wide chunks waste padding, many chunks waste passes; `chunk_ends` finds the cheapest cut by dynamic programming.

    chunk_ends([30, 29, 5, 4], prompt_width=10, max_rows=4, pass_cost=16)    [2, 4]: rows 0 and 1, then rows 2 and 3
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch

MAX_CUT_POSITIONS = 32
"""Places in a batch at which it may be cut; more would cost more to search than they save."""

# What one more forward and backward pass costs, in parameters x tokens a layer: a few milliseconds of Python on a CPU,
# a few tenths of a millisecond of kernel launches on a GPU. On two CPU cores, pass costs from 16 to 512 tokens differed
# by less than the noise; nothing was measured on a GPU.
_CPU_PASS_COST, _GPU_PASS_COST = 8e7, 3e10
_MIN_CPU_PASS_TOKENS, _MIN_GPU_PASS_TOKENS, _MAX_PASS_TOKENS = 16, 256, 4096


def chunk_ends(lengths: Sequence[int], prompt_width: int, max_rows: int, pass_cost: int) -> list[int]:
    """Return the row index at which each chunk ends, so that the sum of all chunks' costs is least.

    `lengths` are the completions' tokens, sorted from longest to shortest; rows of length 0 belong to no chunk, so that
    the list is empty if all are 0.
    `prompt_width` is the number of prompt tokens before each completion, `max_rows` the most rows in a chunk, and
    `pass_cost` the cost of a further pass in tokens.
    """
    row_count = sum(length > 0 for length in lengths)
    rows_between_cuts = max(1, min(max_rows, -(-row_count // MAX_CUT_POSITIONS)))
    cuts = [*range(0, row_count, rows_between_cuts), row_count]
    # For each cut: the least cost of all rows before it, and the cut at which the last of their chunks starts.
    cheapest: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(cuts)):
        candidates = []
        for start in range(max(0, end - max_rows // rows_between_cuts), end):
            rows = cuts[end] - cuts[start]
            if rows <= max_rows:
                width = prompt_width + lengths[cuts[start]]
                candidates.append((cheapest[start][0] + rows * width + pass_cost, start))
        cheapest.append(min(candidates))
    ends = []
    end = len(cuts) - 1
    while end > 0:
        ends.append(cuts[end])
        end = cheapest[end][1]
    return ends[::-1]


def padded_cost(lengths: Sequence[int], prompt_width: int, max_rows: int, pass_cost: int) -> int:
    """Return the cost, in tokens, of the chunks that `chunk_ends` chooses for the same arguments."""
    ends = chunk_ends(lengths, prompt_width, max_rows, pass_cost)
    cost = 0
    for start, end in pairwise([0, *ends]):
        cost += (end - start) * (prompt_width + lengths[start]) + pass_cost
    return cost


def longest_on_any_rank(lengths: torch.Tensor, process_count: int) -> torch.Tensor:
    """Return, element by element, the greatest of all ranks' `lengths`, so that all ranks cut at the same rows."""
    if process_count > 1:
        torch.distributed.all_reduce(lengths, op=torch.distributed.ReduceOp.MAX)
    return lengths


def pass_cost_in_tokens(model: Any) -> int:
    """Return what a further forward and backward pass costs, as the number of tokens that take as long.

    A token costs operations in proportion to the model's parameters, a pass a fixed time for each layer.
    """
    parameter_count = sum(parameter.numel() for parameter in model.parameters())
    on_cpu = model.device.type == "cpu"
    layer_cost = _CPU_PASS_COST if on_cpu else _GPU_PASS_COST
    least = _MIN_CPU_PASS_TOKENS if on_cpu else _MIN_GPU_PASS_TOKENS
    tokens = model.config.get_text_config().num_hidden_layers * layer_cost / max(1, parameter_count)
    return round(min(max(tokens, least), _MAX_PASS_TOKENS))


def attention_cost_per_token(model: Any) -> float:
    """Return what attending to one more token costs, as a fraction of all else that a token costs.

    It is twice the ratio of attention's operations to the others, a value measured on a CPU.
    """
    config = model.config.get_text_config()
    parameter_count = sum(parameter.numel() for parameter in model.parameters())
    return 4 * config.num_hidden_layers * config.hidden_size / max(1, parameter_count)
