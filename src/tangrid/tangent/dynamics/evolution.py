r"""Theorem 1 for many points: predicted training from products with the kernel alone.

Residual and weights after any time are :math:`s_t(K)\,r` and :math:`h_t(K)\,r`, one
function of K each. A single Krylov space of K and r serves all times and both. After k
steps of descent k + 1 products are exact; a flow, or many steps, needs about the square
root of :math:`\eta\lambda_1 t` of them.

References:
    Hochbruck and Lubich 1997, "On Krylov subspace approximations to the matrix
    exponential operator".
"""

import warnings
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.errors import NumericalError, NumericalWarning
from tangrid.tangent.algebra.kernel_functions import apply_function
from tangrid.tangent.dynamics.descent import Descent, Times, as_times
from tangrid.tangent.dynamics.prediction import Labels, TrainingPrediction, residual_of
from tangrid.tangent.kernels.kernel import TangentKernel


@dataclass(frozen=True, eq=False)
class Evolution(TrainingPrediction):
    r"""Hold predicted outputs that were found without eigenvectors.

    Attributes:
        times: When.
        targets: Values to be learned (Y).
        residuals: Targets minus outputs.
        weights: What :math:`K_{xX}` is multiplied by for outputs elsewhere,
            :math:`h_t(K)\,r`.
        num_products: Products with the kernel that were made.
        error: Estimated error over the size of the initial residual.
    """

    weights: Float[Tensor, "t n c"]
    num_products: int
    error: float


def evolve_training(
    kernel: TangentKernel,
    targets: Labels,
    initial: Labels | None,
    descent: Descent,
    times: Times,
    *,
    tolerance: float = 1e-10,
    max_products: int = 300,
) -> Evolution:
    """Return what `predict_training` does, from products with the kernel alone.

    Args:
        kernel: Kernel of the training points, of all trained parameters.
        targets: Values to be learned.
        initial: Outputs before training; None for 0.
        descent: How the parameters go downhill.
        times: When, in steps or units of time; finite, unless there is a ridge.
        tolerance: Error to be reached, over the size of the initial residual.
        max_products: Most products with the kernel; a `NumericalWarning` names the
            error where they do not suffice.

    Raises:
        ShapeError: If shapes or times do not fit.
        NumericalError: If training would leave the finite numbers, or its limit is
            asked for without a ridge.
    """
    when = as_times(times)
    if descent.ridge == 0 and bool(torch.isinf(when).any()):
        raise NumericalError(
            "evolve_training(times=inf): expected finite times or a ridge, got "
            "neither: products do not tell small eigenvalues from 0. Give the descent "
            "a ridge, or use predict_training."
        )
    residual, targets = residual_of(kernel, targets, initial)
    shared = residual.shape[1] if kernel.outputs == "trace" else 1
    units = _largest_gains(descent, when).to(kernel.device)

    def factors_and_gains(values: Tensor) -> Tensor:
        answer = descent.response(values.clamp(min=0) / shared, when)
        return torch.cat((answer.factors, answer.gains / units))

    found = apply_function(
        kernel,
        kernel.stacked(residual),
        factors_and_gains,
        tolerance=tolerance,
        max_steps=max_products,
    )
    error = float(found.errors.max())
    if not found.converged:
        _warn(found.num_steps, error, tolerance)
    left, weights = found.values.chunk(2)
    return Evolution(
        times=when,
        targets=targets,
        residuals=left.reshape(-1, *targets.shape),
        weights=(units[:, :, None] * weights).reshape(-1, *targets.shape),
        num_products=found.num_steps,
        error=error,
    )


def _largest_gains(descent: Descent, times: Float[Tensor, " t"]) -> Tensor:
    """Return the gain of eigenvalue 0 at each time, or 1 where it is 0.

    In units of it all gains are below 1, as factors are, and errors of both mean the
    same.
    """
    gains = descent.response(torch.zeros(1, dtype=torch.float64), times).gains
    return torch.where(gains > 0, gains, 1.0)


def _warn(num_products: int, error: float, tolerance: float) -> None:
    warnings.warn(
        f"evolve_training: {num_products} products reach an error of about "
        f"{error:.1e}, not {tolerance:.1e}. Raise max_products, or ask for earlier "
        "times.",
        NumericalWarning,
        stacklevel=3,
    )
