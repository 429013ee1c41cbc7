"""Run each different prompt once for all the completions that follow it.

The keys and values of the prompts are computed once, with gradients, and every chunk of rows attends to those of its
own: what flows back to a prompt is then the sum over its completions, as if it had been run with each. A prompt's last
token goes with the completion, since the first token's logits are its own.
"""

from collections.abc import Callable
from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer


class SharedPrompts:
    """The prompts of some rows, each different one once."""

    def __init__(self, ids: torch.Tensor, mask: torch.Tensor, name: str):
        """`ids`, `mask`: (rows, prompt), padded on the left; `name`: the model's argument for its cache."""
        different, self._which = torch.unique(ids.masked_fill(mask == 0, -1), dim=0, return_inverse=True)
        self._name, self._ids, self._mask = name, different[:, :-1].clamp(min=0), (different[:, :-1] >= 0).to(mask)
        self._states: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def width(self) -> int:
        """The tokens of a prompt, but for its last."""
        return self._ids.size(1)

    def compute_states(self, model: Any) -> None:
        """Compute the keys and values."""
        cache = Cache(layer_class_to_replicate=DynamicLayer)
        given = {self._name: cache, "use_cache": True, "logits_to_keep": 1}
        model(input_ids=self._ids, attention_mask=self._mask, **given)
        self._states = [(layer.keys, layer.values) for layer in cache.layers]

    def model_after_prompts(self, model: Any, start: int, end: int) -> Callable[..., Any]:
        """Return `model` with the prompts of rows `start` to `end` before inputs that begin with their last tokens."""
        which = self._which[start:end]

        def call(attention_mask: torch.Tensor, **given: Any) -> Any:
            cache = Cache(layer_class_to_replicate=DynamicLayer)
            for layer, (keys, values) in enumerate(self._states):
                cache.update(keys[which], values[which], layer)
            whole = torch.cat([self._mask[which], attention_mask], dim=1)
            return model(attention_mask=whole, **given, **{self._name: cache})

        return call
