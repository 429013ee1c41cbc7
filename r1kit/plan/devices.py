"""GPUs by name, or by their figures: memory, speed, bandwidth and link.

    parse_gpus("8xH100-80GB")                           Hardware(device=H100-80GB, count=8)
    parse_gpus("2xH100-80GB", nodes=4)                  8 devices on 4 nodes
    parse_gpus("4x48GB,181TFLOPS,864GB/s")              a GPU that is not in the table
    parse_gpus("cpu")                                   this machine's processor

Figures are those of the makers' data sheets, dense and in bfloat16: TFLOP/s, GB/s of memory. `efficiency` and
`link` are fitted to published training speeds (see r1kit/plan/time.py).
"""

import difflib
import os
import re
from dataclasses import dataclass, replace

from r1kit.errors import UserError

GIB = 2**30
DEFAULT_EFFICIENCY = 0.5
"""Fraction of a GPU's peak that training reaches, for a GPU without a published measurement."""
# Measured by benchmarks/grpo.py on two cores of a Xeon at 2.80 GHz, in float32: operations and bytes a second.
CPU_FLOPS_PER_CORE, CPU_BANDWIDTH = 116e9, 22.4e9


@dataclass(frozen=True)
class Device:
    """One accelerator, or the processor of a machine."""

    name: str
    memory: float
    """Bytes that a program can have."""
    flops: float
    """Operations a second in bfloat16, dense; of a CPU in float32."""
    bandwidth: float
    """Bytes a second of its memory."""
    link: float
    """Bytes a second at which a device of a node gathers sharded weights."""
    efficiency: float = DEFAULT_EFFICIENCY
    """Fraction of `flops` that training a wide model reaches."""
    is_measured: bool = False
    """Whether published training speeds stand behind `efficiency` and `link`."""
    wide_from: int = 0
    """Hidden width below which `efficiency` falls with the square root of the width; 0: at none."""
    is_cpu: bool = False


@dataclass(frozen=True)
class Hardware:
    """The devices that a stage runs on."""

    device: Device
    count: int = 1
    """Devices of all nodes together."""
    nodes: int = 1

    def __str__(self) -> str:
        nodes = f" on {self.nodes} nodes" if self.nodes > 1 else ""
        return f"{self.count} x {self.device.name}{nodes}"


def _gpu(name: str, gigabytes: float, teraflops: float, bandwidth: float, link: float, **figures: float) -> Device:
    """Return a GPU: memory in GiB, TFLOP/s, and GB/s of memory and link."""
    return Device(name, gigabytes * GIB, teraflops * 1e12, bandwidth * 1e9, link * 1e9, **figures)  # type: ignore[arg-type]


_HOPPER = {"efficiency": 0.50, "wide_from": 4096, "is_measured": True}
_AMPERE = {"efficiency": 0.62, "is_measured": True}
DEVICES = {
    device.name: device
    for device in (
        # What the driver shows is a little less than the name says: 79.6 GiB of an H100-80GB.
        _gpu("B200-180GB", 178, 2250, 8000, 450),
        _gpu("H200-141GB", 139.8, 989, 4800, 250, **_HOPPER),
        _gpu("H100-80GB", 79.1, 989, 3350, 250, **_HOPPER),
        _gpu("H100-PCIe-80GB", 79.1, 756, 2000, 25),
        _gpu("H800-80GB", 79.1, 989, 3350, 150),
        _gpu("H20-96GB", 95, 148, 4000, 250, efficiency=0.80, is_measured=True),
        _gpu("A100-80GB", 79.1, 312, 2039, 150, **_AMPERE),
        _gpu("A100-40GB", 39.4, 312, 1555, 150, **_AMPERE),
        _gpu("A800-80GB", 79.1, 312, 2039, 100),
        _gpu("L40S-48GB", 44.5, 362, 864, 12),
        _gpu("L4-24GB", 22.0, 121, 300, 12),
        _gpu("A10-24GB", 22.0, 125, 600, 12),
        _gpu("A6000-48GB", 47.5, 155, 768, 12),
        _gpu("T4-16GB", 14.6, 65, 320, 6),
        _gpu("V100-32GB", 31.7, 125, 900, 75),
        _gpu("RTX3090-24GB", 23.6, 71, 936, 12),
        _gpu("RTX4090-24GB", 23.6, 165, 1008, 12),
        _gpu("RTX5090-32GB", 31.4, 209, 1792, 25),
        _gpu("MI300X-192GB", 191, 1307, 5300, 250),
    )
}
# Short names, each for the size of that GPU that is rented most.
_SHORT_NAMES = {"A100": "A100-80GB"}
_COUNTED = re.compile(r"(?:(\d+)\s*[xX*]\s*)?(.+)")
_MEMORY = re.compile(r"([\d.]+)\s*(?:GB|GiB|G)", re.IGNORECASE)
_FLOPS = re.compile(r"([\d.]+)\s*T(?:FLOPS?|FLOP/s)?", re.IGNORECASE)
_BANDWIDTH = re.compile(r"([\d.]+)\s*(GB/s|TB/s)", re.IGNORECASE)
MOST_DEVICES = 100_000


