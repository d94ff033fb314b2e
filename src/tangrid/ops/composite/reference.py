"""The truth of compositing: packed samples are laid out as a table, a ray per row."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tangrid.ops.running_sum import running_sum


def _rows_and_places(
    bounds: Int64[Tensor, " b"], count: int
) -> tuple[Int64[Tensor, " m"], Int64[Tensor, " m"]]:
    """Return the ray of each sample, and its place on that ray."""
    counts, device = bounds.diff(), bounds.device
    every = torch.arange(len(counts), device=device)
    rays = every.repeat_interleave(counts, output_size=count)
    return rays, torch.arange(count, device=device) - bounds[rays]


def ray_weights(
    thickness: Float[Tensor, " m"], bounds: Int64[Tensor, " b"]
) -> Float[Tensor, " m"]:
    """Return the share of a ray's light that each sample gives.

    Args:
        thickness: Optical thickness of each sample.
        bounds: First sample of each ray, and the number of all.
    """
    if not len(thickness):
        return thickness * 1
    rays, places = _rows_and_places(bounds, len(thickness))
    longest = int(bounds.diff().max())
    table = thickness.new_zeros(len(bounds) - 1, longest)
    table = table.index_put((rays, places), thickness)
    weights = torch.exp(-_before(table)) * -torch.expm1(-table)
    return weights[rays, places]


def _before(table: Float[Tensor, "r s"]) -> Float[Tensor, "r s"]:
    """Return the thickness that stands in front of each sample of a table."""
    # Not a sum less its last term: of a wall, or of infinity, that keeps no digits.
    return running_sum(torch.nn.functional.pad(table[:, :-1], (1, 0)))


def composite(
    thickness: Float[Tensor, " m"],
    colours: Float[Tensor, "m c"],
    distances: Float[Tensor, " m"],
    bounds: Int64[Tensor, " b"],
) -> tuple[Float[Tensor, "r c"], Float[Tensor, " r"], Float[Tensor, " r"]]:
    """Return colour, opacity and depth of each ray, in plain PyTorch.

    Args:
        thickness: Optical thickness of each sample.
        colours: Its colour.
        distances: Its distance along the ray.
        bounds: First sample of each ray, and the number of all.
    """
    weights = ray_weights(thickness, bounds)
    rays, _ = _rows_and_places(bounds, len(thickness))
    num_rays = len(bounds) - 1

    def total(values: Tensor) -> Tensor:
        return values.new_zeros(num_rays, *values.shape[1:]).index_add(0, rays, values)

    return (
        total(weights[:, None] * colours),
        total(weights),
        total(weights * distances),
    )


def visible_samples(
    thickness: Float[Tensor, " m"],
    bounds: Int64[Tensor, " b"],
    least_transmittance: float,
) -> tuple[Int64[Tensor, " k"], Int64[Tensor, " k"], Int64[Tensor, " b"]]:
    """Return the samples in front of which enough light is left, and their rays.

    Args:
        thickness: Optical thickness of each sample.
        bounds: First sample of each ray, and the number of all.
        least_transmittance: Light that must be left.
    """
    rays, places = _rows_and_places(bounds, len(thickness))
    longest = int(bounds.diff().max()) if len(thickness) else 0
    table = thickness.new_zeros(len(bounds) - 1, longest)
    table[rays, places] = thickness
    left = torch.exp(-_before(table))
    is_kept: Bool[Tensor, " m"] = left[rays, places] > least_transmittance
    counts = torch.zeros_like(bounds[1:]).index_add(0, rays, is_kept.long())
    kept_bounds = torch.cat((bounds.new_zeros(1), counts.cumsum(0)))
    return is_kept.nonzero()[:, 0], rays[is_kept], kept_bounds
