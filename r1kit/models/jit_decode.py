"""A decode step without its Python: on a CPU most of a small model's step is not arithmetic but calls of modules.

A step is recorded once by `torch.jit.trace`, in 0.2 s, and then takes half the time of the model's own for a few rows,
and three quarters for 128. (torch.compile takes 49 s and a C++ compiler, and is then slower than that; the graph of
torch.export, which Python runs, is no faster than the model.) A record holds for what was seen: where a model does
something else with other inputs, it is wrong. So models with experts, with hooks, or with positions scaled by length
are not recorded, and each sampling compares a step that is not the one recorded with the model's own.
"""

import logging
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CLOSE = 1e-4  # of the largest logit: how far a recorded step may be from the model's own
# By model: what the record depends on, and the recorded step; None where there is none to use.
RECORDED: WeakKeyDictionary[Any, tuple[tuple[int, ...], Callable | None]] = WeakKeyDictionary()


def can_trace_model(model: "PreTrainedModel") -> bool:
    """Whether a step of `model` may be recorded: in float32 on a CPU, with SDPA, plain positions."""
    text = model.config.get_text_config()
    plain = model.device.type == "cpu" and model.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    scaled = any(kind in str(getattr(text, "rope_parameters", None)) for kind in ("dynamic", "longrope"))
    other = scaled or getattr(text, "alibi", False) or any(n[0] == "n" and "experts" in n for n in vars(text))
    return plain and not other and text._attn_implementation == "sdpa" and not _hooked(model)


def _hooked(model: "PreTrainedModel") -> bool:
    """Whether something of another's is called with the modules: what it does is not in a record."""
    hooks = (h for m in model.modules() for kind in (m._forward_hooks, m._forward_pre_hooks) for h in kind.values())
    return any(getattr(hook, "__module__", "") != "transformers.utils.output_capturing" for hook in hooks)


class JitDecodeStep:
    """The steps of one sampling with `model`, whose own is `own`, over the layers of `cache`.

    Both take ids (rows, 1), which tokens are there (rows, 1, 1, tokens; None: all) and positions (rows, 1), and return
    logits (rows, vocabulary).
    """

    def __init__(self, model: "PreTrainedModel", cache: Cache, own: Callable[..., torch.Tensor]):
        self.model, self.cache, self.own = model, cache, own
        self.depends = (model.training, *(p.data_ptr() for p in model.parameters()))
        self.step: Callable | None = None
        self.chosen = self.fresh = False

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor | None, places: torch.Tensor) -> torch.Tensor:
        if not self.chosen:
            return self._choose(ids, mask, places)
        if self.step is None:
            return self.own(ids, mask, places)
        logits = self._taken(self.step, self._inputs(ids, mask, places))
        if logits is None:
            self.step = None
            return self.own(ids, mask, places)
        for layer in self.cache.layers:
            layer.written(1)
        return logits

    def _choose(self, ids: torch.Tensor, mask: torch.Tensor | None, places: torch.Tensor) -> torch.Tensor:
        """Take the model's own step; record it, or, where that was done, see whether the record says the same.

        Whether it was recorded now or for an earlier sampling, the first step is the model's and the others are the
        record's, to the last bit: after a resume the same comes out.
        """
        inputs = self._inputs(ids, mask, places)
        known, step = RECORDED.get(self.model, (None, None))
        if known != self.depends:
            RECORDED[self.model] = (self.depends, trace_step(self.model, inputs))
            self.fresh = True
            return self.own(ids, mask, places)
        self.chosen = True
        if step is None:
            return self.own(ids, mask, places)
        if not self.fresh:  # of the two that write into the cache, the last one's keys and values stay
            found = self._taken(step, inputs)
            logits = self.own(ids, mask, places)
        else:
            logits = self.own(ids, mask, places)
            cells = [room.narrow(2, int(inputs[3]), 1) for room in inputs[4:]]
            kept = [cell.clone() for cell in cells]
            found = self._taken(step, inputs)
        if found is not None and torch.allclose(found, logits, rtol=0.0, atol=CLOSE * logits.abs().max().item()):
            self.step = step
            return found if self.fresh else logits
        if self.fresh:
            for cell, own in zip(cells, kept, strict=True):
                cell.copy_(own)
        if found is not None:
            RECORDED[self.model] = (self.depends, None)
            print("note: the recorded step of decoding is not the model's: its own is taken", file=sys.stderr)
        return logits

    def _taken(self, step: Callable, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor | None:
        """Return what a recorded step gives; None, and never again, where it does not take these sizes."""
        try:
            return step(*inputs)
        except RuntimeError:
            RECORDED[self.model] = (self.depends, None)
            return None

    def _inputs(self, ids: torch.Tensor, mask: torch.Tensor | None, places: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return ids, mask over the rooms, positions, the place to write to, and the rooms of all layers."""
        for layer in self.cache.layers:
            layer.make_room(1)
        filled, rooms = self.cache.get_seq_length(), [room for layer in self.cache.layers for room in layer.room]
        width = rooms[0].shape[-2]
        if mask is None:
            there = (torch.arange(width) <= filled).expand(len(ids), 1, 1, width)
        else:
            there = torch.nn.functional.pad(mask, (0, width - mask.shape[-1]))
        return ids, there, places, torch.tensor(filled), *rooms


def trace_step(model: "PreTrainedModel", inputs: tuple[torch.Tensor, ...]) -> Callable | None:
    """Return the step of `model` as recorded on `inputs`; None where that fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is deprecated, and of sizes taken for constants: it is compared
        log = logging.getLogger("transformers.modeling_utils")
        log.addFilter(_said_of_loss)
        try:
            return torch.jit.trace(
                _Step(model), (*inputs[:4], *(room.clone() for room in inputs[4:])), check_trace=False
            )
        except Exception:  # whatever a model does that cannot be recorded, its own step can
            return None
        finally:
            log.removeFilter(_said_of_loss)


def _said_of_loss(record: logging.LogRecord) -> bool:
    """torch.jit.trace looks at every property, also at the loss of a model without a head, which has none."""
    return "loss_type" not in record.getMessage()


class _Step(torch.nn.Module):
    def __init__(self, model: "PreTrainedModel"):
        super().__init__()
        self.model = model

    def forward(
        self, ids: torch.Tensor, mask: torch.Tensor, places: torch.Tensor, filled: torch.Tensor, *rooms: torch.Tensor
    ) -> torch.Tensor:
        from r1kit.models.cache import cache_argument

        cache = Cache(layers=[_Room(*rooms[i : i + 2], filled) for i in range(0, len(rooms), 2)])
        kept = {cache_argument(type(self.model)): cache}
        output = self.model(
            input_ids=ids, attention_mask=mask, position_ids=places, use_cache=True, logits_to_keep=1, **kept
        )
        return output.logits[:, -1]


class _Room(DynamicLayer):
    """A layer of a cache of a fixed size, written at `place`, with all of it shown."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, place: torch.Tensor):
        super().__init__()
        self.keys, self.values, self.place = keys, values, place
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        for room, states in ((self.keys, key_states), (self.values, value_states)):
            room.narrow(2, self.place, 1).copy_(states)  # index_copy_ takes twice the time
        return self.keys, self.values
