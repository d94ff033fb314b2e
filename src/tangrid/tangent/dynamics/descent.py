r"""Ways of descent, seen by one eigenmode of the tangent kernel at a time.

Parameters descend :math:`\tfrac12\|f - Y\|^2 + \tfrac\mu2\|\theta - \theta_0\|^2`,
which fixes what a rate is (see `loss_scale` for other losses). If the outputs are
affine in the parameters, the residual :math:`r = Y - f_0` falls apart into eigenmodes
of :math:`K = V \operatorname{diag}(\lambda) V^\top` that do not know of each other.
After a time t, mode i has the share :math:`s_i(t)` of its residual left, and the
weights that span the displacement of the parameters,
:math:`\theta_t - \theta_0 = J^\top \sum_i v_i\,h_i(t)\,v_i^\top r`, are its gain
:math:`h_i = (1 - s_i)/\lambda_i`:

=================  =================================================================
gradient flow      :math:`s = e^{-\eta\lambda t}`
gradient descent   :math:`s = (1 - \eta\lambda)^t`, stable below
                   :math:`\eta\lambda = 2`
heavy ball         :math:`v \leftarrow \beta v + s,\; s \leftarrow s - \eta\lambda v`,
                   stable below :math:`2(1 + \beta)`
Nesterov           :math:`s \leftarrow s - \eta\lambda(s + \beta v)` with the same v,
                   stable below :math:`2(1 + \beta)/(1 + 2\beta)`
=================  =================================================================

The last two are what ``torch.optim.SGD`` does. A ridge :math:`\mu` puts
:math:`\lambda + \mu` in the place of :math:`\lambda`, and s tends to
:math:`\mu/(\lambda + \mu)`.
"""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tangrid.errors import ConfigError, NumericalError, NumericalWarning, ShapeError
from tangrid.tangent.dynamics.momentum import momentum_rate, momentum_response

Times = Tensor | Sequence[float | int] | float | int
"""Steps, or units of time of a flow; ``math.inf`` asks for the limit."""

_ROUNDING = 1e16

Modes = Float[Tensor, " m"]
OverTime = Float[Tensor, "t m"]


@dataclass(frozen=True, eq=False)
class Response:
    """Hold what became of every mode at every time.

    Attributes:
        factors: Share of the residual that is left (s).
        gains: Share that was learned, over the eigenvalue (h).
    """

    factors: OverTime
    gains: OverTime


def as_times(times: Times) -> Float[Tensor, " t"]:
    """Return times as a float64 vector.

    Args:
        times: One time or several.

    Raises:
        ShapeError: If one is negative or none is given.
    """
    found = torch.as_tensor(times, dtype=torch.float64).cpu()
    found = found[None] if found.ndim == 0 else found
    if found.ndim != 1 or len(found) == 0 or not bool((found >= 0).all()):
        raise ShapeError(
            "times: expected one or several numbers >= 0 in a row, got "
            f"{_shown(found)}. Give steps, or math.inf for the limit."
        )
    return found


def _shown(times: Tensor) -> str:
    if times.ndim != 1 or len(times) == 0:
        return f"shape {list(times.shape)}"
    wrong = times[~(times >= 0)]
    return f"{float(wrong[0])} among {len(times)}"


