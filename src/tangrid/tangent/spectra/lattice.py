"""Regular lattices of points in the unit box, and the waves that live on them."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from tangrid.errors import ConfigError, ShapeError
from tangrid.notation import Coords

Frequencies = Float[Tensor, "m d"]
"""Whole numbers of cycles per side of the box, along each axis."""


@dataclass(frozen=True)
class Lattice:
    r"""Place points at pixel centres, :math:`x_j = (i_j + 1/2) / N_j`.

    Coordinate 0 runs fastest, as in `ImageSignal`: on an image of w columns, point
    number ``row * w + column`` is the centre of that pixel. Frequencies are numbered in
    the same way, each axis from 0 up and then from the most negative up, as in
    `torch.fft`.

    Attributes:
        sizes: Points along each coordinate (N), x first.

    Raises:
        ConfigError: If there are no axes, or one without points.

    Example:
        >>> Lattice((2, 1)).coords().tolist()
        [[0.25, 0.5], [0.75, 0.5]]
        >>> Lattice((4,)).frequencies.flatten().tolist()
        [0.0, 1.0, -2.0, -1.0]
    """

    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse a lattice without points.

        Raises:
            ConfigError: If there are no axes, or one without points.
        """
        if not self.sizes or min(self.sizes) < 1:
            raise ConfigError(
                "Lattice(sizes=...): expected at least one point along each of one or "
                f"more axes, got {self.sizes}."
            )

    @property
    def num_points(self) -> int:
        """Number of points, and of frequencies (M)."""
        return math.prod(self.sizes)

    @property
    def num_dims(self) -> int:
        """Number of coordinates (d)."""
        return len(self.sizes)

    @property
    def middle(self) -> int:
        """Number of a point nearest to the middle of the box."""
        strides = (math.prod(self.sizes[:axis]) for axis in range(self.num_dims))
        return sum(n // 2 * s for n, s in zip(self.sizes, strides, strict=True))

    def coords(self, dtype: torch.dtype = torch.float64) -> Coords:
        """Return the coordinates of all points.

        Args:
            dtype: Their arithmetic; a field takes the one of its parameters.
        """
        axes = [(torch.arange(n, dtype=torch.float64) + 0.5) / n for n in self.sizes]
        return _rows_of(axes).to(dtype)

    @cached_property
    def frequencies(self) -> Frequencies:
        """Cycles per side of the box of every wave, in the order of `transform`."""
        axes = [torch.fft.fftfreq(n, 1 / n, dtype=torch.float64) for n in self.sizes]
        return _rows_of(axes).round()

    @cached_property
    def radii(self) -> Float[Tensor, " m"]:
        """Length of every frequency, in cycles per side of the box."""
        return self.frequencies.norm(dim=1)

    def transform(self, values: Tensor) -> Complex[Tensor, "m r"]:
        r"""Return the components of columns along unit waves.

        Wave k is :math:`\phi_k(x) = e^{2\pi i\, k \cdot x} / \sqrt M`, up to a phase of
        its own; components are :math:`\phi_k^* v`.

        Args:
            values: One row per point, [m, r].
        """
        return self._transformed(values, torch.fft.fftn)

    def inverse(self, components: Tensor) -> Complex[Tensor, "m r"]:
        r"""Return the columns that have given components along unit waves.

        Args:
            components: One row per frequency, [m, r].
        """
        return self._transformed(components, torch.fft.ifftn)

    def _transformed(self, columns: Tensor, function) -> Tensor:  # noqa: ANN001
        box = columns.reshape(*reversed(self.sizes), -1)
        found = function(box, dim=tuple(range(self.num_dims)), norm="ortho")
        return found.reshape(self.num_points, -1)

    def unit_edges(self) -> Float[Tensor, " e"]:
        """Return edges of shells one cycle wide around 0, 1, 2, ..., up to the corner.

        The first holds the constant alone.
        """
        top = math.floor(float(self.radii.max()) + 0.5) + 0.5
        return torch.arange(-0.5, top + 0.75, dtype=torch.float64)

    def octave_edges(self, per_octave: int = 2) -> Float[Tensor, " e"]:
        """Return edges of shells that widen in proportion, up to the corner.

        The first holds the constant alone. Meant for large lattices, where shells of
        unit width are many.

        Args:
            per_octave: Shells in every doubling of the frequency.
        """
        top = float(self.radii.max())
        count = max(math.ceil(per_octave * math.log2(max(top, 1.0) / 0.75)), 1)
        steps = torch.arange(count + 1, dtype=torch.float64) / per_octave
        edges = 0.75 * 2.0**steps
        edges[-1] = max(float(edges[-1]), top * (1 + 1e-9))
        return torch.cat((torch.tensor([-0.5], dtype=torch.float64), edges))

    def check_points(self, count: int, what: str) -> None:
        """Refuse a kernel over another number of points.

        Args:
            count: Points that it has.
            what: Name of the operation, for the message.

        Raises:
            ShapeError: If the numbers differ.
        """
        if count != self.num_points:
            raise ShapeError(
                f"{what}: expected a kernel over the {self.num_points} points of a "
                f"lattice of {' x '.join(map(str, self.sizes))}, got one over {count}. "
                "Take the kernel at lattice.coords()."
            )


def _rows_of(axes: list[Tensor]) -> Tensor:
    """Return all combinations of the axes' values, the first axis running fastest."""
    grids = torch.meshgrid(*reversed(axes), indexing="ij")
    return torch.stack([grid.flatten() for grid in reversed(grids)], dim=1)
