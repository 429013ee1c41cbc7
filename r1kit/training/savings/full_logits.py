"""Compute log-probabilities from all logits at once, where these are few.

TRL's fused head never holds all logits: it computes them in tiles, and computes each again in the backward pass. On a
CPU with a small vocabulary that costs a quarter of the training pass, and the memory that it saves is not needed.
"""

from collections.abc import Callable, Collection
from types import SimpleNamespace
from typing import Any

import torch

MAX_FULL_LOGITS = 2**24
"""Logits that may be held at once: 64 MiB in float32."""


def fits_full_logits(model: Any, tokens: int) -> bool:
    """Return whether all logits of so many tokens may be held at once: on a CPU, up to MAX_FULL_LOGITS."""
    return model.device.type == "cpu" and tokens * model.config.get_text_config().vocab_size <= MAX_FULL_LOGITS


def with_full_logits(model: Any, temperature: float = 1.0, outputs: Collection[str] = ()) -> Callable[..., Any]:
    """Return a function that does what `model`, which has TRL's fused head, does, and does not use that head.

    Its inputs are the model's. Its outputs are those of trl.trainer.utils.add_fused_lm_head, each (B, T - 1) and 0
    where `labels` are -100: `log_probs` in float32 at `temperature`, `label_mask`, and `entropy` and `is_top1`, which
    are None unless `outputs` names them.
    """

    def run(labels: torch.Tensor, fused_lm_head: bool = True, **inputs: Any) -> SimpleNamespace:
        # The logits at a position are those of the next token, so that the last position has none to predict.
        logits = model(**inputs).logits[:, :-1].float()  # (B, T - 1, vocabulary)
        all_log_probs = torch.log_softmax(logits / temperature, dim=-1)
        next_ids = labels[:, 1:]
        label_mask = next_ids != -100
        log_probs = all_log_probs.gather(2, next_ids.clamp(min=0).unsqueeze(2)).squeeze(2)
        entropy = is_top1 = None
        if "entropy" in outputs:
            entropy = -(all_log_probs.exp() * all_log_probs).sum(dim=-1).masked_fill(~label_mask, 0.0)
        if "is_top1" in outputs:
            is_top1 = all_log_probs.argmax(dim=-1) == next_ids
        return SimpleNamespace(
            log_probs=log_probs.masked_fill(~label_mask, 0.0), label_mask=label_mask, entropy=entropy, is_top1=is_top1
        )

    return run