@dataclass(frozen=True)
class Descent(ABC):
    """Say how the parameters go downhill.

    Attributes:
        rate: Step per unit of time, on half the sum of squares (eta).
        ridge: Pull towards the initial parameters (mu).
    """

    rate: float
    ridge: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse what is no descent.

        Raises:
            ConfigError: If a number is out of range.
        """
        if not 0 < self.rate < math.inf or not 0 <= self.ridge < math.inf:
            raise ConfigError(
                f"{type(self).__name__}: expected a finite rate above 0 and a ridge of "
                f"at least 0, got {self.rate} and {self.ridge}."
            )

    @property
    @abstractmethod
    def stability_limit(self) -> float:
        """What rate times eigenvalue must stay below."""

    @abstractmethod
    def _transient(
        self, damped: Modes, times: Float[Tensor, " t"]
    ) -> tuple[OverTime, OverTime]:
        """Return 1 - q h and h, for eigenvalues q with the ridge in them."""

    @abstractmethod
    def _rates_of_decay(self, damped: Modes) -> Modes:
        """Return -log of the factor by which a mode shrinks per unit of time."""

    def response(self, values: Modes, times: Times) -> Response:
        """Compute factors and gains of all modes at all times.

        Args:
            values: Eigenvalues, none below 0: `Eigensystem.clipped`.
            times: When, in steps or units of time.

        Returns:
            One row per time. Where an eigenvalue is 0 and there is no ridge, the
            factor is 1 and the gain grows without bound.

        Raises:
            ShapeError: If times or eigenvalues are negative.
            NumericalError: If a limit is asked for that does not exist, or the modes
                grow beyond the finite numbers.

        Example:
            >>> found = GradientDescent(0.5).response(torch.tensor([1.0, 0.0]), [3.0])
            >>> found.factors.tolist(), found.gains.tolist()
            ([[0.125, 1.0]], [[0.875, 1.5]])
        """
        _check_values(values)
        # In float32 late steps would be rounded to others, and odd ones to even ones.
        when = as_times(times).to(values.device)
        dtype, values = values.dtype, values.double()
        damped = values + self.ridge
        self._check_stable(damped, when)
        transient, gains = self._transient(damped, when)
        if not bool(torch.isfinite(transient).all()):
            raise NumericalError(
                f"{self}: expected finite outputs, got modes that grow beyond all "
                f"numbers before time {float(when.max()):g}. Take a rate below "
                f"{self.largest_stable_rate(float(values.max())):.6g}."
            )
        if self.ridge == 0:
            return Response(transient.to(dtype), gains.to(dtype))
        factors = (self.ridge + values * transient) / damped
        return Response(factors.to(dtype), gains.to(dtype))

    def _check_stable(self, damped: Modes, times: Tensor) -> None:
        reached = self.rate * float(damped.max()) if len(damped) else 0.0
        if reached < self.stability_limit:
            return
        limit = self.stability_limit / float(damped.max())
        growing = int((self.rate * damped > self.stability_limit).sum())
        if bool(torch.isinf(times).any()):
            raise NumericalError(
                f"{self}: expected a rate below {limit:.6g}, so that all modes settle, "
                f"got {self.rate:.6g}, at which there is no limit. Take a smaller "
                "rate, or finite times."
            )
        if growing:
            warnings.warn(
                f"{self}: {growing} of {len(damped)} modes diverge, because the rate "
                f"is not below {limit:.6g}; so would training.",
                NumericalWarning,
                stacklevel=3,
            )

    def largest_stable_rate(self, largest: float) -> float:
        """Return the rate from which on training diverges.

        Args:
            largest: Largest eigenvalue of the tangent kernel.
        """
        damped = largest + self.ridge
        return self.stability_limit / damped if damped > 0 else math.inf

    def time_constants(self, values: Modes) -> Modes:
        """Return the times in which modes come closer to their limit by a factor e.

        With momentum that is the pace they settle into, about which they may swing.
        Infinite for modes that stand still or grow.

        Args:
            values: Eigenvalues, none below 0.
        """
        _check_values(values)
        rates = self._rates_of_decay(values + self.ridge)
        return torch.where(rates > 0, 1 / rates, torch.inf)

    def times_to_decay(self, values: Modes, factor: float) -> Modes:
        """Return the times in which modes come closer to their limit by a factor.

        Args:
            values: Eigenvalues, none below 0.
            factor: Such as 100 for a hundredth of the residual.

        Raises:
            ConfigError: If it is not a finite number above 1.

        Example:
            >>> steps = GradientDescent(0.5).times_to_decay(torch.tensor([1.0]), 8.0)
            >>> round(float(steps), 6)
            3.0
        """
        if not 1 < factor < math.inf:
            raise ConfigError(
                f"times_to_decay(factor=...): expected a finite number above 1, got "
                f"{factor}. Give 100 for a hundredth."
            )
        return math.log(factor) * self.time_constants(values)

    def swing_time(self, values: Modes) -> float:
        """Return the time after which no mode swings about its limit, but to rounding.

        From then on the error only falls. Before, it may be below its limit, where
        there is a ridge, or rise again, with momentum.

        Args:
            values: Eigenvalues, none below 0.
        """
        _check_values(values)
        swinging = values[self._swings(values + self.ridge)]
        if len(swinging) == 0:
            return 0.0
        # Twice, as two equal roots decay a little later than their powers do.
        return 2 * float(self.times_to_decay(swinging, _ROUNDING).max())

    def _swings(self, damped: Modes) -> Bool[Tensor, " m"]:
        """Return which modes come to their limit from both sides: none of a flow."""
        return torch.zeros_like(damped, dtype=torch.bool)


def _check_values(values: Tensor) -> None:
    wrong = int((~(values >= 0)).sum())
    if wrong:
        raise ShapeError(
            f"eigenvalues: expected numbers >= 0, got {wrong} of {len(values)} others, "
            f"the least {float(values.min()):.3g}. Rounding makes such: use "
            "eigensystem.clipped."
        )


@dataclass(frozen=True)
class GradientFlow(Descent):
    """Descend continuously: the limit of small steps.

    Attributes:
        rate: Speed per unit of time (eta).
        ridge: Pull towards the initial parameters (mu).
    """

    @property
    def stability_limit(self) -> float:
        """No rate is too large for a flow."""
        return math.inf

    def _transient(
        self, damped: Modes, times: Float[Tensor, " t"]
    ) -> tuple[OverTime, OverTime]:
        return _exponential(-self.rate * damped, damped, times, self.rate)

    def _rates_of_decay(self, damped: Modes) -> Modes:
        return self.rate * damped


@dataclass(frozen=True)
class GradientDescent(Descent):
    """Descend in steps, as ``torch.optim.SGD`` does on all points at once.

    Attributes:
        rate: Learning rate (eta) on half the sum of squares; see `effective_rate`.
        momentum: Share of the last step that is made again (beta).
        nesterov: Whether momentum looks ahead.
        ridge: Pull towards the initial parameters (mu).
    """

    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no descent.

        Raises:
            ConfigError: If a number is out of range.
        """
        super().__post_init__()
        if not 0 <= self.momentum < 1 or (self.nesterov and self.momentum == 0):
            raise ConfigError(
                "GradientDescent: expected a momentum of at least 0 and below 1, and "
                f"above 0 with nesterov, got {self.momentum}."
            )

    @property
    def stability_limit(self) -> float:
        """What rate times eigenvalue must stay below."""
        beyond = 1 + 2 * self.momentum if self.nesterov else 1.0
        return 2 * (1 + self.momentum) / beyond

    def _transient(
        self, damped: Modes, times: Float[Tensor, " t"]
    ) -> tuple[OverTime, OverTime]:
        whole = times[torch.isfinite(times)]
        if bool((whole != whole.round()).any()):
            raise ShapeError(
                "times: expected whole numbers of steps, got "
                f"{float(whole[whole != whole.round()][0])}. Use GradientFlow for "
                "times between steps."
            )
        if self.momentum:
            return momentum_response(
                damped, times, self.rate, self.momentum, self.nesterov
            )
        step = self.rate * damped
        logarithms = torch.where(
            step < 1, torch.log1p(-step.clamp(max=1)), torch.log((step - 1).abs())
        )
        shrunk, gains = _exponential(logarithms, damped, times, self.rate)
        # Beyond 1 a mode changes its sign at every step.
        odd = torch.isfinite(times) & (times % 2 == 1)
        flipped = odd[:, None] & (step > 1)
        shrunk = torch.where(flipped, -shrunk, shrunk)
        return shrunk, torch.where(flipped, (1 - shrunk) / damped, gains)

    def _rates_of_decay(self, damped: Modes) -> Modes:
        step = self.rate * damped
        if self.momentum:
            return momentum_rate(step, self.momentum, self.nesterov)
        return -torch.where(
            step < 1, torch.log1p(-step.clamp(max=1)), torch.log((step - 1).abs())
        )

    def _swings(self, damped: Modes) -> Bool[Tensor, " m"]:
        beta = self.momentum
        # Where the two roots of a step meet and become complex.
        root = (1 - beta) / (1 + beta) if self.nesterov else 1 - beta**0.5
        return self.rate * damped > root**2


def _exponential(
    logarithms: Modes, damped: Modes, times: Float[Tensor, " t"], rate: float
) -> tuple[OverTime, OverTime]:
    """Return exp(log t) and (1 - exp(log t)) / q, with their limits at q = 0.

    The second by expm1: 1 - exp would have no digits left for small eigenvalues.
    """
    still = (damped == 0) | (times == 0)[:, None]
    exponents = torch.where(still, 0.0, times[:, None] * logarithms)
    gains = torch.where(
        damped == 0, rate * times[:, None], -torch.expm1(exponents) / damped
    )
    return exponents.exp(), gains
