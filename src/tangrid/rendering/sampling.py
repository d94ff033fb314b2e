"""Samples along rays where nothing is known of a scene: evenly first, then anew.

A sample stands for the part of its ray that is nearer to it than to the samples beside
it, so that the lengths of a ray's samples are the way through the outermost box.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tangrid.choices import check_choice
from tangrid.errors import ConfigError, ShapeError
from tangrid.ops.ray_march import OccupiedCells, RaySamples, cells_of, spans
from tangrid.ops.running_sum import running_sum
from tangrid.rendering.scene_space import BoxRays

Spacing = Literal["distance", "disparity"]
"""Scale on which samples are even."""

_PADDING = 1e-3
"""Added to weights, so that some samples stand where nothing has been seen."""


class _Crossing(NamedTuple):
    """Rays that meet the outermost box, and where."""

    rays: BoxRays
    """Those that do."""
    is_met: Bool[Tensor, " r"]
    """Whether each of all rays does."""
    firsts: Float[Tensor, "h 1"]
    """Where they enter, or their least distance."""
    lasts: Float[Tensor, "h 1"]
    """Where they leave, or their largest distance."""


def warped(distances: Float[Tensor, "*n"], spacing: Spacing) -> Float[Tensor, "*n"]:
    """Return distances on the scale on which samples are even.

    That of the disparity is the distance itself as far as one side of the box, and goes
    on as 2 less its inverse, to 2 at infinity.

    Args:
        distances: Along rays, in sides of the box.
        spacing: The scale.

    Raises:
        ConfigError: If there is no such scale.

    Example:
        >>> warped(torch.tensor([0.5, 1.0, 4.0]), "disparity").tolist()
        [0.5, 1.0, 1.75]

    References:
        The piecewise spacing of Tancik et al. 2023, "Nerfstudio".
    """
    check_choice("spacing", spacing, Spacing)
    if spacing == "distance":
        return distances
    return torch.where(distances < 1, distances, 2 - 1 / distances.clamp(min=1))


def _unwarped(places: Float[Tensor, "*n"], spacing: Spacing) -> Float[Tensor, "*n"]:
    if spacing == "distance":
        return places
    return torch.where(places < 1, places, 1 / (2 - places))


@torch.no_grad()
def stratified(
    rays: BoxRays,
    cells: OccupiedCells,
    count: int,
    offsets: Float[Tensor, " r"] | Float[Tensor, "r n"],
    *,
    spacing: Spacing = "distance",
) -> RaySamples:
    """Return samples that are spread evenly over the way of rays through the box.

    The way is cut into bins of one size, and each has one sample. A ray that misses the
    box has none.

    Args:
        rays: In the frame of the box.
        cells: Grid that the samples' cells are numbered in; its largest cube is the
            box. Empty cells are not left out.
        count: Samples of each ray.
        offsets: Share of a bin at which its sample stands: one for each ray, or one for
            each bin of each ray. 0.5 is the middle.
        spacing: Scale on which bins are of one size.

    Raises:
        ShapeError: If offsets are not those of the rays.

    Example:
        >>> from tangrid.ops.ray_march import occupied_cells
        >>> ray = torch.tensor([[-1.0, 0.5, 0.5]]), torch.tensor([[1.0, 0.0, 0.0]])
        >>> rays = BoxRays(*ray, torch.zeros(1), torch.full((1,), 9.0), torch.ones(1))
        >>> cells = occupied_cells(torch.ones(1, 8, 8, 8, dtype=torch.bool))
        >>> samples = stratified(rays, cells, 4, torch.full((1,), 0.5))
        >>> samples.distances.tolist(), samples.lengths.tolist()
        ([1.125, 1.375, 1.625, 1.875], [0.25, 0.25, 0.25, 0.25])

    References:
        Mildenhall et al. 2020, "NeRF", eq. 2.
    """
    num_rays = len(rays.origins)
    if offsets.shape not in ((num_rays,), (num_rays, count)):
        raise ShapeError(
            f"stratified(offsets=...): expected [{num_rays}], one for each ray, or "
            f"[{num_rays}, {count}], one for each bin, got shape {list(offsets.shape)}."
        )
    crossing = _crossing(rays, cells)
    shares = offsets if offsets.ndim == 2 else offsets[:, None]
    low = warped(crossing.firsts, spacing)
    width = (warped(crossing.lasts, spacing) - low) / count
    bins = torch.arange(count, device=low.device)
    places = low + width * (bins + shares[crossing.is_met])
    return _packed(crossing, _unwarped(places, spacing), cells)


@torch.no_grad()
def resampled(
    rays: BoxRays,
    cells: OccupiedCells,
    coarse: RaySamples,
    weights: Float[Tensor, " m"],
    count: int,
    offsets: Float[Tensor, " r"],
    *,
    spacing: Spacing = "distance",
    padding: float = _PADDING,
) -> RaySamples:
    """Return samples together with more of them where their weights are.

    The new ones are quantiles: the weights, each spread evenly over what its sample
    stands for, are cut into equal shares, and each has one sample. Before that a weight
    reaches over to both neighbours, so that a surface is found which begins between a
    sample that sees it and one that does not.

    Args:
        rays: In the frame of the box.
        cells: Grid that the samples' cells are numbered in.
        coarse: Samples of these rays, by `stratified`.
        weights: What each of them counts; no gradients go through.
        count: New samples of each ray.
        offsets: Share of a share at which each ray's samples stand; 0.5 is the middle.
        spacing: Scale on which a weight is spread evenly.
        padding: Added to every weight; above 0.

    Returns:
        Old and new samples of every ray, in order.

    Raises:
        ConfigError: If the padding is not above 0.
        ShapeError: If the weights are not those of the samples, or the samples are not
            as many on each ray that meets the box.

    References:
        Mildenhall et al. 2020, "NeRF", section 5.2; the reaching over is that of Barron
        et al. 2021, "Mip-NeRF", eq. 18.
    """
    if not padding > 0:
        # A ray without any weight has nothing else that could be shared out.
        raise ConfigError(f"resampled: expected a padding above 0, got {padding}.")
    crossing = _crossing(rays, cells)
    num_met = len(crossing.firsts)
    if not num_met:
        return coarse
    counts = coarse.bounds.diff()
    own = int(counts.max()) if len(counts) else 0
    if weights.shape != coarse.distances.shape or not torch.equal(
        counts, own * crossing.is_met
    ):
        raise ShapeError(
            "resampled: expected samples of these rays by `stratified`, and a weight "
            f"for each, got {len(coarse.distances)} samples and weights of shape "
            f"{list(weights.shape)} for {num_met} rays that meet the box."
        )
    old = coarse.distances.view(num_met, own)
    edges = warped(_edges(crossing, old), spacing)
    parts = torch.arange(count, device=offsets.device)
    shares = (parts + offsets[crossing.is_met, None]) / count
    masses = _reaching_over(weights.view(num_met, own)) + padding
    places = _quantiles(edges, masses, shares)
    every = torch.cat((old, _unwarped(places, spacing)), dim=1)
    return _packed(crossing, every.sort(dim=1).values, cells)


def _crossing(rays: BoxRays, cells: OccupiedCells) -> _Crossing:
    first, last = spans(*rays[:4], cells.num_cascades)
    first = first.clamp(min=0)
    is_met = first < last
    met = BoxRays(*(tensor[is_met] for tensor in rays))
    return _Crossing(met, is_met, first[is_met, None], last[is_met, None])


def _edges(
    crossing: _Crossing, distances: Float[Tensor, "h n"]
) -> Float[Tensor, "h e"]:
    """Return where one sample ends and the next begins, both ends of rays included."""
    middles = (distances[:, 1:] + distances[:, :-1]) / 2
    return torch.cat((crossing.firsts, middles, crossing.lasts), dim=1)


def _reaching_over(weights: Float[Tensor, "h n"]) -> Float[Tensor, "h n"]:
    """Return the mean of what each weight shares with those beside it."""
    beside = torch.nn.functional.pad(weights, (1, 1))
    larger = torch.maximum(beside[:, 1:], beside[:, :-1])
    return (larger[:, 1:] + larger[:, :-1]) / 2


def _quantiles(
    edges: Float[Tensor, "h e"],
    masses: Float[Tensor, "h n"],
    shares: Float[Tensor, "h c"],
) -> Float[Tensor, "h c"]:
    """Return the places before which given shares of the masses between edges lie."""
    heaped = running_sum(masses)
    wanted = shares * heaped[:, -1:]
    bins = torch.searchsorted(heaped, wanted, right=True)
    bins = bins.clamp(max=masses.shape[1] - 1)
    mass = masses.gather(1, bins)
    beyond = wanted - (heaped.gather(1, bins) - mass)
    low, high = edges.gather(1, bins), edges.gather(1, bins + 1)
    return low + (beyond / mass).clamp(0, 1) * (high - low)


def _packed(
    crossing: _Crossing, distances: Float[Tensor, "h n"], cells: OccupiedCells
) -> RaySamples:
    """Return samples at distances in order, as many on each ray, as packed samples."""
    rays, count = crossing.rays, distances.shape[1]
    ways = distances[..., None] * rays.directions[:, None]
    points = (rays.origins[:, None] + ways).flatten(0, 1)
    ends = (crossing.is_met * count).cumsum(0)
    return RaySamples(
        bounds=torch.cat((ends.new_zeros(1), ends)),
        points=points,
        distances=distances.flatten(),
        lengths=_edges(crossing, distances).diff(dim=1).flatten(),
        cells=cells_of(points, cells.resolution, cells.num_cascades),
    )
