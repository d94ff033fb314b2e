"""What the spectra of a tangent kernel are kept in, and what can be read off them."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tangrid.choices import check_choice
from tangrid.errors import ConfigError, ShapeError
from tangrid.tangent.spectra.lattice import Frequencies, Lattice

Direction = Literal["axis", "diagonal"]
"""Along some coordinate axis, or along some diagonal of the box."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ShellSpectrum:
    """Hold a spectrum averaged over shells of equal frequency.

    Attributes:
        frequency: Mean of ``|k|`` in each shell, cycles per side of the box.
        energy: Mean of S(k) in each shell.
        count: Waves in each shell.
        standard_error: Of the means, where they were estimated; 0 where they are exact.
        non_stationarity: Index of the whole kernel, as far as the shells cover it.
    """

    frequency: Float[Tensor, " s"]
    energy: Float[Tensor, " s"]
    count: Int64[Tensor, " s"]
    standard_error: Float[Tensor, " s"]
    non_stationarity: float | None = None

    @property
    def total(self) -> float:
        """Sum of S(k) over all shells."""
        return float((self.count * self.energy).sum())

    def share_above(self, frequency: float) -> float:
        """Return the share of the energy in shells beyond a frequency.

        The constant (k = 0) counts on neither side.

        Args:
            frequency: Cycles per side of the box.
        """
        sums = torch.where(self.frequency > 0, self.count * self.energy, 0.0)
        return float(sums[self.frequency >= frequency].sum() / sums.sum())

    def time_constants(self, rate: float, num_points: int) -> Float[Tensor, " s"]:
        """Return the time constant of each shell; see `time_constants`.

        Args:
            rate: Effective learning rate (eta).
            num_points: Points that are trained on (n).
        """
        return time_constants(self.energy, rate, num_points)

    def slope(self, low: float, high: float) -> float:
        r"""Return the exponent p of a power law ``|k|^p`` fitted between frequencies.

        Args:
            low: Smallest frequency, above 0.
            high: Largest frequency.

        Raises:
            ConfigError: If fewer than two shells lie between them.

        Example:
            >>> k = torch.arange(1.0, 9.0)
            >>> shells = ShellSpectrum(frequency=k, energy=k**-2,
            ...     count=torch.ones(8, dtype=torch.int64), standard_error=0 * k)
            >>> round(shells.slope(1.0, 8.0), 6)
            -2.0
        """
        inside = (self.frequency >= low) & (self.frequency <= high) & (self.energy > 0)
        if int(inside.sum()) < 2 or not low > 0:
            raise ConfigError(
                f"slope({low:g}, {high:g}): expected at least two shells with energy "
                f"between frequencies above 0, got {int(inside.sum())}."
            )
        x, y = self.frequency[inside].log(), self.energy[inside].log()
        x = x - x.mean()
        return float((x * y).sum() / x.square().sum())


