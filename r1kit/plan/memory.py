"""The peak memory of a training step on one device, by part, in closed form.

A step has four moments at which memory can peak; the peak is the largest of them:

    loss        all that is kept for the backward pass is held, and the output head makes its logits
    last layer  the same, and the last layer, computed again under checkpointing, runs its backward pass
    backward    all gradients are held, and the first layer runs its backward pass
    optimizer   weights, gradients and the optimizer's state; ZeRO makes float32 gradients

Departures: allocators round up and leave gaps, so that the peak reserved by CUDA is higher by some percent (SPARE in
r1kit/plan/result.py); what peft, trackers and the data loader hold is left out.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from r1kit.plan.activations import (
    activation_bytes,
    backward_bytes_per_token,
    layer_bytes_per_token,
    logit_bytes,
)
from r1kit.plan.shape import ModelShape
from r1kit.plan.step import TrainingSetup

Moment = Literal["loss", "last layer", "backward", "optimizer"]

# NF4 with double quantization: 4 bits, and 8 bits for each block of 64 (QLoRA, section 3: 0.127 bits for each weight).
BYTES_PER_QUANTIZED_PARAMETER = 4.127 / 8
FRAMEWORK_BYTES = 2**28
"""What cuBLAS, NCCL and the allocator hold on a GPU inside the peak that torch reports."""


@dataclass(frozen=True)
class MemoryUse:
    """Bytes by part at the moment of the peak."""

    moment: Moment
    sizes: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """All bytes."""
        return sum(self.sizes.values())


def training_memory(shape: ModelShape, setup: TrainingSetup) -> MemoryUse:
    """Return the memory of a training step at its peak, by part, on one device."""
    moments = (_at_loss, _at_last_layer, _at_backward, _at_optimizer)
    return max((moment(shape, setup) for moment in moments), key=lambda use: use.total)


def resident_memory(shape: ModelShape, setup: TrainingSetup) -> dict[str, float]:
    """Return the bytes that stay in memory between steps: weights, optimizer's state, reference model."""
    trained = shape.parameters if setup.trained is None else setup.trained
    is_adapter = setup.trained is not None
    weight_bytes = setup.weight_bytes or (2 if setup.compute == "bfloat16" else 4)
    sizes: dict[str, float] = {}
    if is_adapter:
        quantized = shape.matrix_parameters if setup.quantized else 0
        frozen = (shape.parameters - quantized) * weight_bytes + quantized * BYTES_PER_QUANTIZED_PARAMETER
        sizes["weights"] = frozen / _weight_shards(setup) + trained * 4
        sizes["optimizer"] = trained * setup.state_bytes
    elif setup.sharding in ("zero2", "zero3"):
        # DeepSpeed computes with bfloat16 weights, and has float32 ones beside the moments.
        sizes["weights"] = trained * 2 / _weight_shards(setup)
        sizes["optimizer"] = trained * (4 + setup.state_bytes) / setup.shards
    else:
        sizes["weights"] = trained * weight_bytes / _weight_shards(setup)
        sizes["optimizer"] = trained * setup.state_bytes / setup.shards
    if setup.offloads_optimizer:
        sizes["optimizer"] = 0.0
    if setup.reference:
        sizes["reference model"] = shape.parameters * weight_bytes / _weight_shards(setup)
    if not setup.on_cpu:
        sizes["framework"] = FRAMEWORK_BYTES
    return sizes


def _weight_shards(setup: TrainingSetup) -> int:
    return setup.devices if setup.sharding in ("fsdp2", "zero3") else 1


def gradient_bytes(shape: ModelShape, setup: TrainingSetup) -> float:
    """Return the bytes of all gradients on one device, between the micro-batches of a step."""
    trained = shape.parameters if setup.trained is None else setup.trained
    per_parameter = 4 if setup.trained is not None or (setup.weight_bytes or 4) == 4 else 2
    if setup.compute == "bfloat16" and setup.trained is None and setup.weight_bytes is None:
        per_parameter = 2
    if setup.sharding in ("zero2", "zero3"):
        return trained * 2 / setup.shards
    if setup.sharding == "fsdp2":
        # Accelerate lets FSDP 2 sum up gradients of several micro-batches unsharded, in the format of the computation.
        if setup.accumulates and setup.sums_unsharded:
            return trained * (4 if setup.compute == "float32" else 2)
        return trained * per_parameter / setup.shards
    buckets = 2 if setup.sharding == "ddp" and setup.devices > 1 else 1  # DDP copies gradients into buckets to send
    return trained * per_parameter * buckets