def parse_gpus(text: str, nodes: int = 1) -> Hardware:
    """Return the hardware that `--gpus` and `--nodes` name; the number of GPUs is that of a node.

    Raises UserError for a GPU that is not in the table and whose figures are not given.
    """
    match = _COUNTED.fullmatch(text.strip())
    if nodes < 1:
        raise UserError("--nodes", nodes, "must be at least 1", "use a positive number")
    if match is None:
        raise UserError("--gpus", text, "must name GPUs", "write for example 8xH100-80GB")
    count = int(match[1] or 1) * nodes
    if not 1 <= count <= MOST_DEVICES:
        raise UserError("--gpus", text, f"must be 1 to {MOST_DEVICES:,} GPUs", "write for example 8xH100-80GB")
    return Hardware(_find_device(match[2], text), count, nodes)


def _find_device(name: str, text: str) -> Device:
    if name.lower() == "cpu":
        return cpu_device()
    by_name = {key.lower(): device for key, device in DEVICES.items()}
    for key, device in DEVICES.items():
        by_name.setdefault(key.rpartition("-")[0].lower(), device)
    by_name |= {short.lower(): DEVICES[full] for short, full in _SHORT_NAMES.items()}
    if name.lower() in by_name:
        return by_name[name.lower()]
    if "," in name or _MEMORY.fullmatch(name):
        return _read_figures(name, text)
    nearest = difflib.get_close_matches(name.lower(), by_name, n=1, cutoff=0.5)
    example = by_name[nearest[0]].name if nearest else "H100-80GB"
    action = f"use for example {example}, or its figures, as in 8x80GB,989TFLOPS,3350GB/s"
    raise UserError("--gpus", text, "no such GPU is known", action)


def _read_figures(name: str, text: str) -> Device:
    """Return a GPU by its figures: memory, operations and bandwidth, with commas between, in any order."""
    values: dict[str, float] = {}
    for figure in name.split(","):
        figure = figure.strip()
        for key, pattern in (("bandwidth", _BANDWIDTH), ("memory", _MEMORY), ("flops", _FLOPS)):
            match = pattern.fullmatch(figure)
            if match and _is_number(match[1]):
                unit = 1e12 if key == "flops" or (match.lastindex == 2 and match[2].upper() == "TB/S") else 1e9
                values[key] = float(match[1]) * (GIB if key == "memory" else unit)
                break
        else:
            action = "write memory, operations and bandwidth, as in 8x80GB,989TFLOPS,3350GB/s"
            raise UserError("--gpus", text, f"{figure} is no figure of a GPU", action)
    if set(values) != {"memory", "flops", "bandwidth"} or min(values.values()) <= 0:
        action = "write all three, as in 8x80GB,989TFLOPS,3350GB/s"
        raise UserError("--gpus", text, "needs memory, operations and bandwidth above 0", action)
    # A node without a faster link moves weights over PCIe.
    return Device(name.replace(" ", ""), values["memory"], values["flops"], values["bandwidth"], link=25e9)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def cpu_device() -> Device:
    """Return this machine's processor as a device."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    name = f"CPU with {cores} core{'s' if cores > 1 else ''}"
    flops = cores * CPU_FLOPS_PER_CORE
    return Device(name, memory, flops, CPU_BANDWIDTH, CPU_BANDWIDTH / 2, efficiency=0.4, is_cpu=True)


def with_count(hardware: Hardware, count: int) -> Hardware:
    """Return as many devices of the same kind."""
    return replace(hardware, count=count)
