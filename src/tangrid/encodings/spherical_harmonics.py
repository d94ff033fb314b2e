r"""Real spherical harmonics of directions, up to degree 7.

With :math:`\Pi_l^m(z)` the associated Legendre function without its factor
:math:`(1 - z^2)^{m/2}`, which is a polynomial, a harmonic is
:math:`K_l^m\, \Pi_l^{|m|}(z)` times the real part of :math:`(x + iy)^m` for
:math:`m \ge 0` and the imaginary part of :math:`(x + iy)^{|m|}` for m < 0. The
polynomials are taken as they stand where a vector has another length than 1.

References:
    Sloan 2008, "Stupid Spherical Harmonics (SH) Tricks", appendix A1; tiny-cuda-nn
    ``encodings/spherical_harmonics.h``, whose order, signs and polynomials these are.
"""

import math
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.encodings.contract import ENCODINGS, Encoding, EncodingConfig
from tangrid.errors import ConfigError
from tangrid.notation import Coords, Features
from tangrid.signals.site import Site

MOST_DEGREES = 8
"""Degrees for which constants were checked."""


@ENCODINGS.register("spherical-harmonics")
@dataclass(frozen=True, kw_only=True)
class SphericalHarmonicsConfig(EncodingConfig):
    """Harmonics of the direction from the middle of the unit box, in three dimensions.

    Example:
        >>> from tangrid.seeding import generator
        >>> site = Site(num_dims=3, num_channels=3)
        >>> SphericalHarmonicsConfig().build(site, generator(0)).num_features
        16
    """

    num_degrees: int = 4
    """Degrees 0 to num_degrees - 1, which give num_degrees^2 features."""

    def __post_init__(self) -> None:
        """Refuse numbers of degrees that are not there.

        Raises:
            ConfigError: If the number is out of range.
        """
        if not 1 <= self.num_degrees <= MOST_DEGREES:
            raise ConfigError(
                "SphericalHarmonicsConfig.num_degrees: expected a whole number from 1 "
                f"to {MOST_DEGREES}, got {self.num_degrees}."
            )

    def build(
        self, site: Site, generator: torch.Generator
    ) -> "SphericalHarmonicsEncoding":
        """Return the encoding; it has no parameters.

        Args:
            site: Gives the number of coordinates, which must be 3.
            generator: Not used.

        Raises:
            ConfigError: If there are other than three coordinates.
        """
        del generator
        if site.num_dims != 3:
            raise ConfigError(
                "SphericalHarmonicsConfig: expected three coordinates, those of a "
                f"direction, got {site.num_dims}. Use 'fourier' or 'one-blob'."
            )
        return SphericalHarmonicsEncoding(self.num_degrees)


class SphericalHarmonicsEncoding(Encoding):
    """Map the unit box to harmonics of the vectors 2x - 1.

    Args:
        num_degrees: Number of degrees.
    """

    def __init__(self, num_degrees: int) -> None:
        super().__init__()
        self.num_dims = 3
        self.num_features = num_degrees**2
        self.num_degrees = num_degrees

    def forward(self, coords: Coords) -> Features:
        """Return the harmonics, degree by degree.

        Args:
            coords: Points in the unit box: directions v as (v + 1) / 2.
        """
        return spherical_harmonics(2 * coords - 1, self.num_degrees)


def spherical_harmonics(directions: Float[Tensor, "r 3"], num_degrees: int) -> Features:
    r"""Return the real spherical harmonics of the lowest degrees.

    They are orthonormal over the sphere, in the order l = 0, 1, ... and within a degree
    m = -l ... l, with the Condon-Shortley phase: the order and the signs of
    tiny-cuda-nn.

    Args:
        directions: Unit vectors.
        num_degrees: Degrees 0 to num_degrees - 1, at most 8.

    Returns:
        num_degrees^2 features.

    Example:
        >>> found = spherical_harmonics(torch.tensor([[0.48, 0.6, 0.64]]), 2)
        >>> [round(value, 4) for value in found[0].tolist()]
        [0.2821, -0.2932, 0.3127, -0.2345]
    """
    x, y, z = directions.unbind(1)
    heights, real = [torch.ones_like(z)], [torch.ones_like(z)]
    imaginary = [torch.zeros_like(z)]
    for _ in range(1, num_degrees):
        heights.append(heights[-1] * z)
        imaginary.append(imaginary[-1] * x + real[-1] * y)
        real.append(real[-1] * x - imaginary[-2] * y)
    turns = torch.stack((*reversed(imaginary[1:]), *real), dim=1)
    polynomials, choice = _tables(num_degrees, directions.dtype, directions.device)
    return (torch.stack(heights, dim=1) @ polynomials) * (turns @ choice)


@cache
@torch.inference_mode(mode=False)
def _tables(
    num_degrees: int, dtype: torch.dtype, device: torch.device
) -> tuple[Float[Tensor, "degrees features"], Float[Tensor, "orders features"]]:
    """Return each harmonic's factors of powers of z, and which turn it has."""
    columns, place = num_degrees**2, {"dtype": torch.float64, "device": "cpu"}
    polynomials = torch.zeros(num_degrees, columns, **place)
    choice = torch.zeros(2 * num_degrees - 1, columns, **place)
    for degree in range(num_degrees):
        for order in range(-degree, degree + 1):
            column = degree * (degree + 1) + order
            legendre = _legendre(degree, abs(order))
            norm = _norm(degree, abs(order))
            for power, factor in enumerate(legendre):
                polynomials[power, column] = norm * factor
            choice[num_degrees - 1 + order, column] = 1
    return polynomials.to(device, dtype), choice.to(device, dtype)


def _norm(degree: int, order: int) -> float:
    """Return the factor that makes the harmonic's mean square over the sphere 1/4pi."""
    ratio = math.factorial(degree - order) / math.factorial(degree + order)
    both = 2 if order else 1
    return math.sqrt(both * ratio * (2 * degree + 1) / (4 * math.pi))


@cache
def _legendre(degree: int, order: int) -> tuple[float, ...]:
    """Return the factors of 1, z, ... z^degree in the polynomial; all are exact."""
    if degree == order:
        odd = math.prod(range(1, 2 * order, 2))
        return ((-1.0) ** order * odd, *(0.0,) * degree)
    raised = (0.0, *_legendre(degree - 1, order))
    found = [(2 * degree - 1) * factor for factor in raised]
    if degree > order + 1:
        for power, factor in enumerate(_legendre(degree - 2, order)):
            found[power] -= (degree + order - 1) * factor
    return tuple(factor / (degree - order) for factor in found)
