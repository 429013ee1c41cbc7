"""The plan of one stage: what `r1kit plan` prints, and what a chain adds up."""

from dataclasses import dataclass, field

from r1kit.plan.devices import Hardware
from r1kit.plan.lookup import PlannedOutput
from r1kit.plan.setup import Launch
from r1kit.plan.time import ERROR


@dataclass(frozen=True)
class PlanOptions:
    """What the command line says beside the recipe."""

    gpus: str | None = None
    nodes: int = 1
    price: float | None = None
    """Price of an hour of one GPU."""
    processes: int | None = None
    accelerate_config: str | None = None
    mean_tokens: int | None = None
    """Mean tokens of a row or a completion, in place of MEAN_FRACTION of the limit."""
    launch: Launch | None = None
    """How the model is spread over devices, in place of what `accelerate_config` says."""


@dataclass
class StagePlan:
    """What a stage will take."""

    stage: str
    name: str
    """What is planned: the recipe's file or its output."""
    hardware: Hardware
    model: str = ""
    launch: str = ""
    work: str = ""
    output: str | None = None
    memory: dict[str, float] = field(default_factory=dict)
    """Bytes by part on one device at the peak."""
    moment: str = ""
    """When the peak is, in words."""
    cache: str = ""
    """How many sequences are sampled at once, in words."""
    longest_sequences: float | None = None
    """Sequences of the largest length that the cache of a replica holds; None where nothing is sampled."""
    host_memory: float = 0.0
    """Bytes of a node's memory."""
    disk: dict[str, float] = field(default_factory=dict)
    tokens: dict[str, float] = field(default_factory=dict)
    """Tokens by what is done with them: trained, sampled."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds by part, such as sampling and training."""
    most_seconds: float = 0.0
    """Seconds if every row or completion is as long as the recipe allows."""
    bottleneck: str = ""
    price: float | None = None
    changes: list[str] = field(default_factory=list)
    """Changes that make it fit, each as words of the command line; empty where it fits or none does."""
    notes: list[str] = field(default_factory=list)
    product: PlannedOutput = field(default_factory=PlannedOutput)

    @property
    def peak(self) -> float:
        """Bytes of one device at the peak."""
        return sum(self.memory.values())

    @property
    def limit(self) -> float:
        """Bytes that one device can hold with some to spare."""
        return self.hardware.device.memory * (1 - SPARE)

    @property
    def fits(self) -> bool:
        """Return whether the peak leaves the spare memory that allocators need, and the cache holds a sequence."""
        holds_sequence = self.longest_sequences is None or self.longest_sequences >= 1
        return self.peak <= self.limit and holds_sequence

    @property
    def hours(self) -> float:
        """Hours of the stage, as expected."""
        return sum(self.seconds.values()) / 3600

    @property
    def hours_range(self) -> tuple[float, float]:
        """Hours between which the stage takes, if rows are as long as expected."""
        return self.hours * (1 - ERROR), self.hours * (1 + ERROR)

    def money(self, hours: float) -> float:
        """Return what so many hours cost on all devices."""
        return hours * self.hardware.count * (self.price or 0.0)


SPARE = 0.08
"""Fraction of a device's memory that must stay free: allocators leave gaps, and the context of CUDA takes some."""
