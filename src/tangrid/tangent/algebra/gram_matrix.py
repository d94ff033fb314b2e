r"""What the algorithms of this room need of a kernel: products, diagonal and columns.

A Gram matrix is symmetric and positive semi-definite. Nothing here needs all of its
numbers at once, so that what is built on it works where they fit no memory.
"""

from abc import ABC, abstractmethod
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tangrid.errors import ShapeError
from tangrid.tangent.algebra.eigensystem import Eigensystem, eigensystem_of
from tangrid.tangent.algebra.finiteness import check_finite, check_gradients


class GramMatrix(ABC):
    """Multiply by a matrix of inner products, or look at its numbers.

    Rows are numbered point by point: output a of point i is row ``i C + a``.

    Attributes:
        num_points: Points of the rows and of the columns (n, n').
        num_outputs: Rows per point (C).
        is_symmetric: Whether rows and columns belong to the same points.
        dtype: Arithmetic of everything that comes out.
        device: Where it lives.
    """

    num_points: tuple[int, int]
    num_outputs: int
    is_symmetric: bool
    dtype: torch.dtype
    device: torch.device

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.num_points
        return rows * self.num_outputs, columns * self.num_outputs

    @abstractmethod
    def to_dense(self) -> Float[Tensor, "rows columns"]:
        """Return the whole matrix."""

    @abstractmethod
    def diagonal(self) -> Float[Tensor, " rows"]:
        """Return the diagonal, without the rest.

        Raises:
            ShapeError: If rows and columns belong to different points.
        """

    @abstractmethod
    def columns(self, points: Int64[Tensor, " k"]) -> Float[Tensor, "rows columns"]:
        """Return the columns of some points.

        Args:
            points: Numbers of points of the second side.
        """

    @abstractmethod
    def _multiply(self, stacked: Float[Tensor, "columns r"]) -> Float[Tensor, "rows r"]:
        """Return the product with several columns."""

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """Return the product with a vector, or with the columns of a matrix.

        Args:
            vectors: [columns] or [columns, r].

        Raises:
            ShapeError: If they do not fit.
        """
        self._check_vectors(vectors)
        if vectors.ndim == 1:
            return self._multiply(vectors[:, None])[:, 0]
        return self._multiply(vectors)

    def _check_vectors(self, vectors: Tensor) -> None:
        wanted = self.shape[1]
        if vectors.ndim not in (1, 2) or vectors.shape[0] != wanted:
            raise ShapeError(
                f"kernel @ vectors: expected shape [{wanted}] or [{wanted}, r], got "
                f"{list(vectors.shape)}. A kernel of {self.num_points[1]} points and "
                f"{self.num_outputs} outputs takes their values point by point; see "
                "kernel.stacked(values)."
            )
        if vectors.dtype != self.dtype or vectors.device != self.device:
            raise ShapeError(
                f"kernel @ vectors: expected {self.dtype} on {self.device}, got "
                f"{vectors.dtype} on {vectors.device}. Convert with vectors.to(...)."
            )

    def check_symmetric(self, what: str) -> None:
        """Refuse what needs the same points on both sides.

        Args:
            what: Name of the operation, for the message.

        Raises:
            ShapeError: If they are different.
        """
        if not self.is_symmetric:
            raise ShapeError(
                f"{what}: expected a kernel of one set of points with itself, got one "
                f"of {self.num_points[0]} with {self.num_points[1]} other points. "
                "Leave x2 out."
            )

    @cached_property
    def eigensystem(self) -> Eigensystem:
        """All eigenvalues and eigenvectors, computed once from the dense matrix."""
        self.check_symmetric("kernel.eigensystem")
        return eigensystem_of(self.to_dense())

    @property
    def has_eigensystem(self) -> bool:
        """Whether `eigensystem` was computed already and costs nothing more."""
        return "eigensystem" in self.__dict__


def product(kernel: GramMatrix, vectors: Float[Tensor, "n r"]) -> Float[Tensor, "n r"]:
    """Return a product in float64, whatever the arithmetic of the kernel.

    Recurrences lose their orthogonality and residuals their digits in less.

    Args:
        kernel: A kernel of points with themselves.
        vectors: Columns in float64.

    Raises:
        NumericalError: If a number is not finite.
    """
    image = (kernel @ vectors.to(kernel.dtype)).double()
    check_gradients("kernel @ vectors", image)
    return image


def finite_matrix(kernel: GramMatrix) -> Float[Tensor, "n n"]:
    """Return a kernel's matrix, in which every number is finite.

    Args:
        kernel: A kernel of points with themselves.

    Raises:
        NumericalError: If a number is not finite.
    """
    matrix = kernel.to_dense()
    check_gradients("kernel.to_dense()", matrix)
    return matrix


def columns_of(kernel: GramMatrix, values: Tensor, what: str) -> Float[Tensor, "n r"]:
    """Return a vector or columns, checked, as columns in float64.

    Args:
        kernel: A kernel of points with themselves.
        values: [rows] or [rows, r].
        what: Name of the values, for the message.

    Raises:
        ShapeError: If the kernel is one between different points, or the values do not
            fit, are none or are not finite.
    """
    kernel.check_symmetric(what)
    rows = kernel.shape[0]
    if values.ndim not in (1, 2) or values.shape[0] != rows:
        raise ShapeError(
            f"{what}: expected shape [{rows}] or [{rows}, r], got "
            f"{list(values.shape)}. See kernel.stacked(values)."
        )
    if 0 in values.shape:
        raise ShapeError(
            f"{what}: expected at least one row and one column, got shape "
            f"{list(values.shape)}. A kernel of no points has nothing to multiply."
        )
    if not values.dtype.is_floating_point:
        raise ShapeError(
            f"{what}: expected floating point numbers, got {values.dtype}. Convert "
            "with values.double()."
        )
    check_finite(what, values)
    return values.to(kernel.device, torch.float64).reshape(rows, -1)
