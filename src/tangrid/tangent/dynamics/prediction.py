r"""Theorem 1 integrated: what training on half the sum of squares does to the outputs.

Under gradient flow the outputs on the training points follow
:math:`\dot O = -K(t)\,(O - Y)`. That is the chain rule and holds for any field. If K
stays what it was, as it does where the outputs are affine in the trained parameters,
the solution is exact:

.. math:: O(t) = Y - \sum_i s_i(t)\, v_i v_i^\top (Y - f_0),

and likewise, with the factors of `tangrid.tangent.dynamics.descent`, after every step
of gradient descent. Elsewhere it is a prediction from the kernel at the start, which
ages as the kernel drifts.

References:
    Zhao et al. 2024, "Grounding and Enhancing Grid-based Models for Neural Fields",
    theorem 1; Lee et al. 2019, "Wide Neural Networks of Any Depth Evolve as Linear
    Models Under Gradient Descent".
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.errors import NumericalError, ShapeError
from tangrid.notation import Values
from tangrid.tangent.algebra.eigensystem import resolution
from tangrid.tangent.dynamics.descent import Descent, GradientFlow, Times, as_times
from tangrid.tangent.kernels.kernel import TangentKernel

Labels = Tensor
"""Values at points, [n, c], or [n] of a single channel; checked where they come in."""

# Scores must stand in JSON and be compared, which infinity cannot: 300 dB.
_SMALLEST = 1e-30
# Beyond 2^52 a float cannot tell one step from the next.
_LAST_STEP = 2.0**52
_MOST_SCANNED = 2**16
_SCANNED_AT_ONCE = 256
_REAL_TIMES = 1e-12


@dataclass(frozen=True, eq=False)
class ResidualModes:
    r"""Hold what is to be learned, along the eigenvectors of a tangent kernel.

    Of a kernel over the sum of its channels (``trace``) the mean over channels is
    taken, as if every channel had this kernel for itself and none acted on another:
    exact for one channel, an approximation for several. A kernel of one channel given
    with values of several is taken for that of each in the same way: that all channels
    have equal kernels and none acts on another is not checked, and cannot be here.

    Attributes:
        kernel: The kernel of the training points.
        targets: Values to be learned (Y).
        values: Eigenvalues, largest first; unresolved ones are 0.
        vectors: Eigenvectors, one per column.
        coefficients: Components of the initial residual, :math:`V^\top (Y - f_0)`.
        num_shared: What the kernel is divided by: its channels if it is their sum.
    """

    kernel: TangentKernel
    targets: Values
    values: Float[Tensor, " m"]
    vectors: Float[Tensor, "rows m"]
    coefficients: Float[Tensor, "m r"]
    num_shared: int

    @property
    def resolution(self) -> float:
        """Size of the rounding errors of the eigenvalues."""
        return resolution(self.values)

    def spanned(self, amplitudes: Float[Tensor, "t m r"]) -> Float[Tensor, "t n c"]:
        """Return values at all points from amplitudes of all modes.

        Args:
            amplitudes: One set per time.
        """
        stacked = self.vectors @ amplitudes
        return stacked.reshape(len(stacked), *self.targets.shape)


def residual_modes(
    kernel: TangentKernel, targets: Labels, initial: Labels | None = None
) -> ResidualModes:
    """Return the initial residual in the eigenmodes of a tangent kernel.

    Args:
        kernel: Kernel of the training points with themselves.
        targets: Values to be learned.
        initial: Outputs before training; None for 0.

    Raises:
        ShapeError: If kernel and values do not fit.
        NumericalError: If the kernel is not finite.
    """
    kernel.check_symmetric("residual_modes(kernel=...)")
    residual, targets = residual_of(kernel, targets, initial)
    found = kernel.eigensystem
    shared = residual.shape[1] if kernel.outputs == "trace" else 1
    return ResidualModes(
        kernel=kernel,
        targets=targets,
        values=found.clipped / shared,
        vectors=found.vectors,
        coefficients=found.coefficients(kernel.stacked(residual)),
        num_shared=shared,
    )


def residual_of(
    kernel: TangentKernel, targets: Labels, initial: Labels | None
) -> tuple[Values, Values]:
    """Return targets minus initial outputs, and the targets, as the kernel wants them.

    Args:
        kernel: Gives dtype and device.
        targets: Values to be learned, [n] or [n, c].
        initial: Outputs before training; None for 0.

    Raises:
        ShapeError: If they do not fit.
    """
    targets = _checked(kernel, targets)
    if initial is None:
        return targets, targets
    initial = _checked(kernel, initial)
    if initial.shape != targets.shape:
        raise ShapeError(
            f"initial: expected the shape of the targets {list(targets.shape)}, got "
            f"{list(initial.shape)}. Give the field's outputs at the same points."
        )
    return targets - initial, targets


def _checked(kernel: TangentKernel, values: Labels) -> Values:
    if kernel.num_points[0] == 0:
        raise ShapeError("targets: expected at least one point, got a kernel of none.")
    values = values[:, None] if values.ndim == 1 else values
    kernel.stacked(values)
    return values.detach().to(kernel.device, kernel.dtype)


@dataclass(frozen=True, eq=False)
class TrainingPrediction:
    """Hold predicted outputs on the training points over time.

    Attributes:
        times: When.
        targets: Values to be learned (Y).
        residuals: Targets minus outputs.
    """

    times: Float[Tensor, " t"]
    targets: Values
    residuals: Float[Tensor, "t n c"]

    @property
    def outputs(self) -> Float[Tensor, "t n c"]:
        """Predicted outputs."""
        return self.targets - self.residuals

    @property
    def mse(self) -> Float[Tensor, " t"]:
        """Mean squared error over points and channels."""
        return self.residuals.square().mean((1, 2))

    @property
    def psnr(self) -> Float[Tensor, " t"]:
        """Ratio in decibels of peak 1 to the error; values are not clipped."""
        return psnr_of(self.mse)


def psnr_of(mse: Tensor) -> Tensor:
    """Return -10 log10 of mean squared errors, at most 300.

    Args:
        mse: Mean squared errors, of values whose peak is 1.
    """
    return -10 * torch.log10(mse.clamp(min=_SMALLEST))


def predict_training(
    kernel: TangentKernel,
    targets: Labels,
    initial: Labels | None,
    descent: Descent,
    times: Times,
) -> TrainingPrediction:
    """Return predicted outputs on the training points while a field is trained.

    Exact if the outputs are affine in the trained parameters; what is beyond the
    kernel's range stays as it is.

    Args:
        kernel: Kernel of the training points, of all trained parameters.
        targets: Values to be learned.
        initial: Outputs before training; None for 0.
        descent: How the parameters go downhill.
        times: When, in steps or units of time.

    Raises:
        ShapeError: If shapes or times do not fit.
        NumericalError: If training would leave the finite numbers.

    Example:
        >>> from tangrid.tangent.dynamics.descent import GradientDescent
        >>> from tangrid.tangent.kernels.kernel import DenseKernel
        >>> kernel = DenseKernel(torch.eye(2, dtype=torch.float64))
        >>> found = predict_training(
        ...     kernel, torch.tensor([[1.0], [3.0]]), None, GradientDescent(0.5), [0, 1]
        ... )
        >>> found.outputs[:, :, 0].tolist()
        [[0.0, 0.0], [0.5, 1.5]]
    """
    modes = residual_modes(kernel, targets, initial)
    factors = descent.response(modes.values, times).factors
    return TrainingPrediction(
        times=as_times(times),
        targets=modes.targets,
        residuals=modes.spanned(factors[:, :, None] * modes.coefficients),
    )


def predict_mse(
    kernel: TangentKernel,
    targets: Labels,
    initial: Labels | None,
    descent: Descent,
    times: Times,
) -> Float[Tensor, " t"]:
    """Return the predicted mean squared error alone, for as many times as one likes.

    Args:
        kernel: Kernel of the training points, of all trained parameters.
        targets: Values to be learned.
        initial: Outputs before training; None for 0.
        descent: How the parameters go downhill.
        times: When, in steps or units of time.

    Raises:
        ShapeError: If shapes or times do not fit.
        NumericalError: If training would leave the finite numbers.
    """
    return _mse_of(residual_modes(kernel, targets, initial), descent, times)


def _mse_of(modes: ResidualModes, descent: Descent, times: Times) -> Tensor:
    factors = descent.response(modes.values, times).factors
    powers = modes.coefficients.square().sum(1)
    return (factors.square() @ powers) / modes.targets.numel()


def steps_to_psnr(
    kernel: TangentKernel,
    targets: Labels,
    initial: Labels | None,
    descent: Descent,
    psnr: float,
) -> float:
    """Return the predicted steps to a PSNR; infinite if it is never reached.

    A flow answers with a real time, steps with a whole number. While modes swing about
    their limits, the error may rise again or be below its limit: these steps are tried
    one by one, and the first is the answer.

    Args:
        kernel: Kernel of the training points, of all trained parameters.
        targets: Values to be learned, whose peak is 1.
        initial: Outputs before training; None for 0.
        descent: How the parameters go downhill.
        psnr: Decibels, values not clipped.

    Raises:
        ShapeError: If shapes do not fit.
        NumericalError: If training would leave the finite numbers, or modes swing about
            the limits of a ridge for too long to try all steps.
    """
    modes = residual_modes(kernel, targets, initial)
    wanted = 10 ** (-psnr / 10)

    def is_reached(step: float) -> bool:
        return float(_mse_of(modes, descent, step)[0]) <= wanted

    if is_reached(0.0):
        return 0.0
    # Asked for first, as it refuses rates without a limit.
    in_the_end = is_reached(math.inf)
    last = _last_swing(modes, descent)
    for start in range(1, last + 1, _SCANNED_AT_ONCE):
        steps = torch.arange(start, min(start + _SCANNED_AT_ONCE, last + 1))
        reached = _mse_of(modes, descent, steps) <= wanted
        if bool(reached.any()):
            return float(steps[reached][0])
    if not in_the_end:
        return math.inf
    early, late = float(last), max(2.0 * last, 1.0)
    while not is_reached(late):
        early, late = late, 2 * late
        if late > _LAST_STEP:
            return math.inf
    return _bisected(is_reached, early, late, isinstance(descent, GradientFlow))


def _last_swing(modes: ResidualModes, descent: Descent) -> int:
    """Return the step up to which all have to be tried."""
    if descent.ridge == 0 and not getattr(descent, "momentum", 0.0):
        return 0  # Powers of factors below 1 in size only fall.
    swing = descent.swing_time(modes.values)
    if swing > _MOST_SCANNED and descent.ridge > 0:
        raise NumericalError(
            f"steps_to_psnr: expected modes that settle within {_MOST_SCANNED} steps, "
            f"as the error of a descent with a ridge may swing below its limit, got "
            f"{swing:.3g}. Take a smaller rate or less momentum."
        )
    return math.ceil(min(swing, _MOST_SCANNED))


def _bisected(
    is_reached: Callable[[float], bool], early: float, late: float, is_real: bool
) -> float:
    """Return the first time that is reached, a whole one unless it may be real."""
    while is_real and early == 0 and late > 0 and is_reached(late / 2):
        late /= 2
    while late - early > (_REAL_TIMES * late if is_real else 1):
        middle = (early + late) / 2 if is_real else (early + late) // 2
        early, late = (early, middle) if is_reached(middle) else (middle, late)
    return late
