"""What it costs a radiance field to be wrong in colour, or unclear about its place."""

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.ops.composite import ray_weights
from tangrid.rendering.distortion import distortion
from tangrid.rendering.sampling import Spacing, warped
from tangrid.rendering.volume import Seen

_LEAST_OPACITY = 1e-10
"""Added before the logarithm, which has no slope at 0."""


def colour_loss(
    colour: Float[Tensor, "r 3"], target: Float[Tensor, "r 3"], huber: float | None
) -> Float[Tensor, ""]:
    """Return the mean squared error, or Huber's loss.

    Args:
        colour: What rays see.
        target: What they should see.
        huber: Error from which Huber's loss is no longer half a square; None for the
            mean squared error.

    Example:
        >>> colour, target = torch.full((1, 3), 0.5), torch.zeros(1, 3)
        >>> float(colour_loss(colour, target, None)), float(
        ...     colour_loss(colour, target, 1.0)
        ... )
        (0.25, 0.125)
    """
    if huber is None:
        return torch.nn.functional.mse_loss(colour, target)
    return torch.nn.functional.huber_loss(colour, target, delta=huber)


def mean_distortion(seen: Seen, spacing: Spacing) -> Float[Tensor, ""]:
    """Return how far the light of a ray is spread along it, as a mean over rays.

    Args:
        seen: What rays have seen.
        spacing: Scale on which distances are measured.
    """
    numbers, _, bounds = seen.kept
    distances = seen.samples.distances.index_select(0, numbers)
    halves = seen.samples.lengths.index_select(0, numbers) / 2
    ends = warped(distances + halves, spacing)
    lengths = ends - warped((distances - halves).clamp(min=0), spacing)
    weights = ray_weights(seen.thickness, bounds)
    return distortion(weights, warped(distances, spacing), lengths, bounds).mean()


def opacity_entropy(opacity: Float[Tensor, " r"]) -> Float[Tensor, ""]:
    r"""Return the mean of :math:`-A \ln A`, least where rays are opaque or clear.

    Args:
        opacity: Of each ray, from 0 to 1.

    Example:
        >>> opacity_entropy(torch.tensor([0.0, 1.0])).abs() < 1e-8
        tensor(True)

    References:
        The opacity loss of the code "ngp_pl" by Quei-An Chen.
    """
    return torch.special.entr(opacity + _LEAST_OPACITY).mean()
