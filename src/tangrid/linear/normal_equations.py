r"""Ridge regression on dense features, by the eigenvalues of their Gram matrix.

:math:`\Phi^\top \Phi = V \Lambda V^\top` is summed over pieces of the points in
float64. Everything that depends on the ridge follows from it and from
:math:`z = V^\top \Phi^\top y`: the weights :math:`V (\Lambda + \mu)^{-1} z`, the trace
of the smoother :math:`\sum_j \lambda_j / (\lambda_j + \mu)`, and the squared error
:math:`|y|^2 - \sum_j z_j^2 (\lambda_j + 2\mu) / (\lambda_j + \mu)^2`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tangrid.devices import require_memory
from tangrid.errors import ConfigError
from tangrid.notation import Coords, Features

_POINTS_AT_ONCE = 2**13
_MOST_FEATURES = 2**13
"""More take minutes to diagonalise."""


@dataclass(frozen=True)
class NormalEquations:
    """A Gram matrix of features, diagonalised, and the right-hand sides.

    Attributes:
        eigenvalues: Lambda, ascending, at least 0, [p].
        vectors: V, [p, p].
        pulled: Features^T y, [p, c].
        target_squares: |y|^2 over all channels.
        num_points: n.
        num_channels: c.
    """

    eigenvalues: Tensor
    vectors: Tensor
    pulled: Tensor
    target_squares: float
    num_points: int
    num_channels: int

    def solve(self, ridge: float) -> Tensor:
        """Return the weights that minimise the squared error with a ridge, [p, c].

        Args:
            ridge: mu.
        """
        return self.vectors @ (
            (self.vectors.T @ self.pulled) / (self.eigenvalues + ridge)[:, None]
        )

    def effective_parameters(self, ridge: float) -> float:
        """Return the trace of the smoother.

        Args:
            ridge: mu.
        """
        return float((self.eigenvalues / (self.eigenvalues + ridge)).sum())

    def mse(self, ridge: float) -> float:
        """Return the mean squared error at the points.

        Args:
            ridge: mu.
        """
        z = (self.vectors.T @ self.pulled).square().sum(1)
        shifted = self.eigenvalues + ridge
        explained = float((z * (shifted + ridge) / shifted**2).sum())
        count = self.num_points * self.num_channels
        return max(self.target_squares - explained, 0.0) / count


def normal_equations(
    features: Callable[[Coords], Features],
    coords: Coords,
    values: Tensor,
) -> NormalEquations:
    """Return the normal equations of features at points, diagonalised.

    Args:
        features: Fixed features of points.
        coords: The points.
        values: Wanted values.

    Raises:
        ConfigError: If there are too many features to diagonalise their Gram matrix.
        ResourceError: If the matrices do not fit into the free memory.
    """
    num_features = features(coords[:1]).shape[1]
    if num_features > _MOST_FEATURES:
        raise ConfigError(
            f"linear: expected at most {_MOST_FEATURES:,} features for an exact "
            f"solution, whose Gram matrix is diagonalised, got {num_features:,}. Take "
            "fewer frequencies (--params), or --optimizer adam."
        )
    require_memory(
        4 * 8 * num_features**2,
        f"Gram matrix of {num_features:,} features",
        "Take fewer frequencies (--params), or --optimizer adam.",
    )
    gram = torch.zeros(num_features, num_features, dtype=torch.float64)
    pulled = torch.zeros(num_features, values.shape[1], dtype=torch.float64)
    for start in range(0, len(coords), _POINTS_AT_ONCE):
        piece = slice(start, start + _POINTS_AT_ONCE)
        own = features(coords[piece]).double()
        gram.addmm_(own.T, own)
        pulled.addmm_(own.T, values[piece].double())
    eigenvalues, vectors = torch.linalg.eigh(gram)
    return NormalEquations(
        eigenvalues=eigenvalues.clamp(min=0.0),
        vectors=vectors,
        pulled=pulled,
        target_squares=float(values.double().square().sum()),
        num_points=len(values),
        num_channels=values.shape[1],
    )
