"""Log-probabilities by way of all logits at once, where these are few.

TRL's fused head never has all logits: it makes them in tiles, and makes each again in the backward pass. On a CPU, with
a small vocabulary, that costs a quarter of the training pass, and the memory that it saves is not needed.
"""

from collections.abc import Callable, Collection
from types import SimpleNamespace
from typing import Any

import torch

MAX_FULL_LOGITS = 2**24  # logits, 64 MiB in float32


def fits_full_logits(model: Any, tokens: int) -> bool:
    """Whether all logits of so many tokens may be there at once: on a CPU, up to FEW."""
    return model.device.type == "cpu" and tokens * model.config.get_text_config().vocab_size <= MAX_FULL_LOGITS


def with_full_logits(model: Any, temperature: float = 1.0, outputs: Collection[str] = ()) -> Callable[..., Any]:
    """Return `model`, which has TRL's fused head, with the same outputs by its own forward pass.

    `log_probs`, `label_mask` and what else is in `outputs` (`entropy`, `is_top1`; None if it is not) are of (rows,
    columns - 1), floats in float32, and 0 where `labels` are -100: those of trl.trainer.utils.add_fused_lm_head.
    """

    def call(labels: torch.Tensor, fused_lm_head: bool = True, **given: Any) -> Any:
        said = torch.log_softmax(model(**given).logits[:, :-1].float() / temperature, dim=-1)
        labels = labels[:, 1:]
        mask = labels != -100
        chosen = said.gather(2, labels.clamp(min=0).unsqueeze(2)).squeeze(2).masked_fill(~mask, 0.0)
        entropy = -(said.exp() * said).sum(dim=-1).masked_fill(~mask, 0.0) if "entropy" in outputs else None
        top = said.argmax(dim=-1) == labels if "is_top1" in outputs else None
        return SimpleNamespace(log_probs=chosen, label_mask=mask, entropy=entropy, is_top1=top)

    return call
