r"""Ridge regression on a sparse design: conjugate gradients around a direct solver.

.. math:: J(w) = |y - A w|^2 + \mu |w|^2

The levels of a pyramid say smooth things several times over, which spreads the
eigenvalues of :math:`H = A^\top A + \mu` from mu to the squared length of the coarsest
columns, and no diagonal scaling gathers them: it spreads the directions that change
nothing but the ridge instead. So the coarse columns c are eliminated. Their Gram
matrix, :math:`H_{cc}`, is factorised, every direction p of the fine columns is followed
by :math:`t = -H_{cc}^{-1} A_c^\top A_f p`, and the coarse gradient stays zero. What is
left, the Schur complement, lies between mu and the length of the fine columns.

The iteration is CGLS: it keeps y - A w and not the normal equations, runs in float32 on
all right-hand sides at once, and starts anew from gradients that are computed in
float64 until those are as small as asked for. Where float32 gets no further, it goes on
in float64, which takes twice as long.

References:
    Hestenes, Stiefel 1952; Bjoerck 1996, Numerical Methods for Least Squares Problems,
    section 7.4; Griebel 1994, on levels as one semidefinite system.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csc_matrix, identity
from scipy.sparse.linalg import SuperLU, splu
from torch import Tensor

from tangrid.linear.sparse_design import SplitDesign

_SAFETY = 0.5
"""Share of the wanted gradient that float32 is asked for: rounding adds to it."""

_REACH = {torch.float32: 1e-5, torch.float64: 1e-10}
"""Share of its first gradient that is asked for in one go."""
_PATIENCE = 100
"""Iterations without a shorter gradient after which rounding is all that is left."""

_NEWS = 0.01
"""Share of the gradient at the start that no solution leaves: a start from another
ridge's weights differs by what the ridge changes, which may be less than tolerances."""

Watch = Callable[[int, float], None]
"""Is told after every iteration its number and the mean squared error of the values."""


@dataclass(frozen=True)
class Minimum:
    """What the iteration found for one ridge.

    Attributes:
        weights: One column per right-hand side, [p, k], in float64.
        gradient: Length of A^T (y - A w) - mu w over that of A^T y, all columns that
            count taken as one, in float64.
        iterations: Products with A^T A.
    """

    weights: Tensor
    gradient: float
    iterations: int


