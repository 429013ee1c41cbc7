"""Run each different prompt once for all the completions that follow it.

The keys and values of the prompts are computed once, with gradients, and each chunk of rows attends to those of its own
prompts. What flows back to a prompt is then the sum over its completions, as if it had been run with each of them.

    prompts = SharedPrompts(prompt_ids, prompt_mask, cache_argument(type(model)))
    prompts.compute_states(model)
    run = prompts.model_after_prompts(model, 0, 8)                      # for the completions of rows 0 to 7
    run(input_ids=last_prompt_token_and_completion, attention_mask=mask)

A prompt's last token is run with the completion, since the logits of the completion's first token stand at it.
"""

from collections.abc import Callable
from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer


class SharedPrompts:
    """The different prompts of some rows, and their keys and values."""

    def __init__(self, ids: torch.Tensor, mask: torch.Tensor, cache_argument: str):
        """Find the different prompts.

        `ids` and `mask` are (rows, prompt), padded on the left; `cache_argument` is the model's argument for its cache.
        """
        # -1 for padding, so that equal prompts are equal whatever id stands at their padding.
        different, self._prompt_of_row = torch.unique(ids.masked_fill(mask == 0, -1), dim=0, return_inverse=True)
        self._cache_argument = cache_argument
        self._ids = different[:, :-1].clamp(min=0)  # (different prompts, prompt - 1)
        self._mask = (different[:, :-1] >= 0).to(mask)
        self._states: list[tuple[torch.Tensor, torch.Tensor]] = []  # keys and values of each layer

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def width(self) -> int:
        """The number of columns of the prompts without their last token."""
        return self._ids.size(1)

    def compute_states(self, model: Any) -> None:
        """Run the prompts through `model` and keep their keys and values."""
        cache = Cache(layer_class_to_replicate=DynamicLayer)
        arguments = {self._cache_argument: cache, "use_cache": True, "logits_to_keep": 1}
        model(input_ids=self._ids, attention_mask=self._mask, **arguments)
        self._states = []
        for layer in cache.layers:
            assert isinstance(layer, DynamicLayer)
            assert layer.keys is not None
            assert layer.values is not None
            self._states.append((layer.keys, layer.values))

    def model_after_prompts(self, model: Any, start: int, end: int) -> Callable[..., Any]:
        """Return a function that runs `model` on rows `start` to `end` as if their prompts stood before them.

        Its inputs begin with the last token of each row's prompt, and their mask covers these inputs alone.
        """
        prompt_of_row = self._prompt_of_row[start:end]

        def run(attention_mask: torch.Tensor, **inputs: Any) -> Any:
            cache = Cache(layer_class_to_replicate=DynamicLayer)
            for layer_index, (keys, values) in enumerate(self._states):
                cache.update(keys[prompt_of_row], values[prompt_of_row], layer_index)
            full_mask = torch.cat([self._mask[prompt_of_row], attention_mask], dim=1)
            return model(attention_mask=full_mask, **inputs, **{self._cache_argument: cache})

        return run
