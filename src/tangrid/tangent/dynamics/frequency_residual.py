r"""What is left to learn at each spatial frequency, while a field is trained.

On a lattice of points a residual r has the components :math:`\phi_k^* r` along unit
waves. Their power, summed over the frequencies of one shell and divided by the number
of values, is that shell's share of the mean squared error.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.errors import ShapeError
from tangrid.tangent.spectra.lattice import Lattice
from tangrid.tangent.spectra.spectrum_record import shell_numbers


@dataclass(frozen=True, kw_only=True, eq=False)
class FrequencyResidual:
    """Hold the size of a residual in each shell of frequencies over time.

    Attributes:
        frequency: Mean of ``|k|`` in each shell, cycles per side of the box.
        rms: Root of each shell's share of the mean squared error: the squares of a row
            sum to that time's mean squared error.
    """

    frequency: Float[Tensor, " s"]
    rms: Float[Tensor, "t s"]

    def at(self, frequency: float | int) -> Float[Tensor, " t"]:
        """Return the size over time of the shell nearest to a frequency.

        Args:
            frequency: Cycles per side of the box.
        """
        return self.rms[:, int((self.frequency - frequency).abs().argmin())]

    @property
    def shares(self) -> Float[Tensor, "t s"]:
        """Size over its size at the first time."""
        return self.rms / self.rms[0]


def residual_by_frequency(
    residuals: Float[Tensor, "t n c"],
    lattice: Lattice,
    edges: Float[Tensor, " e"] | None = None,
) -> FrequencyResidual:
    """Return the size of residuals at each spatial frequency.

    Args:
        residuals: Targets minus outputs at the points of a lattice, per time.
        lattice: Where the points are, in its order.
        edges: Edges of the shells, cycles per side; one cycle wide if None.

    Raises:
        ShapeError: If the residuals are not those of the lattice.

    Example:
        >>> lattice = Lattice((8,))
        >>> wave = torch.cos(2 * torch.pi * 3 * lattice.coords())
        >>> found = residual_by_frequency(wave[None], lattice)
        >>> [round(float(rms), 6) for rms in found.rms[0]]
        [0.0, 0.0, 0.0, 0.707107, 0.0]
    """
    if residuals.ndim != 3 or residuals.shape[1] != lattice.num_points:
        raise ShapeError(
            f"residuals: expected shape [t, {lattice.num_points}, c] on a lattice of "
            f"{lattice.sizes}, got {list(residuals.shape)}. Give one row per point."
        )
    edges = lattice.unit_edges() if edges is None else edges
    numbers = shell_numbers(lattice.radii, edges)
    kept = numbers >= 0
    times, _, channels = residuals.shape
    columns = residuals.permute(1, 0, 2).flatten(1)
    power = lattice.transform(columns).abs().square()
    power = power.reshape(-1, times, channels).sum(2) / (lattice.num_points * channels)
    counts = torch.bincount(numbers[kept])
    summed = power.new_zeros(len(counts), times).index_add_(
        0, numbers[kept], power[kept]
    )
    radii = lattice.radii.new_zeros(len(counts))
    radii = radii.index_add_(0, numbers[kept], lattice.radii[kept]) / counts
    there = counts > 0
    return FrequencyResidual(frequency=radii[there], rms=summed[there].sqrt().T)
