r"""Solve with a kernel that fits no memory: preconditioned conjugate gradients.

A Nystroem approximation of the kernel takes the large eigenvalues out of the way: the
preconditioner is :math:`F F^\top + \mu I` on the range of F. Outside of it stands the
mean of what the approximation leaves, :math:`\mu + \operatorname{tr}(K - FF^\top)/n`,
rather than :math:`\mu`: what is left of K spreads around its mean, and a much smaller
number would set the two parts against each other.

From a solution x with residual :math:`r = b - (K + \mu I)x` follows the quadratic form

.. math:: b^\top (K + \mu I)^{-1} b = x^\top(b + r) + r^\top (K + \mu I)^{-1} r

whose last term is between 0 and :math:`\|r\|^2/\mu`: a value with its bounds, whether
the iteration has converged or not.

References:
    Hestenes, Stiefel: Methods of Conjugate Gradients for Solving Linear Systems, 1952.
    Diaz, Epperly, Frangella, Tropp, Webber: Robust, Randomized Preconditioning for
    Kernel Ridge Regression, arXiv 2304.12465.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.tangent.algebra.gram_matrix import GramMatrix, columns_of, product
from tangrid.tangent.algebra.nystrom import NystromApproximation

_ROUNDINGS = 8.0
"""Roundings of the largest eigenvalue that a product with the kernel may be off by."""


@dataclass(frozen=True)
class IterativeSolution:
    """Hold what conjugate gradients found, converged or not.

    Attributes:
        solution: x, one column per right-hand side.
        residuals: Length of b - (K + ridge) x over that of b, computed afresh.
        ridge: What was added to the diagonal.
        rank: Rank of the preconditioner; 0 for none.
        num_steps: Products with the kernel within the iteration.
        converged: Whether every residual is below the tolerance.
    """

    solution: Float[Tensor, "n r"]
    residuals: Float[Tensor, " r"]
    ridge: float
    rank: int
    num_steps: int
    converged: bool


@dataclass(frozen=True)
class QuadraticForm:
    r"""Hold :math:`\sum_j b_j^\top (K + \mu I)^{-1} b_j` between two bounds.

    Attributes:
        lower: It is at least this, up to rounding of the products.
        upper: It is at most this.
        ridge: mu.
        num_steps: Products with the kernel.
        converged: Whether the solver reached its tolerance; the bounds hold anyway.
    """

    lower: float
    upper: float
    ridge: float
    num_steps: int
    converged: bool

    @property
    def value(self) -> float:
        """The middle of the bounds."""
        return (self.lower + self.upper) / 2.0

    @property
    def error(self) -> float:
        """Half the distance of the bounds."""
        return (self.upper - self.lower) / 2.0


def conjugate_gradients(
    kernel: GramMatrix,
    rhs: Float[Tensor, "n r"],
    *,
    ridge: float = 0.0,
    approximation: NystromApproximation | None = None,
    tolerance: float = 1e-8,
    max_steps: int = 1000,
) -> IterativeSolution:
    """Solve (K + ridge) x = b for several columns b with the same products.

    Where K is singular and there is no ridge, b must lie in the range of K; x is then
    one of many solutions, all of which predict the same.

    Args:
        kernel: A kernel of points with themselves.
        rhs: Columns b.
        ridge: What to add to the diagonal, in units of the kernel.
        approximation: Of the same kernel; makes the preconditioner.
        tolerance: Residual wanted, relative to the length of each column.
        max_steps: Products with the kernel to make at most.

    Returns:
        The solution so far, with its residuals: look at ``converged``.

    Raises:
        ConfigError: If the ridge is negative.
        ShapeError: If the columns do not fit or are not finite.
        NumericalError: If a product is not finite.

    Example:
        >>> from tangrid.tangent.kernels.kernel import DenseKernel
        >>> kernel = DenseKernel(torch.diag(torch.tensor([1.0, 3.0]).double()))
        >>> found = conjugate_gradients(kernel, torch.ones(2, 1).double(), ridge=1.0)
        >>> found.solution[:, 0].round(decimals=9).tolist(), found.converged
        ([0.5, 0.25], True)
    """
    check_ridge("conjugate_gradients", ridge)
    right = columns_of(kernel, rhs, "conjugate_gradients(rhs=...)")
    lengths = torch.linalg.vector_norm(right, dim=0)
    goals = tolerance * lengths
    iteration = _Iteration(kernel, ridge, approximation)
    solution, left = torch.zeros_like(right), right
    last = torch.full_like(lengths, math.inf)
    while True:
        sizes = torch.linalg.vector_norm(left, dim=0)
        open_columns = sizes > goals
        # A restart that gains nothing means that rounding is all that is left.
        stuck = bool((sizes[open_columns] > 0.5 * last[open_columns]).all())
        if not open_columns.any() or stuck or iteration.num_steps >= max_steps:
            break
        chosen, last = open_columns.nonzero().flatten(), sizes
        found = iteration.run(left[:, chosen], 0.5 * goals[chosen], max_steps)
        solution[:, chosen] += found
        left = right - iteration.multiply(solution)
    scale = torch.where(lengths > 0, lengths, 1.0)
    return IterativeSolution(
        solution=solution,
        residuals=sizes / scale,
        ridge=ridge,
        rank=0 if approximation is None else approximation.rank,
        num_steps=iteration.num_steps,
        converged=not bool(open_columns.any()),
    )


def quadratic_form(
    kernel: GramMatrix,
    stacked: Float[Tensor, "n r"],
    *,
    ridge: float,
    approximation: NystromApproximation | None = None,
    tolerance: float = 1e-8,
    max_steps: int = 1000,
) -> QuadraticForm:
    r"""Return bounds on :math:`\sum_j b_j^\top (K + \mu I)^{-1} b_j`.

    Args:
        kernel: A kernel of points with themselves.
        stacked: Columns b, such as targets or residuals.
        ridge: mu > 0; without it there is no bound.
        approximation: Of the same kernel; makes the solver's preconditioner.
        tolerance: Residual to solve to, relative to the length of each column.
        max_steps: Products with the kernel to make at most.

    Raises:
        ConfigError: If the ridge is not positive.
        ShapeError: If the columns do not fit or are not finite.
        NumericalError: If a product is not finite.
    """
    if not ridge > 0:
        raise ConfigError(
            f"quadratic_form(ridge={ridge}): expected a positive number: the error is "
            "bounded by one over it. For a kernel that fits memory, and is not "
            "singular, use its eigensystem."
        )
    right = columns_of(kernel, stacked, "quadratic_form(stacked=...)")
    found = conjugate_gradients(
        kernel,
        right,
        ridge=ridge,
        approximation=approximation,
        tolerance=tolerance,
        max_steps=max_steps,
    )
    x = found.solution
    left = right - product(kernel, x) - ridge * x
    if approximation is None:
        largest = float(kernel.diagonal().double().sum())
    else:
        values = approximation.eigenvalues
        largest = (float(values[0]) if len(values) else 0.0) + approximation.trace_error
    eps = torch.finfo(kernel.dtype).eps
    lengths = torch.linalg.vector_norm(x, dim=0)
    slack = _ROUNDINGS * eps * (largest + ridge) * lengths
    middle = (x * (right + left)).sum(0)
    rest = (torch.linalg.vector_norm(left, dim=0) + slack).square() / ridge
    return QuadraticForm(
        lower=float((middle - slack * lengths).clamp(min=0.0).sum()),
        upper=float((middle + slack * lengths + rest).sum()),
        ridge=ridge,
        num_steps=found.num_steps,
        converged=found.converged,
    )


class _Iteration:
    """Run conjugate gradients in lockstep over columns, counting the products."""

    def __init__(
        self,
        kernel: GramMatrix,
        ridge: float,
        approximation: NystromApproximation | None,
    ) -> None:
        self.kernel, self.ridge, self.num_steps = kernel, ridge, 0
        self.approximation, self.rest = approximation, ridge
        if approximation is None or approximation.rank == 0:
            self.approximation = None
            return
        self.rest += approximation.trace_error / kernel.shape[0]
        if ridge == 0.0:
            # Where nothing is left, rounding is: it must not be blown up.
            self.rest = max(self.rest, float(approximation.eigenvalues[-1]))

    def multiply(self, vectors: Tensor) -> Tensor:
        return product(self.kernel, vectors) + self.ridge * vectors

    def precondition(self, vectors: Tensor) -> Tensor:
        if self.approximation is None:
            return vectors
        return self.approximation.solve(vectors, ridge=self.ridge, rest=self.rest)

    def run(self, left: Tensor, goals: Tensor, max_steps: int) -> Tensor:
        """Return what to add to the solution to bring the residuals to the goals."""
        found = torch.zeros_like(left)
        steep = self.precondition(left)
        direction, slope = steep, (left * steep).sum(0)
        active = torch.ones_like(goals, dtype=torch.bool)
        while self.num_steps < max_steps:
            image = torch.zeros_like(left)
            image[:, active] = self.multiply(direction[:, active])
            self.num_steps += 1
            curvature = (direction * image).sum(0)
            # Rounding can leave a direction along which nothing is resolved.
            active = active & (curvature > 0) & (slope > 0)
            pace = torch.where(active, slope / curvature.clamp(min=1e-300), 0.0)
            found = found + pace * direction
            left = left - pace * image
            active = active & (torch.linalg.vector_norm(left, dim=0) > goals)
            if not active.any():
                break
            steep = self.precondition(left)
            following = (left * steep).sum(0)
            share = torch.where(active, following / slope.clamp(min=1e-300), 0.0)
            direction, slope = steep + share * direction, following
        return found


def check_ridge(where: str, ridge: float) -> None:
    """Refuse a ridge that is negative or not finite.

    Args:
        where: Name of the function, for the message.
        ridge: The ridge.

    Raises:
        ConfigError: If it is.
    """
    if not (ridge >= 0 and math.isfinite(ridge)):
        raise ConfigError(
            f"{where}(ridge=...): expected a finite number >= 0, got {ridge}."
        )
