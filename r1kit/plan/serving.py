"""The memory of sampling: vLLM's share and the sequences that its cache holds, or a local decoder's cache."""

from dataclasses import dataclass

from r1kit.plan.devices import Hardware
from r1kit.plan.shape import ModelShape

VLLM_WORK_BYTES = 2.5 * 2**30
"""What vLLM holds beside weights and cache: CUDA graphs and the activations of its largest batch."""
MAX_SEQUENCES = 256
"""Sequences that vLLM runs at once unless its settings say otherwise (max_num_seqs)."""
SAMPLED_LOGIT_BYTES = 12
"""Bytes for each logit of the last tokens: in the model's format, in float32, and as probabilities."""


@dataclass(frozen=True)
class Serving:
    """The memory of one device that samples, and how many sequences run at once on one replica."""

    sizes: dict[str, float]
    sequences: float
    """Sequences of mean length that run at once on a replica; below 1 where not even one fits."""
    longest_sequences: float
    """Sequences of the largest length that the cache of a replica holds."""
    replicas: int

    @property
    def total(self) -> float:
        """Bytes of the device."""
        return sum(self.sizes.values())


def vllm_serving(
    shape: ModelShape, hardware: Hardware, share: float, parallel: int, longest: float, mean: float
) -> Serving:
    """Return the memory of vLLM with `share` of each device's memory and one replica for each `parallel` devices.

    `longest` and `mean` are tokens of a sequence, prompt included.
    """
    weights = 2 * shape.parameters / parallel
    budget = share * hardware.device.memory
    cache = max(0.0, budget - weights - VLLM_WORK_BYTES)
    cached_tokens = cache * parallel / shape.cache_bytes_per_token()
    sizes = {"vLLM's weights": weights, "vLLM's work": VLLM_WORK_BYTES, "vLLM's cache": cache}
    sequences = min(MAX_SEQUENCES, cached_tokens / mean)
    return Serving(sizes, sequences, cached_tokens / longest, max(1, hardware.count // parallel))


def decoder_serving(
    shape: ModelShape, hardware: Hardware, batch: int, longest: float, mean: float, resident: float = 0.0
) -> Serving:
    """Return the memory of a decoder in this process that samples up to `batch` sequences at once.

    `resident` is what is on the device already; without it the model's weights are counted. Where the cache of the
    whole batch does not fit, r1kit samples fewer at once.
    """
    weight_bytes = 4 if hardware.device.is_cpu else 2
    sizes: dict[str, float] = {}
    if not resident:
        sizes["weights"] = weight_bytes * shape.parameters
    bytes_per_sequence = longest * shape.cache_bytes_per_token(weight_bytes) + SAMPLED_LOGIT_BYTES * shape.vocabulary
    room = hardware.device.memory * 0.9 - resident - sum(sizes.values())
    fitting = max(0.0, room / bytes_per_sequence)
    sequences = min(batch, fitting)
    sizes["cache"] = max(1.0, sequences) * bytes_per_sequence
    return Serving(sizes, sequences, fitting, hardware.count)
