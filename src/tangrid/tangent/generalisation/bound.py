r"""Theorem 3: what the tangent kernel and the labels promise for points never seen.

With :math:`r = Y - f_0(X)` and :math:`\Delta = r^\top K^{-1} r`, three forms side by
side, each with the confidence term :math:`3\sqrt{\log(2/\delta)/(2n)}`:

================  =====================================================================
raw               :math:`\sqrt{2\Delta/n}`, as published. It takes
                  :math:`\operatorname{tr} K/n = 1/2` for granted: scaling K by c scales
                  it by :math:`c^{-1/2}`, so two models cannot be compared by it.
trace-normalised  :math:`\tfrac2n\sqrt{\Delta\,\operatorname{tr} K}`, equal to the above
                  at that trace, and the same for every scale of K.
finite-time       :math:`L_S(t) + \tfrac2n B\sqrt{\operatorname{tr} K}`, the training
                  loss and the ball that the parameters are in after a time t. It stays
                  finite where K is singular.
================  =====================================================================

Where they come from: a field that is affine in its parameters stays in a ball of radius
B, whose empirical Rademacher complexity is at most :math:`B\sqrt{\operatorname{tr} K}
/ n`; a 1-Lipschitz loss in [0, 1] then differs on new points by at most twice that plus
the confidence term, with probability :math:`1 - \delta`.

References:
    Zhao et al. 2024, "Grounding and Enhancing Grid-based Models for Neural Fields",
    theorem 3; Arora et al. 2019, "Fine-Grained Analysis of Optimization and
    Generalization for Overparameterized Two-Layer Neural Networks"; Bartlett and
    Mendelson 2002, "Rademacher and Gaussian Complexities"; Mohri et al. 2018,
    "Foundations of Machine Learning", theorems 3.3 and 6.12.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.notation import Values
from tangrid.tangent.dynamics.descent import Descent, GradientFlow
from tangrid.tangent.dynamics.evolution import evolve_training
from tangrid.tangent.dynamics.prediction import residual_modes, residual_of
from tangrid.tangent.dynamics.stationarity import Stationarity
from tangrid.tangent.generalisation.bound_conditions import (
    FINITE,
    FORMS,
    INDEPENDENT,
    RAW,
    TRACE,
    Circumstances,
    Condition,
    conditions_of,
)
from tangrid.tangent.generalisation.bound_forms import (
    BoundForm,
    ball_complexity,
    confidence_term,
    finite_time_form,
)
from tangrid.tangent.generalisation.bounded_loss import CLIPPED_ABSOLUTE, BoundedLoss
from tangrid.tangent.generalisation.label_energy import (
    LabelEnergy,
    Solve,
    energy_of_modes,
    solve_energy,
)
from tangrid.tangent.generalisation.norm_rules import NormGrid, NormRule
from tangrid.tangent.kernels.kernel import TangentKernel


@dataclass(frozen=True, kw_only=True)
class GeneralisationBound:
    r"""Hold Theorem 3 for one kernel and one set of labels.

    Attributes:
        raw: The form as published.
        trace_normalised: The same for any scale of the kernel.
        finite_time: The form that knows when training stops, and that is a theorem.
        conditions: What each of them needs, one by one.
        energy: Delta, and how a singular kernel was dealt with.
        displacement: How far the parameters move until then (B_t).
        radius: Radius of the ball of ``finite_time``.
        trace: Trace of the kernel over all points and channels.
        delta: Probability with which the bound may fail.
        loss: Name of the loss that is bounded.
    """

    raw: BoundForm
    trace_normalised: BoundForm
    finite_time: BoundForm
    conditions: tuple[Condition, ...]
    energy: LabelEnergy
    displacement: float
    radius: float
    trace: float
    delta: float
    loss: str

    @property
    def forms(self) -> tuple[BoundForm, BoundForm, BoundForm]:
        """All three forms."""
        return self.raw, self.trace_normalised, self.finite_time

    def __str__(self) -> str:
        """Return all forms and conditions in words, a line each."""
        head = (
            f"Loss {self.loss} on new points, with probability {1 - self.delta:g}; "
            f"Delta = {self.energy}"
        )
        return "\n  ".join([head, *map(str, (*self.forms, *self.conditions))])


def generalisation_bound(
    kernel: TangentKernel,
    targets: Values,
    initial: Values | None = None,
    *,
    descent: Descent | None = None,
    time: float = math.inf,
    norm: NormRule | None = None,
    loss: BoundedLoss = CLIPPED_ABSOLUTE,
    delta: float = 0.05,
    smallest_allowed: float | None = None,
    stationarity: Stationarity | None = None,
    solve: Solve | None = None,
) -> GeneralisationBound:
    r"""Return the generalisation bound of Theorem 3 in its three forms.

    A kernel of one channel, or of the sum of channels, for labels of several is taken
    for that of each, as in `ResidualModes`. Whether it is, numbers here do not show, so
    that nothing is called proven then: make the kernel with ``outputs="full"``.

    A singular kernel makes the first two infinite, unless the labels lie in its range;
    a ridge in the descent, :math:`\tfrac\mu2\|\theta - \theta_0\|^2`, makes them
    finite, and what it leaves unfitted then counts as training loss.

    Args:
        kernel: Kernel of the training points, of all trained parameters.
        targets: Labels.
        initial: Outputs before training; None for 0.
        descent: How the parameters go downhill, on half the sum of squares; None for a
            gradient flow without a ridge.
        time: When training stops, in steps or units of time.
        norm: Where the ball of the finite-time form comes from: `FixedNorm`, or the
            row of balls that is the default, `NormGrid`.
        loss: The loss that is bounded.
        delta: Probability with which the bound may fail.
        smallest_allowed: Smallest eigenvalue that is enough (lambda_0); None for any
            that stands out of rounding.
        stationarity: Whether the kernel moves; None if unknown.
        solve: Solver for K plus ridge, where there are too many points for all
            eigenvalues; Delta then comes from it and the rest from products.

    Raises:
        ConfigError: If delta is no probability, or lambda_0 no eigenvalue.
        ShapeError: If kernel, values and time do not fit.
        NumericalError: If training diverges or the solver did not solve.

    Example:
        >>> import torch
        >>> from tangrid.tangent.kernels.kernel import DenseKernel
        >>> kernel = DenseKernel(torch.eye(400, dtype=torch.float64) / 2)
        >>> bound = generalisation_bound(kernel, torch.full((400, 1), 0.1))
        >>> round(bound.raw.complexity, 6), round(bound.trace_normalised.complexity, 6)
        (0.2, 0.2)
    """
    if not 0 < delta < 1:
        raise ConfigError(
            f"generalisation_bound(delta=...): expected a probability, got {delta}."
        )
    if smallest_allowed is not None and not 0 <= smallest_allowed < math.inf:
        raise ConfigError(
            "generalisation_bound(smallest_allowed=...): expected a finite number "
            f">= 0, got {smallest_allowed}."
        )
    descent = descent or GradientFlow(1.0)
    norm = norm or NormGrid()
    if solve is None:
        trained = _by_modes(kernel, targets, initial, descent, time, loss)
    else:
        trained = _by_products(kernel, targets, initial, descent, time, loss, solve)
    residual, labels = residual_of(kernel, targets, initial)
    case = Circumstances(
        num_points=len(labels),
        delta=delta,
        smallest_allowed=smallest_allowed,
        energy=trained.energy,
        descent=descent,
        time=time,
        loss=loss,
        largest_label=float(labels.abs().max()),
        displacement=trained.displacement,
        norm=norm,
        num_channels=labels.shape[1],
        largest_residual=max(float(residual.norm(dim=1).max()), trained.largest_left),
        is_of_outputs=True if kernel.num_outputs == labels.shape[1] else None,
        stationarity=stationarity,
    )
    return _bound(trained, case)


@dataclass(frozen=True, kw_only=True)
class _Trained:
    """What a field that is linear in its parameters becomes."""

    energy: LabelEnergy
    displacement: float
    losses: Float[Tensor, " n"]
    end_loss: float
    """Loss at the end of training, which is what the energy is about."""
    trace: float
    largest_left: float
    """Largest norm of a residual when training stops."""


def _bound(trained: _Trained, case: Circumstances) -> GeneralisationBound:
    conditions = tuple(conditions_of(case))
    proven = {
        name: all(c.holds or c.name == INDEPENDENT for c in needed)
        for name, needed in (
            (name, [c for c in conditions if name in c.needed_by]) for name in FORMS
        )
    }
    points, energy = case.num_points, trained.energy.value
    normalised = ball_complexity(math.sqrt(energy), trained.trace, points)

    def form(name: str, complexity: float) -> BoundForm:
        return BoundForm(
            name=name,
            training_loss=trained.end_loss,
            complexity=complexity,
            confidence=confidence_term(points, case.delta),
            is_proven=proven[name],
        )

    factor = case.loss.complexity_factor(case.num_channels)
    return GeneralisationBound(
        raw=form(RAW, case.loss.lipschitz * math.sqrt(2 * energy / points)),
        trace_normalised=form(TRACE, factor * normalised),
        finite_time=finite_time_form(
            trained.losses,
            trained.displacement,
            trained.trace,
            num_channels=case.num_channels,
            norm=case.norm,
            loss=case.loss,
            delta=case.delta,
            is_proven=proven[FINITE],
        ),
        conditions=conditions,
        energy=trained.energy,
        displacement=trained.displacement,
        radius=case.radius,
        trace=trained.trace,
        delta=case.delta,
        loss=case.loss.name,
    )


def _by_modes(
    kernel: TangentKernel,
    targets: Values,
    initial: Values | None,
    descent: Descent,
    time: float,
    loss: BoundedLoss,
) -> _Trained:
    """Return what training makes of every mode, from all eigenvalues."""
    modes = residual_modes(kernel, targets, initial)
    now = descent.response(modes.values, time)
    # Written out, since at a rate that is too large there is no end to wait for.
    damped = modes.values + descent.ridge
    end = torch.where(damped > 0, descent.ridge / damped, 1.0)
    # What is beyond the range moves no parameter, whatever its gain.
    steps = torch.where(modes.values > 0, modes.values * now.gains[0].square(), 0.0)
    powers = modes.coefficients.square().sum(1)

    def left(factors: Tensor) -> Tensor:
        return modes.spanned((factors[:, None] * modes.coefficients)[None])[0]

    stopped = left(now.factors[0])
    columns = modes.coefficients.shape[1]
    return _Trained(
        energy=energy_of_modes(modes, descent.ridge),
        displacement=math.sqrt(float((steps * powers).sum())),
        losses=loss(stopped),
        end_loss=float(loss(left(end)).mean()),
        trace=float(kernel.diagonal().sum()) * columns / modes.num_shared,
        largest_left=float(stopped.norm(dim=1).max()),
    )


def _by_products(
    kernel: TangentKernel,
    targets: Values,
    initial: Values | None,
    descent: Descent,
    time: float,
    loss: BoundedLoss,
    solve: Solve,
) -> _Trained:
    """Return what training does, by products with the kernel and a solver."""
    residual, _ = residual_of(kernel, targets, initial)
    stacked = kernel.stacked(residual)
    weights, energy = solve_energy(kernel, stacked, descent.ridge, solve)
    ended = stacked - kernel @ weights
    now, left = weights, ended.reshape(residual.shape)
    if time < math.inf:
        found = evolve_training(kernel, targets, initial, descent, time)
        now = kernel.stacked(found.weights[0])
        left = found.residuals[0]
    moved = float((now * (kernel @ now)).sum())
    return _Trained(
        energy=energy,
        displacement=math.sqrt(max(moved, 0.0)),
        losses=loss(left),
        end_loss=float(loss(ended.reshape(residual.shape)).mean()),
        trace=float(kernel.diagonal().sum()) * stacked.shape[1],
        largest_left=float(left.norm(dim=1).max()),
    )
