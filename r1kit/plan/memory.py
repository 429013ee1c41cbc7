"""The peak memory of a training step on one device, by part, in closed form.

A step has four moments at which memory can peak; the peak is the largest of them:

    loss        all that is kept for the backward pass is held, and the output head makes its logits
    last layer  the same, and the last layer, computed again under checkpointing, runs its backward pass
    backward    all gradients are held, and the first layer runs its backward pass
    optimizer   weights, gradients and the optimizer's state; ZeRO makes float32 gradients

What a layer keeps for the backward pass is counted tensor by tensor (`layer_bytes_per_token`), as transformers'
implementation keeps it with SDPA or flash attention; a test holds it against the tensors that transformers saves.

Departures: allocators round up and leave gaps, so that the peak reserved by CUDA is higher by some percent (SPARE in
r1kit/plan/fit.py); what peft, trackers and the data loader hold is left out.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from r1kit.plan.shape import ModelShape

Compute = Literal["float32", "autocast", "bfloat16"]
Sharding = Literal["none", "ddp", "fsdp2", "zero2", "zero3"]
Moment = Literal["loss", "last layer", "backward", "optimizer"]

# NF4 with double quantization: 4 bits, and 8 bits for each block of 64 (QLoRA, section 3: 0.127 bits for each weight).
BYTES_PER_QUANTIZED_PARAMETER = 4.127 / 8
OPTIMIZER_BYTES = 8
"""AdamW's two moments of a trained parameter, in float32."""
# TRL's fused head (trl/kernels/chunked_logprob.py): tiles of so many tokens and entries of the vocabulary.
HEAD_TILE_TOKENS, HEAD_TILE_ENTRIES = 4096, 32768
# Without Triton, that is on a CPU, its backward pass makes eight float32 copies and a mask of a tile.
CPU_TILE_BYTES = 33
# Bytes for each logit where all are held at once: in bfloat16, in float32, their log-softmax, and both gradients.
FULL_LOGIT_BYTES = 2 + 4 + 4 + 4 + 2
# r1kit/training/savings/full_logits.py holds all logits on a CPU: float32 copies up to the backward pass.
CPU_FULL_LOGIT_BYTES = 7 * 4
MAX_CPU_FULL_LOGITS = 2**24
FRAMEWORK_BYTES = 2**28
"""What cuBLAS, NCCL and the allocator hold on a GPU inside the peak that torch reports."""


@dataclass(frozen=True)
class TrainingSetup:
    """How a training step is run on one device."""

    rows: int
    """Rows of a micro-batch."""
    width: int
    """Tokens of its longest row."""
    compute: Compute = "autocast"
    """Number formats: float32 throughout; float32 weights that a GPU computes with in bfloat16; bfloat16 throughout."""
    checkpointing: bool = False
    accumulates: bool = False
    """Whether the gradients of several micro-batches are added up, so that they are there in the forward pass."""
    sums_unsharded: bool = True
    """Whether FSDP 2 adds them up unsharded, as Accelerate lets it, to reduce them once a step."""
    sharding: Sharding = "none"
    devices: int = 1
    offloads_optimizer: bool = False
    trained: int | None = None
    """Trained parameters, if not all: those of an adapter."""
    quantized: bool = False
    """Whether the frozen weights are in 4 bits."""
    weight_bytes: int | None = None
    """Bytes of a weight; default: 2 under bfloat16, else 4."""
    state_bytes: int = OPTIMIZER_BYTES
    """Bytes of the optimizer's state for each trained parameter."""
    head: Literal["tiles", "full", "fused"] = "tiles"
    """How the loss is computed: TRL's tiles, all logits at once, or a kernel that holds next to no logits."""
    fuses_layers: bool = False
    """Whether torch.compile or liger fuses norms and activations, whose inputs are then kept once."""
    attention: Literal["flash", "eager"] = "flash"
    reference: bool = False
    """Whether a reference model is held beside the policy."""
    loss_tokens: int | None = None
    """Tokens of the micro-batch that have a loss; default: all."""
    on_cpu: bool = False

    @property
    def tokens(self) -> int:
        """Tokens of a micro-batch, padding included."""
        return self.rows * self.width

    @property
    def shards(self) -> int:
        """Devices over which the optimizer's state is sharded."""
        return self.devices if self.sharding in ("fsdp2", "zero2", "zero3") else 1


@dataclass(frozen=True)
class MemoryUse:
    """Bytes by part at the moment of the peak."""

    moment: Moment
    parts: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """All bytes."""
        return sum(self.parts.values())


def training_memory(shape: ModelShape, setup: TrainingSetup) -> MemoryUse:
    """Return the memory of a training step at its peak, by part, on one device."""
    moments = (_at_loss, _at_last_layer, _at_backward, _at_optimizer)
    return max((moment(shape, setup) for moment in moments), key=lambda use: use.total)


