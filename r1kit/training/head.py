"""Log-probabilities by way of all logits at once, where these are few.

TRL's fused head never has all logits: it makes them in tiles, and makes each again in the backward pass. On a CPU, with
a small vocabulary, that costs a quarter of the training pass, and the memory that it saves is not needed.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

FEW = 2**24  # logits, 64 MiB in float32


def few_logits(model: Any, tokens: int) -> bool:
    """Whether all logits of so many tokens may be there at once: on a CPU, up to FEW."""
    return model.device.type == "cpu" and tokens * model.config.get_text_config().vocab_size <= FEW


def by_logits(model: Any, temperature: float, with_entropy: bool) -> Callable[..., Any]:
    """Return `model`, which has TRL's fused head, with the same outputs by its own forward pass.

    `log_probs` and `entropy` (None unless wanted) are (rows, columns - 1), float32; 0 where `labels` are -100.
    """

    def call(labels: torch.Tensor, fused_lm_head: bool = True, **given: Any) -> Any:
        said = torch.log_softmax(model(**given).logits[:, :-1].float() / temperature, dim=-1)
        labels = labels[:, 1:]
        blank = labels == -100
        chosen = said.gather(2, labels.clamp(min=0).unsqueeze(2)).squeeze(2).masked_fill(blank, 0.0)
        entropy = -(said.exp() * said).sum(dim=-1).masked_fill(blank, 0.0) if with_entropy else None
        return SimpleNamespace(log_probs=chosen, entropy=entropy)

    return call
