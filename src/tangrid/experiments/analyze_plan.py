"""What an analysis will take, said and refused before anything is allocated."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from tangrid.devices import require_memory, room_bytes
from tangrid.experiments.analyze_group import outputs_for
from tangrid.experiments.analyze_settings import KernelSettings

_MATRICES = 5
"""Kernel, eigenvectors in both orders, and what the solver works with."""
_LATTICE_MATRICES = 4
"""Kernel on the lattice, its transform in complex numbers, and their product."""
_BYTES = 8
_TRIAL_ROWS = 256
_TRIALS = 3


@dataclass(frozen=True, kw_only=True)
class AnalysisPlan:
    """Say what an analysis takes.

    Attributes:
        num_entries: Models, seeds and states.
        num_kernels: Kernels of all of them.
        num_points: Points of each.
        num_channels: Values per point.
        rows: Rows of each kernel.
        num_bytes: Memory that is held at most, without the models.
        seconds: Time for the eigenvalues of all kernels, about.
    """

    num_entries: int
    num_kernels: int
    num_points: int
    num_channels: int
    rows: int
    num_bytes: float
    seconds: float

    def __str__(self) -> str:
        """Return the plan in one line."""
        entries = "1 field" if self.num_entries == 1 else f"{self.num_entries} fields"
        kernels = "1 kernel" if self.num_kernels == 1 else f"{self.num_kernels} kernels"
        return (
            f"{entries}, {kernels} of {self.rows:,} rows ({self.num_points:,} points, "
            f"{self.num_channels} channels): {self.num_bytes / 1e9:.2f} GB of memory "
            f"and {_span(self.seconds)} for eigenvalues"
        )


def plan_analysis(
    settings: KernelSettings, num_channels: int, kernels: Iterable[int], num_dims: int
) -> AnalysisPlan:
    """Return what an analysis will take, or refuse it if memory does not suffice.

    Args:
        settings: What is looked at.
        num_channels: Values per point.
        kernels: Number of kernels of each entry.
        num_dims: Coordinates of the fields.

    Raises:
        ConfigError: If the lattice has too many points.
        ResourceError: If the kernels do not fit into memory; it is said what would.
    """
    settings.check_lattice(num_dims)
    points, counts = settings.points, list(kernels)
    rows = rows_for(points, num_channels)
    needed = bytes_for(points, num_channels)
    require_memory(
        needed,
        f"analyze: kernels of {points:,} points and {num_channels} channels, "
        f"{rows:,} rows",
        f"{fitting_points(points, num_channels):,} points would fit: say so with "
        "--points.",
    )
    sites = settings.lattice**num_dims
    on_lattice = _BYTES * _LATTICE_MATRICES * float(sites) ** 2
    require_memory(
        on_lattice,
        f"analyze: kernels on a lattice of {sites:,} points",
        "Say a smaller --lattice.",
    )
    return AnalysisPlan(
        num_entries=len(counts),
        num_kernels=sum(counts),
        num_points=points,
        num_channels=num_channels,
        rows=rows,
        num_bytes=max(needed, on_lattice),
        seconds=sum(counts) * _seconds_of_eigenvectors(rows),
    )


def rows_for(num_points: int, num_channels: int) -> int:
    """Return the rows of the kernels.

    Args:
        num_points: Points of the kernel.
        num_channels: Channels of the model.

    Example:
        >>> rows_for(1024, 3), rows_for(4096, 3)
        (3072, 4096)
    """
    is_full = outputs_for(num_points, num_channels) == "full"
    return num_points * (num_channels if is_full else 1)


def fitting_points(most: int, num_channels: int) -> int:
    """Return the largest number of points whose kernels fit into the free memory.

    Args:
        most: Number to begin at.
        num_channels: Channels of the model.
    """
    room = room_bytes()
    counts = range(most, 0, -1)
    return next(
        (n for n in counts if room is None or bytes_for(n, num_channels) <= room), 0
    )


def bytes_for(num_points: int, num_channels: int) -> float:
    """Return the memory that a kernel and its eigenvectors take.

    Args:
        num_points: Points of the kernel.
        num_channels: Channels of the model.
    """
    return _BYTES * _MATRICES * float(rows_for(num_points, num_channels)) ** 2


def _seconds_of_eigenvectors(rows: int) -> float:
    """Return about how long all eigenvectors take here, from a small trial.

    They take a time that grows with the cube of the rows.
    """
    few = min(rows, _TRIAL_ROWS)
    points = torch.linspace(0, 1, few, dtype=torch.float64)
    matrix = torch.exp(-30 * (points[:, None] - points).abs())
    seconds = []
    for _ in range(_TRIALS):
        start = time.perf_counter()
        torch.linalg.eigh(matrix)
        seconds.append(time.perf_counter() - start)
    return min(seconds) * (rows / few) ** 3


def _span(seconds: float) -> str:
    if seconds < 1:
        return "less than a second"
    words = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    return f"about {words}"
