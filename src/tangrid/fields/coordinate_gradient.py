"""How fast a field changes from place to place."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.fields.contract import Field
from tangrid.notation import Coords
from tangrid.ops.wanted import gradients_of_coords_only


class LocalField(NamedTuple):
    """A field with one channel near some points.

    Attributes:
        values: Its values.
        gradients: Its derivatives along the coordinates.
    """

    values: Float[Tensor, " n"]
    gradients: Coords


def value_and_gradient(
    field: Field, coords: Coords, *, is_trained: bool = False
) -> LocalField:
    r"""Return the values f(x) of a field and its gradient :math:`\nabla f(x)`.

    Args:
        field: A field with one channel.
        coords: Points in the unit box.
        is_trained: Whether a loss of the gradient will be differentiated again.

    Example:
        >>> from tangrid.fields.siren import SirenConfig
        >>> from tangrid.seeding import generator
        >>> from tangrid.signals.site import Site
        >>> site = Site(num_dims=3, num_channels=1)
        >>> field = SirenConfig(width=8).build(site, generator(0))
        >>> value_and_gradient(field, torch.rand(5, 3)).gradients.shape
        torch.Size([5, 3])
    """
    with torch.enable_grad():
        points = coords.detach().requires_grad_()
        values = field.forward(points)[:, 0]
        with gradients_of_coords_only():
            # A field of steps does not see its points at all, and has no slope.
            (gradients,) = torch.autograd.grad(
                values.sum(), points, create_graph=is_trained, materialize_grads=True
            )
    # Nobody else has these points: second derivatives along them are not wanted.
    points.requires_grad_(False)
    if not is_trained:
        values = values.detach()
    return LocalField(values, gradients)
