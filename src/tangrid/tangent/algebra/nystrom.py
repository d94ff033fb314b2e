r"""A kernel approximated from some of its columns, with its error known.

From points A, :math:`\hat K = K_{:A} K_{AA}^{+} K_{A:} = F F^\top`. What is left,
:math:`K - \hat K`, is positive semi-definite, so its trace, which the diagonal gives
exactly, bounds the error of every eigenvalue:
:math:`\hat\lambda_i \le \lambda_i \le \hat\lambda_i + \operatorname{tr}(K - \hat K)`.

Which points? Each new one is drawn with the probability of its share in what is left of
the diagonal (randomly pivoted Cholesky). Columns are computed in blocks: candidates are
drawn together and some of them rejected, such that those kept are distributed as if
they had been drawn one after the other.

References:
    Chen, Epperly, Tropp, Webber: Randomly Pivoted Cholesky, arXiv 2207.06503.
    Diaz, Epperly, Frangella, Tropp, Webber: Robust, Randomized Preconditioning for
    Kernel Ridge Regression, arXiv 2304.12465.
    Epperly, Tropp, Webber: Embrace Rejection, arXiv 2410.03969.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tangrid.devices import require_memory
from tangrid.errors import ConfigError, NumericalError
from tangrid.tangent.algebra.gram_matrix import GramMatrix

_CANDIDATES = 64
"""Rows whose columns are computed together."""
_CUT = 1e-12
"""Share of a block's largest eigenvalue below which its directions are dropped."""
_VAIN_ROUNDS = 8


@dataclass(frozen=True)
class NystromApproximation:
    """Hold a kernel's approximation F F^T.

    Attributes:
        factor: F, one column per unit of rank.
        points: Numbers of the points that were chosen, in order.
        trace: Trace of the kernel.
        residual_diagonal: Diagonal of what is left of it.
        num_outputs: Rows per point.
    """

    factor: Float[Tensor, "n k"]
    points: Int64[Tensor, " p"]
    trace: float
    residual_diagonal: Float[Tensor, " n"]
    num_outputs: int

    @property
    def rank(self) -> int:
        """Number of columns of F."""
        return self.factor.shape[1]

    @property
    def trace_error(self) -> float:
        """Trace of what is left; no eigenvalue is further off."""
        return float(self.residual_diagonal.sum())

    @property
    def relative_error(self) -> float:
        """Share of the trace that is left."""
        return self.trace_error / self.trace if self.trace > 0 else 0.0

    @property
    def smallest_at_most(self) -> float:
        """Upper bound on the kernel's smallest eigenvalue."""
        # A diagonal entry of the Schur complement of the chosen points is a Rayleigh
        # quotient of K with a vector of length at least 1.
        others = torch.ones_like(self.residual_diagonal, dtype=torch.bool)
        others.view(-1, self.num_outputs)[self.points] = False
        left = self.residual_diagonal[others]
        if len(left):
            return float(left.min())
        return float(self.eigenvalues[-1]) if self.rank == len(others) else 0.0

    @cached_property
    def _singular(self) -> tuple[Float[Tensor, "n k"], Float[Tensor, " k"]]:
        vectors, values, _ = torch.linalg.svd(self.factor, full_matrices=False)
        return vectors, values

    @property
    def eigenvalues(self) -> Float[Tensor, " k"]:
        """Eigenvalues of F F^T that are not 0, the largest first."""
        return self._singular[1].square()

    @property
    def eigenvectors(self) -> Float[Tensor, "n k"]:
        """Their eigenvectors, one per column."""
        return self._singular[0]

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """Return the product of F F^T with a vector or with columns."""
        return self.factor @ (self.factor.T @ vectors)

    def solve(
        self,
        vectors: Float[Tensor, "n r"],
        *,
        ridge: float,
        rest: float | None = None,
    ) -> Float[Tensor, "n r"]:
        r"""Return :math:`(F F^\top + \mu I)^{-1} b`.

        Args:
            vectors: Columns b.
            ridge: mu > 0.
            rest: What to divide by outside of the range of F, if not by mu.
        """
        basis, values = self._singular
        inner = basis.T @ vectors
        shifted = (values.square() + ridge)[:, None]
        outside = vectors - basis @ inner
        return basis @ (inner / shifted) + outside / (ridge if rest is None else rest)


