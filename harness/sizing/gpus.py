"""What fits where: GPUs with the memory their driver reports, and how many of them a job takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.errors import UsageError

MOST_GPUS = 64


@dataclass(frozen=True, slots=True)
class Gpu:
    """memory: GiB as the driver reports them, about (less than the name says where ECC or the firmware takes its share)."""

    name: str
    memory: float


GPUS = (
    Gpu("T4-16", 15.0),
    Gpu("L4-24", 22.5),
    Gpu("A10-24", 22.5),
    Gpu("RTX4090-24", 24.0),
    Gpu("RTX5090-32", 31.8),
    Gpu("A100-40", 40.0),
    Gpu("L40S-48", 45.0),
    Gpu("A100-80", 80.0),
    Gpu("H100-80", 79.6),
    Gpu("H200-141", 140.4),
    Gpu("B200-192", 179.1),
    Gpu("MI300X-192", 192.0),
)


def parse_gpu(text: str) -> Gpu:
    """A built-in name, or NAME=GiB."""
    name, _, size = text.partition("=")
    if not size:
        found = next((gpu for gpu in GPUS if gpu.name.lower() == name.lower()), None)
        if found is None:
            raise UsageError(f"no GPU {name!r}", todo=f"Write NAME=GiB, or one of {', '.join(gpu.name for gpu in GPUS)}")
        return found
    try:
        memory = float(size)
    except ValueError:
        memory = 0.0
    if not 0 < memory < 1e6:
        raise UsageError(f"{size!r} is no number of GiB", todo="Write NAME=GiB, for example mine=48")
    return Gpu(name, memory)


def needed(gpu: Gpu, headroom: float, bytes_on_each: Callable[[int], float]) -> int | None:
    """The smallest power of two of these GPUs that a job fits on with so much of each left free, or None up to MOST_GPUS.

    bytes_on_each: number of GPUs -> bytes on one of them. headroom: a share of the memory, for CUDA's context (about half a GiB),
    fragmentation and what was estimated too low.
    """
    if not 0 <= headroom < 1:
        raise UsageError("headroom is a share from 0 to below 1", todo="For example 0.1")
    usable, gpus = gpu.memory * (1 << 30) * (1 - headroom), 1
    while gpus <= MOST_GPUS:
        if bytes_on_each(gpus) <= usable:
            return gpus
        gpus *= 2
    return None
