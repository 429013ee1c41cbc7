"""The key-value cache that sampling uses: it grows in place and drops rows that have finished.

transformers' own cache copies all keys and values at every token, to make them one token longer. Here each layer holds
buffers with room for more tokens than there are, and copies them only when that room is used up.

This module also answers what must be known of a model before its cache is handled: by which argument it takes the
cache, and whether it carries anything beside keys and values from token to token.
"""

import inspect
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import DynamicLayer

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel

MIN_SPARE_TOKENS = 16
"""Tokens by which a buffer grows at least; a long one grows by an eighth of its length, so that copies stay rare."""


class GrowingCacheLayer(DynamicLayer):
    """One layer of a cache that is written in place, and copied only where it must grow.

    `buffers` holds its keys and its values, each (rows, heads, capacity, head size), zero where nothing is written yet.
    `keys` and `values` are views of their first `length` tokens, which is what attention reads.
    """

    buffers: list[torch.Tensor]
    length: int

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """Append keys and values of new tokens, and return those of all tokens."""
        new_tokens = key_states.shape[-2]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.buffers = [key_states, value_states]
            self.length = 0
        else:
            self.reserve(new_tokens)
            end = self.length + new_tokens
            self.buffers[0][..., self.length : end, :] = key_states
            self.buffers[1][..., self.length : end, :] = value_states
        self.mark_written(new_tokens)
        return self.keys, self.values

    def reserve(self, tokens: int) -> None:
        """Grow the buffers where `tokens` more tokens would not fit."""
        if self.length + tokens <= self.buffers[0].shape[-2]:
            return
        spare_tokens = _with_spare_tokens(self.length + tokens) - self.length
        for index, buffer in enumerate(self.buffers):
            written = buffer[..., : self.length, :]
            self.buffers[index] = torch.nn.functional.pad(written, (0, 0, 0, spare_tokens))
        self._refresh_views()

    def mark_written(self, tokens: int) -> None:
        """Take `tokens` more tokens, which stand in the buffers already, as part of the cache."""
        self.length += tokens
        self._refresh_views()

    def select_rows(self, rows: torch.Tensor) -> None:
        """Keep the rows with these indices, in this order; an index may occur several times."""
        is_full = self.length == self.buffers[0].shape[-2]
        for index, buffer in enumerate(self.buffers):
            if is_full:  # it would grow at the next token, so it is copied once for both
                _, heads, _, head_size = buffer.shape
                selected = buffer.new_zeros(len(rows), heads, _with_spare_tokens(self.length), head_size)
                torch.index_select(buffer, 0, rows, out=selected[..., : self.length, :])
            else:
                selected = buffer.index_select(0, rows)
            self.buffers[index] = selected
        self._refresh_views()

    def _refresh_views(self) -> None:
        self.keys, self.values = (buffer[..., : self.length, :] for buffer in self.buffers)


def _with_spare_tokens(length: int) -> int:
    return length + max(MIN_SPARE_TOKENS, length // 8)


def growing_layers(cache: "Cache") -> list[GrowingCacheLayer]:
    """Return the layers of a cache that was made with `layer_class_to_replicate=GrowingCacheLayer`."""
    return [layer for layer in cache.layers if isinstance(layer, GrowingCacheLayer)]


def extra_state(model: "PreTrainedModel") -> str:
    """Return what a model carries from token to token beside keys and values of all tokens, as a clause.

    The text is empty for a model whose cache is complete with keys and values: its rows can be dropped, repeated and
    continued by hand.
    """
    text_config = model.config.get_text_config()
    if model.config.is_encoder_decoder or getattr(model, "_is_stateful", False):
        return "the model keeps more than keys and values"
    parameters = inspect.signature(type(model).forward).parameters
    if "cache" not in parameters and "past_key_values" not in parameters:
        return "the model takes no cache"
    has_window = getattr(text_config, "sliding_window", None) and getattr(text_config, "use_sliding_window", True)
    layer_types = set(getattr(text_config, "layer_types", None) or ["full_attention"])
    if has_window or layer_types != {"full_attention"}:
        return "the model has layers of sliding attention"
    return ""


def cache_argument(model_class: Any) -> str:
    """Return the argument by which a class of models takes its cache.

    It is `cache` from transformers 5.20 on, and was `past_key_values` before.
    """
    return _cache_argument(model_class)


@lru_cache
def _cache_argument(model_class: Any) -> str:
    return "cache" if "cache" in inspect.signature(model_class.forward).parameters else "past_key_values"
