r"""Eigenvalues and eigenvectors of a tangent kernel, and how far they can be trusted.

An eigenvalue below :math:`n\,\epsilon\,\lambda_1` is rounding: it is called unresolved,
and nothing is divided by it.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.errors import NumericalError
from tangrid.tangent.algebra.finiteness import check_gradients

Matrix = Float[Tensor, "n n"]

_RANGE_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Eigensystem:
    r"""Hold :math:`K = V \operatorname{diag}(\lambda) V^\top`, largest values first.

    Attributes:
        values: Eigenvalues, as computed: rounding may leave small ones below 0.
        vectors: Eigenvectors, one per column.
    """

    values: Float[Tensor, " n"]
    vectors: Matrix

    def __len__(self) -> int:
        """Return the number of eigenvalues."""
        return len(self.values)

    @property
    def largest(self) -> float:
        """The largest eigenvalue."""
        return float(self.values[0])

    @property
    def smallest(self) -> float:
        """The smallest eigenvalue as computed; see `is_singular` before using it."""
        return float(self.values[-1])

    @property
    def resolution(self) -> float:
        r"""Size of rounding errors, :math:`n\,\epsilon\,\lambda_1`."""
        return resolution(self.values)

    @cached_property
    def rank(self) -> int:
        """Number of resolved eigenvalues."""
        return int((self.values > self.resolution).sum())

    @property
    def is_singular(self) -> bool:
        """Whether some eigenvalue is unresolved."""
        return self.rank < len(self)

    @property
    def condition(self) -> float:
        """Largest over smallest eigenvalue; infinite if the kernel is singular."""
        return float("inf") if self.is_singular else self.largest / self.smallest

    @property
    def clipped(self) -> Float[Tensor, " n"]:
        """Eigenvalues with unresolved ones set to 0, which they cannot be told from."""
        return torch.where(self.values > self.resolution, self.values, 0.0)

    def coefficients(self, stacked: Float[Tensor, "n r"]) -> Float[Tensor, "n r"]:
        """Return the components of columns along the eigenvectors.

        Args:
            stacked: Columns, as `TangentKernel.stacked` makes them.
        """
        return self.vectors.T @ stacked


def resolution(values: Float[Tensor, " n"]) -> float:
    r"""Return the size below which eigenvalues are rounding, n eps lambda_max.

    Args:
        values: All eigenvalues of a kernel.
    """
    if len(values) == 0:
        return 0.0
    return len(values) * torch.finfo(values.dtype).eps * float(values.max())


def range_tolerance(rows: int, dtype: torch.dtype) -> float:
    r"""Return the share of a vector outside a kernel's range that is rounding.

    That is the larger of 1e-8 and :math:`n\,\epsilon`, by which eigenvectors are off.

    Args:
        rows: Rows of the kernel (n).
        dtype: In which the kernel and its eigenvectors were computed.

    Example:
        >>> range_tolerance(100, torch.float64)
        1e-08
        >>> round(range_tolerance(100, torch.float32), 8)
        1.192e-05
    """
    return max(_RANGE_TOLERANCE, rows * torch.finfo(dtype).eps)


def eigensystem_of(matrix: Matrix) -> Eigensystem:
    """Return all eigenvalues and eigenvectors of a symmetric matrix.

    Args:
        matrix: The kernel, dense.

    Raises:
        NumericalError: If it holds numbers that are not finite, is not symmetric, or
            has eigenvalues clearly below 0.

    Example:
        >>> found = eigensystem_of(torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
        >>> found.values.tolist(), found.rank
        ([3.0, 2.0], 2)
    """
    if matrix.numel() == 0:
        return Eigensystem(matrix.new_empty(0), matrix)
    check_gradients("eigensystem_of(matrix=...)", matrix)
    margin = torch.finfo(matrix.dtype).eps ** 0.5
    values, vectors = torch.linalg.eigh(matrix)
    if not torch.allclose(matrix, matrix.T, atol=margin * float(matrix.abs().amax())):
        raise NumericalError(
            "eigensystem_of(matrix=...): expected a symmetric matrix, as products of "
            "gradients are, got one that is not. Give the kernel of points with "
            "themselves."
        )
    if float(values[0]) < -margin * float(values[-1].abs()):
        raise NumericalError(
            "eigensystem_of(matrix=...): expected no eigenvalue below 0 but for "
            f"rounding, got {float(values[0]):.3g} beside {float(values[-1]):.3g}. "
            "Products of gradients have none; look at where the matrix comes from."
        )
    return Eigensystem(values.flip(0), vectors.flip(1))
