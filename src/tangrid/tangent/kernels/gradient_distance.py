r"""A tangent kernel as a geometry: how far two points lie apart for the parameters.

Every point has a gradient; the kernel holds their inner products. So

.. math:: d(x, x')^2 = K(x, x) + K(x', x') - 2 K(x, x')
   = \lVert \nabla_\theta f(x) - \nabla_\theta f(x') \rVert^2

is a distance, and :math:`K(x, x') / \sqrt{K(x, x)\, K(x', x')}` the cosine of the angle
between the gradients: 1 where a step of training for one point does the same for the
other, 0 where it does nothing there. Over several channels the gradients of all of them
are taken together.

References:
    Zhao et al. 2024, "Grounding and Enhancing Grid-based Models for Neural Fields": the
    grid tangent kernel "measures the distance of two data points in the gradient
    space".
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tangrid.errors import ShapeError
from tangrid.tangent.algebra.gram_matrix import GramMatrix


def gradient_distances(
    kernel: GramMatrix, points: Int64[Tensor, " k"]
) -> Float[Tensor, "k n"]:
    """Return the distances of some points to all points, in gradient space.

    Distances below sqrt(eps) of the gradients' lengths are rounding, eps being that of
    the kernel's dtype: 1.5e-8 in float64, 3.5e-4 in float32. What is computed here from
    the kernel's numbers is computed in float64 and adds nothing to that.

    Args:
        kernel: Of the points with themselves.
        points: Numbers of the points to measure from.

    Raises:
        ShapeError: If the kernel is one between different points, or has no such point.

    Example:
        >>> from tangrid.tangent.kernels.kernel import DenseKernel
        >>> gradients = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
        >>> kernel = DenseKernel(gradients @ gradients.T)
        >>> gradient_distances(kernel, torch.tensor([0])).tolist()
        [[0.0, 5.0]]
    """
    products, squares = _products(kernel, points, "gradient_distances")
    apart = squares[points][:, None] + squares - 2 * products
    found = apart.clamp(min=0).sqrt()
    # A point is no distance from itself, whatever the roundings.
    found = found.scatter(1, points[:, None].to(found.device), 0.0)
    return found.to(kernel.dtype)


def gradient_cosines(
    kernel: GramMatrix, points: Int64[Tensor, " k"]
) -> Float[Tensor, "k n"]:
    """Return cosines between the gradients of some points and those of all points.

    Args:
        kernel: Of the points with themselves.
        points: Numbers of the points to measure from.

    Returns:
        Numbers from -1 to 1; 0 where a gradient vanishes.

    Raises:
        ShapeError: If the kernel is one between different points, or has no such point.

    Example:
        >>> from tangrid.tangent.kernels.kernel import DenseKernel
        >>> gradients = torch.tensor([[1.0, 0.0], [3.0, 4.0]])
        >>> kernel = DenseKernel(gradients @ gradients.T)
        >>> gradient_cosines(kernel, torch.tensor([0])).round(decimals=6).tolist()
        [[1.0, 0.6000000238418579]]
    """
    products, squares = _products(kernel, points, "gradient_cosines")
    lengths = squares.clamp(min=0).sqrt()
    scale = lengths[points][:, None] * lengths
    known = scale > 0
    cosines = products / torch.where(known, scale, 1.0)
    return torch.where(known, cosines, 0.0).clamp(-1.0, 1.0).to(kernel.dtype)


def _products(kernel: GramMatrix, points: Tensor, where: str) -> tuple[Tensor, Tensor]:
    """Return inner products [k, n] and squared lengths [n], over channels together."""
    kernel.check_symmetric(f"{where}(kernel=...)")
    count, channels = kernel.num_points[0], kernel.num_outputs
    inside = (points >= 0) & (points < count)
    if not bool(inside.all()):
        raise ShapeError(
            f"{where}(points=...): expected numbers from 0 to {count - 1}, got "
            f"{int(points[~inside][0])}. Points are numbered as the kernel was given "
            "them."
        )
    blocks = (
        kernel.columns(points).double().reshape(count, channels, len(points), channels)
    )
    products = torch.einsum("nckc->kn", blocks)
    return products, kernel.diagonal().double().reshape(count, channels).sum(1)
