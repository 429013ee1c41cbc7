"""Run rows without their padding, as one row, where attention knows the bounds of its sequences (flash attention)."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch


def packed(model: Any) -> Callable[..., Any]:
    """Return `model`, which has TRL's fused head, for padded rows of which only the tokens in the mask are run.

    Transformers takes several sequences for one row where positions start anew. `log_probs` and `entropy` are
    (rows, columns - 1), as of the padded rows; 0 where `labels` are -100.
    """

    def call(input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor, **given: Any) -> Any:
        there = attention_mask.nonzero(as_tuple=True)
        places = (attention_mask.cumsum(dim=1) - 1)[there]
        output = model(
            input_ids=input_ids[there].unsqueeze(0),
            position_ids=places.unsqueeze(0),
            labels=labels[there].unsqueeze(0),
            **given,
        )
        scored = output.label_mask[0].nonzero().squeeze(1)  # places before a token that has a label
        rows, columns = there[0][scored + 1], there[1][scored + 1] - 1

        def padded(values: torch.Tensor) -> torch.Tensor:
            whole = values.new_zeros(len(input_ids), input_ids.size(1) - 1)
            return whole.index_put((rows, columns), values[0, scored])

        entropy = None if output.entropy is None else padded(output.entropy)  # a reference model's head gives none
        return SimpleNamespace(log_probs=padded(output.log_probs), entropy=entropy)

    return call