def resident_memory(shape: ModelShape, setup: TrainingSetup) -> dict[str, float]:
    """Return the bytes that stay in memory between steps: weights, optimizer's state, reference model."""
    trained = shape.parameters if setup.trained is None else setup.trained
    is_adapter = setup.trained is not None
    weight_bytes = setup.weight_bytes or (2 if setup.compute == "bfloat16" else 4)
    parts: dict[str, float] = {}
    if is_adapter:
        quantized = shape.matrix_parameters if setup.quantized else 0
        frozen = (shape.parameters - quantized) * weight_bytes + quantized * BYTES_PER_QUANTIZED_PARAMETER
        parts["weights"] = frozen / _weight_shards(setup) + trained * 4
        parts["optimizer"] = trained * setup.state_bytes
    elif setup.sharding in ("zero2", "zero3"):
        # DeepSpeed computes with bfloat16 weights, and has float32 ones beside the moments.
        parts["weights"] = trained * 2 / _weight_shards(setup)
        parts["optimizer"] = trained * (4 + setup.state_bytes) / setup.shards
    else:
        parts["weights"] = trained * weight_bytes / _weight_shards(setup)
        parts["optimizer"] = trained * setup.state_bytes / setup.shards
    if setup.offloads_optimizer:
        parts["optimizer"] = 0.0
    if setup.reference:
        parts["reference model"] = shape.parameters * weight_bytes / _weight_shards(setup)
    if not setup.on_cpu:
        parts["framework"] = FRAMEWORK_BYTES
    return parts


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
    parts = resident_memory(shape, setup)
    parts["gathered weights"] = _gathered_weights(shape, setup, copies_of_all_layers=True)
    parts["activations"] = activation_bytes(shape, setup)
    parts["logits"] = logit_bytes(shape, setup)
    parts["gradients"] = gradient_bytes(shape, setup) if setup.accumulates else 0.0
    return MemoryUse("loss", parts)


def _at_last_layer(shape: ModelShape, setup: TrainingSetup) -> MemoryUse:
    """Return the memory while the last layer runs its backward pass; the head's gradient is there."""
    parts = resident_memory(shape, setup)
    parts["gathered weights"] = _gathered_weights(shape, setup, copies_of_all_layers=not setup.checkpointing)
    layer = _backward_bytes_per_token(shape, setup)
    if setup.checkpointing:
        layer += layer_bytes_per_token(shape, setup)
    parts["activations"] = activation_bytes(shape, setup) + setup.tokens * layer
    if setup.accumulates:
        parts["gradients"] = gradient_bytes(shape, setup)
    else:
        parts["gradients"] = shape.embedding_parameters * 4.0 if setup.trained is None else 0.0
    return MemoryUse("last layer", parts)


def _at_backward(shape: ModelShape, setup: TrainingSetup) -> MemoryUse:
    """Return the memory where the backward pass ends: all gradients are there, and one layer's activations."""
    parts = resident_memory(shape, setup)
    parts["gathered weights"] = _gathered_weights(shape, setup, copies_of_all_layers=False)
    one_layer = setup.tokens * (layer_bytes_per_token(shape, setup) + _backward_bytes_per_token(shape, setup))
    parts["activations"] = one_layer
    parts["gradients"] = gradient_bytes(shape, setup)
    if setup.trained is None:
        # The embedding's gradient is made whole before it is added to what is there already.
        was_there = setup.accumulates or shape.is_tied or setup.shards > 1
        parts["gradients"] += shape.embedding_parameters * 4 if was_there else 0
    if setup.sharding == "fsdp2" and setup.accumulates and setup.sums_unsharded:
        # The last micro-batch reduces what was summed up; from then on both are there.
        per_parameter = 4 if setup.trained is None else 0
        parts["gradients"] += shape.parameters * per_parameter / setup.shards
    return MemoryUse("backward", parts)


def _at_optimizer(shape: ModelShape, setup: TrainingSetup) -> MemoryUse:
    """Return the memory of the optimizer's step; AdamW is fused, and makes no copies."""
    parts = resident_memory(shape, setup)
    parts["gradients"] = gradient_bytes(shape, replace(setup, accumulates=False))
    if setup.sharding in ("zero2", "zero3") and not setup.offloads_optimizer:
        trained = shape.parameters if setup.trained is None else setup.trained
        parts["gradients"] += trained * 4 / setup.shards
    return MemoryUse("optimizer", parts)


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


def activation_bytes(shape: ModelShape, setup: TrainingSetup) -> float:
    """Return the bytes of what is kept of the forward pass where the backward pass begins."""
    per_layer = layer_bytes_per_token(shape, setup)
    outside = _residual_bytes(setup) * 4 * shape.hidden  # the embedding, the last norm and the head's input
    if not setup.checkpointing:
        return setup.tokens * (shape.layers * per_layer + outside)
    kept = shape.layers * shape.hidden * _residual_bytes(setup)
    return setup.tokens * (kept + outside)