@dataclass(frozen=True, eq=False)
class FourierSpectrum:
    """Hold a spectrum at all frequencies of a lattice.

    Attributes:
        lattice: Gives the frequency of each entry.
        energy: S(k), in the order of ``lattice.frequencies``.
        non_stationarity: Index of the kernel, 0 to 1; None for spectra of single rows.
    """

    lattice: Lattice
    energy: Float[Tensor, " m"]
    non_stationarity: float | None = None

    @property
    def total(self) -> float:
        """Sum of S(k): the mean of the kernel's diagonal, if nothing is tapered."""
        return float(self.energy.sum())

    def box(self) -> Tensor:
        """Return S as an image of frequencies, the last axis x and the constant mid."""
        box = self.energy.reshape(*reversed(self.lattice.sizes))
        return torch.fft.fftshift(box)

    def radial(self, edges: Float[Tensor, " e"] | None = None) -> ShellSpectrum:
        """Return the mean over shells of equal ``|k|``.

        Args:
            edges: Edges of the shells; a cycle wide if None.
        """
        edges = self.lattice.unit_edges() if edges is None else edges
        return self._averaged(shell_numbers(self.lattice.radii, edges))

    def along(
        self,
        direction: Direction,
        edges: Float[Tensor, " e"] | None = None,
        *,
        half_angle_degrees: float = 10.0,
    ) -> ShellSpectrum:
        """Return the mean over shells within a cone around axes or diagonals.

        Args:
            direction: Which lines; the constant belongs to both.
            edges: Edges of the shells; a cycle wide if None.
            half_angle_degrees: How far from a line a frequency may point.

        Raises:
            ConfigError: If there is no such direction.
        """
        check_choice("spectrum.along(direction=...)", direction, Direction)
        edges = self.lattice.unit_edges() if edges is None else edges
        size = self.lattice.frequencies.abs()
        if direction == "axis":
            along = size.max(dim=1).values
        else:
            along = size.sum(dim=1) / math.sqrt(self.lattice.num_dims)
        limit = math.cos(math.radians(half_angle_degrees)) - 1e-12
        inside = along >= limit * self.lattice.radii
        numbers = shell_numbers(self.lattice.radii, edges)
        return self._averaged(torch.where(inside, numbers, -1))

    def share_above(self, frequency: float) -> float:
        """Return the share of the energy at or beyond a frequency.

        The constant (k = 0) counts on neither side.

        Args:
            frequency: Cycles per side of the box.
        """
        radii = self.lattice.radii
        energy = torch.where(radii > 0, self.energy, 0.0)
        return float(energy[radii >= frequency].sum() / energy.sum())

    def time_constants(self, rate: float, num_points: int) -> Float[Tensor, " m"]:
        """Return the time constant of each frequency; see `time_constants`.

        Args:
            rate: Effective learning rate (eta).
            num_points: Points that are trained on (n).
        """
        return time_constants(self.energy, rate, num_points)

    def _averaged(self, numbers: Int64[Tensor, " m"]) -> ShellSpectrum:
        kept = numbers >= 0
        counts = torch.bincount(numbers[kept])

        def sums(values: Tensor) -> Tensor:
            zeros = torch.zeros(len(counts), dtype=torch.float64)
            return zeros.index_add_(0, numbers[kept], values[kept].double())

        there = counts > 0
        energy = (sums(self.energy) / counts)[there]
        return ShellSpectrum(
            frequency=(sums(self.lattice.radii) / counts)[there],
            energy=energy,
            count=counts[there],
            standard_error=torch.zeros_like(energy),
            non_stationarity=self.non_stationarity,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class FrequencyProbe:
    r"""Hold a spectrum at chosen frequencies.

    Attributes:
        frequencies: Cycles per side of the box.
        energy: S(k).
        leakage: Sine of the angle between :math:`\phi_k` and :math:`K \phi_k`: 0 where
            the wave is an eigenvector.
    """

    frequencies: Frequencies
    energy: Float[Tensor, " m"]
    leakage: Float[Tensor, " m"]


def time_constants(energy: Tensor, rate: float, num_points: int) -> Tensor:
    r"""Return :math:`\tau(k) = 1 / (\eta\, n\, S(k))` in units of training steps.

    The residual of n points that fill the box obeys ``dr/dt = -eta K r``, so its wave k
    begins to fall as exp(-t / tau). For a stationary kernel it goes on like that. For
    any other it is never faster: by convexity
    :math:`\phi_k^* e^{-\eta K t} \phi_k \ge e^{-t/\tau(k)}`.

    Args:
        energy: S(k).
        rate: Effective learning rate eta of ``r <- r - eta K r``: the optimiser's for
            half the sum of squares, 2 / (n C) times that for a mean over n points and
            C channels.
        num_points: Points that are trained on (n).

    Raises:
        ConfigError: If rate or number are not above 0.

    Example:
        >>> time_constants(torch.tensor([0.5, 0.0]), rate=0.1, num_points=10).tolist()
        [2.0, inf]
    """
    if not (rate > 0 and num_points > 0):
        raise ConfigError(
            f"time_constants: expected rate and num_points above 0, got {rate} and "
            f"{num_points}."
        )
    # Rounding may leave S a little below 0, where nothing is learned.
    return 1 / (rate * num_points * energy.clamp(min=0.0))


def shell_numbers(
    radii: Float[Tensor, " m"], edges: Float[Tensor, " e"]
) -> Int64[Tensor, " m"]:
    """Return the number of the shell that holds each frequency, -1 for none.

    Shell s goes from ``edges[s]`` to below ``edges[s + 1]``.

    Args:
        radii: Lengths of the frequencies.
        edges: Ascending, at least two.

    Raises:
        ShapeError: If the edges do not ascend.

    Example:
        >>> radii = torch.tensor([0.0, 1.0, 2.5, 9.0])
        >>> shell_numbers(radii, torch.tensor([0.0, 1.0, 3.0])).tolist()
        [0, 1, 1, -1]
    """
    if edges.ndim != 1 or len(edges) < 2 or not (edges[1:] > edges[:-1]).all():
        raise ShapeError(
            "edges: expected two or more frequencies in ascending order, got "
            f"{edges.tolist()}. Leave them out for shells one cycle wide."
        )
    numbers = torch.bucketize(radii, edges.to(radii), right=True) - 1
    return torch.where(numbers < len(edges) - 1, numbers, -1)
