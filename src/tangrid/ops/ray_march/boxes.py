"""Nested boxes around one centre: where rays meet them, which cell has a point."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

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
    powers = torch.arange(
        -1, num_cascades - 2, dtype=points.dtype, device=points.device
    )
    cascade = torch.bucketize(reach, 2.0**powers, right=True)
    places = centred / 2.0 ** cascade[:, None].to(points.dtype) + 0.5
    x, y, z = (places * resolution).long().clamp(0, resolution - 1).unbind(1)
    return ((cascade * resolution + z) * resolution + y) * resolution + x
