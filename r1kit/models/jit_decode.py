"""Decode steps without Python's overhead: most of a small model's step on a CPU is calls of modules, not arithmetic.

`torch.jit.trace` records one step in 0.2 s. The traced step then takes half the time of the model's own for a few rows,
and three quarters for 128 rows. (torch.compile takes 49 s and a C++ compiler, and its step is slower; the graph that
torch.export makes is run by Python and is no faster than the model.)

A traced step repeats what was recorded, so it is wrong for a model that does something else with other inputs. Models
with experts, with hooks, or with positions that are scaled by length are therefore not traced, and in each sampling one
step is computed both ways and compared.

The end of this module: torch 2.13 warns at each call that `torch.jit.trace` is deprecated, and names no release that
removes it; on Python 3.14 it is unsupported. That warning is switched off here, since nobody but this module could act
on it. Where `torch.jit.trace` is missing, unsupported or fails, the model's own steps are used: the samples are the
same but for rounding, a note says that they take longer, and nothing else depends on this module. Once r1kit needs a
torch without it, `choose_decode_step` and this file can be deleted.
"""

import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache as call_once
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from r1kit.messages import logger
from r1kit.models.cache import cache_argument, growing_layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Takes ids (B, 1), which tokens are to be attended to (B, 1, 1, tokens; None: all) and positions (B, 1); returns logits
# (B, vocabulary).
DecodeStep = Callable[[torch.Tensor, torch.Tensor | None, torch.Tensor], torch.Tensor]
TracedStep = Callable[..., torch.Tensor]

MAX_RELATIVE_DIFFERENCE = 1e-4
"""How far a traced step's logits may be from the model's own, as a fraction of the largest logit."""

# By model: what its traced step depends on, and that step, which is None where there is none to use.
_TRACED_STEPS: WeakKeyDictionary[Any, tuple[tuple[int, ...], TracedStep | None]] = WeakKeyDictionary()


def choose_decode_step(model: "PreTrainedModel", cache: Cache, model_step: DecodeStep) -> DecodeStep:
    """Return the function that decodes one sampling of `model` over `cache`: a traced step where that is possible.

    Print a note, once, where only this torch or this Python stands in the way.
    """
    if not can_trace_model(model):
        return model_step
    reason = why_tracing_is_unavailable()
    if reason:
        _note_slower_decoding(reason)
        return model_step
    return JitDecodeStep(model, cache, model_step)


def why_tracing_is_unavailable() -> str:
    """Return why nothing can be traced with this torch and this Python, as a clause; empty where it can."""
    if getattr(getattr(torch, "jit", None), "trace", None) is None:
        return f"torch {torch.__version__} has no torch.jit.trace"
    if sys.version_info >= (3, 14):
        return "torch.jit.trace does not support Python 3.14"
    return ""


@call_once
def _note_slower_decoding(reason: str) -> None:
    """Print a note; it is printed once for each reason, since the function is cached."""
    logger.info(f"{reason}; sampling with a small model on this CPU takes up to twice as long")


def can_trace_model(model: "PreTrainedModel") -> bool:
    """Return whether a step of `model` does the same for all inputs: float32 on a CPU, SDPA, plain positions."""
    text_config = model.config.get_text_config()
    if model.device.type != "cpu" or model.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        return False
    if text_config._attn_implementation != "sdpa" or getattr(text_config, "alibi", False):
        return False
    rope_parameters = str(getattr(text_config, "rope_parameters", None))
    if "dynamic" in rope_parameters or "longrope" in rope_parameters:
        return False
    # num_experts, num_local_experts, n_routed_experts: which experts run depends on the tokens.
    has_experts = any(name.startswith("n") and "experts" in name for name in vars(text_config))
    return not has_experts and not _has_foreign_hooks(model)


def _has_foreign_hooks(model: "PreTrainedModel") -> bool:
    """Return whether hooks other than transformers' own are called with the modules: a trace would miss them."""
    for module in model.modules():
        for hook in [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]:
            if getattr(hook, "__module__", "") != "transformers.utils.output_capturing":
                return True
    return False


