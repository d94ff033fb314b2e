"""Facts about the machine: threads, memory, GPUs; the only place that sets threads."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from tangrid.errors import ConfigError, ResourceError

HOST = torch.device("cpu")
"""Ordinary memory, and the processor that works in it."""
_SHARE_OF_MEMORY = 0.8
"""What one object may take of the free memory; the rest is for what is made of it."""
_MEMINFO = Path("/proc/meminfo")
_CONTAINER = Path("/sys/fs/cgroup")
"""Limits of the container, by version 2 of Linux's control groups."""


def find_device(name: str | torch.device, where: str = "device") -> torch.device:
    """Return the device of a name, if it is there.

    Args:
        name: ``cpu``, ``cuda`` or ``cuda:0`` and so on, or ``auto``, which is a GPU
            where PyTorch sees one; or a device, which stands for its name.
        where: What the name was given as, for messages.

    Raises:
        ConfigError: If there is no such device, or the name is no text.

    Example:
        >>> find_device("cpu")
        device(type='cpu')
    """
    if isinstance(name, torch.device):
        name = str(name)
    if not isinstance(name, str):
        raise ConfigError(
            f"{where}: expected a name such as cpu or cuda:0, or a torch.device, got "
            f"{name!r}. Leave {where} out to compute on the processor."
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name in {"cpu", "cpu:0"}:
        return HOST
    kind, _, number = name.partition(":")
    is_numbered = number.isascii() and number.isdigit()
    if kind != "cuda" or (kind != name and not is_numbered):
        raise ConfigError(
            f"{where}: expected cpu, cuda, cuda:0 and so on, or auto, got '{name}'. "
            f"Leave {where} out to compute on the processor."
        )
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(number) if number else 0
    if index < count:
        return torch.device("cuda", index)
    raise ConfigError(
        f"{where}: expected a device that is there, got '{name}': {_absence(count)}, "
        f"or leave {where} out."
    )


def _absence(count: int) -> str:
    """Return why a GPU is not there, and one thing to do."""
    if count:
        return f"PyTorch sees {count} GPU(s). Name one from cuda:0 to cuda:{count - 1}"
    if torch.version.cuda is None and torch.version.hip is None:
        return (
            "this PyTorch was built without CUDA. Install one for GPUs from "
            "https://pytorch.org/get-started"
        )
    return "PyTorch sees no GPU. Check with nvidia-smi that the driver runs"


def device_name(device: torch.device) -> str:
    """Return a device in words, such as ``cuda: NVIDIA H200``.

    Args:
        device: The device.
    """
    if device == HOST:
        return "cpu"
    return f"{device.type}: {torch.get_device_module(device).get_device_name(device)}"


@contextmanager
def working_on(device: torch.device) -> Iterator[None]:
    """Make a device the current one inside: programs for GPUs start on that.

    Args:
        device: Where the tensors are.
    """
    if device.type != "cuda":
        yield
        return
    with torch.cuda.device(device):
        yield


def wait_for(device: torch.device) -> None:
    """Return when a device has done all that it was given.

    Args:
        device: The device; the processor is never waited for.
    """
    if device != HOST:
        torch.get_device_module(device).synchronize(device)


def forget_peak_memory(device: torch.device) -> None:
    """Begin anew to note the most memory that a GPU holds.

    Args:
        device: The device.
    """
    if device != HOST:
        torch.get_device_module(device).reset_peak_memory_stats(device)


def peak_device_memory_mb(device: torch.device) -> float | None:
    """Return the most memory tensors have held on a GPU, in megabytes.

    Args:
        device: The device; None is returned for the processor.
    """
    if device == HOST:
        return None
    return torch.get_device_module(device).max_memory_allocated(device) / 1e6


def available_threads() -> int:
    """Return how many threads this process may keep busy."""
    if hasattr(os, "sched_getaffinity"):
        return max(len(os.sched_getaffinity(0)), 1)
    return os.cpu_count() or 1


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Give PyTorch operators this many threads of their own inside.

    Args:
        count: Threads per operator; 1 where several Python threads share the work.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def peak_memory_mb() -> float | None:
    """Return the most memory this process has held, in megabytes; None if unknown."""
    try:
        import resource  # noqa: PLC0415 (absent on Windows)
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kibibytes, macOS bytes.
    scale = 1 if sys.platform == "darwin" else 1024
    return peak * scale / 1e6


def available_memory_mb() -> float | None:
    """Return the memory that can be had now, in megabytes; None if unknown.

    Where the process runs in a container, what that may still take counts if it is
    less than what the machine has.
    """
    known = [room for room in (_machine_room(), _container_room()) if room is not None]
    return min(known) / 1e6 if known else None


def _machine_room() -> float | None:
    try:
        lines = _MEMINFO.read_text("ascii").splitlines()
        facts = dict(line.split(":") for line in lines)
        return int(facts["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def _container_room() -> float | None:
    try:
        most = int((_CONTAINER / "memory.max").read_text("ascii"))
        taken = int((_CONTAINER / "memory.current").read_text("ascii"))
        lines = (_CONTAINER / "memory.stat").read_text("ascii").splitlines()
        # Copies of files that nobody uses are dropped when memory is needed.
        cached = int(dict(line.split() for line in lines)["inactive_file"])
    except (OSError, KeyError, ValueError):
        return None
    return max(most - taken + cached, 0)


def room_bytes() -> float | None:
    """Return how much one object may take of the free memory; None if unknown."""
    available = available_memory_mb()
    return None if available is None else _SHARE_OF_MEMORY * available * 1e6


def require_memory(
    needed_bytes: float, what: str, advice: str, *, points: int | None = None
) -> None:
    """Refuse what would not fit into the free memory, before it is allocated.

    Args:
        needed_bytes: Size of what will be held at once.
        what: What takes it, in words.
        advice: What to do instead.
        points: How many points need it, all alike; then it is said how many would fit.

    Raises:
        ResourceError: If it does not fit.
    """
    room = room_bytes()
    if room is None or needed_bytes <= room:
        return
    if points is not None:
        advice = f"About {points * room / needed_bytes:,.0f} points would fit. {advice}"
    raise ResourceError(
        f"{what}: expected at most {room / 1e9:.1f} GB, got {needed_bytes / 1e9:.1f} "
        f"GB. {advice}"
    )
