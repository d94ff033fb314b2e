"""Solve with a kernel: Cholesky where it fits, conjugate gradients where it does not.

Nothing is added to the diagonal but the ridge that was asked for. A kernel that is
singular to working precision has no inverse: either the right-hand side lies in its
range, and the shortest solution is returned with a warning, or it is refused.
"""

import math
import warnings
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from scipy.linalg import get_lapack_funcs
from torch import Tensor

from tangrid.errors import NumericalError, NumericalWarning
from tangrid.seeding import generator as seeded
from tangrid.tangent.algebra.conjugate_gradients import check_ridge, conjugate_gradients
from tangrid.tangent.algebra.eigensystem import range_tolerance
from tangrid.tangent.algebra.extreme_eigenvalues import DENSE_LIMIT
from tangrid.tangent.algebra.gram_matrix import (
    GramMatrix,
    columns_of,
    finite_matrix,
    product,
)
from tangrid.tangent.algebra.nystrom import NystromApproximation, pivoted_cholesky

_MAX_RANK = 1000

Method = Literal["cholesky", "eigenvectors", "conjugate gradients"]


@dataclass(frozen=True)
class KernelSolution:
    """Hold the solution of (K + ridge) x = b, and how it was found.

    Attributes:
        solution: x, in the shape of the right-hand side.
        ridge: What was added to the diagonal: what was asked for, nothing else.
        condition: Condition number of K + ridge; infinite where it is singular.
        condition_is: ``exact`` from eigenvalues, ``estimate`` in the 1-norm, or
            ``upper bound``.
        residual: Length of b - (K + ridge) x over that of b, the largest of all
            columns, computed from the x that is returned, in the kernel's dtype.
        num_steps: Products with the kernel; 0 for direct methods.
        method: How it was found.
        rank: Of the kernel plus ridge, where it is singular; of the preconditioner for
            conjugate gradients; else the number of rows.
    """

    solution: Tensor
    ridge: float
    condition: float
    condition_is: Literal["exact", "estimate", "upper bound"]
    residual: float
    num_steps: int
    method: Method
    rank: int


def solve_kernel(
    kernel: GramMatrix,
    rhs: Tensor,
    *,
    ridge: float = 0.0,
    tolerance: float = 1e-8,
    max_steps: int = 1000,
    rank: int | None = None,
    dense_limit: int = DENSE_LIMIT,
    generator: torch.Generator | None = None,
) -> KernelSolution:
    """Solve (K + ridge) x = b and say how well.

    Args:
        kernel: A kernel of points with themselves.
        rhs: b, [rows] or [rows, r].
        ridge: What to add to the diagonal, in units of the kernel.
        tolerance: Relative residual wanted of conjugate gradients.
        max_steps: Products with the kernel after which they give up.
        rank: Rank of their preconditioner; about 2 sqrt(rows) by default.
        dense_limit: Rows up to which the dense matrix is factored.
        generator: Source of the preconditioner's points; seed 0 by default.

    Returns:
        The solution, its condition and residual.

    Raises:
        ConfigError: If the ridge is negative.
        ShapeError: If the right-hand side does not fit, is empty or not finite.
        NumericalError: If the kernel is not finite, or singular and the right-hand side
            outside of its range, conjugate gradients do not converge, or a solution is
            not finite.

    Example:
        >>> from tangrid.tangent.kernels.kernel import DenseKernel
        >>> kernel = DenseKernel(torch.diag(torch.tensor([1.0, 3.0]).double()))
        >>> found = solve_kernel(kernel, torch.ones(2).double(), ridge=1.0)
        >>> found.solution.round(decimals=9).tolist(), found.method
        ([0.5, 0.25], 'cholesky')
    """
    check_ridge("kernel.solve", ridge)
    right = columns_of(kernel, rhs, "kernel.solve(rhs=...)")
    if kernel.has_eigensystem:
        found = _by_eigenvectors(kernel, right, ridge)
    elif kernel.shape[0] <= dense_limit:
        found = _by_cholesky(kernel, right, ridge)
        found = found or _by_eigenvectors(kernel, right, ridge)
    else:
        draw = seeded(0, "preconditioner") if generator is None else generator
        wanted = preconditioner_rank(kernel) if rank is None else rank
        approximation = pivoted_cholesky(kernel, wanted, generator=draw)
        found = _by_iteration(kernel, right, ridge, approximation, tolerance, max_steps)
    returned = found.solution.to(kernel.dtype)
    if not bool(torch.isfinite(returned).all()):
        raise NumericalError(
            f"kernel.solve(ridge={ridge:.4g}): expected a finite solution, got one "
            f"beyond {kernel.dtype}. The kernel is too small for it; scale kernel and "
            "ridge up."
        )
    image = product(kernel, returned.double()) + ridge * returned.double()
    return replace(
        found,
        solution=returned.reshape(rhs.shape),
        residual=_relative(right - image, right),
    )


def preconditioner_rank(kernel: GramMatrix) -> int:
    """Return the rank of a preconditioner where none is asked for: 2 sqrt(rows).

    Args:
        kernel: What is to be solved with.
    """
    wanted = min(_MAX_RANK, math.ceil(2.0 * math.sqrt(kernel.shape[0])))
    return max(wanted, kernel.num_outputs)


