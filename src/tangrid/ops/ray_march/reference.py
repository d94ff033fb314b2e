"""The truth of marching: every place on the lattice is looked at."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tangrid.ops.ray_march.boxes import cells_of, spans
from tangrid.ops.ray_march.occupied import OccupiedCells
from tangrid.ops.ray_march.steps import Steps
from tangrid.ops.running_sum import running_sum


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
    numbers = start[:, None] + torch.arange(most + 2, device=start.device)
    distances = steps.distance(numbers)
    points = origins[:, None] + distances[..., None] * directions[:, None]
    flat = cells_of(points.flatten(0, 1), cells.resolution, cells.num_cascades)
    is_taken: Bool[Tensor, "r s"] = cells.unpacked().flatten()[flat].view_as(distances)
    is_taken = is_taken & (distances < last[:, None])
    lengths = steps.length(distances)
    if densities is not None:
        thickness = densities[flat].view_as(distances) * lengths
        passed = running_sum(torch.where(is_taken, thickness, 0))
        # Not a sum less its last term, which keeps no digits in front of a wall.
        before = torch.nn.functional.pad(passed[:, :-1], (1, 0))
        is_taken = is_taken & ~(before > most_thickness)
    counts = is_taken.sum(1)
    bounds = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
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
