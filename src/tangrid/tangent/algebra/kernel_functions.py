r"""Functions of a kernel times vectors, without its eigenvectors.

What gradient descent leaves of a residual after t steps is :math:`(I - \eta K)^t r`,
and gradient flow leaves :math:`e^{-tK} r`. One Krylov space serves all t. Both come
with a bound on their error from the residual of the differential (difference) equation
that they solve: K only ever shrinks an error that was made. To it is added what a
rounding of the kernel's entries does, :math:`f(K) - f(K - \epsilon\lambda_1)`.

Descent shrinks errors at stable rates alone, and its columns may hardly see the largest
eigenvalue. So one random column more is multiplied, and the largest Ritz value of its
space is held against the rate: once its residual is small, or once so many products
were made that by a random start it would hardly ever lie so low.

References:
    Botchev, Grimm, Hochbruck: Residual, Restarting, and Richardson Iteration for the
    Matrix Exponential, SIAM J. Sci. Comput. 35, 2013.
    Kuczynski, Wozniakowski: Estimating the Largest Eigenvalue by the Power and Lanczos
    Algorithms with a Random Start, SIAM J. Matrix Anal. Appl. 13, 1992.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.errors import ConfigError, NumericalError
from tangrid.seeding import generator as seeded
from tangrid.tangent.algebra.gram_matrix import GramMatrix, columns_of
from tangrid.tangent.algebra.krylov import KrylovSpace, LanczosProcess, SpectralFunction

_STEPS_AT_ONCE = 10
_NODES_PER_DECADE = 40
_ROUNDINGS = 8.0
"""Roundings of the largest eigenvalue that every eigenvalue may be off by."""
_SMALL_RESIDUAL = 1e-2
_FAILURES = 1e-6
"""How often a random start may be too unlucky for the bound on the eigenvalue."""


@dataclass(frozen=True)
class FunctionOfKernel:
    """Hold f(K) b for several functions and columns.

    Attributes:
        values: By function, [t, n, r].
        errors: How far off they are at most in length, relative to the length of b,
            [t, r], rounding included: a bound for `exponential` and, at stable rates,
            for `descent_powers`; an estimate for `apply_function`.
        num_steps: Products with the kernel that were made.
        converged: Whether what more products could change is below the tolerance, and
            a rate was found to be stable.
    """

    values: Float[Tensor, "t n r"]
    errors: Float[Tensor, "t r"]
    num_steps: int
    converged: bool


def exponential(
    kernel: GramMatrix,
    stacked: Float[Tensor, "n r"],
    times: Sequence[float],
    *,
    tolerance: float = 1e-10,
    max_steps: int = 300,
) -> FunctionOfKernel:
    r"""Return :math:`e^{-tK} b`, what gradient flow leaves of a residual.

    Args:
        kernel: A kernel of points with themselves.
        stacked: Columns b, as `kernel.stacked` makes them.
        times: Times t >= 0, in units of one over an eigenvalue: step times rate.
        tolerance: Error wanted, relative to the length of b.
        max_steps: Products to make at most; look at ``converged`` afterwards.

    Raises:
        ConfigError: If a time is negative or not finite, or ``max_steps`` below 1.
        ShapeError: If the columns do not fit.

    Example:
        >>> from tangrid.tangent.kernels.kernel import DenseKernel
        >>> kernel = DenseKernel(torch.diag(torch.tensor([1.0, 2.0]).double()))
        >>> left = exponential(kernel, torch.ones(2, 1).double(), [0.0, math.log(2.0)])
        >>> left.values[:, :, 0].round(decimals=9).tolist()
        [[1.0, 1.0], [0.5, 0.25]]
    """
    _check_times("exponential(times=...)", times)
    moments = torch.tensor(times, dtype=torch.float64, device=kernel.device)

    def function(values: Tensor) -> Tensor:
        return torch.exp(-moments[:, None] * values)

    def error(space: KrylovSpace) -> Tensor:
        nodes = _grid(float(moments.max()), 1e-6 * float(moments.max()), moments)
        left = space.last_coefficients(lambda v: torch.exp(-nodes[:, None] * v))
        return _accumulated(nodes, left.abs() * space.next_coupling, moments)

    return _grown(kernel, stacked, function, error, tolerance, max_steps)


def descent_powers(
    kernel: GramMatrix,
    stacked: Float[Tensor, "n r"],
    steps: Sequence[int],
    *,
    rate: float,
    tolerance: float = 1e-10,
    max_steps: int = 300,
) -> FunctionOfKernel:
    r"""Return :math:`(I - \eta K)^t b`, what gradient descent leaves of a residual.

    Args:
        kernel: A kernel of points with themselves.
        stacked: Columns b, as `kernel.stacked` makes them.
        steps: Numbers of steps t >= 0.
        rate: Learning rate for half the sum of squared residuals.
        tolerance: Error wanted, relative to the length of b.
        max_steps: Products to make at most; look at ``converged`` afterwards.

    Raises:
        ConfigError: If a number of steps is negative, the rate not positive, or
            ``max_steps`` below 1.
        ShapeError: If the columns do not fit.
        NumericalError: If the rate is beyond 2 / lambda_max, where descent diverges.
    """
    _check_times("descent_powers(steps=...)", steps)
    if not (rate > 0 and math.isfinite(rate)):
        raise ConfigError(
            f"descent_powers(rate=...): expected a positive rate, got {rate}."
        )
    moments = torch.tensor(steps, dtype=torch.float64, device=kernel.device)

    def function(values: Tensor) -> Tensor:
        return whole_powers(1.0 - rate * values, moments)

    def error(space: KrylovSpace) -> Tensor:
        nodes = _grid(float(moments.max()), 1.0, moments).round().unique()
        left = space.last_coefficients(lambda v: whole_powers(1.0 - rate * v, nodes))
        return _accumulated(nodes, rate * left.abs() * space.next_coupling, moments)

    return _grown(kernel, stacked, function, error, tolerance, max_steps, rate)


def apply_function(
    kernel: GramMatrix,
    stacked: Float[Tensor, "n r"],
    function: SpectralFunction,
    *,
    tolerance: float = 1e-10,
    max_steps: int = 300,
) -> FunctionOfKernel:
    """Return f(K) b for any functions of the eigenvalues.

    The error is estimated by how much the last quarter of the products changed.

    Args:
        kernel: A kernel of points with themselves.
        stacked: Columns b, as `kernel.stacked` makes them.
        function: Maps eigenvalues [m] to [t, m], or to [m] for a single function.
        tolerance: Error wanted, relative to the length of b.
        max_steps: Products to make at most; look at ``converged`` afterwards.

    Raises:
        ConfigError: If ``max_steps`` is below 1.
        ShapeError: If the columns do not fit.
    """

    def error(space: KrylovSpace) -> Tensor:
        now = space.coefficients(function)
        fewer = len(space) * 3 // 4
        if fewer == 0:
            return torch.full_like(now[0], math.inf)
        change = now.clone()
        change[:fewer] -= space.truncated(fewer).coefficients(function)
        return torch.linalg.vector_norm(change, dim=0)

    return _grown(kernel, stacked, function, error, tolerance, max_steps)


def whole_powers(bases: Float[Tensor, " m"], steps: Float[Tensor, " t"]) -> Tensor:
    """Return whole powers of numbers of any sign, [t, m].

    Args:
        bases: The numbers.
        steps: Whole numbers >= 0.
    """
    odd = torch.remainder(steps, 2.0)[:, None] == 1.0
    size = torch.exp(steps[:, None] * torch.log(bases.abs()))
    size = torch.where(steps[:, None] == 0.0, 1.0, size)
    return torch.where(odd & (bases < 0), -size, size)


def _grown(
    kernel: GramMatrix,
    stacked: Tensor,
    function: SpectralFunction,
    error: Callable[[KrylovSpace], Tensor],
    tolerance: float,
    max_steps: int,
    rate: float | None = None,
) -> FunctionOfKernel:
    """Return f(K) b from spaces grown until the errors of all columns are small."""
    if max_steps < 1:
        raise ConfigError(
            f"max_steps: expected at least 1 product with the kernel, got {max_steps}."
        )
    starts = columns_of(kernel, stacked, "lanczos(starts=...)")
    if rate is not None:
        draw = seeded(0, "largest eigenvalue")
        witness = torch.randn(len(starts), 1, generator=draw, dtype=torch.float64)
        starts = torch.cat([starts, witness.to(starts.device)], dim=1)
    process, is_stable = LanczosProcess(kernel, starts), True
    eps = torch.finfo(kernel.dtype).eps
    while True:
        at_once = max(_STEPS_AT_ONCE, process.num_steps // 4)
        process.advance(min(at_once, max_steps - process.num_steps))
        spaces = process.spaces()
        if rate is not None:
            *spaces, witnessed = spaces
            is_stable = _is_stable(witnessed, spaces, rate, eps)
        missing = torch.stack([_missing(error, space, function) for space in spaces], 1)
        converged = is_stable and bool((missing <= tolerance).all())
        if converged or process.is_exhausted or process.num_steps >= max_steps:
            break
    values = torch.stack([_applied(space, function) for space in spaces], dim=2)
    rounding = torch.stack([_rounding(space, function, eps) for space in spaces], 1)
    return FunctionOfKernel(
        values=values.transpose(0, 1),
        errors=missing + rounding,
        num_steps=process.num_steps,
        converged=converged,
    )


def _applied(space: KrylovSpace, function: SpectralFunction) -> Tensor:
    if space.start_norm == 0:
        count = len(torch.atleast_2d(function(space.diagonal)))
        return space.basis.new_zeros(space.basis.shape[0], count)
    return space.apply(function)


def _missing(
    error: Callable[[KrylovSpace], Tensor],
    space: KrylovSpace,
    function: SpectralFunction,
) -> Tensor:
    if space.start_norm == 0 or space.is_exhausted:
        count = len(torch.atleast_2d(function(space.diagonal)))
        return space.diagonal.new_zeros(count)
    return error(space) / space.start_norm


def _rounding(space: KrylovSpace, function: SpectralFunction, eps: float) -> Tensor:
    if space.start_norm == 0:
        return _missing(lambda _: space.diagonal, space, function)
    shift = _ROUNDINGS * eps * space.ritz[0].abs().max()
    change = space.coefficients(function) - space.coefficients(
        lambda values: function(values - shift)
    )
    return torch.linalg.vector_norm(change, dim=0) / space.start_norm + _ROUNDINGS * eps


def _grid(most: float, least: float, moments: Tensor) -> Tensor:
    """Return places from 0 to the last moment, dense on a logarithmic scale."""
    places = [moments, moments.new_zeros(1)]
    if most > 0:
        decades = max(math.log10(most / least), 0.0)
        count = int(_NODES_PER_DECADE * decades) + 2
        places.append(
            torch.logspace(
                math.log10(least),
                math.log10(most),
                count,
                dtype=moments.dtype,
                device=moments.device,
            )
        )
    return torch.cat(places).unique()


def _accumulated(nodes: Tensor, heights: Tensor, moments: Tensor) -> Tensor:
    """Return the area under heights up to each moment, from above between nodes."""
    steps = nodes.diff() * torch.maximum(heights[1:], heights[:-1])
    area = torch.cat([steps.new_zeros(1), steps.cumsum(0)])
    return area[torch.searchsorted(nodes, moments)]


def _is_stable(
    witness: KrylovSpace, spaces: Sequence[KrylovSpace], rate: float, eps: float
) -> bool:
    """Return whether the rate is known to be stable, and refuse one known not to be."""
    # Ritz values are bounds from below: any of them may show that a rate is too large.
    largest = max(float(s.ritz[0][-1]) for s in (witness, *spaces) if len(s))
    most = 2.0 * (1.0 + 1e-9 + _ROUNDINGS * eps)
    if rate * largest > most:
        raise NumericalError(
            f"descent_powers(rate={rate:.4g}): expected at most 2 / lambda_max = "
            f"{2.0 / largest:.4g}, got more. Gradient descent diverges; take a smaller "
            "rate."
        )
    return rate * _largest_at_most(witness) <= most


def _largest_at_most(witness: KrylovSpace) -> float:
    """Return what the largest eigenvalue hardly exceeds, from a random start."""
    values, vectors = witness.ritz
    largest, bound = float(values[-1]), math.inf
    residual = witness.next_coupling * float(vectors[-1, -1].abs())
    if residual <= _SMALL_RESIDUAL * largest:
        bound = largest + residual
    # Theorem 4.2 of the reference: P(largest < (1 - e) lambda_1) is at most
    # 1.648 sqrt(n) exp(-sqrt(e) (2 m - 1)).
    odds = math.log(1.648 * math.sqrt(len(witness.basis)) / _FAILURES)
    share = (odds / (2 * len(witness) - 1)) ** 2
    return min(bound, largest / (1.0 - share)) if share < 1.0 else bound


def _check_times(where: str, times: Sequence[float] | Sequence[int]) -> None:
    bad = [time for time in times if not (math.isfinite(time) and time >= 0)]
    if bad or not times:
        raise ConfigError(
            f"{where}: expected one or more finite numbers >= 0, got "
            f"{bad[0] if bad else 'none'}."
        )