def _by_cholesky(
    kernel: GramMatrix, right: Tensor, ridge: float
) -> KernelSolution | None:
    """Return the solution; None if the kernel is too close to singular for it."""
    matrix = finite_matrix(kernel).double()
    if ridge > 0:
        matrix = matrix.clone()
        matrix.diagonal().add_(ridge)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if int(failed):
        return None
    size = float(matrix.abs().sum(0).max())
    # A lower factor by rows is an upper one by columns, as LAPACK reads it.
    (pocon,) = get_lapack_funcs(("pocon",), dtype=np.float64)
    inverse_condition, _ = pocon(factor.cpu().numpy().T, size, uplo="U")
    if inverse_condition <= len(matrix) * torch.finfo(kernel.dtype).eps:
        return None
    solution = torch.cholesky_solve(right, factor)
    return KernelSolution(
        solution=solution,
        ridge=ridge,
        condition=1.0 / float(inverse_condition),
        condition_is="estimate",
        residual=math.nan,  # known once the solution is in its final dtype
        num_steps=0,
        method="cholesky",
        rank=len(matrix),
    )


def _by_eigenvectors(kernel: GramMatrix, right: Tensor, ridge: float) -> KernelSolution:
    system = kernel.eigensystem
    values, vectors = system.values.double() + ridge, system.vectors.double()
    unit = len(values) * torch.finfo(kernel.dtype).eps * float(values[0])
    resolved = values > unit
    rank = int(resolved.sum())
    inner = vectors.T @ right
    if rank < len(values):
        _check_range(inner, resolved, kernel, ridge)
    shares = torch.where(resolved, 1.0 / torch.where(resolved, values, 1.0), 0.0)
    solution = vectors @ (shares[:, None] * inner)
    singular = rank < len(values)
    return KernelSolution(
        solution=solution,
        ridge=ridge,
        condition=math.inf if singular else float(values[0] / values[-1]),
        condition_is="exact",
        residual=math.nan,
        num_steps=0,
        method="eigenvectors",
        rank=rank,
    )


def _check_range(
    inner: Tensor, resolved: Tensor, kernel: GramMatrix, ridge: float
) -> None:
    """Warn of a right-hand side in a singular kernel's range, and refuse others."""
    rows, rank = len(inner), int(resolved.sum())
    lengths = torch.linalg.vector_norm(inner, dim=0)
    lost = torch.linalg.vector_norm(inner[~resolved], dim=0)
    shares = lost / torch.where(lengths > 0, lengths, 1.0)
    worst = int(shares.argmax())
    share, size = float(shares[worst]), float(lost[worst])
    tolerance = range_tolerance(rows, kernel.dtype)
    if share > tolerance:
        mean = float(kernel.diagonal().double().mean())
        advice = (
            f"with a ridge, such as {1e-6 * mean:.3g}, 1e-6 of the mean diagonal."
            if mean > 0
            else "another kernel: this one is zero, so that no field could learn this."
        )
        raise NumericalError(
            f"kernel.solve(ridge={ridge:.4g}): expected a right-hand side in the range "
            f"of the kernel, which has rank {rank} of {rows} to working precision, got "
            f"one of which a part of norm {size:.4g} ({100 * share:.3g} % of it) lies "
            "outside. Repeated points and more points than parameters do this; solve "
            f"{advice}"
        )
    warnings.warn(
        f"kernel.solve: the kernel is singular to working precision (rank {rank} of "
        f"{rows}); the right-hand side lies in its range up to {share:.2g} of its "
        "norm, and the shortest of all solutions is returned.",
        NumericalWarning,
        stacklevel=4,
    )


def _by_iteration(
    kernel: GramMatrix,
    right: Tensor,
    ridge: float,
    approximation: NystromApproximation,
    tolerance: float,
    max_steps: int,
) -> KernelSolution:
    found = conjugate_gradients(
        kernel,
        right,
        ridge=ridge,
        approximation=approximation,
        tolerance=tolerance,
        max_steps=max_steps,
    )
    worst = float(found.residuals.max())
    if not found.converged:
        raise NumericalError(
            f"kernel.solve(ridge={ridge:.4g}): expected a relative residual of "
            f"{tolerance:.1g}, got {worst:.2g} after {found.num_steps} products with a "
            f"preconditioner of rank {found.rank}. Take a larger ridge or rank, allow "
            "more steps, or call conjugate_gradients for the solution so far."
        )
    values = approximation.eigenvalues
    largest = (float(values[0]) if len(values) else 0.0) + approximation.trace_error
    return KernelSolution(
        solution=found.solution,
        ridge=ridge,
        condition=(largest + ridge) / ridge if ridge > 0 else math.inf,
        condition_is="upper bound",
        residual=math.nan,
        num_steps=found.num_steps,
        method="conjugate gradients",
        rank=found.rank,
    )


def _relative(left: Tensor, right: Tensor) -> float:
    lengths = torch.linalg.vector_norm(right, dim=0)
    shares = torch.linalg.vector_norm(left, dim=0) / torch.where(
        lengths > 0, lengths, 1.0
    )
    return float(shares.max()) if len(shares) else 0.0
