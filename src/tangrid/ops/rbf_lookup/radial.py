r"""Radial functions of the offset from a centre, with widths of every centre's own.

The shape S of a centre is a symmetric positive definite matrix, held by its distinct
entries: one number (the same width everywhere), one per axis (a diagonal), or the upper
triangle row by row (an ellipse in any direction). It is an inverse squared width for
``inverse-quadric`` and an inverse width for ``linear``.

References:
    Chen et al. 2023, "NeuRBF: A Neural Fields Representation with Adaptive Radial Basis
    Functions".
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.errors import ShapeError

Profile = Literal["inverse-quadric", "linear"]

Offsets = Float[Tensor, "n k d"]
Shapes = Float[Tensor, "n k s"]
RadialValues = Float[Tensor, "n k"]


def shaped_offsets(offsets: Offsets, shapes: Shapes) -> Offsets:
    """Return the products S o of shapes and offsets.

    Args:
        offsets: Points less centres (o).
        shapes: Distinct entries of S, 1, d or d (d + 1) / 2 of them.

    Raises:
        ShapeError: If there is another number of entries.
    """
    num_dims, entries = offsets.shape[2], shapes.shape[2]
    if entries in (1, num_dims):
        return shapes * offsets
    if entries != num_dims * (num_dims + 1) // 2:
        raise ShapeError(
            f"radial_values(shapes=...): expected 1, {num_dims} or "
            f"{num_dims * (num_dims + 1) // 2} numbers per centre in {num_dims} "
            f"dimensions, got {entries}."
        )
    return (full_matrices(shapes, num_dims) @ offsets[..., None])[..., 0]


def full_matrices(shapes: Tensor, num_dims: int) -> Tensor:
    """Return symmetric matrices [..., d, d] from their upper triangles.

    Args:
        shapes: Entries of the upper triangles, row by row, last.
        num_dims: Number of coordinates.
    """
    places = torch.zeros(num_dims, num_dims, dtype=torch.long)
    rows, columns = torch.triu_indices(num_dims, num_dims)
    places[rows, columns] = places[columns, rows] = torch.arange(len(rows))
    return shapes[..., places.to(shapes.device)]


def radial_values(offsets: Offsets, shapes: Shapes, profile: Profile) -> RadialValues:
    r"""Return a radial function at offsets.

    ``inverse-quadric`` :math:`1 / (1 + o^\top S o)`, smooth and never 0; ``linear``
    :math:`\prod_r \max(1 - |(S o)_r|, 0)`, continuous and compact.

    Args:
        offsets: Points less centres (o).
        shapes: Distinct entries of S.
        profile: The function.
    """
    shaped = shaped_offsets(offsets, shapes)
    if profile == "linear":
        return (1 - shaped.abs()).clamp(min=0).prod(2)
    return 1 / (1 + (offsets * shaped).sum(2))


def fading(offsets: Offsets) -> RadialValues:
    """Return factors that take the farthest neighbour to 0 with its slope.

    A sum over k nearest centres jumps where the k-th and the next change places; with
    factors (1 - r^2 / R^2)^2, R being the distance of the farthest, it does not.

    Args:
        offsets: Points less centres.
    """
    squared = offsets.square().sum(2)
    farthest = squared.amax(1, keepdim=True)
    # Nodes in one place, and at the point itself, are alike: none of them fades.
    apart = farthest > torch.finfo(squared.dtype).eps ** 2
    return (1 - squared / torch.where(apart, farthest, 1.0)).square()


def shared_values(values: RadialValues) -> RadialValues:
    """Return values over their sum; all 0 where no neighbour reaches the point.

    The source stops the gradient of the sum. Centres and widths are not trained here,
    so that would only falsify derivatives by the coordinates.

    Args:
        values: Radial functions of a point's neighbours, not negative.
    """
    total = values.sum(1, keepdim=True)
    is_reached = total > torch.finfo(values.dtype).tiny
    return values / torch.where(is_reached, total, 1.0)
