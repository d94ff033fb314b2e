r"""Tangent kernel and prior covariance of infinitely wide rectified networks.

In the NTK parameterisation a layer is :math:`\sigma_w W h / \sqrt{\text{width}} +
\sigma_b b` with standard normal :math:`W, b`. As the widths grow, the covariance of the
outputs (NNGP) and their tangent kernel (NTK) tend to functions of the Gram matrix of
the inputs alone, layer by layer:

.. math:: \Sigma_0 = \sigma_w^2\,\langle x, x'\rangle/d + \sigma_b^2,\quad
   \Sigma_{l+1} = \frac{\sigma_w^2}{2\pi}\, P \,(\sin\vartheta +
   (\pi - \vartheta)\cos\vartheta) + \sigma_b^2, \\
   \Theta_0 = \Sigma_0, \quad
   \Theta_{l+1} = \Sigma_{l+1} + \sigma_w^2\,\frac{\pi - \vartheta}{2\pi}\,\Theta_l,

with :math:`P^2 = \Sigma_l(x,x)\,\Sigma_l(x',x')` and :math:`\Sigma_l = P\cos\vartheta`.
Taken literally, :math:`\vartheta = \arccos(\Sigma/P)` is wrong by 1e-8 for points that
lie close. What is carried from layer to layer here are the squared lengths and the
angle itself, which follow without subtracting equal numbers.

References:
    Cho & Saul 2009, "Kernel Methods for Deep Learning"; Lee et al. 2018, "Deep Neural
    Networks as Gaussian Processes"; Jacot, Gabriel & Hongler 2018, "Neural Tangent
    Kernel"; Novak et al. 2020, "Neural Tangents" (the same parameterisation).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from tangrid.choices import check_choice
from tangrid.errors import ConfigError, NumericalError, ShapeError
from tangrid.notation import Coords, Features
from tangrid.tangent.algebra.finiteness import check_finite
from tangrid.tangent.kernels.kernel import DenseKernel
from tangrid.tangent.wide.arc_cosine import (
    Pairs,
    opened,
    pairs_of,
    rectified,
    through_layer,
)

FeatureMap = Callable[[Coords], Features]
"""An encoding, any other module, or a function."""
Kind = Literal["ntk", "nngp"]
"""Tangent kernel, or covariance of the outputs at random weights."""

_TILE = 1 << 20
_SLACK = 1e-6
"""Share by which inner products may exceed lengths, in float32 too."""


class InfiniteKernels(NamedTuple):
    """Both kernels between two sets of points."""

    nngp: Float[Tensor, "n m"]
    ntk: Float[Tensor, "n m"]


@dataclass(frozen=True, kw_only=True)
class ReluNetwork:
    """Describe a rectified perceptron by depth and variances; it has no width yet.

    Example:
        >>> ReluNetwork(num_hidden=3, bias_variance=0.01).weight_variance
        2.0
    """

    num_hidden: int = 2
    """Hidden layers, at least 1."""
    weight_variance: float = 2.0
    """Variance of weights times width (sigma_w^2); 2 keeps the size of signals."""
    bias_variance: float = 0.0
    """Variance of biases (sigma_b^2); 0 for none."""

    def __post_init__(self) -> None:
        """Refuse networks that do not exist.

        Raises:
            ConfigError: If a number is out of range.
        """
        if self.num_hidden < 1:
            raise ConfigError(
                "ReluNetwork.num_hidden: expected a whole number >= 1, got "
                f"{self.num_hidden}. Without hidden layers the kernel is the Gram "
                "matrix of the inputs."
            )
        finite = math.isfinite(self.weight_variance + self.bias_variance)
        if not (finite and self.weight_variance > 0 and self.bias_variance >= 0):
            raise ConfigError(
                "ReluNetwork: expected weight_variance above 0 and bias_variance of at "
                f"least 0, got {self.weight_variance} and {self.bias_variance}. They "
                "are the squares of W_std and b_std."
            )


def infinite_width(
    x: Tensor,
    x2: Tensor | None = None,
    *,
    network: ReluNetwork | None = None,
    features: FeatureMap | None = None,
) -> InfiniteKernels:
    r"""Return both kernels of an infinitely wide network behind a feature map.

    Works in float64 and is differentiable in points and features. Where two points have
    parallel features the NTK has a cusp; there the derivative of the angle is taken as
    0.

    Args:
        x: Points of the rows, [n, d].
        x2: Points of the columns, [m, d]; None for the same.
        network: Depth and variances; None for two hidden layers without biases.
        features: What the network reads; None for the points themselves. A module is
            used in float64, whatever it is stored in.

    Returns:
        NNGP and NTK; that of several output channels is the same for each.

    Raises:
        ShapeError: If points or features have a wrong shape or are not finite.
        NumericalError: If the kernels leave the finite numbers.

    Example:
        >>> found = infinite_width(torch.eye(2), network=ReluNetwork(num_hidden=1))
        >>> (found.ntk * torch.pi).round(decimals=9).tolist() == [
        ...     [round(2 * torch.pi, 9), 1.0], [1.0, round(2 * torch.pi, 9)]
        ... ]
        True
    """
    rows = _features_of("x", x, features)
    columns = rows if x2 is None else _features_of("x2", x2, features)
    if columns.shape[1] != rows.shape[1]:
        raise ShapeError(
            f"infinite_width(x2=...): expected {rows.shape[1]} numbers per point, as x "
            f"has, got {columns.shape[1]}."
        )
    network = network or ReluNetwork()
    # Tiles bound the memory of some ten intermediate matrices.
    step = max(1, _TILE // max(1, len(columns)))
    tiles = [
        _propagate(pairs_of(tile, columns), rows.shape[1], network)
        for tile in rows.split(step)
    ]
    return InfiniteKernels(*(torch.cat(part) for part in zip(*tiles, strict=True)))


def infinite_width_kernel(
    x: Tensor,
    x2: Tensor | None = None,
    *,
    network: ReluNetwork | None = None,
    features: FeatureMap | None = None,
    kind: Kind = "ntk",
) -> DenseKernel:
    """Return a kernel of an infinitely wide network as an operator.

    Args:
        x: Points of the rows, [n, d].
        x2: Points of the columns, [m, d]; None for the same.
        network: Depth and variances.
        features: What the network reads; None for the points themselves.
        kind: Tangent kernel, or covariance of the outputs.

    Returns:
        The kernel of one output channel; channels do not influence each other.

    Raises:
        ConfigError: If there is no such kind.
        ShapeError: If points or features have a wrong shape or are not finite.
        NumericalError: If the kernel leaves the finite numbers.

    Example:
        >>> kernel = infinite_width_kernel(torch.rand(5, 2))
        >>> kernel.shape, kernel.eigensystem.rank
        ((5, 5), 5)
    """
    check_choice("infinite_width_kernel(kind=...)", kind, Kind)
    found = infinite_width(x, x2, network=network, features=features)
    matrix = found.ntk if kind == "ntk" else found.nngp
    return DenseKernel(matrix, outputs=0, is_symmetric=x2 is None)


def infinite_width_of_gram(
    gram: Tensor,
    squares: tuple[Tensor, Tensor] | None = None,
    *,
    num_features: int = 1,
    network: ReluNetwork | None = None,
) -> InfiniteKernels:
    r"""Return both kernels from inner products of inputs, where features are not known.

    Angles below 1e-8 cannot be told from 0 in inner products; `infinite_width` can.

    Args:
        gram: Inner products of the inputs of rows and columns, [n, m].
        squares: Squared lengths of the inputs of rows [n] and of columns [m]; None to
            take both from the diagonal.
        num_features: Length of the inputs (d), by which the products are divided.
        network: Depth and variances; None for two hidden layers without biases.

    Returns:
        NNGP and NTK.

    Raises:
        ShapeError: If the numbers do not fit, are not finite, or are no inner products
            of vectors with these lengths.
        NumericalError: If the kernels leave the finite numbers.

    Example:
        >>> points = torch.rand(4, 3, dtype=torch.float64)
        >>> known = infinite_width(points).ntk
        >>> found = infinite_width_of_gram(points @ points.T, num_features=3).ntk
        >>> torch.allclose(found, known)
        True
    """
    if squares is None and (gram.ndim != 2 or gram.shape[0] != gram.shape[1]):
        raise ShapeError(
            "infinite_width_of_gram(gram=...): expected a square matrix, got shape "
            f"{list(gram.shape)}. Give the squared lengths as squares=(rows, columns)."
        )
    rows, columns = squares or (gram.diagonal(), gram.diagonal())
    if gram.shape != (len(rows), len(columns)):
        raise ShapeError(
            f"infinite_width_of_gram(squares=...): expected {list(gram.shape)} numbers "
            f"for a Gram matrix of that shape, got {[len(rows), len(columns)]}."
        )
    for name, numbers in (("gram", gram), ("rows", rows), ("columns", columns)):
        check_finite(f"infinite_width_of_gram({name})", numbers)
    gram, rows, columns = gram.double(), rows.double(), columns.double()
    _check_possible(gram, rows, columns)
    pairs = opened(gram, rows, columns)
    return _propagate(pairs, num_features, network or ReluNetwork())


def _check_possible(gram: Tensor, rows: Tensor, columns: Tensor) -> None:
    """Refuse products that exceed the lengths, beyond what rounding explains."""
    negative = min(float(rows.min()), float(columns.min())) if gram.numel() else 0.0
    lengths = rows.clamp(min=0).sqrt()[:, None] * columns.clamp(min=0).sqrt()
    beyond = int((gram.abs() > (1 + _SLACK) * lengths).sum())
    if negative < 0 or beyond:
        raise ShapeError(
            "infinite_width_of_gram(gram=...): expected inner products no larger than "
            f"the lengths and squares >= 0, got {beyond} larger ones and squares down "
            f"to {negative:.3g}. Are squares lengths instead of squared lengths?"
        )


def _propagate(
    pairs: Pairs, num_features: int, network: ReluNetwork
) -> InfiniteKernels:
    """Return both kernels of pairs of inputs that go through all layers."""
    weight, bias = network.weight_variance, network.bias_variance
    pairs = through_layer(pairs, weight / num_features, bias)
    ntk = pairs.products
    for _ in range(network.num_hidden):
        passed = weight * (math.pi - pairs.angle) / (2 * math.pi)
        pairs = through_layer(rectified(pairs), weight, bias)
        ntk = pairs.products + passed * ntk
    found = InfiniteKernels(pairs.products, ntk)
    if not all(bool(torch.isfinite(part).all()) for part in found):
        raise NumericalError(
            "infinite_width: expected finite kernels, got an overflow. Scale the "
            "inputs down, or take smaller variances."
        )
    return found


def _features_of(name: str, points: Tensor, features: FeatureMap | None) -> Features:
    """Return what the network reads, in float64."""
    where = f"infinite_width({name}=...)"
    if points.ndim != 2 or 0 in points.shape or not points.dtype.is_floating_point:
        raise ShapeError(
            f"{where}: expected floating point numbers of shape [n, d] with n >= 1 and "
            f"d >= 1, got {list(points.shape)} of {points.dtype}."
        )
    check_finite(where, points)
    points = points.double()
    if features is None:
        return points
    if isinstance(features, nn.Module):
        held = {**dict(features.named_parameters()), **dict(features.named_buffers())}
        exact = {key: _in_double(value) for key, value in held.items()}
        found = functional_call(features, exact, (points,))
    else:
        found = features(points)
    if found.ndim != 2 or len(found) != len(points):
        raise ShapeError(
            f"{where}: expected a feature map that returns [{len(points)}, f], got "
            f"{list(found.shape)}."
        )
    check_finite(f"{where}, its features", found)
    return found.double()


def _in_double(value: Tensor) -> Tensor:
    return value.double() if value.dtype.is_floating_point else value
