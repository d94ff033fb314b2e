"""How far along a ray the light that it sees is spread."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tangrid.errors import ShapeError
from tangrid.ops.running_sum import running_sum


def distortion(
    weights: Float[Tensor, " m"],
    places: Float[Tensor, " m"],
    lengths: Float[Tensor, " m"],
    bounds: Int64[Tensor, " b"],
) -> Float[Tensor, " r"]:
    r"""Return the distortion of each ray, of packed samples.

    It is the mean distance of two points of a ray that are drawn by the weights,

    .. math:: \sum_{ij} w_i w_j |s_i - s_j| + \frac13 \sum_i w_i^2 \delta_i,

    and least where all light comes from one place. The double sum is taken in one pass.

    Args:
        weights: Share of its ray's light that each sample gives.
        places: Where it stands, ascending along every ray.
        lengths: How much of the ray it stands for.
        bounds: First sample of each ray, and after them the number of all samples.

    Raises:
        ShapeError: If the shapes do not belong together.

    Example:
        >>> weights, places = torch.tensor([0.5, 0.5]), torch.tensor([1.0, 3.0])
        >>> distortion(weights, places, torch.zeros(2), torch.tensor([0, 2]))
        tensor([1.])

    References:
        Barron et al. 2022, "Mip-NeRF 360", eq. 15; in one pass: Sun et al. 2022,
        "Improved Direct Voxel Grid Optimization for Radiance Fields Reconstruction".
    """
    if not weights.shape == places.shape == lengths.shape or weights.ndim != 1:
        raise ShapeError(
            "distortion: expected weights, places and lengths of packed samples, got "
            f"shapes {list(weights.shape)}, {list(places.shape)} and "
            f"{list(lengths.shape)}."
        )
    counts = bounds.diff()
    every = torch.arange(len(counts), device=counts.device)
    rays = every.repeat_interleave(counts, output_size=len(weights))
    begin = bounds[rays]

    def before(values: Tensor) -> Tensor:
        # The sum runs on over all rays, whose digits single precision would not hold.
        ends = torch.nn.functional.pad(running_sum(values.double()), (1, 0))
        return ends[:-1] - ends.index_select(0, begin)

    apart = places * before(weights) - before(weights * places)
    each = weights * (2 * apart + weights * lengths / 3)
    return weights.new_zeros(len(counts)).index_add(0, rays, each.to(weights.dtype))
