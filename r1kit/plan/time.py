"""Seconds of a training step and of sampling, by a roofline, and how far off that is.

A micro-step takes max(C, N) + 0.3 min(C, N) + 0.05 s, where

    C   its operations over the speed that the device reaches: `flops` x `efficiency`, less for narrow matrices
    N   the bytes of sharded weights that it gathers over the link

Operations of a token: the forward pass takes 2 P + 2 L d s, for P parameters that it is multiplied with, L layers,
d the width of all heads and s the length of its row (causal attention sees half of it); the backward pass twice as
much, or under an adapter 2 P + 4 L d s; checkpointing adds a forward pass. Weights are gathered in bfloat16 three
times, under an adapter twice. Of the published speeds in tests/data/plan_speed.jsonl, `benchmarks/plan.py` counts how
many come within ERROR.

A token that is sampled reads all weights and its cache from memory, whatever the batch; see `decode_seconds`.
"""

import math
from dataclasses import dataclass

from r1kit.plan.devices import Device
from r1kit.plan.shape import ModelShape

ERROR = 0.3
"""Fraction by which a time may be off: that of most published speeds."""
OVERLAP_LOSS = 0.3
"""Fraction of the shorter of computing and gathering that is not hidden behind the longer."""
MICRO_STEP_SECONDS = 0.05
OFFLOAD_FACTOR = 4.0
"""How many times as long steps take whose optimizer is on the host: Sky-T1 took 19 hours where the roofline has 4.8."""
SHORTEST_EFFICIENCY = 0.05
# Decoding: fraction of the memory's bandwidth and of the peak that an engine reaches, and its seconds for each token.
# Llama 3.1 8B in vLLM on an A100 40GB: 75 tokens/s alone (johnmusgrave.com/p/vllm-throughput-latency-sweep-on), 77% of
# the bandwidth; Qwen2-7B and 0.5B on an A100 80GB alone (qwen.readthedocs.io/en/v2.0, speed benchmark).
DECODE_BANDWIDTH_FRACTION = 0.75
DECODE_FLOPS_FRACTION = 0.4
DECODE_OVERHEAD_SECONDS = {"vllm": 0.0025, "transformers": 0.021, "openai": 0.0025}
CPU_DECODE_OVERHEAD_SECONDS = 0.004


@dataclass(frozen=True)
class MicroStep:
    """What one device does for one micro-batch."""

    tokens: int
    row_length: float
    """Mean length of the rows that attention sees."""
    trains_adapter: bool = False
    checkpointing: bool = False
    is_sharded: bool = False
    offloads_optimizer: bool = False
    forward_only: bool = False


@dataclass(frozen=True)
class StepTime:
    """Seconds of a micro-step: computing, gathering weights, and both together."""

    computing: float
    gathering: float
    total: float

    @property
    def bottleneck(self) -> str:
        """Return in words what takes longest."""
        if max(self.computing, self.gathering) < MICRO_STEP_SECONDS:
            return "the fixed cost of a micro-step"
        return "computing" if self.computing >= self.gathering else "gathering weights"


def micro_step_seconds(shape: ModelShape, step: MicroStep, device: Device) -> StepTime:
    """Return the seconds of one micro-step, forward and backward."""
    matrices, attention = operations_per_token(shape, step)
    seconds_per_token = matrices / (device.flops * reached_efficiency(shape, device))
    seconds_per_token += attention / (device.flops * device.efficiency)
    computing = step.tokens * seconds_per_token
    gathering = 0.0
    if step.is_sharded:
        passes = 1 if step.forward_only else 2 if step.trains_adapter else 3
        gathering = passes * 2 * shape.parameters / device.link
    fixed = 0.0 if device.is_cpu else MICRO_STEP_SECONDS
    total = max(computing, gathering) + OVERLAP_LOSS * min(computing, gathering) + fixed
    if step.offloads_optimizer:
        total *= OFFLOAD_FACTOR
    return StepTime(computing, gathering, total)


def operations_per_token(shape: ModelShape, step: MicroStep) -> tuple[float, float]:
    """Return the operations of a token in a micro-step: in multiplications with weights, and in attention."""
    matrices, attention = 2.0 * shape.computing_parameters, 2.0 * shape.layers * shape.query_width * step.row_length
    if step.forward_only:
        return matrices, attention
    backward_matrices = matrices if step.trains_adapter else 2 * matrices
    forwards = 2 if step.checkpointing else 1
    return forwards * matrices + backward_matrices, (forwards + 2) * attention


def reached_efficiency(shape: ModelShape, device: Device) -> float:
    """Return the fraction of a device's peak that multiplying with weights of this width reaches."""
    if not device.wide_from:
        return device.efficiency
    return max(SHORTEST_EFFICIENCY, device.efficiency * min(1.0, math.sqrt(shape.hidden / device.wide_from)))


def decode_seconds(shape: ModelShape, device: Device, engine: str, batch: float, cached_tokens: float) -> float:
    """Return the seconds of one token of each of `batch` sequences, which have `cached_tokens` tokens on average."""
    weight_bytes = 4 if device.is_cpu else 2
    weights = weight_bytes * shape.active_parameters
    if shape.experts_per_token and batch > 1:
        weights = weight_bytes * shape.parameters  # several tokens go through nearly all experts
    cache = batch * cached_tokens * shape.cache_bytes_per_token(weight_bytes)
    reading = (weights + cache) / (device.bandwidth * DECODE_BANDWIDTH_FRACTION)
    computing = batch * 2 * shape.computing_parameters / (device.flops * DECODE_FLOPS_FRACTION)
    overhead = CPU_DECODE_OVERHEAD_SECONDS if device.is_cpu else DECODE_OVERHEAD_SECONDS[engine]
    return max(reading, computing) + overhead


@dataclass(frozen=True)
class Sampling:
    """What one replica of a model samples."""

    completions: int
    prompt_tokens: float
    mean_tokens: float
    longest_tokens: float
    batch: float
    """Sequences that run at once."""
    engine: str = "vllm"
    handed_over: int | None = None
    """Completions that the engine gets at a time, and ends before it gets more; None: all of them."""


def sampling_seconds(shape: ModelShape, sampling: Sampling, device: Device) -> float:
    """Return the seconds in which a replica samples all completions.

    What the engine gets at a time takes as long as all of its tokens at the speed of a full batch, or as long as its
    longest completion while the others end one after the other. Lengths are taken to be exponential: the longest of n
    is the mean times the n-th harmonic number, up to the limit.
    """
    if not sampling.completions:
        return 0.0
    at_a_time = min(sampling.completions, sampling.handed_over or sampling.completions)
    running = max(1.0, min(sampling.batch, at_a_time))
    longest = min(sampling.longest_tokens, sampling.mean_tokens * (1 + math.log(at_a_time)))
    cached = sampling.prompt_tokens + sampling.mean_tokens / 2
    full = at_a_time * sampling.mean_tokens / running
    full *= decode_seconds(shape, device, sampling.engine, running, cached)
    still_running = max(1.0, min(running, at_a_time * sampling.mean_tokens / longest))
    tail = longest * decode_seconds(shape, device, sampling.engine, still_running, cached)
    prefill_speed = device.flops * reached_efficiency(shape, device)
    prefill = sampling.completions * sampling.prompt_tokens * 2 * shape.computing_parameters / prefill_speed
    return sampling.completions / at_a_time * max(full, tail) + prefill
