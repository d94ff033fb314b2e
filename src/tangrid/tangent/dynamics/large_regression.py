r"""One door to kernel regression at any number of points.

A field linearised around its present parameters, fitted to values with a ridge, says

.. math:: f(x) = f_0(x) + K_{xX} (K + \mu)^{-1} (Y - f_0(X)).

Up to some thousand rows that is done by eigenvalues, up to some ten thousand by
conjugate gradients, and beyond by the columns of some points; see
`tangrid.tangent.dynamics.ridge_smoothers`. The ridge is the one at which generalised
cross-validation is least.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from tangrid.devices import require_memory, room_bytes
from tangrid.errors import ConfigError, NumericalError, ShapeError
from tangrid.notation import Values
from tangrid.seeding import generator as seeded
from tangrid.tangent.algebra.conjugate_gradients import check_ridge
from tangrid.tangent.algebra.extreme_eigenvalues import DENSE_LIMIT
from tangrid.tangent.algebra.nystrom import NystromApproximation, pivoted_cholesky
from tangrid.tangent.algebra.solving import preconditioner_rank
from tangrid.tangent.dynamics.fitted_kernel import (
    Channels,
    FittedKernel,
    Linearised,
    RegressionMethod,
    Start,
)
from tangrid.tangent.dynamics.ridge_smoothers import (
    EigenSmoother,
    IterativeSmoother,
    RidgeScore,
    Smoother,
    SubsetSmoother,
)
from tangrid.tangent.kernels.kernel import DenseKernel, TangentKernel
from tangrid.tangent.kernels.subject import ALL, Function, Inputs, Selection, take_rows

ITERATIVE_LIMIT = 20_000
"""Rows up to which conjugate gradients are the choice."""

_FINE = tuple(10.0 ** (1 - step / 4) for step in range(53))
_COARSE = tuple(10.0**-power for power in range(-1, 8))
_PATIENCE = 2
"""Ridges that do worse, one after the other, after which no smaller one is tried."""
_LADDERS = {"conjugate-gradients": (_COARSE, _PATIENCE)}
"""Shares and patience of methods to which each ridge is work."""
_WORK = 1e11
"""Multiplications that a rank may cost: rows times its square."""
_LEAST_RANK, _MOST_RANK = 64, 4000
_COPIES = 6
"""Factors that are held at once while one is decomposed."""
_SHARE_HELD = 0.5
"""Of the free memory, for a matrix that products could do without."""


@dataclass(frozen=True)
class _Settings:
    """How the equations are solved, where there is a choice."""

    method: RegressionMethod
    rank: int | None
    num_probes: int
    tolerance: float
    max_steps: int
    generator: torch.Generator


def kernel_regression(
    field: nn.Module | Function,
    coords: Inputs,
    targets: Tensor,
    *,
    ridge: float | Literal["gcv"] = "gcv",
    method: RegressionMethod | Literal["auto"] | str = "auto",
    outputs: Channels | str = "trace",
    start: Start | str = "outputs",
    parameters: Selection = ALL,
    shares: Sequence[float] | None = None,
    rank: int | None = None,
    num_probes: int = 6,
    tolerance: float = 1e-6,
    max_steps: int = 1000,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
) -> FittedKernel:
    """Fit values with the tangent kernel of a field, however many they are.

    With ``full`` the fit is what training of the linearised field tends to with weight
    decay: channels that share parameters act on each other, and a kernel of n points
    and c channels has n c rows. With ``trace`` it has n: each channel is fitted with
    the mean of all channels' kernels and none acts on another. That is the same only
    where channels share no parameter and have equal kernels, as with a linear output
    layer behind a frozen encoding, or in the limit of wide networks; else it is an
    approximation, of c² times fewer numbers.

    Args:
        field: A field, a module, or a function called as ``f(parameters, inputs)``.
        coords: Training points, as the field takes them.
        targets: Values there, [n, c], or [n] of one channel.
        ridge: What to add to the diagonal of the kernel (with ``trace``, of the mean
            kernel); ``gcv`` chooses it by generalised cross-validation.
        method: ``dense`` by eigenvalues; ``conjugate-gradients`` with a preconditioner;
            ``nystrom`` by the columns of some points; ``auto`` takes the first that is
            made for so many rows: up to 8192, up to 20 000, and beyond.
        outputs: ``trace`` or ``full``, as above.
        start: ``outputs`` fits what the field's present outputs leave; ``zero`` fits
            the values themselves, as a Gaussian process with this kernel does.
        parameters: Whose gradients make the kernel; see `tangent_kernel`.
        shares: Ridges to try, over the mean of the diagonal; quarters of a decade from
            10 to 1e-12 by default, and decades from 10 to 1e-7 by conjugate gradients,
            which end when two in turn do worse or one does not converge.
        rank: Rank of the preconditioner or of the approximation; by default what time
            and memory allow.
        num_probes: Random columns for the trace, by conjugate gradients.
        tolerance: Relative residual wanted of them.
        max_steps: Products per ridge after which they give up.
        generator: Source of chosen points and random signs; seed 0 by default.
        dtype: Of the kernel.

    Returns:
        The fit; call it at other points.

    Raises:
        ConfigError: If a choice is not possible.
        ShapeError: If points or values cannot be taken.
        ResourceError: If what is asked for does not fit into memory.
        NumericalError: If no ridge can be solved for.

    Example:
        >>> import tangrid
        >>> field = tangrid.build("instant-ngp", num_dims=2, num_channels=1, seed=0)
        >>> x = torch.rand(50, 2, generator=torch.Generator().manual_seed(0))
        >>> fit = kernel_regression(field, x, x[:, 0], ridge=1e-3)
        >>> fit.method, tuple(fit(x[:4]).shape)
        ('dense', (4, 1))
    """
    _check_choices(method, outputs, start)
    model = Linearised.copy_of(field, parameters, outputs, start, dtype)  # type: ignore[arg-type]
    kernel, initial = model.kernel(coords), model.initial(coords)
    chosen = _method(kernel.shape[0]) if method == "auto" else method
    source = seeded(0, "kernel regression") if generator is None else generator
    settings = _Settings(chosen, rank, num_probes, tolerance, max_steps, source)  # type: ignore[arg-type]
    # Of a kernel that is the sum of its channels the mean counts.
    shared = initial.shape[1] if outputs == "trace" else 1
    scale = float(kernel.diagonal().double().mean())
    smoother, near = _smoother(kernel, _residuals(targets, initial), settings)
    usual, patience = _LADDERS.get(chosen, (_FINE, None))
    tried = _ridges(ridge, usual if shares is None else shares, scale, shared)
    path, stopped = _path(smoother, tried, patience)
    best = min(path, key=lambda score: score.error)
    fit = smoother.fit(best.ridge)
    return FittedKernel(
        method=settings.method,
        ridge=best.ridge / shared,
        relative_ridge=best.ridge / scale if scale > 0 else math.inf,
        path=tuple(replace(it, ridge=it.ridge / shared) for it in path),
        stopped=stopped,
        score=replace(best, ridge=best.ridge / shared),
        residual=fit.residual,
        leave_one_out=fit.leave_one_out,
        train_mse=float((smoother.columns - fit.outputs).square().mean()),
        rank=0 if near is None else near.rank,
        trace_left=0.0 if near is None else near.relative_error,
        num_products=smoother.num_products,
        model=model,
        support=coords if fit.support is None else take_rows(coords, fit.support),
        weights=fit.weights.to(kernel.dtype),
    )


def _check_choices(method: str, outputs: str, start: str) -> None:
    for name, value, choices in (
        ("method", method, ("auto", *get_args(RegressionMethod))),
        ("outputs", outputs, get_args(Channels)),
        ("start", start, get_args(Start)),
    ):
        if value not in choices:
            raise ConfigError(
                f"kernel_regression({name}={value!r}): expected one of "
                f"{', '.join(choices)}."
            )


def _residuals(targets: Tensor, initial: Values) -> Values:
    wanted = targets[:, None] if targets.ndim == 1 else targets
    if wanted.shape != initial.shape:
        raise ShapeError(
            f"kernel_regression(targets=...): expected {list(initial.shape)}, a value "
            f"of each point and channel, got {list(targets.shape)}."
        )
    return wanted.detach().to(initial) - initial


def _method(rows: int) -> RegressionMethod:
    if rows <= DENSE_LIMIT:
        return "dense"
    return "conjugate-gradients" if rows <= ITERATIVE_LIMIT else "nystrom"


def _smoother(
    kernel: TangentKernel, residuals: Values, settings: _Settings
) -> tuple[Smoother, NystromApproximation | None]:
    """Return what fits, and the approximation it has, if any."""
    if settings.method == "dense":
        return EigenSmoother(kernel, residuals), None
    is_iterated = settings.method == "conjugate-gradients"
    if is_iterated:
        kernel = _held(kernel)
    usual = preconditioner_rank(kernel) if is_iterated else _affordable_rank(kernel)
    near = pivoted_cholesky(
        kernel,
        usual if settings.rank is None else settings.rank,
        generator=settings.generator,
    )
    if not is_iterated:
        return SubsetSmoother(kernel, residuals, near), near
    smoother = IterativeSmoother(
        kernel,
        residuals,
        near,
        generator=settings.generator,
        num_probes=settings.num_probes,
        tolerance=settings.tolerance,
        max_steps=settings.max_steps,
    )
    return smoother, near


def _held(kernel: TangentKernel) -> TangentKernel:
    """Return a kernel as its matrix, if there is room for it: products are faster."""
    room, rows = room_bytes(), kernel.shape[0]
    size = torch.finfo(kernel.dtype).bits / 8 * rows**2
    if kernel.device.type != "cpu" or room is None or size > _SHARE_HELD * room:
        return kernel
    return DenseKernel(
        kernel.to_dense(), num_outputs=kernel.num_outputs, outputs=kernel.outputs
    )


def _affordable_rank(kernel: TangentKernel) -> int:
    """Return how many columns time and memory allow."""
    rows = kernel.shape[0]
    most = math.sqrt(_WORK / rows)
    room = room_bytes()
    if room is not None:
        most = min(most, room / (8 * _COPIES * rows))
    rank = min(max(int(most), _LEAST_RANK), _MOST_RANK, rows)
    require_memory(
        8.0 * _COPIES * rows * rank,
        f"kernel_regression: {rank} columns of {rows} rows",
        "Take fewer points, or a smaller rank.",
    )
    return max(rank, kernel.num_outputs)


def _ridges(
    ridge: float | Literal["gcv"], shares: Sequence[float], scale: float, shared: int
) -> list[float]:
    """Return the ridges to try, of the kernel that is the sum of shared channels."""
    if ridge == "gcv":
        if not shares or not all(0 < share < math.inf for share in shares):
            raise ConfigError(
                "kernel_regression(shares=...): expected one ridge or more, finite and "
                f"above 0, got {list(shares)}. Leave shares out."
            )
        return sorted((share * scale for share in shares), reverse=True)
    check_ridge("kernel_regression", float(ridge))
    return [float(ridge) * shared]


def _path(
    smoother: Smoother, ridges: Sequence[float], patience: int | None
) -> tuple[list[RidgeScore], str]:
    """Return the scores of ridges from large to small, and why not of all."""
    path: list[RidgeScore] = []
    best, waited = math.inf, 0
    for ridge in ridges:
        if ridge <= smoother.least_ridge and len(ridges) > 1:
            return _some(path), "smaller ridges are below the rounding of eigenvalues"
        try:
            score = smoother.score(ridge)
        except NumericalError as error:
            if not path:
                raise
            return path, str(error)
        path.append(score)
        waited = 0 if score.error < best else waited + 1
        best = min(best, score.error)
        if patience is not None and waited >= patience:
            return path, "smaller ridges did worse"
    return path, ""


def _some(path: list[RidgeScore]) -> list[RidgeScore]:
    if not path:
        raise NumericalError(
            "kernel_regression(shares=...): expected a ridge above the rounding of the "
            "kernel's eigenvalues, got only smaller ones. Leave shares out."
        )
    return path