class JitDecodeStep:
    """The decode steps of one sampling: those of the model at first, then those of its trace.

    In the first sampling with a model, step 1 is the model's, and is traced; step 2 is computed both ways. In a later
    one step 1 is computed both ways. Whichever it is, the result of step 1 is the model's and of all others the
    trace's, to the last bit, so that a resumed run samples the same as one that was not interrupted.
    """

    def __init__(self, model: "PreTrainedModel", cache: Cache, model_step: DecodeStep):
        self._model = model
        self._model_step = model_step
        self._cache = cache
        # A trace holds the tensors of the weights: it follows changes in place, and not their replacement.
        self._dependencies = (int(model.training), *(parameter.data_ptr() for parameter in model.parameters()))
        self._traced_step: TracedStep | None = None
        self._has_chosen = False
        self._has_just_traced = False

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor | None, positions: torch.Tensor) -> torch.Tensor:
        """Return the logits (B, vocabulary) after one more token of each row."""
        if not self._has_chosen:
            return self._step_before_choice(ids, mask, positions)
        if self._traced_step is not None:
            logits = self._run_traced(self._traced_step, self._traced_inputs(ids, mask, positions))
            if logits is not None:
                for layer in growing_layers(self._cache):
                    layer.mark_written(1)
                return logits
            self._traced_step = None
        return self._model_step(ids, mask, positions)

    def _step_before_choice(
        self, ids: torch.Tensor, mask: torch.Tensor | None, positions: torch.Tensor
    ) -> torch.Tensor:
        """Trace the model, or, where that is done, choose between its steps and its trace's; return the logits."""
        inputs = self._traced_inputs(ids, mask, positions)
        dependencies, traced_step = _TRACED_STEPS.get(self._model, (None, None))
        if dependencies != self._dependencies:
            _TRACED_STEPS[self._model] = (self._dependencies, trace_step(self._model, inputs))
            self._has_just_traced = True
            return self._model_step(ids, mask, positions)
        self._has_chosen = True
        if traced_step is None:
            return self._model_step(ids, mask, positions)
        if self._has_just_traced:
            return self._compare_and_use_traced(traced_step, inputs, mask)
        return self._compare_and_use_model(traced_step, inputs, mask)

    def _compare_and_use_model(
        self, traced_step: TracedStep, inputs: tuple[torch.Tensor, ...], mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Compute a step both ways; return the model's logits and leave its keys and values in the cache."""
        traced_logits = self._run_traced(traced_step, inputs)
        logits = self._model_step(inputs[0], mask, inputs[2])  # it writes last, over what the trace has written
        if self._agrees(traced_logits, logits):
            self._traced_step = traced_step
        return logits

    def _compare_and_use_traced(
        self, traced_step: TracedStep, inputs: tuple[torch.Tensor, ...], mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Compute a step both ways; return the trace's logits and keep its keys and values, where they agree."""
        logits = self._model_step(inputs[0], mask, inputs[2])
        position = int(inputs[3])
        written = [buffer.narrow(2, position, 1) for buffer in inputs[4:]]
        written_by_model = [states.clone() for states in written]
        traced_logits = self._run_traced(traced_step, inputs)
        if traced_logits is not None and self._agrees(traced_logits, logits):
            self._traced_step = traced_step
            return traced_logits
        for states, states_of_model in zip(written, written_by_model, strict=True):
            states.copy_(states_of_model)
        return logits

    def _agrees(self, traced_logits: torch.Tensor | None, logits: torch.Tensor) -> bool:
        """Return whether a traced step's logits are the model's; where they are not, never use that step again."""
        if traced_logits is None:
            return False
        tolerance = MAX_RELATIVE_DIFFERENCE * logits.abs().max().item()
        if torch.allclose(traced_logits, logits, rtol=0.0, atol=tolerance):
            return True
        _TRACED_STEPS[self._model] = (self._dependencies, None)
        logger.info("a traced decode step does not give the model's logits, so the model's own steps are used")
        return False

    def _run_traced(self, traced_step: TracedStep, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor | None:
        """Return the logits of a traced step; where it does not take these sizes None, and it is not used again."""
        try:
            return traced_step(*inputs)
        except RuntimeError:
            _TRACED_STEPS[self._model] = (self._dependencies, None)
            return None

    def _traced_inputs(
        self, ids: torch.Tensor, mask: torch.Tensor | None, positions: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Return the inputs of a traced step: ids, mask, positions, the column to write to, and all layers' buffers.

        The mask covers the whole buffers, (B, 1, 1, capacity).
        """
        buffers: list[torch.Tensor] = []
        for layer in growing_layers(self._cache):
            layer.reserve(1)
            buffers += layer.buffers
        column = self._cache.get_seq_length()
        capacity = buffers[0].shape[-2]
        if mask is None:
            full_mask = (torch.arange(capacity) <= column).expand(len(ids), 1, 1, capacity)
        else:
            full_mask = torch.nn.functional.pad(mask, (0, capacity - mask.shape[-1]))
        return ids, full_mask, positions, torch.tensor(column), *buffers


def trace_step(model: "PreTrainedModel", inputs: tuple[torch.Tensor, ...]) -> TracedStep | None:
    """Return a decode step of `model` as traced on `inputs`; None, with a note, where it cannot be traced."""
    # Copies, since tracing runs the step, which writes into them.
    buffers = [buffer.clone() for buffer in inputs[4:]]
    try:
        with _quiet_tracing():
            # Without torch's own check, which runs the model twice more: the next steps are compared in any case.
            return torch.jit.trace(_StepOverBuffers(model), (*inputs[:4], *buffers), check_trace=False)
    except Exception as error:  # whatever a model does that cannot be traced, its own step can
        first_line = next(iter(str(error).strip().splitlines()), "")
        _note_slower_decoding(f"torch.jit.trace cannot trace this model ({type(error).__name__}: {first_line})")
        return None


@contextmanager
def _quiet_tracing() -> Iterator[None]:
    """Silence what tracing says and this module knows: that it is deprecated, and what it finds in a model."""
    transformers_logger = logging.getLogger("transformers.modeling_utils")
    transformers_logger.addFilter(_is_not_about_loss)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*torch\.jit", category=DeprecationWarning)
            # Tracing reads every property of a model, the deprecated ones too.
            warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")
            # Sizes that were taken for constants: whether that is right is what the comparison finds out.
            warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
            yield
    finally:
        transformers_logger.removeFilter(_is_not_about_loss)


def _is_not_about_loss(record: logging.LogRecord) -> bool:
    """Tracing reads every property of a model, and that of the loss logs a warning where there is no head."""
    return "loss_type" not in record.getMessage()


class _StepOverBuffers(torch.nn.Module):
    """A decode step as a module whose inputs are tensors alone, as torch.jit.trace wants them."""

    def __init__(self, model: "PreTrainedModel"):
        super().__init__()
        self.model = model

    def forward(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        positions: torch.Tensor,
        column: torch.Tensor,
        *buffers: torch.Tensor,
    ) -> torch.Tensor:
        layers: list[Any] = []
        for keys, values in zip(buffers[::2], buffers[1::2], strict=True):
            layers.append(_FixedCacheLayer(keys, values, column))
        cache_kwarg: dict[str, Any] = {cache_argument(type(self.model)): Cache(layers=layers)}
        output = self.model(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1, **cache_kwarg
        )
        return output.logits[:, -1]


class _FixedCacheLayer(DynamicLayer):
    """One layer of a cache of a fixed size: it writes at `column`, and attention reads all of it."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, column: torch.Tensor):
        super().__init__()
        self.keys, self.values, self.column = keys, values, column
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        for buffer, states in ((self.keys, key_states), (self.values, value_states)):
            buffer.narrow(2, self.column, 1).copy_(states)  # type: ignore[arg-type]  # index_copy_ takes twice the time
        return self.keys, self.values
