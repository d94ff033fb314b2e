"""Time calls on a device, and measure what its memory and arithmetic can do at best."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from tangrid.errors import ConfigError

_WARM_UPS = 3
_COPIED_NUMBERS = 2**28
"""Numbers of 4 bytes that are copied: far more than a cache of a GPU holds."""
_MATRIX_SIDE = 8192
_REHEARSED_SIDE = 256


@dataclass(frozen=True, kw_only=True)
class Floors:
    """What a device does at most, as measured on it.

    Attributes:
        bytes_per_second: Read and written by a copy of a large tensor, together.
        rates: Additions and multiplications per second of a large product of
            matrices, by its dtype.
    """

    bytes_per_second: float
    rates: dict[torch.dtype, float]

    def record(self) -> dict[str, float]:
        """Return the numbers by name."""
        rates = {str(k).removeprefix("torch."): v for k, v in self.rates.items()}
        return {"bytes_per_second": self.bytes_per_second, **rates}

    def milliseconds(
        self, num_bytes: float, operations: float, dtype: torch.dtype
    ) -> float:
        """Return the least time for a call: the longer of moving and of computing.

        Args:
            num_bytes: Bytes that it moves.
            operations: Additions and multiplications.
            dtype: What it computes in.
        """
        moving = num_bytes / self.bytes_per_second
        return 1e3 * max(moving, operations / self.rates[dtype])


def find_device(is_rehearsal: bool) -> torch.device:
    """Return the GPU, or the CPU for a rehearsal.

    Args:
        is_rehearsal: Whether programs are only tried out, with Triton's interpreter.

    Raises:
        ConfigError: If there is no GPU.
    """
    if is_rehearsal:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError(
            "benchmarks.gpu: expected an NVIDIA GPU, got a machine on which PyTorch "
            f"{torch.__version__} finds none. Nothing was measured. Run it where there "
            "is one, with a CUDA build of PyTorch; --rehearse tries it out on a CPU."
        )
    return torch.device("cuda")


def median_ms(call: Callable[[], object], device: torch.device, turns: int) -> float:
    """Return the median time of a call, in milliseconds.

    On a GPU it is the time between two events of its own stream, one call after the
    other, so that what Python takes to ask for it counts where it is the longer.

    Args:
        call: What is timed.
        device: Where it computes.
        turns: Timed calls.
    """
    for _ in range(_WARM_UPS):
        call()
    if device.type != "cuda":
        return 1e3 * statistics.median(_seconds(call) for _ in range(turns))
    samples = []
    for _ in range(turns):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        samples.append(start.elapsed_time(end))
    return statistics.median(samples)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure_floors(device: torch.device) -> Floors:
    """Return what copies and products of matrices reach.

    Args:
        device: The GPU, or a CPU in a rehearsal, of which less is asked.
    """
    is_gpu = device.type == "cuda"
    source = torch.zeros(_COPIED_NUMBERS if is_gpu else 2**20, device=device)
    target = torch.empty_like(source)
    copying = median_ms(lambda: target.copy_(source), device, 10)
    side = _MATRIX_SIDE if is_gpu else _REHEARSED_SIDE
    rates = {}
    for dtype in (torch.float32, torch.float16):
        matrix = torch.ones(side, side, device=device, dtype=dtype)
        product = torch.empty_like(matrix)
        took = median_ms(lambda m=matrix, p=product: torch.mm(m, m, out=p), device, 10)
        rates[dtype] = 2 * side**3 / (took / 1e3)
    moved = 2 * source.numel() * source.element_size()
    return Floors(bytes_per_second=moved / (copying / 1e3), rates=rates)


def describe_gpu(device: torch.device) -> dict[str, Any]:
    """Return name, memory and versions of the device.

    Args:
        device: The GPU, or a CPU in a rehearsal.
    """
    if device.type != "cuda":
        return {"device": "cpu", "rehearsal": True}
    facts = torch.cuda.get_device_properties(device)
    return {
        "device": facts.name,
        "memory_gb": round(facts.total_memory / 2**30, 1),
        "multiprocessors": facts.multi_processor_count,
        "capability": f"{facts.major}.{facts.minor}",
        "cuda": torch.version.cuda,
    }