def pivoted_cholesky(
    kernel: GramMatrix,
    rank: int,
    *,
    generator: torch.Generator,
    tolerance: float = 0.0,
) -> NystromApproximation:
    """Approximate a kernel from columns of points drawn where most of it is left.

    Args:
        kernel: A kernel of points with themselves.
        rank: Columns of the factor at most; a whole number of points is used.
        generator: Source of the choice.
        tolerance: Share of the trace that may be left; ends before ``rank`` is reached.

    Returns:
        The approximation; its error only falls as the rank grows.

    Raises:
        ConfigError: If the rank is below the number of outputs per point.
        ResourceError: If the factor would not fit into memory.
        NumericalError: If the diagonal is not finite or is negative.

    Example:
        >>> from tangrid.seeding import generator
        >>> from tangrid.tangent.kernels.kernel import DenseKernel
        >>> kernel = DenseKernel(torch.ones(5, 5).double())
        >>> found = pivoted_cholesky(kernel, 3, generator=generator(0))
        >>> found.rank, found.trace_error
        (1, 0.0)
    """
    growth = _Growth(kernel, "pivoted_cholesky")
    channels = kernel.num_outputs
    if rank < channels:
        raise ConfigError(
            f"pivoted_cholesky(rank={rank}): expected at least {channels}, the number "
            "of outputs, as points are taken whole."
        )
    at_once = max(1, min(_CANDIDATES, rank // 4) // channels)
    most, vain = min(rank, kernel.shape[0]) // channels, 0
    allowed = max(tolerance, growth.rounding) * growth.trace
    while len(growth.chosen) < most and vain < _VAIN_ROUNDS:
        left = growth.residual.view(-1, channels).sum(1)
        if float(left.sum()) <= allowed:
            break
        drawn = torch.multinomial(
            left.cpu(), at_once, replacement=True, generator=generator
        ).to(kernel.device)
        limits = left[drawn] * torch.rand(
            at_once, generator=generator, dtype=torch.float64
        ).to(kernel.device)
        before = len(growth.chosen)
        growth.add(drawn, limits, most - before)
        vain = vain + 1 if len(growth.chosen) == before else 0
    return growth.result()


def nystrom(kernel: GramMatrix, points: Int64[Tensor, " p"]) -> NystromApproximation:
    """Return the approximation of a kernel from the columns of given points.

    Args:
        kernel: A kernel of points with themselves.
        points: Numbers of different points.

    Raises:
        ConfigError: If a number is no point's, or stands twice.
        ResourceError: If the factor would not fit into memory.
        NumericalError: If the diagonal is not finite or is negative.
    """
    growth = _Growth(kernel, "nystrom")
    rows = kernel.num_points[0]
    fits = len(points) > 0 and int(points.min()) >= 0 and int(points.max()) < rows
    if not fits or len(points.unique()) < len(points):
        raise ConfigError(
            f"nystrom(points=...): expected different numbers from 0 to {rows - 1}, "
            f"got {points.tolist() if len(points) <= 8 else 'others'}."
        )
    growth.add(points.to(kernel.device), None, len(points))
    return growth.result()


class _Growth:
    """The factor while it grows."""

    def __init__(self, kernel: GramMatrix, where: str) -> None:
        kernel.check_symmetric(f"{where}(kernel=...)")
        self.kernel, self.where = kernel, where
        diagonal = kernel.diagonal().double()
        self.rounding = kernel.shape[0] * torch.finfo(kernel.dtype).eps
        least = -self.rounding * float(diagonal.abs().max())
        if not bool(torch.isfinite(diagonal).all()) or float(diagonal.min()) < least:
            raise NumericalError(
                f"{where}: expected a finite diagonal without negative numbers, got "
                f"one from {float(diagonal.min()):.3g} to {float(diagonal.max()):.3g}. "
                "The matrix is no kernel, or the field's gradients overflow."
            )
        self.residual = diagonal.clamp(min=0.0)
        self.trace = float(self.residual.sum())
        self.blocks: list[Tensor] = []
        self.chosen: list[int] = []

    def add(self, drawn: Tensor, limits: Tensor | None, most: int) -> None:
        """Add the points of those drawn of whom more is left than their limits."""
        rows, channels = self.kernel.shape[0], self.kernel.num_outputs
        require_memory(
            8.0 * rows * channels * (len(self.chosen) + 3 * len(drawn)),
            f"{self.where}: a factor of {rows} rows",
            "Ask for a smaller rank.",
        )
        places = drawn[:, None] * channels + torch.arange(channels, device=drawn.device)
        columns = self.kernel.columns(drawn).double()
        for block in self.blocks:
            columns -= block @ block[places.flatten()].T
        inner = columns[places.flatten()]
        inner = (inner + inner.T) / 2.0
        kept = range(len(drawn)) if limits is None else _accepted(inner, limits, most)
        if not kept:
            return
        chosen = torch.tensor(list(kept), device=drawn.device)
        wanted = torch.arange(len(inner), device=drawn.device).view(-1, channels)
        wanted = wanted[chosen].flatten()
        block = _factor(columns[:, wanted], inner[wanted][:, wanted])
        self.blocks.append(block)
        self.residual = (self.residual - block.square().sum(1)).clamp(min=0.0)
        self.residual[places[chosen].flatten()] = 0.0
        self.chosen += drawn[chosen].tolist()

    def result(self) -> NystromApproximation:
        factor = (
            torch.cat(self.blocks, dim=1)
            if self.blocks
            else self.residual.new_zeros(len(self.residual), 0)
        )
        return NystromApproximation(
            factor=factor,
            points=torch.tensor(
                self.chosen, dtype=torch.int64, device=self.kernel.device
            ),
            trace=self.trace,
            residual_diagonal=self.residual,
            num_outputs=self.kernel.num_outputs,
        )


def _accepted(inner: Tensor, limits: Tensor, most: int) -> list[int]:
    """Return which candidates have more left than their limit, in their order."""
    count = len(limits)
    channels = len(inner) // count
    left, kept = inner.clone(), []
    for number in range(count):
        own = slice(number * channels, (number + 1) * channels)
        if len(kept) == most:
            break
        if float(left[own, own].diagonal().sum()) <= float(limits[number]):
            continue
        taken = _factor(left[:, own], left[own, own])
        if taken.shape[1] == 0:
            continue
        kept.append(number)
        left = left - taken @ taken.T
    return kept


def _factor(columns: Tensor, inner: Tensor) -> Tensor:
    """Return G with G G^T = columns inner^+ columns^T."""
    values, vectors = torch.linalg.eigh(inner)
    kept = values > _CUT * values[-1].clamp(min=torch.finfo(values.dtype).tiny)
    return columns @ (vectors[:, kept] / values[kept].sqrt())
