"""How a training step runs on one device: batches, number formats, sharding, and what saves memory."""

from dataclasses import dataclass
from typing import Literal

Compute = Literal["float32", "autocast", "bfloat16"]
Sharding = Literal["none", "ddp", "fsdp2", "zero2", "zero3"]
OPTIMIZER_BYTES = 8
"""AdamW's two moments of a trained parameter, in float32."""


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
