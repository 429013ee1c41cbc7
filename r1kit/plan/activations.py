"""What a training step keeps for its backward pass, and what its loss takes, in bytes.

`layer_bytes_per_token` counts tensor by tensor what transformers keeps of a layer with SDPA or flash attention; a test
holds it against the tensors that transformers saves.
"""

from r1kit.plan.shape import ModelShape
from r1kit.plan.step import TrainingSetup

# TRL's fused head (trl/kernels/chunked_logprob.py): tiles of so many tokens and entries of the vocabulary.
HEAD_TILE_TOKENS, HEAD_TILE_ENTRIES = 4096, 32768
# Without Triton, that is on a CPU, its backward pass makes eight float32 copies and a mask of a tile.
CPU_TILE_BYTES = 33
# Bytes for each logit where all are held at once: in bfloat16, in float32, their log-softmax, and both gradients.
FULL_LOGIT_BYTES = 2 + 4 + 4 + 4 + 2
# r1kit/training/savings/full_logits.py holds all logits on a CPU, scaled, as log-probabilities, probabilities, entropy.
CPU_FULL_LOGIT_BYTES = 5 * 4
MAX_CPU_FULL_LOGITS = 2**24


def activation_bytes(shape: ModelShape, setup: TrainingSetup) -> float:
    """Return the bytes of what is kept of the forward pass where the backward pass begins."""
    per_layer = layer_bytes_per_token(shape, setup)
    outside = residual_bytes(setup) * 4 * shape.hidden  # the embedding, the last norm and the head's input
    if not setup.checkpointing:
        return setup.tokens * (shape.layers * per_layer + outside)
    residuals = shape.layers * shape.hidden * residual_bytes(setup)
    return setup.tokens * (residuals + outside)


def residual_bytes(setup: TrainingSetup) -> int:
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
    # Under an adapter the norms' weights are frozen, and what they are multiplied with is not kept.
    norm_result = 0 if has_adapter else 4 if float_norms else 2
    # RMSNorm keeps its input in float32, a scale, and the normalised input before it is multiplied by a weight.
    norm = h * (4 + norm_result) + 4
    if setup.fuses_layers:
        norm = h * 2 + 4
    total = shape.family.hidden_norms * norm
    # Autocast and adapters copy the input of each linear layer; else queries, keys and values share one.
    shares_inputs = is_plain and (not has_adapter or setup.compute == "float32")
    copies = 1 if shares_inputs else 3
    total += copies * b * h
    # Queries and keys come from a linear layer, so that autocast has them in bfloat16.
    query_result = 0 if has_adapter else 4 if shape.family.has_float_norms else b
    if shape.family.query_norm == "head":
        total += (q + k) * (4 + query_result) + 4 * (a + shape.key_heads)
    elif shape.family.query_norm == "full":
        total += (q + k) * (4 + query_result) + 8
    total += b * (q + 2 * k)  # queries, keys and values as attention sees them
    total += b * q + 4 * a  # its output and the logarithm of its normaliser
    if has_adapter and not shares_inputs:
        total += b * q
    if setup.attention == "eager":
        total += a * setup.width * (4 + b)
    return total + _mlp_bytes_per_token(shape, setup, b, shares_inputs)


def _mlp_bytes_per_token(shape: ModelShape, setup: TrainingSetup, b: int, shares_input: bool) -> float:
    h, f = shape.hidden, shape.mlp_width
    width_count = 3 if setup.fuses_layers else 4  # gate, its activation, up, and their product
    if not shape.experts_per_token:
        return (1 if shares_input else 2) * b * h + width_count * b * f
    # The token is copied for each of its experts, and their outputs are weighted and summed.
    return shape.experts_per_token * (width_count * b * f + 3 * b * h)


def backward_bytes_per_token(shape: ModelShape, setup: TrainingSetup) -> float:
    """Return the temporaries of a layer's backward pass: gradients of the MLP's widths and of two residuals."""
    b = 4 if setup.compute == "float32" else 2
    width = shape.mlp_width * max(1, shape.experts_per_token)
    return 2 * b * width + 2 * residual_bytes(setup) * shape.hidden


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
