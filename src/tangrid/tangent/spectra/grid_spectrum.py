r"""Spectra of grids in closed form: what interpolation and hashing do to frequencies.

A level with nodes at spacing h reads :math:`z(x) = \sum_j w((x - x_j)/h)\, T_j`. Its
tangent kernel, averaged over translations, has the spectrum
:math:`S(k) = h^d \prod_j \hat w(k_j h)^2`, in cycles per side of the box:

===========  ======================  =================================
weights      :math:`\hat w(u)^2`     decay of :math:`S` along an axis
===========  ======================  =================================
nearest      sinc^2                  :math:`|k|^{-2}`
linear       sinc^4                  :math:`|k|^{-4}`
smoothstep   by quadrature           :math:`|k|^{-6}`
quintic      by quadrature           :math:`|k|^{-8}`
===========  ======================  =================================

Levels add up, each times its gain: the mean over points of the squared gradient with
respect to what the level reads. A level hashed into T rows has collisions, which add
1/T to every entry of the kernel on average, with a standard deviation of about
:math:`(2/3)^d / \sqrt T` that differs from pair to pair of points.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.errors import ShapeError
from tangrid.ops.grid_lookup import GridLayout
from tangrid.ops.grid_lookup.layout import Interpolation
from tangrid.ops.grid_lookup.reference import fraction_weights
from tangrid.tangent.spectra.lattice import Frequencies

# A polynomial of degree 5 times one cycle of a cosine, to the last digit.
_NODES_PER_CYCLE = 16


def node_transform(cycles: Tensor, interpolation: Interpolation) -> Tensor:
    r"""Return the Fourier transform :math:`\hat w` of a node's weight along one axis.

    Args:
        cycles: Frequencies in cycles per cell, any shape.
        interpolation: How nodes are weighted.

    Example:
        >>> node_transform(torch.tensor([0.0, 0.5, 1.0]).double(), "nearest").tolist()
        [1.0, 0.6366197723675814, 0.0]
    """
    if interpolation == "nearest":
        # torch.sinc leaves rounding of 4e-17 at whole numbers.
        return torch.where(cycles == cycles.round(), (cycles == 0), torch.sinc(cycles))
    if interpolation == "linear":
        return node_transform(cycles, "nearest").square()
    # A lattice of M points has few different frequencies along each axis.
    different, numbers = cycles.double().abs().unique(return_inverse=True)
    highest = float(different[-1]) if len(different) else 0.0
    places, parts = _quadrature(1 + math.ceil(highest))
    weights = 1 - fraction_weights(places[:, None], interpolation)[:, 0]
    waves = (2 * math.pi * different[:, None] * places).cos()
    return (2 * waves @ (weights * parts))[numbers]


def level_spectrum(
    frequencies: Frequencies, spacing: float, interpolation: Interpolation = "linear"
) -> Float[Tensor, " m"]:
    r"""Return the spectrum of one level's translation-averaged kernel.

    Args:
        frequencies: Cycles per side of the box.
        spacing: Distance of nodes (h) as a part of the box's side.
        interpolation: How nodes are weighted.

    Example:
        >>> k = torch.tensor([[0.0, 0.0], [10.0, 0.0], [5.0, 5.0]]).double()
        >>> [round(value, 6) for value in level_spectrum(k, 0.1).tolist()]
        [0.01, 0.0, 0.00027]
    """
    factors = node_transform(frequencies.double() * spacing, interpolation).square()
    return spacing ** frequencies.shape[1] * factors.prod(dim=1)


def pyramid_spectrum(
    frequencies: Frequencies, layout: GridLayout, gains: Sequence[float] | None = None
) -> Float[Tensor, " m"]:
    r"""Return the spectrum of a whole grid, :math:`\sum_l g_l S_l(k)`.

    For hashed levels it is what would be without collisions, whose mean only adds to
    the constant; see `collision_mean`.

    Args:
        frequencies: Cycles per side of the box.
        layout: Where the nodes of all levels are.
        gains: Mean squared gradient with respect to each level's features, summed over
            channels; 1 for all if None.

    Raises:
        ShapeError: If there is not one gain per level.

    Example:
        >>> from tangrid.encodings import DenseGridConfig
        >>> layout = DenseGridConfig(num_levels=3, base_resolution=5).layout(2)
        >>> float(pyramid_spectrum(torch.zeros(1, 2), layout, [1.0, 0.0, 0.0]))
        0.0625
    """
    levels = layout.levels
    gains = [1.0] * len(levels) if gains is None else gains
    if len(gains) != len(levels):
        raise ShapeError(
            f"pyramid_spectrum(gains=...): expected one for each of {len(levels)} "
            f"levels, got {len(gains)}."
        )
    total = torch.zeros(len(frequencies), dtype=torch.float64)
    for gain, level in zip(gains, levels, strict=True):
        spacing = 1 / level.scale
        total += gain * level_spectrum(frequencies, spacing, layout.interpolation)
    return total


def collision_mean(table_size: int) -> float:
    """Return what hash collisions add to a kernel's entries on average, 1/T.

    Args:
        table_size: Rows that the level's nodes share (T).
    """
    return 1 / table_size


def collision_deviation(
    table_size: int, num_dims: int, interpolation: Interpolation = "linear"
) -> float:
    r"""Return the standard deviation of what hash collisions add to an entry.

    Nodes i and j share a row with probability 1/T, so an entry's variance is
    :math:`\sum_i w_i(x)^2 \sum_j w_j(y)^2\, (1 - 1/T) / T`, and the mean over a cell of
    the sum of squares is :math:`(2/3)^d` for linear weights.

    That is for a hash without structure. InstantNGP's multiplies the first coordinate
    by 1, so that nodes which collide often have neighbours along it which collide too:
    the variance is larger by 13/12 for linear weights, the deviation by 4 %.

    Args:
        table_size: Rows that the level's nodes share (T).
        num_dims: Number of coordinates (d).
        interpolation: How nodes are weighted.

    Example:
        >>> round(collision_deviation(2**10, 2), 4)
        0.0139
    """
    spread = (1 - 1 / table_size) / table_size
    return mean_square_weight(interpolation) ** num_dims * math.sqrt(spread)


def mean_square_weight(interpolation: Interpolation) -> float:
    r"""Return the mean over a cell of the sum of squared weights along one axis.

    Args:
        interpolation: How nodes are weighted; 2/3 for ``linear``.

    Example:
        >>> round(mean_square_weight("linear"), 12)
        0.666666666667
    """
    if interpolation == "nearest":
        return 1.0
    places, parts = _quadrature(1)
    upper = fraction_weights(places[:, None], interpolation)[:, 0]
    return float(((upper.square() + (1 - upper).square()) * parts).sum())


def _quadrature(panels: int) -> tuple[Tensor, Tensor]:
    """Return places and parts of Gauss-Legendre quadrature from 0 to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES_PER_CYCLE)
    starts = torch.arange(panels, dtype=torch.float64)[:, None]
    places = (starts + torch.from_numpy((nodes + 1) / 2)) / panels
    parts = torch.from_numpy(weights / 2) / panels
    return places.flatten(), parts.repeat(panels)
