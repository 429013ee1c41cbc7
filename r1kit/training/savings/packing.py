"""Run rows without their padding, several in one row, where attention knows where each sequence begins.

transformers takes one row for several sequences where positions start anew at 0. Flash attention then works within the
bounds of each sequence, so that all rows of a micro-batch can stand in one; SDPA is given a mask, whose cost grows with
the square of the width, so that rows are packed into several rows of a fixed width, called bins.

    pack_into_bins([9, 2, 5, 4, 1], width=9)     bins [0, 2, 1, 1, 2], starts [0, 0, 0, 5, 2]
"""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch

from r1kit.messages import logger


def pack_into_bins(lengths: Sequence[int], width: int | None) -> tuple[list[int], list[int]]:
    """Return the bin of each row and the column at which the row starts in it.

    The longest row comes first, and each goes into the first bin that it fits into. A bin holds up to `width` tokens,
    which no row may exceed; with None there is a single bin.
    """
    bins = [0] * len(lengths)
    starts = [0] * len(lengths)
    bin_ends: list[int] = []  # how many tokens each bin holds
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        chosen = _first_bin_with_room(bin_ends, lengths[row], width)
        if chosen == len(bin_ends):
            bin_ends.append(0)
        bins[row] = chosen
        starts[row] = bin_ends[chosen]
        bin_ends[chosen] += lengths[row]
    return bins, starts


def _first_bin_with_room(bin_ends: Sequence[int], length: int, width: int | None) -> int:
    """Return the index of the first bin in which `length` more tokens fit, that of a new bin where there is none."""
    for index, end in enumerate(bin_ends):
        if width is None or end + length <= width:
            return index
    return len(bin_ends)


def with_packed_rows(model: Any, width: int | None = None) -> Callable[..., Any]:
    """Return a function for padded rows that runs `model` on their tokens alone, in bins of `width`.

    The model has TRL's fused head. The outputs are those of the padded rows, (B, T - 1), and 0 where `labels` are -100.
    """

    def run(
        input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor, **inputs: Any
    ) -> SimpleNamespace:
        # 1. Find a place for each token: its bin, and its column there.
        rows, columns = token_indices = attention_mask.nonzero(as_tuple=True)  # one entry for each token
        positions = (attention_mask.cumsum(dim=1) - 1)[token_indices]  # of each token in its row, without padding
        bin_of_row, start_of_row = (
            torch.tensor(values, device=input_ids.device)
            for values in pack_into_bins(attention_mask.sum(dim=1).tolist(), width)
        )
        bin_indices = bin_of_row[rows], start_of_row[rows] + positions
        # 2. Run the model on the bins.
        token_labels = torch.where(positions > 0, labels[token_indices], -100)  # a row's first token follows nothing
        empty_positions = _positions_of_empty_bins(*bin_indices)
        bins_shape = empty_positions.shape
        output = model(
            input_ids=input_ids.new_zeros(bins_shape).index_put(bin_indices, input_ids[token_indices]),
            position_ids=empty_positions.index_put(bin_indices, positions),
            labels=labels.new_full(bins_shape, -100).index_put(bin_indices, token_labels),
            **inputs,
        )

        # 3. Put the outputs where the padded rows would have them: at the column before the token that they score.
        is_scored = token_labels != -100
        source = bin_indices[0][is_scored], bin_indices[1][is_scored] - 1
        target = rows[is_scored], columns[is_scored] - 1

        def unpack(values: torch.Tensor | None) -> torch.Tensor | None:
            if values is None:  # the head of a reference model does not give all outputs
                return None
            padded = values.new_zeros(len(input_ids), input_ids.size(1) - 1)
            return padded.index_put(target, values[source])

        return SimpleNamespace(
            log_probs=unpack(output.log_probs),
            entropy=unpack(output.entropy),
            is_top1=unpack(output.is_top1),
            label_mask=unpack(output.label_mask),
        )

    return run


def _positions_of_empty_bins(bins: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return (bins, width) positions that make what is left of each bin, after its last token, a sequence of its own.

    `bins` and `columns` say where each token stands. Positions before a bin's end are to be overwritten.
    """
    bin_count, width = int(bins.max()) + 1, int(columns.max()) + 1
    bin_ends = torch.zeros(bin_count, 1, dtype=torch.long, device=bins.device)
    bin_ends = bin_ends.scatter_reduce(0, bins.unsqueeze(1), columns.unsqueeze(1) + 1, "amax")
    return torch.arange(width, device=bins.device) - bin_ends


def supports_packed_bins(model: Any, vocab_size: int) -> bool:
    """Return whether rows that stand in one bin do not see each other: some models make attention masks of their own.

    It is tried out: two rows of eight tokens must have the same log-probabilities apart and in one bin. A model that
    fails at that, whatever the reason, is run without bins: one may take no positions, or put virtual tokens before
    each row, as prompt tuning does.
    """
    ids = (torch.arange(16) * 7919 % vocab_size).view(2, 8).to(model.device)
    inputs = {"attention_mask": torch.ones_like(ids), "labels": ids, "use_cache": False, "fused_lm_head": True}
    with torch.no_grad():
        log_probs_apart = model(input_ids=ids, **inputs).log_probs
        try:
            log_probs_packed = with_packed_rows(model, ids.numel())(input_ids=ids, **inputs).log_probs
        except Exception as error:
            if not isinstance(error, TypeError):  # a model that takes no positions is nothing to report
                logger.info(f"rows are padded, not packed: the model fails on packed ones ({_first_line(error)})")
            return False
    if log_probs_packed is None or log_probs_apart.shape != log_probs_packed.shape:
        return False
    tolerance = 1e-4 * float(log_probs_apart.abs().max())
    return torch.allclose(log_probs_apart, log_probs_packed, rtol=0.0, atol=tolerance)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
