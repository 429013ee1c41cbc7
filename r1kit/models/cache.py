"""The key-value cache that sampling uses: it grows in place and drops finished rows."""

import inspect
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import DynamicLayer

if TYPE_CHECKING:
    from transformers import PreTrainedModel


SPARE = 16  # positions by which a cache grows at least, or by an eighth


class GrowingCacheLayer(DynamicLayer):
    """A layer of a cache that is written in place, and copied only when it must grow.

    `room` has its keys and values, each (rows, heads, at least the tokens, width), zero where nothing was written.
    """

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.room, self.length = [key_states, value_states], 0
        else:
            self.make_room(key_states.shape[-2])
            new = self.length + key_states.shape[-2]
            self.room[0][..., self.length : new, :] = key_states
            self.room[1][..., self.length : new, :] = value_states
        self.written(key_states.shape[-2])
        return self.keys, self.values

    def make_room(self, count: int) -> None:
        """Grow where `count` more tokens have no room."""
        if self.length + count > self.room[0].shape[-2]:
            spare = _roomy(self.length + count) - self.length
            shown = (room[..., : self.length, :] for room in self.room)
            self.room = [torch.nn.functional.pad(states, (0, 0, 0, spare)) for states in shown]
            self.written(0)

    def written(self, count: int) -> None:
        """Show `count` more tokens, which stand in the room."""
        self.length += count
        self.keys, self.values = (room[..., : self.length, :] for room in self.room)

    def take(self, rows: torch.Tensor) -> None:
        """Keep these rows, in this order; one may stand several times."""
        if self.length < self.room[0].shape[-2]:
            self.room = [room.index_select(0, rows) for room in self.room]
        else:
            wider = [room.new_zeros(len(rows), room.shape[1], _roomy(self.length), room.shape[3]) for room in self.room]
            for room, new in zip(self.room, wider, strict=True):
                torch.index_select(room, 0, rows, out=new[..., : self.length, :])
            self.room = wider
        self.written(0)


def _roomy(length: int) -> int:
    return length + max(SPARE, length // 8)


def extra_state(model: "PreTrainedModel") -> str:
    """Return what else than the keys and values of all its tokens a model carries on; empty where nothing."""
    text = model.config.get_text_config()
    if model.config.is_encoder_decoder or getattr(model, "_is_stateful", False):
        return "the model keeps more than keys and values"
    if not {"cache", "past_key_values"} & inspect.signature(type(model).forward).parameters.keys():
        return "the model takes no cache"
    slides = getattr(text, "sliding_window", None) and getattr(text, "use_sliding_window", True)
    if slides or set(getattr(text, "layer_types", None) or ["full_attention"]) != {"full_attention"}:
        return "the model has layers of sliding attention"
    return ""


@lru_cache
def cache_argument(kind: type) -> str:
    """Return what a model calls its cache: `past_key_values`, from transformers 5.20 on `cache`."""
    return "cache" if "cache" in inspect.signature(kind.forward).parameters else "past_key_values"