def _at_loss(shape: ModelShape, setup: TrainingSetup) -> MemoryUse:
    """Return the memory where the backward pass begins: all activations are there, and the head's logits."""
    sizes = resident_memory(shape, setup)
    sizes["gathered weights"] = _gathered_weights(shape, setup, copies_of_all_layers=True)
    sizes["activations"] = activation_bytes(shape, setup)
    sizes["logits"] = logit_bytes(shape, setup)
    sizes["gradients"] = gradient_bytes(shape, setup) if setup.accumulates else 0.0
    return MemoryUse("loss", sizes)


def _at_last_layer(shape: ModelShape, setup: TrainingSetup) -> MemoryUse:
    """Return the memory while the last layer runs its backward pass; the head's gradient is there."""
    sizes = resident_memory(shape, setup)
    sizes["gathered weights"] = _gathered_weights(shape, setup, copies_of_all_layers=not setup.checkpointing)
    layer = backward_bytes_per_token(shape, setup)
    if setup.checkpointing:
        layer += layer_bytes_per_token(shape, setup)
    sizes["activations"] = activation_bytes(shape, setup) + setup.tokens * layer
    if setup.accumulates:
        sizes["gradients"] = gradient_bytes(shape, setup)
    else:
        sizes["gradients"] = shape.embedding_parameters * 4.0 if setup.trained is None else 0.0
    return MemoryUse("last layer", sizes)


def _at_backward(shape: ModelShape, setup: TrainingSetup) -> MemoryUse:
    """Return the memory where the backward pass ends: all gradients are there, and one layer's activations."""
    sizes = resident_memory(shape, setup)
    sizes["gathered weights"] = _gathered_weights(shape, setup, copies_of_all_layers=False)
    one_layer = setup.tokens * (layer_bytes_per_token(shape, setup) + backward_bytes_per_token(shape, setup))
    sizes["activations"] = one_layer
    sizes["gradients"] = gradient_bytes(shape, setup)
    if setup.trained is None:
        # The embedding's gradient is made whole before it is added to what is there already.
        was_there = setup.accumulates or shape.is_tied or setup.shards > 1
        sizes["gradients"] += shape.embedding_parameters * 4 if was_there else 0
    if setup.sharding == "fsdp2" and setup.accumulates and setup.sums_unsharded:
        # The last micro-batch reduces what was summed up; from then on both are there.
        per_parameter = 4 if setup.trained is None else 0
        sizes["gradients"] += shape.parameters * per_parameter / setup.shards
    return MemoryUse("backward", sizes)


def _at_optimizer(shape: ModelShape, setup: TrainingSetup) -> MemoryUse:
    """Return the memory of the optimizer's step; AdamW is fused, and makes no copies."""
    sizes = resident_memory(shape, setup)
    sizes["gradients"] = gradient_bytes(shape, replace(setup, accumulates=False))
    if setup.sharding in ("zero2", "zero3") and not setup.offloads_optimizer:
        trained = shape.parameters if setup.trained is None else setup.trained
        sizes["gradients"] += trained * 4 / setup.shards
    return MemoryUse("optimizer", sizes)


def _gathered_weights(shape: ModelShape, setup: TrainingSetup, copies_of_all_layers: bool) -> float:
    """Return the bytes of weights that exist for the computation alone.

    Autocast keeps bfloat16 copies: of all layers until the forward pass ends, and until the backward pass where
    activations are kept. Sharded weights are gathered for two layers at a time, those of the head for longer.
    """
    trained_whole = setup.trained is None
    if setup.sharding in ("fsdp2", "zero3"):
        size = 4 if setup.compute == "float32" else 2
        return (2 * shape.layer_parameters + shape.embedding_parameters) * size
    if setup.compute != "autocast" or not trained_whole:
        return 0.0
    if setup.sharding == "zero2":
        return 0.0  # the weights are in bfloat16 already
    layers = shape.layers if copies_of_all_layers else 1
    return 2.0 * shape.matrix_parameters * layers / shape.layers
