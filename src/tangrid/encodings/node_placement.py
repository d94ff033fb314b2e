r"""Places of nodes that are not a lattice, denser where the signal has more detail.

Centres are the means of clusters of the signal's points, weighted by detail (weighted
k-means); each centre's spread is the weighted mean of :math:`o\,o^\top` over the
offsets o of its own points. Everything happens in a box whose longest side is 1 and
whose samples are as far apart along every axis.

References:
    Chen et al. 2023, "NeuRBF", initialisation of centres and shapes.
"""

import math
import warnings
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import KDTree
from torch import Tensor

from tangrid.errors import DataError, NumericalWarning
from tangrid.signals.site import Site

_ROUNDS = 10
_POINTS_PER_NODE = 40
_MOST_POINTS = 2**22
# Points without any detail must not be left without nodes altogether.
_LEAST_DETAIL = 1e-2
_SPREAD_FACTOR = 0.5
_NARROWEST, _WIDEST = 1 / 200, 1 / 10
_LARGEST_CORRELATION = 0.999

Centres = Float[Tensor, "t d"]
Spreads = Float[Tensor, "t d d"]


class Placement(NamedTuple):
    """Where nodes stand and how far each reaches.

    Attributes:
        centres: Places in the box of `proportions`.
        spreads: Squared widths, as a matrix per node.
    """

    centres: Centres
    spreads: Spreads


def proportions(site: Site) -> tuple[float, ...]:
    """Return the sides of the signal's box, the longest being 1.

    Args:
        site: Gives the samples along each axis; without them all sides are equal.
    """
    if site.resolution is None:
        return (1.0,) * site.num_dims
    return tuple(side / max(site.resolution) for side in site.resolution)


def spacing(num_nodes: int, sides: tuple[float, ...]) -> float:
    """Return the mean distance of nodes that fill a box.

    Args:
        num_nodes: How many.
        sides: Sides of the box, from `proportions`.
    """
    return (math.prod(sides) / num_nodes) ** (1 / len(sides))


def place_nodes(num_nodes: int, site: Site, generator: torch.Generator) -> Placement:
    """Return nodes placed by the signal's detail, or evenly at random without a signal.

    Args:
        num_nodes: How many.
        site: Gives the sampler of the signal, and its proportions.
        generator: Source of random numbers.
    """
    sides = torch.tensor(proportions(site))
    if site.sampler is None or sides.is_meta:
        centres = torch.rand(num_nodes, site.num_dims, generator=generator) * sides
        variance = spacing(num_nodes, proportions(site)) ** 2
        spreads = variance * torch.eye(site.num_dims)
        return Placement(centres, spreads.expand(num_nodes, -1, -1).clone())
    count = min(_POINTS_PER_NODE * num_nodes, _MOST_POINTS)
    points, detail = site.sampler(count, generator)
    points = points * sides
    weights = _weights(detail)
    seeds = _seeds(num_nodes, points, weights, sides, generator)
    centres, owners = _clustered(points.double().numpy(), weights, seeds)
    spreads = _own_spreads(points.double().numpy(), weights, centres, owners)
    return Placement(torch.from_numpy(centres).float(), _clipped(spreads))


def _weights(detail: Float[Tensor, " n"]) -> Float[np.ndarray, " n"]:
    if not bool(detail.isfinite().all()):
        raise DataError(
            "Site.sampler: expected finite detail at every point, got NaN or infinity."
        )
    mean = float(detail.double().mean())
    if not mean > 0:
        warnings.warn(
            "The signal has no detail to place nodes by, because it is the same "
            "everywhere; nodes are spread evenly.",
            NumericalWarning,
            stacklevel=3,
        )
        return np.ones(len(detail))
    return np.maximum(detail.double().numpy() / mean, _LEAST_DETAIL)


def _seeds(
    num_nodes: int,
    points: Tensor,
    weights: Float[np.ndarray, " n"],
    sides: Float[Tensor, " d"],
    generator: torch.Generator,
) -> Float[np.ndarray, "t d"]:
    """Return points drawn by weight, and places at random for want of more.

    A point is drawn once: of twins one would have no points of its own.
    """
    drawn = min(num_nodes, len(points))
    # The largest of such keys are a weighted draw without replacement.
    keys = torch.rand(len(points), generator=generator, dtype=torch.float64)
    chosen = (keys.log() / torch.from_numpy(weights)).topk(drawn).indices
    missing = num_nodes - drawn
    if missing:
        warnings.warn(
            f"The signal has {len(points)} points for {num_nodes} nodes; the other "
            f"{missing} nodes are spread at random.",
            NumericalWarning,
            stacklevel=3,
        )
    others = torch.rand(missing, len(sides), generator=generator) * sides
    return torch.cat((points[chosen], others)).double().numpy()


def _clustered(
    points: Float[np.ndarray, "n d"],
    weights: Float[np.ndarray, " n"],
    centres: Float[np.ndarray, "t d"],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the centres after rounds of k-means, and the centre of every point."""
    for _ in range(_ROUNDS):
        owners = _nearest(points, centres)
        totals = np.bincount(owners, weights, len(centres))
        sums = [np.bincount(owners, weights * axis, len(centres)) for axis in points.T]
        own = totals > 0
        centres = centres.copy()
        centres[own] = np.stack(sums, 1)[own] / totals[own, None]
    return centres, _nearest(points, centres)


def _nearest(
    points: Float[np.ndarray, "n d"], centres: Float[np.ndarray, "t d"]
) -> np.ndarray:
    return np.asarray(KDTree(centres).query(points, workers=-1)[1])


def _own_spreads(
    points: Float[np.ndarray, "n d"],
    weights: Float[np.ndarray, " n"],
    centres: Float[np.ndarray, "t d"],
    owners: np.ndarray,
) -> Spreads:
    offsets = points - centres[owners]
    totals = np.bincount(owners, weights, len(centres))
    dims = points.shape[1]
    spreads = np.zeros((len(centres), dims, dims))
    for a in range(dims):
        for b in range(dims):
            product = weights * offsets[:, a] * offsets[:, b]
            spreads[:, a, b] = np.bincount(owners, product, len(centres))
    spreads /= np.maximum(totals, np.finfo(float).tiny)[:, None, None] * _SPREAD_FACTOR
    return torch.from_numpy(spreads).float()


def _clipped(spreads: Spreads) -> Spreads:
    """Return spreads with widths in bounds and correlations below 1."""
    dims = spreads.shape[1]
    variances = spreads.diagonal(dim1=1, dim2=2)
    # A node with a single point has no spread of its own.
    own = variances.clamp_min(torch.finfo(spreads.dtype).tiny).sqrt()
    correlations = spreads / own[:, :, None] / own[:, None, :]
    # Shrunk and not clamped: that keeps matrices of any dimension definite.
    correlations = _LARGEST_CORRELATION * correlations.clamp(-1, 1)
    correlations.diagonal(dim1=1, dim2=2).fill_(1)
    widths = own.clamp(_NARROWEST / dims, _WIDEST)
    return correlations * widths[:, :, None] * widths[:, None, :]
