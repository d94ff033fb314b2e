r"""The quantity of Theorem 3, :math:`\Delta = r^\top K^{-1} r` of the labels' residual.

Where K is singular, as it is whenever there are more values than active parameters,
there are two honest answers: infinity if r reaches outside the range of K, and the
energy under a ridge that is stated. A pseudo-inverse would drop what cannot be fitted
and call the hardest labels easy.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from tangrid.errors import NumericalError, ShapeError
from tangrid.notation import Values
from tangrid.tangent.algebra.conjugate_gradients import check_ridge
from tangrid.tangent.algebra.eigensystem import range_tolerance
from tangrid.tangent.dynamics.prediction import (
    ResidualModes,
    residual_modes,
    residual_of,
)
from tangrid.tangent.kernels.kernel import TangentKernel

Solve = Callable[[Float[Tensor, "rows r"]], Float[Tensor, "rows r"]]
r"""Columns to :math:`(K + \mu)^{-1}` times columns, such as conjugate gradients."""

_SOLVED = 1e-6
"""Residual of a solver over its right side, up to which it has solved."""


@dataclass(frozen=True, kw_only=True)
class LabelEnergy:
    r"""Hold :math:`\Delta = r^\top (K + \mu)^{-1} r` and how it was found.

    Attributes:
        value: The energy; infinite if r reaches outside the range of K without a ridge.
        ridge: What was added to the eigenvalues (mu).
        method: ``eigensystem`` or ``solver``.
        num_rows: Rows of the kernel.
        rank: Resolved eigenvalues; None if a solver did not look.
        outside: Share of the norm of r that lies outside the resolved range; None if a
            solver did not look.
        relative_error: Rounding of the small eigenvalues carried through, to first
            order; for a solver the relative residual that it left.
        smallest: Smallest eigenvalue, 0 if it is not resolved; None if unknown.
        largest: Largest eigenvalue; None if unknown.
    """

    value: float
    ridge: float
    method: str
    num_rows: int
    rank: int | None
    outside: float | None
    relative_error: float
    smallest: float | None
    largest: float | None

    def __str__(self) -> str:
        """Return the value and what was done to have one."""
        how = f"ridge {self.ridge:.3g}" if self.ridge else "no ridge"
        if self.rank is None:
            return f"{self.value:.6g} ({self.method}, {how})"
        range_ = f"rank {self.rank} of {self.num_rows}"
        return (
            f"{self.value:.6g} ({self.method}, {how}, {range_}, "
            f"{100 * (self.outside or 0):.2g} % of the norm outside the range)"
        )


def label_energy(
    kernel: TangentKernel,
    targets: Values,
    initial: Values | None = None,
    *,
    ridge: float = 0.0,
    solve: Solve | None = None,
) -> LabelEnergy:
    r"""Return :math:`\Delta = r^\top (K + \mu)^{-1} r` with :math:`r = Y - f_0(X)`.

    Of several channels it is the energy of all values under the full kernel; under the
    kernel of one channel, or of their sum, which is divided among them, it is the sum
    of the channels' energies.

    Args:
        kernel: Kernel of the points with themselves.
        targets: Labels.
        initial: Outputs before training; None for 0.
        ridge: Added to every eigenvalue (mu).
        solve: Solver for K plus ridge, where all eigenvalues are too many.

    Raises:
        ConfigError: If the ridge is negative or not finite.
        ShapeError: If kernel and values do not fit.
        NumericalError: If the solver did not solve.

    Example:
        >>> import torch
        >>> from tangrid.tangent.kernels.kernel import DenseKernel
        >>> kernel = DenseKernel(torch.diag(torch.tensor([2.0, 0.0])).double())
        >>> inside = torch.tensor([[1.0], [0.0]])
        >>> label_energy(kernel, inside).value, label_energy(kernel, 1 - inside).value
        (0.5, inf)
    """
    if solve is None:
        return energy_of_modes(residual_modes(kernel, targets, initial), ridge)
    residual, _ = residual_of(kernel, targets, initial)
    _, energy = solve_energy(kernel, kernel.stacked(residual), ridge, solve)
    return energy


def is_in_range(
    powers: Float[Tensor, "m r"], resolved: Bool[Tensor, " m"]
) -> Bool[Tensor, " r"]:
    """Return which columns lie in the range of a kernel, give or take rounding.

    Args:
        powers: Squared components along the eigenvectors.
        resolved: Which eigenvalues are not 0.
    """
    share = range_tolerance(len(powers), powers.dtype)
    return powers[~resolved].sum(0) <= share**2 * powers.sum(0)


def energy_of_modes(modes: ResidualModes, ridge: float) -> LabelEnergy:
    """Return the energy of a residual that is known by its modes.

    Args:
        modes: Residual along the eigenvectors of the kernel.
        ridge: Added to every eigenvalue; one that rounding hides is taken for none.

    Raises:
        ConfigError: If the ridge is negative or not finite.
    """
    check_ridge("label_energy", ridge)
    # Unresolved eigenvalues are rounding of this size: what is added is lost in them.
    hidden = ridge <= modes.resolution
    powers = modes.coefficients.square().sum(1)
    total = float(powers.sum())
    resolved = modes.values > 0
    beyond = float(powers[~resolved].sum())
    outside = math.sqrt(beyond / total) if total > 0 else 0.0
    fits = bool(is_in_range(powers[:, None], resolved))
    damped = modes.values + ridge
    if hidden:
        powers, damped = powers[resolved], damped[resolved]
    value = float((powers / damped).sum())
    rounding = float((powers / damped.square()).sum()) * modes.resolution
    if hidden and not fits:
        value = math.inf
    return LabelEnergy(
        value=value,
        ridge=ridge,
        method="eigensystem",
        num_rows=len(modes.values),
        rank=int(resolved.sum()),
        outside=outside,
        relative_error=rounding / value if 0 < value < math.inf else 0.0,
        smallest=float(modes.values[-1]),
        largest=float(modes.values[0]),
    )


def solve_energy(
    kernel: TangentKernel,
    stacked: Float[Tensor, "rows r"],
    ridge: float,
    solve: Solve,
) -> tuple[Float[Tensor, "rows r"], LabelEnergy]:
    """Return what a solver found for a residual, and its energy, after a check.

    Args:
        kernel: Kernel of the points with themselves.
        stacked: The residual as columns.
        ridge: Added to every eigenvalue.
        solve: Solver for K plus ridge.

    Raises:
        ConfigError: If the ridge is negative or not finite.
        ShapeError: If the kernel is a sum of channels.
        NumericalError: If it did not solve: then K is singular or needs more steps.
    """
    check_ridge("label_energy", ridge)
    if kernel.outputs == "trace" and stacked.shape[1] > 1:
        raise ShapeError(
            "label_energy(solve=...): expected a kernel of one channel or of all pairs "
            f"of them, got the sum of {stacked.shape[1]} channels. Make it with "
            "outputs='full', or with outputs=0 where all channels share their features."
        )
    weights = solve(stacked)
    left = stacked - (kernel @ weights) - ridge * weights
    size = float(stacked.norm())
    relative = float(left.norm()) / size if size > 0 else 0.0
    if not relative <= _SOLVED:
        raise NumericalError(
            f"label_energy(solve=...): expected a solution with a relative residual "
            f"below {_SOLVED:g}, got {relative:.3g}. The kernel is singular for these "
            "labels or the solver stopped early: give a ridge to both, or more steps."
        )
    energy = LabelEnergy(
        value=float((stacked * weights).sum()),
        ridge=ridge,
        method="solver",
        num_rows=kernel.shape[0],
        rank=None,
        outside=None,
        relative_error=relative,
        smallest=None,
        largest=None,
    )
    return weights, energy
