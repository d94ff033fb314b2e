r"""Ridge regression with a kernel as a smoother, three ways, and how well it would do.

Outputs on the points are :math:`H_\mu y` with :math:`H_\mu = K (K + \mu)^{-1}`, and
generalised cross-validation estimates the mean squared error elsewhere,

.. math:: V(\mu) = \frac{\|(1 - H_\mu) y\|^2 / n}{(1 - \operatorname{tr} H_\mu / n)^2}.

From eigenvalues it is exact for every ridge. Conjugate gradients solve for y and, with
the same products, for random signs z, whose :math:`z^\top (K+\mu)^{-1} z` estimate the
trace (Hutchinson); the preconditioner, whose own trace is known, takes most of the
spread out. The third smoother fits by the columns of some points A alone (a subset of
regressors): :math:`\min_\alpha \|y - K_{:A}\alpha\|^2 + \mu\,\alpha^\top K_{AA}\alpha`,
which is ridge regression on the factor F of the Nystroem approximation
:math:`F F^\top`, solved from its singular values, without normal equations.

References:
    Craven and Wahba 1979, "Smoothing noisy data with spline functions"; Hutchinson
    1990, "A stochastic estimator of the trace of the influence matrix for Laplacian
    smoothing splines"; Rasmussen and Williams 2006, "Gaussian Processes for Machine
    Learning", section 8.3.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tangrid.errors import ConfigError, NumericalError
from tangrid.notation import Values
from tangrid.tangent.algebra.conjugate_gradients import conjugate_gradients
from tangrid.tangent.algebra.gram_matrix import product
from tangrid.tangent.algebra.nystrom import NystromApproximation
from tangrid.tangent.dynamics.descent import GradientFlow
from tangrid.tangent.dynamics.regression import KernelRegression
from tangrid.tangent.kernels.kernel import TangentKernel

_FEWEST_PROBES = 2
"""With one there is no spread."""


@dataclass(frozen=True)
class RidgeScore:
    """Hold how well a ridge would do, by generalised cross-validation.

    Attributes:
        ridge: What is added to the diagonal.
        error: Estimated mean squared error elsewhere.
        standard_error: How far chance may have moved the estimate; 0 where it is exact.
        dimension: Effective number of parameters, the trace of H.
        residual: Largest relative residual of what was solved for it; 0 where nothing
            was iterated.
    """

    ridge: float
    error: float
    standard_error: float
    dimension: float
    residual: float = 0.0


@dataclass(frozen=True, eq=False)
class Smoothed:
    """Hold a fit: weights of points, and what it says of the training points.

    Attributes:
        weights: What the kernel with `support` is multiplied by.
        support: Numbers of the points that have weights; None for all.
        outputs: What it says on all points, in columns as the targets.
        residual: Of the equations of the weights, computed with the kernel from the
            weights returned, over their right-hand side; the largest of all columns.
        leave_one_out: Error at each point of the fit to all others; None where it is
            not known.
    """

    weights: Float[Tensor, "m r"]
    support: Int64[Tensor, " p"] | None
    outputs: Float[Tensor, "rows r"]
    residual: float
    leave_one_out: Values | None


class Smoother(ABC):
    """Fit columns with a kernel and any ridge.

    Attributes:
        kernel: Kernel of the points with themselves.
        columns: What is fitted, stacked as the kernel takes it.
        num_products: Products with the kernel so far.
        least_ridge: Below it nothing can be told.
    """

    def __init__(self, kernel: TangentKernel, residuals: Values) -> None:
        self.kernel = kernel
        self.columns = kernel.stacked(residuals).double()
        self.num_products = 0
        self.least_ridge = 0.0

    @abstractmethod
    def score(self, ridge: float) -> RidgeScore:
        """Return generalised cross-validation at a ridge.

        Args:
            ridge: What is added to the diagonal.

        Raises:
            NumericalError: If it cannot be told.
        """

    @abstractmethod
    def fit(self, ridge: float) -> Smoothed:
        """Return the fit at a ridge.

        Args:
            ridge: What is added to the diagonal.

        Raises:
            NumericalError: If there is none.
        """

    def _of_equations(self, weights: Tensor, ridge: float) -> tuple[Tensor, float]:
        """Return outputs, and the residual of (K + ridge) w = y."""
        outputs = product(self.kernel, weights)
        left = self.columns - outputs - ridge * weights
        return outputs, _relative(left, self.columns)


class EigenSmoother(Smoother):
    """Smooth by all eigenvalues: exact, leave-one-out errors included.

    Args:
        kernel: Kernel of the points with themselves.
        residuals: What is fitted.
    """

    def __init__(self, kernel: TangentKernel, residuals: Values) -> None:
        super().__init__(kernel, residuals)
        self._residuals = residuals
        self._modes = KernelRegression(kernel, residuals)
        # The regression is with the mean of the channels where the kernel has the sum.
        self._shared = self._modes.modes.num_shared
        self.least_ridge = 2.0 * kernel.eigensystem.resolution

    def score(self, ridge: float) -> RidgeScore:
        """Return generalised cross-validation at a ridge, exactly.

        Args:
            ridge: What is added to the diagonal.
        """
        values = self._modes.modes.values
        own = ridge / self._shared
        return RidgeScore(
            ridge=ridge,
            error=self._modes.generalised_cross_validation(own),
            standard_error=0.0,
            dimension=float((values / (values + own)).sum()),
        )

    def fit(self, ridge: float) -> Smoothed:
        """Return the fit at a ridge.

        Args:
            ridge: What is added to the diagonal.
        """
        own = ridge / self._shared
        descent = GradientFlow(1.0, ridge=own)
        limit = KernelRegression(self.kernel, self._residuals, descent=descent)
        weights = limit.weights(math.inf)[0] / self._shared
        weights = self.kernel.stacked(weights).double()
        outputs, residual = self._of_equations(weights, ridge)
        return Smoothed(weights, None, outputs, residual, limit.leave_one_out())


class IterativeSmoother(Smoother):
    """Smooth by preconditioned conjugate gradients.

    Args:
        kernel: Kernel of the points with themselves.
        residuals: What is fitted.
        approximation: Of the kernel; preconditions, and steadies the trace.
        generator: Source of the random signs.
        num_probes: Columns of them.
        tolerance: Relative residual to solve to.
        max_steps: Products per ridge at most.

    Raises:
        ConfigError: If there are fewer than two probes.
    """

    def __init__(
        self,
        kernel: TangentKernel,
        residuals: Values,
        approximation: NystromApproximation,
        *,
        generator: torch.Generator,
        num_probes: int,
        tolerance: float,
        max_steps: int,
    ) -> None:
        super().__init__(kernel, residuals)
        if num_probes < _FEWEST_PROBES:
            raise ConfigError(
                f"kernel_regression(num_probes={num_probes}): expected at least "
                f"{_FEWEST_PROBES}, whose spread is the error of the estimate."
            )
        signs = torch.randint(0, 2, (kernel.shape[0], num_probes), generator=generator)
        self._probes = (2.0 * signs - 1.0).to(self.columns)
        self._approximation = approximation
        self._tolerance, self._max_steps = tolerance, max_steps
        self._solutions: dict[float, Tensor] = {}

    def score(self, ridge: float) -> RidgeScore:
        """Return an estimate of generalised cross-validation at a ridge.

        Args:
            ridge: What is added to the diagonal.

        Raises:
            NumericalError: If the iteration does not converge.
        """
        found = conjugate_gradients(
            self.kernel,
            torch.cat((self.columns, self._probes), dim=1),
            ridge=ridge,
            approximation=self._approximation,
            tolerance=self._tolerance,
            max_steps=self._max_steps,
        )
        self.num_products += found.num_steps
        worst = float(found.residuals.max())
        if not found.converged:
            raise NumericalError(
                f"kernel_regression(ridge={ridge:.4g}): expected a relative residual "
                f"of {self._tolerance:.1g}, got {worst:.2g} after {found.num_steps} "
                "products. Take a larger ridge or rank, or allow more max_steps."
            )
        weights = found.solution[:, : self.columns.shape[1]]
        self._solutions = {ridge: weights}
        trace, spread = self._trace(found.solution[:, weights.shape[1] :], ridge)
        rows = len(weights)
        error = float(weights.square().mean()) / (trace / rows) ** 2
        return RidgeScore(
            ridge=ridge,
            error=error,
            standard_error=2.0 * error * spread / trace,
            dimension=rows - ridge * trace,
            residual=worst,
        )

    def fit(self, ridge: float) -> Smoothed:
        """Return the fit at a ridge.

        Args:
            ridge: What is added to the diagonal.
        """
        if ridge not in self._solutions:
            self.score(ridge)
        weights = self._solutions[ridge]
        outputs, residual = self._of_equations(weights, ridge)
        self.num_products += 1
        return Smoothed(weights, None, outputs, residual, None)

    def _trace(self, solutions: Tensor, ridge: float) -> tuple[float, float]:
        """Return the trace of (K + ridge)^-1, and its standard error."""
        near = self._approximation
        rest = ridge + near.trace_error / len(solutions)
        known = float((1.0 / (near.eigenvalues + ridge)).sum())
        known += (len(solutions) - near.rank) / rest
        own = near.solve(self._probes, ridge=ridge, rest=rest)
        differences = (self._probes * (solutions - own)).sum(0)
        spread = float(differences.std()) / len(differences) ** 0.5
        return known + float(differences.mean()), spread


class SubsetSmoother(Smoother):
    """Smooth by the columns of some points.

    Its cross-validation is exact for these columns as they are: those that were
    chosen would stay if a point were left out.

    Args:
        kernel: Kernel of the points with themselves.
        residuals: What is fitted.
        approximation: Of the kernel, from the columns of these points.
    """

    def __init__(
        self,
        kernel: TangentKernel,
        residuals: Values,
        approximation: NystromApproximation,
    ) -> None:
        super().__init__(kernel, residuals)
        self._near = approximation

    @cached_property
    def _inner(self) -> Float[Tensor, "k r"]:
        return self._near.eigenvectors.T @ self.columns

    @cached_property
    def _outside(self) -> float:
        """Squares of what no combination of the columns fits."""
        return float((self.columns - self._near.eigenvectors @ self._inner).norm() ** 2)

    def score(self, ridge: float) -> RidgeScore:
        """Return generalised cross-validation at a ridge, exactly.

        Args:
            ridge: What is added to the diagonal.
        """
        values, (rows, width) = self._near.eigenvalues, self.columns.shape
        damped = ridge / (values + ridge)
        squares = float((damped[:, None] * self._inner).norm() ** 2) + self._outside
        dimension = float((1.0 - damped).sum())
        left = 1.0 - dimension / rows
        return RidgeScore(ridge, squares / rows / width / left**2, 0.0, dimension)

    def fit(self, ridge: float) -> Smoothed:
        """Return the fit at a ridge.

        Args:
            ridge: What is added to the diagonal.
        """
        near, channels = self._near, self.kernel.num_outputs
        gains = 1.0 / (near.eigenvalues + ridge)
        # F^T U (S^2 + mu)^-1 U^T y: nothing is divided by a small singular value.
        spread = near.eigenvectors @ (gains[:, None] * self._inner)
        amplitudes = near.factor.T @ spread
        own = torch.arange(channels, device=near.points.device)
        places = (near.points[:, None] * channels + own).flatten()
        # K_:A = F F_A^T, so that weights of A are those with F_A^T w = amplitudes.
        weights = torch.linalg.lstsq(
            near.factor[places].T.cpu(), amplitudes.cpu(), driver="gelsd"
        ).solution.to(amplitudes.device)
        everywhere = torch.zeros_like(self.columns)
        everywhere[places] = weights
        outputs = product(self.kernel, everywhere)
        both = torch.cat((self.columns - outputs, self.columns), dim=1)
        pulled = product(self.kernel, both)[places]
        self.num_products += 2
        left, right = pulled.chunk(2, dim=1)
        residual = _relative(left - ridge * outputs[places], right)
        return Smoothed(
            weights, near.points, outputs, residual, self._leave_one_out(ridge)
        )

    def _leave_one_out(self, ridge: float) -> Values:
        near, channels = self._near, self.kernel.num_outputs
        shares = near.eigenvalues / (near.eigenvalues + ridge)
        left = self.columns - near.eigenvectors @ (shares[:, None] * self._inner)
        if channels == 1:
            return left / (1.0 - near.eigenvectors.square() @ shares)[:, None]
        by_point = near.eigenvectors.reshape(-1, channels, len(shares))
        blocks = (by_point * shares) @ by_point.mT
        identity = torch.eye(channels).to(blocks)
        return torch.linalg.solve(identity - blocks, left.reshape(-1, channels))


def _relative(left: Tensor, right: Tensor) -> float:
    lengths = torch.linalg.vector_norm(right, dim=0)
    scale = torch.where(lengths > 0, lengths, 1.0)
    return float((torch.linalg.vector_norm(left, dim=0) / scale).max())
