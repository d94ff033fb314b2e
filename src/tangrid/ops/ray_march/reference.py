"""The truth of marching: every place on the lattice is looked at."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tangrid.ops.ray_march.occupied import OccupiedCells
from tangrid.ops.ray_march.steps import Steps

_LEAST_SLOPE = 1e-9


def spans(
    origins: Float[Tensor, "r 3"],
    directions: Float[Tensor, "r 3"],
    nears: Float[Tensor, " r"],
    fars: Float[Tensor, " r"],
    num_cascades: int,
) -> tuple[Float[Tensor, " r"], Float[Tensor, " r"]]:
    """Return where rays enter and leave the largest cube, or their own limits.

    Args:
        origins: Where rays begin.
        directions: Where they go.
        nears: Least distance of samples.
        fars: Largest distance of samples.
        num_cascades: Number of nested cubes.
    """
    half = 2.0 ** (num_cascades - 2)
    flat = directions.abs() < _LEAST_SLOPE
    slopes = torch.where(flat, _LEAST_SLOPE, directions)
    low, high = (0.5 - half - origins) / slopes, (0.5 + half - origins) / slopes
    first = torch.minimum(low, high).amax(1)
    last = torch.maximum(low, high).amin(1)
    first, last = torch.maximum(first, nears), torch.minimum(last, fars)
    # One that stands still has no end.
    return first, torch.where(flat.all(1), first, last)


def cells_of(
    points: Float[Tensor, "m 3"], resolution: int, num_cascades: int
) -> Int64[Tensor, " m"]:
    """Return the cell of each point in the smallest cascade that has it.

    Args:
        points: Points in the frame of the unit box.
        resolution: Cells along each side.
        num_cascades: Number of nested cubes.
    """
    centred = points - 0.5
    reach = centred.abs().amax(1)
    edges = 2.0 ** torch.arange(-1, num_cascades - 2, dtype=points.dtype)
    cascade = torch.bucketize(reach, edges, right=True)
    places = centred / 2.0 ** cascade[:, None].to(points.dtype) + 0.5
    x, y, z = (places * resolution).long().clamp(0, resolution - 1).unbind(1)
    return ((cascade * resolution + z) * resolution + y) * resolution + x


def march(
    rays: tuple[Tensor, Tensor, Tensor, Tensor],
    offsets: Float[Tensor, " r"],
    cells: OccupiedCells,
    steps: Steps,
    densities: Float[Tensor, " c"] | None,
    most_thickness: float,
) -> tuple[Int64[Tensor, " b"], Tensor, Tensor, Tensor, Int64[Tensor, " m"]]:
    """Return bounds, points, distances, lengths and cells of the samples of all rays.

    Args:
        rays: Origins, directions, least and largest distances.
        offsets: Share of a step at which each ray's first sample stands.
        cells: Where samples are taken.
        steps: How far apart.
        densities: What each cell is thought to hold; None to go on to the end.
        most_thickness: Thickness after which a ray ends.
    """
    origins, directions, nears, fars = rays
    first, last = spans(origins, directions, nears, fars, cells.num_cascades)
    start = steps.number(first.clamp(min=0)) + offsets
    counts = (steps.number(last.clamp(min=0)) - start).nan_to_num(0).clamp(min=0)
    most = int(counts.max()) if len(counts) else 0
    numbers = start[:, None] + torch.arange(most + 2)
    distances = steps.distance(numbers)
    points = origins[:, None] + distances[..., None] * directions[:, None]
    flat = cells_of(points.flatten(0, 1), cells.resolution, cells.num_cascades)
    is_taken: Bool[Tensor, "r s"] = cells.unpacked().flatten()[flat].view_as(distances)
    is_taken = is_taken & (distances < last[:, None])
    lengths = steps.length(distances)
    if densities is not None:
        thickness = densities[flat].view_as(distances) * lengths
        passed = torch.where(is_taken, thickness, 0).cumsum(1)
        # Not a sum less its last term, which keeps no digits in front of a wall.
        before = torch.nn.functional.pad(passed[:, :-1], (1, 0))
        is_taken = is_taken & ~(before > most_thickness)
    bounds = torch.cat((torch.zeros(1).long(), is_taken.sum(1).cumsum(0)))
    chosen = flat.view_as(distances)[is_taken]
    return bounds, points[is_taken], distances[is_taken], lengths[is_taken], chosen


def observe(
    cells: Int64[Tensor, " m"],
    values: Float[Tensor, " m"],
    highest: Float[Tensor, " c"],
    lowest: Float[Tensor, " c"],
) -> None:
    """Take in values that have been found in cells, in place.

    Args:
        cells: The cell that each was found in.
        values: What was found.
        highest: The highest value of each cell so far.
        lowest: The lowest value of each cell so far.
    """
    highest.scatter_reduce_(0, cells, values, "amax")
    lowest.scatter_reduce_(0, cells, values, "amin")