class RidgeIteration:
    """Solve for any ridge on one design and one set of right-hand sides.

    Args:
        design: The design matrix.
        targets: Right-hand sides, [n, k], in float32.
        counted: How many of the columns, the first ones, must meet the tolerance.
    """

    def __init__(self, design: SplitDesign, targets: Tensor, counted: int) -> None:
        self.design = design
        self.targets = targets
        self.counted = counted
        self._squares = design.fine.column_squares()
        self._pulled = design.whole.transpose(targets.double())
        self._length = float(self._pulled[:, :counted].norm())
        self._factor: tuple[float, SuperLU] | None = None

    def gradient(self, weights: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
        """Return y - A w and A^T (y - A w) - mu w, in float64.

        Args:
            weights: One column per right-hand side, [p, k].
            ridge: mu.
        """
        left = self.targets.double() - self.design.whole.apply(weights)
        return left, self.design.whole.transpose(left) - ridge * weights

    def relative(self, gradient: Tensor) -> float:
        """Return the length of a gradient over that of A^T y, of what counts.

        Args:
            gradient: One column per right-hand side.
        """
        return share_of(float(gradient[:, : self.counted].norm()), self._length)

    def solve(
        self,
        ridge: float,
        tolerance: float,
        *,
        start: Tensor | None = None,
        most: int = 1000,
        watch: Watch | None = None,
    ) -> Minimum:
        """Return the weights that minimise J.

        However close to the optimum they start, a hundredth of that is aimed at.

        Args:
            ridge: mu, above 0.
            tolerance: Wanted length of the gradient over that of A^T y.
            start: Weights to start from; 0 by default.
            most: Iterations after which it stops as it is.
            watch: Is told how it goes.
        """
        weights = torch.zeros_like(self._pulled) if start is None else start.clone()
        iterations, before, dtype = 0, np.inf, torch.float32
        wanted: float | None = None
        while True:
            left, gradient = self.gradient(weights, ridge)
            relative = self.relative(gradient)
            if not np.isfinite(relative):
                break
            if wanted is None:
                wanted = min(tolerance, _NEWS * relative)
            if relative > before / 2:
                # A restart that gains nothing means that rounding is all that is left.
                if dtype == torch.float64:
                    break
                dtype = torch.float64
            if relative <= wanted or iterations >= most:
                break
            before = relative
            run = _Descent(self, ridge, left, gradient, weights, dtype)
            goal = _SAFETY * wanted * self._length
            iterations += run.advance(goal, most - iterations, iterations, watch)
            weights += run.change
        return Minimum(weights, relative, iterations)

    def solve_coarse(self, values: Tensor, ridge: float) -> Tensor:
        """Return H_cc^{-1} v in float64.

        Args:
            values: One column per right-hand side.
            ridge: mu.
        """
        if not len(values):
            return values.double()
        if self._factor is None or self._factor[0] != ridge:
            self._factor = ridge, _factorised(self.design.coarse_gram, ridge)
        return torch.from_numpy(self._factor[1].solve(values.double().numpy()))

    def scaling(self, ridge: float) -> Tensor:
        """Return the diagonal preconditioner of the fine columns, [p_f, 1].

        Roots are the middle between columns of one length, which suit what only the
        ridge tells apart, and scaled ones, which suit what the points tell apart.

        Args:
            ridge: mu.
        """
        return (self._squares + ridge).rsqrt()[:, None]


def share_of(length: float, whole: float) -> float:
    """Return a gradient's length over that at weights of 0, itself where that is 0.

    Args:
        length: What is left.
        whole: What there was at weights of 0.
    """
    return length / whole if whole else length


def _factorised(gram: csc_matrix, ridge: float) -> SuperLU:
    size = len(gram.indptr) - 1
    return splu(
        (gram + ridge * identity(size, format="csc")).tocsc(),
        # A positive definite matrix needs no pivots.
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )


class _Descent:
    """Conjugate directions from one point on, in float32.

    Args:
        problem: Design and factors.
        ridge: mu.
        left: y - A w where it starts.
        gradient: A^T (y - A w) - mu w there.
        weights: w there.
        dtype: Of everything but the coarse columns.
    """

    def __init__(
        self,
        problem: RidgeIteration,
        ridge: float,
        left: Tensor,
        gradient: Tensor,
        weights: Tensor,
        dtype: torch.dtype,
    ) -> None:
        self._problem, self._ridge, self._dtype = problem, ridge, dtype
        self._coarse, self._fine = problem.design.coarse, problem.design.fine
        cut = self._cut = self._coarse.num_columns
        self._base = (ridge * weights[cut:]).to(dtype)
        # First the coarse columns take out of the gradient what is theirs.
        self._t = problem.solve_coarse(gradient[:cut], ridge)
        moved = self._coarse.apply(self._t) if cut else torch.zeros_like(left)
        self._left = (left - moved).to(dtype)
        self._x = torch.zeros_like(self._base)

    @property
    def change(self) -> Tensor:
        """What the weights are to be changed by, in float64."""
        return torch.cat((self._t, self._x.double()))

    def advance(self, goal: float, most: int, before: int, watch: Watch | None) -> int:
        """Go on until the gradient is short enough.

        Args:
            goal: Its wanted length, over all columns that count.
            most: Iterations to take at most.
            before: Those that were taken before, for the watcher.
            watch: Is told how it goes.

        Returns:
            The number of iterations.
        """
        if not self._fine.num_columns:
            return 0
        scaling = self._problem.scaling(self._ridge).to(self._dtype)
        gradient = self._gradient()
        steep = scaling * gradient
        direction, slope = steep, _dots(gradient, steep)
        least, waited = self._length(gradient), 0
        goal = max(goal, _REACH[self._dtype] * least)
        for number in range(most):
            length = self._length(gradient)
            waited = 0 if length < least else waited + 1
            least = min(length, least)
            if length <= goal or waited > _PATIENCE:
                return number
            self._step(direction, gradient)
            gradient = self._gradient()
            steep = scaling * gradient
            following = _dots(gradient, steep)
            share = torch.where(slope > 0, following / slope.clamp(min=1e-300), 0.0)
            direction = torch.addcmul(steep, direction, share.to(self._dtype))
            slope = following
            if watch is not None:
                left = self._left[:, : self._problem.counted]
                watch(before + number + 1, _square(left) / left.numel())
        return most

    def _length(self, gradient: Tensor) -> float:
        return float(gradient[:, : self._problem.counted].norm())

    def _gradient(self) -> Tensor:
        gradient = self._fine.transpose(self._left)
        return gradient.sub_(self._base).sub_(self._x, alpha=self._ridge)

    def _step(self, direction: Tensor, gradient: Tensor) -> None:
        # Not the slope of exact arithmetic: the least along a line never grows.
        slope = _dots(gradient, direction)
        image = self._fine.apply(direction)
        follows = torch.zeros_like(self._t)
        energy = _squares(direction)
        if self._cut:
            pulled = self._coarse.transpose(image)
            follows = self._problem.solve_coarse(pulled, self._ridge)
            image -= self._coarse.apply(follows.to(self._dtype))
            energy = energy + follows.square().sum(0)
        curvature = _squares(image) + self._ridge * energy
        pace = torch.where(curvature > 0, slope / curvature.clamp(min=1e-300), 0.0)
        self._x.addcmul_(direction, pace.to(self._dtype))
        self._left.addcmul_(image, -pace.to(self._dtype))
        self._t -= pace * follows


def _squares(columns: Tensor) -> Tensor:
    return torch.linalg.vector_norm(columns, dim=0, dtype=torch.float64).square()


def _square(columns: Tensor) -> float:
    return float(_squares(columns).sum())


def _dots(first: Tensor, second: Tensor) -> Tensor:
    return (first.double() * second).sum(0)
