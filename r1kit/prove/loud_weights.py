"""Random weights with which an error shows: every token matters, and completions end at different lengths.

transformers draws weights so small that a model's outputs hardly depend on its inputs. Then rows that see each other,
or an adapter that is not applied, change nothing that could be told from rounding.
"""

import math
from collections.abc import Collection
from typing import Any

import torch

EMBEDDING_SCALE = 2.0
"""Norm of an embedding, and standard deviation of a logit."""
END_QUANTILE = 1.28
"""Standard deviations above which the end token's logit exceeds all others together: one time in ten."""


@torch.no_grad()
def randomise_weights(model: Any, end_ids: Collection[int], seed: int = 0) -> None:
    """Draw the weights of a model anew; at about every tenth token one of `end_ids` is the likeliest."""
    generator = torch.Generator().manual_seed(seed)

    def draw(shape: torch.Size, deviation: float) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * deviation

    embeddings, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    for name, weight in model.named_parameters():
        if weight is embeddings or weight is head:
            continue
        if weight.dim() >= 2:
            weight.copy_(draw(weight.shape, 1 / math.sqrt(weight.shape[-1])))
        elif name.endswith("bias") and "router" not in name and "gate" not in name:
            weight.copy_(draw(weight.shape, 0.1))
    for weight in [embeddings] if head is embeddings else [embeddings, head]:
        weight.copy_(draw(weight.shape, EMBEDDING_SCALE / math.sqrt(weight.shape[1])))
    vocabulary_size = head.shape[0]
    end_deviation = (math.log(vocabulary_size) + EMBEDDING_SCALE**2 / 2) / END_QUANTILE
    rows = [token for token in end_ids if token < vocabulary_size]
    head[rows] *= end_deviation / EMBEDDING_SCALE