def _residual_bytes(setup: TrainingSetup) -> int:
    """Return the bytes of a number that goes from layer to layer."""
    return 2 if _computes_plain_bfloat16(setup) else 4


def _computes_plain_bfloat16(setup: TrainingSetup) -> bool:
    """Return whether weights are in bfloat16 where they are used, so that autocast makes no copies of inputs."""
    is_sharded_bfloat16 = setup.compute == "autocast" and setup.sharding in ("fsdp2", "zero2", "zero3")
    return setup.compute == "bfloat16" or is_sharded_bfloat16


def layer_bytes_per_token(shape: ModelShape, setup: TrainingSetup) -> float:
    """Return the bytes that one layer keeps of a token for its backward pass, without checkpointing.

    b is the size of a number that linear layers see, and h, q, k, f, a are hidden width, width of queries, of keys, of
    the MLP, and heads.
    """
    h, q, k, a = shape.hidden, shape.query_width, shape.key_width, shape.heads
    b = 4 if setup.compute == "float32" else 2
    is_plain = setup.compute == "float32" or _computes_plain_bfloat16(setup)
    has_adapter = setup.trained is not None
    float_norms = shape.family.has_float_norms or not is_plain or setup.compute == "float32"
    norm_result = 4 if float_norms else 2
    # RMSNorm keeps its input in float32, a scale, and the normalised input before it is multiplied by a weight.
    norm = h * (4 + norm_result) + 4
    if setup.fuses_layers:
        norm = h * 2 + 4
    total = shape.family.hidden_norms * norm
    # Autocast and adapters copy the input of each linear layer; else queries, keys and values share one.
    copies = 1 if is_plain and not has_adapter else 3
    total += copies * b * h
    # Queries and keys come from a linear layer, so that autocast has them in bfloat16.
    query_result = 4 if shape.family.has_float_norms else b
    if shape.family.query_norm == "head":
        total += (q + k) * (4 + query_result) + 4 * (a + shape.key_heads)
    elif shape.family.query_norm == "full":
        total += (q + k) * (4 + query_result) + 8
    total += b * (q + 2 * k)  # queries, keys and values as attention sees them
    total += b * q + 4 * a  # its output and the logarithm of its normaliser
    if has_adapter:
        total += b * q
    if setup.attention == "eager":
        total += a * setup.width * (4 + b)
    return total + _mlp_bytes_per_token(shape, setup, b, is_plain and not has_adapter)


def _mlp_bytes_per_token(shape: ModelShape, setup: TrainingSetup, b: int, shares_input: bool) -> float:
    h, f = shape.hidden, shape.mlp_width
    kept_widths = 3 if setup.fuses_layers else 4  # gate, its activation, up, and their product
    if not shape.experts_per_token:
        return (1 if shares_input else 2) * b * h + kept_widths * b * f
    # The token is copied for each of its experts, and their outputs are weighted and summed.
    return shape.experts_per_token * (kept_widths * b * f + 3 * b * h)


def _backward_bytes_per_token(shape: ModelShape, setup: TrainingSetup) -> float:
    """Return the temporaries of a layer's backward pass: gradients of the MLP's widths and of two residuals."""
    b = 4 if setup.compute == "float32" else 2
    width = shape.mlp_width * max(1, shape.experts_per_token)
    return 2 * b * width + 2 * _residual_bytes(setup) * shape.hidden


def logit_bytes(shape: ModelShape, setup: TrainingSetup) -> float:
    """Return the bytes of the loss: logits, and the gradients of the head and of its input."""
    tokens = setup.loss_tokens or setup.tokens
    head_gradient = shape.embedding_parameters * 4 if setup.trained is None else 0
    if setup.on_cpu and tokens * shape.vocabulary <= MAX_CPU_FULL_LOGITS:
        return CPU_FULL_LOGIT_BYTES * tokens * shape.vocabulary + head_gradient
    if setup.head == "full":
        return FULL_LOGIT_BYTES * tokens * shape.vocabulary + head_gradient / 2
    input_gradient = tokens * shape.hidden * 4
    if setup.head == "fused":
        return input_gradient + head_gradient
    tile_tokens = min(tokens, HEAD_TILE_TOKENS)
    entries = min(HEAD_TILE_ENTRIES, shape.vocabulary)
    if setup.on_cpu:
        tile = tile_tokens * (4 * HEAD_TILE_ENTRIES + CPU_TILE_BYTES * entries)
    else:
        tile = 2 * tile_tokens * HEAD_TILE_ENTRIES + 2 * entries * shape.hidden
    return tile + input_gradient + head_gradient
