r"""What a tangent kernel is: a Gram matrix of gradients, as an operator.

:math:`K_{(i,a),(j,b)} = \langle \partial f_a(x_i)/\partial\theta,\;
\partial f_b(x'_j)/\partial\theta \rangle` over chosen parameters. Of the features of a
grid alone it is the grid tangent kernel (GTK), of all parameters the neural tangent
kernel (NTK).
"""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tangrid.errors import ShapeError
from tangrid.notation import Values
from tangrid.tangent.algebra.extreme_eigenvalues import (
    all_eigenvalues,
    extreme_eigenvalues,
)
from tangrid.tangent.algebra.gram_matrix import GramMatrix
from tangrid.tangent.algebra.solving import solve_kernel

Outputs = Literal["full", "trace"] | int
"""Which channels: all pairs of them, their sum, or one."""


class TangentKernel(GramMatrix):
    """Multiply by a tangent kernel, or look at its numbers.

    Rows are numbered point by point: channel a of point i is row ``i C + a``.

    Attributes:
        num_points: Points of the rows and of the columns (n, n').
        num_outputs: Rows per point: the number of channels (C) for ``full``, else 1.
        outputs: Which channels the kernel is over.
        is_symmetric: Whether rows and columns belong to the same points.
        dtype: Arithmetic of everything that comes out.
        device: Where it lives.
    """

    outputs: Outputs

    @property
    def parts(self) -> Mapping[str, "TangentKernel"]:
        """The terms that add up to this kernel, by the part of the field of each.

        Such as a level of a grid, or a layer of the decoder. Empty where the kernel
        was not made from parts.
        """
        return {}

    def eigenvalues(
        self, k: int | None = None, *, largest: bool = True
    ) -> Float[Tensor, " k"]:
        """Return eigenvalues, the outermost first.

        Those below `Eigensystem.resolution` are rounding. For vectors and for how far
        each may be off, see `extreme_eigenvalues`.

        Args:
            k: How many; all by default.
            largest: Whether to begin at the largest or at the smallest.

        Raises:
            ConfigError: If ``k`` is not between 1 and the number of rows.
            ShapeError: If rows and columns belong to different points.
            NumericalError: If they cannot be had: all of a large kernel, or smallest
                ones of one that is large and ill-conditioned.
        """
        if k is None:
            values = all_eigenvalues(self)
            return values if largest else values.flip(0)
        return extreme_eigenvalues(self, k, largest=largest).values

    def solve(self, rhs: Tensor, *, ridge: float = 0.0) -> Tensor:
        """Return the solution x of (K + ridge) x = b.

        Nothing else is added to the diagonal. For the condition number, the residual
        and settings, see `solve_kernel`.

        Args:
            rhs: b, [rows] or [rows, r]; see `stacked`.
            ridge: What to add to the diagonal, in units of the kernel.

        Raises:
            ConfigError: If the ridge is negative.
            ShapeError: If b does not fit or is not finite.
            NumericalError: If the kernel is not finite, or singular and b outside of
                its range, or the iteration for a large kernel does not converge.
        """
        return solve_kernel(self, rhs, ridge=ridge).solution

    def stacked(self, values: Tensor) -> Float[Tensor, "rows r"]:
        """Return values of all points as columns that the kernel can be applied to.

        Over all pairs of channels that is one column, point by point; over one channel
        or their sum, every channel is a column of its own.

        Args:
            values: One row per point, such as targets or residuals.

        Raises:
            ShapeError: If they do not fit or are not finite.
        """
        points, channels = self.num_points[0], self.num_outputs
        if values.ndim == 1:
            values = values[:, None]
        fits = values.ndim == 2 and values.shape[0] == points
        if not fits or channels not in (1, values.shape[1]):
            wanted = f"[{points}, {channels if channels > 1 else 'c'}]"
            raise ShapeError(
                f"values: expected shape {wanted}, one row per point of the kernel, "
                f"got {list(values.shape)}."
            )
        if not values.dtype.is_floating_point:
            raise ShapeError(
                f"values: expected floating point numbers, got {values.dtype}. Convert "
                "with values.double()."
            )
        bad = int((~torch.isfinite(values)).any(1).sum())
        if bad:
            raise ShapeError(
                f"values: expected finite numbers, got {bad} of {points} rows with "
                "others. Leave those points out."
            )
        values = values.to(self.dtype).to(self.device)
        return values.reshape(-1, 1) if channels > 1 else values

    def unstacked(self, stacked: Float[Tensor, "rows r"]) -> Values:
        """Return columns as values of all points again.

        Args:
            stacked: What `stacked` returned, or a product with it.
        """
        return (
            stacked.reshape(-1, self.num_outputs) if self.num_outputs > 1 else stacked
        )


class DenseKernel(TangentKernel):
    """Hold a kernel as the matrix it is.

    Args:
        matrix: The numbers.
        num_outputs: Rows per point.
        outputs: Which channels they are over.
        is_symmetric: Whether rows and columns belong to the same points.

    Raises:
        ShapeError: If the matrix does not fit.

    Example:
        >>> kernel = DenseKernel(torch.eye(3, dtype=torch.float64))
        >>> kernel.shape, float(kernel.diagonal().sum())
        ((3, 3), 3.0)
    """

    def __init__(
        self,
        matrix: Float[Tensor, "rows columns"],
        *,
        num_outputs: int = 1,
        outputs: Outputs = "full",
        is_symmetric: bool = True,
    ) -> None:
        rows, columns = matrix.shape
        if rows % num_outputs or columns % num_outputs:
            raise ShapeError(
                f"DenseKernel: expected a whole number of points with {num_outputs} "
                f"outputs each, got {rows} rows and {columns} columns."
            )
        if is_symmetric and rows != columns:
            raise ShapeError(
                f"DenseKernel: expected a square matrix, got {rows} by {columns}. Say "
                "is_symmetric=False for a kernel between different points."
            )
        self.matrix = matrix
        self.num_points = (rows // num_outputs, columns // num_outputs)
        self.num_outputs = num_outputs
        self.outputs: Outputs = outputs
        self.is_symmetric = is_symmetric
        self.dtype, self.device = matrix.dtype, matrix.device

    def to_dense(self) -> Float[Tensor, "rows columns"]:
        """Return the matrix."""
        return self.matrix

    def diagonal(self) -> Float[Tensor, " rows"]:
        """Return its diagonal.

        Raises:
            ShapeError: If rows and columns belong to different points.
        """
        self.check_symmetric("kernel.diagonal()")
        return self.matrix.diagonal().clone()

    def columns(self, points: Int64[Tensor, " k"]) -> Float[Tensor, "rows columns"]:
        """Return the columns of some points.

        Args:
            points: Numbers of points of the second side.
        """
        channels = torch.arange(self.num_outputs, device=self.device)
        chosen = (points[:, None] * self.num_outputs + channels).flatten()
        return self.matrix[:, chosen]

    def _multiply(self, stacked: Float[Tensor, "columns r"]) -> Float[Tensor, "rows r"]:
        return self.matrix @ stacked
