"""Run rows without their padding, several in one, where attention knows the bounds of its sequences.

Transformers takes several sequences for one row where positions start anew: flash attention by their bounds, all of
them in one row; SDPA by a mask, so that rows are packed into several of a width (bins).
"""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch


def pack_into_bins(lengths: Sequence[int], width: int | None) -> tuple[list[int], list[int]]:
    """Return of each row the bin and its place there: the longest first, each into the first bin it fits into.

    A bin holds up to `width` tokens, which no row may have more of; with None there is one.
    """
    bins, places, ends = [0] * len(lengths), [0] * len(lengths), list[int]()
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        fits = (i for i, end in enumerate(ends) if width is None or end + lengths[row] <= width)
        chosen = next(fits, len(ends))
        if chosen == len(ends):
            ends.append(0)
        bins[row], places[row] = chosen, ends[chosen]
        ends[chosen] += lengths[row]
    return bins, places


def with_packed_rows(model: Any, width: int | None = None) -> Callable[..., Any]:
    """Return `model`, which has TRL's fused head, for padded rows of which only the tokens in the mask are run.

    What comes back is of (rows, columns - 1), as of the padded rows; 0 where `labels` are -100.
    """

    def call(input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor, **given: Any) -> Any:
        rows, columns = there = attention_mask.nonzero(as_tuple=True)
        steps = (attention_mask.cumsum(dim=1) - 1)[there]
        bins, places = (
            torch.tensor(part, device=input_ids.device)
            for part in pack_into_bins(attention_mask.sum(dim=1).tolist(), width)
        )
        of, at = bins[rows], places[rows] + steps
        size = (int(of.max()) + 1, int(at.max()) + 1)
        ends = torch.zeros(size[0], 1, dtype=torch.long, device=input_ids.device)
        ends = ends.scatter_reduce(0, of.unsqueeze(1), at.unsqueeze(1) + 1, "amax")
        counted = torch.arange(size[1], device=input_ids.device) - ends  # what is left of a bin is a sequence, too
        told = torch.where(steps > 0, labels[there], -100)  # a row's first token follows nothing
        output = model(
            input_ids=input_ids.new_zeros(size).index_put((of, at), input_ids[there]),
            position_ids=counted.index_put((of, at), steps),
            labels=labels.new_full(size, -100).index_put((of, at), told),
            **given,
        )
        scored = told != -100
        source, target = (of[scored], at[scored] - 1), (rows[scored], columns[scored] - 1)

        def padded(values: torch.Tensor | None) -> torch.Tensor | None:
            if values is None:  # a reference model's head does not give all
                return None
            whole = values.new_zeros(len(input_ids), input_ids.size(1) - 1)
            return whole.index_put(target, values[source])

        names = ("log_probs", "entropy", "is_top1", "label_mask")
        return SimpleNamespace(**{name: padded(getattr(output, name)) for name in names})

    return call


def supports_packed_bins(model: Any, vocabulary: int) -> bool:
    """Whether rows that stand in one bin do not see each other, tried with two: some models make masks of their own."""
    ids = (torch.arange(16) * 7919 % vocabulary).view(2, 8).to(model.device)
    given = {"attention_mask": torch.ones_like(ids), "labels": ids, "use_cache": False, "fused_lm_head": True}
    with torch.no_grad():
        apart = model(input_ids=ids, **given).log_probs
        try:
            together = with_packed_rows(model, ids.numel())(input_ids=ids, **given).log_probs
        except TypeError:  # it takes no positions
            return False
    return torch.allclose(apart, together, rtol=0.0, atol=1e-4 * float(apart.abs().max()))
