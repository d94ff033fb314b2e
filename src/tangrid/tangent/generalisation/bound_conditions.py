r"""What a generalisation bound needs, looked at one by one.

The three forms of Theorem 3 do not need the same. ``raw`` and ``trace-normalised``
are about the end of training, take the labels for fitted and read the norm off the
data; only ``finite-time``, with a ball that was fixed beforehand, is a theorem whose
constants are known.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from tangrid.tangent.dynamics.descent import Descent
from tangrid.tangent.dynamics.stationarity import Stationarity
from tangrid.tangent.generalisation.bounded_loss import BoundedLoss
from tangrid.tangent.generalisation.label_energy import LabelEnergy
from tangrid.tangent.generalisation.norm_rules import NormRule

RAW = "raw"
TRACE = "trace-normalised"
FINITE = "finite-time"
FORMS = (RAW, TRACE, FINITE)
INDEPENDENT = "independent samples"
"""The one condition that is taken on trust."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """Hold one condition of Theorem 3 with what was found.

    Attributes:
        name: Short name.
        required: What is required, in words.
        found: What was found, in words.
        holds: Whether it holds; None if that is not known.
        needed_by: The forms of the bound that need it.
    """

    name: str
    required: str
    found: str
    holds: bool | None
    needed_by: tuple[str, ...] = FORMS

    def __str__(self) -> str:
        """Return the condition with its verdict."""
        verdict = {True: "holds", False: "FAILS", None: "unknown"}[self.holds]
        return f"{verdict}: {self.name}: {self.required}; {self.found}"


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """Hold what the conditions are about.

    Attributes:
        num_points: Samples (n).
        delta: Probability to fail.
        smallest_allowed: Smallest eigenvalue that is enough (lambda_0); None for any
            that stands out of rounding.
        energy: Energy of the labels, with what is known of the eigenvalues.
        descent: How the parameters go downhill.
        time: For how long.
        loss: The loss that is bounded.
        largest_label: Largest absolute label.
        displacement: How far the parameters moved.
        norm: Where the norm bound comes from.
        num_channels: Channels of the labels.
        largest_residual: Largest norm of a residual, before or after training.
        is_of_outputs: Whether the kernel is that of all outputs; None if it is that of
            one channel, or a mean over them, which is taken for that of each.
        stationarity: Whether Theorem 2 holds; None if nobody looked.
    """

    num_points: int
    delta: float
    smallest_allowed: float | None
    energy: LabelEnergy
    descent: Descent
    time: float
    loss: BoundedLoss
    largest_label: float
    displacement: float
    norm: NormRule
    num_channels: int
    largest_residual: float
    is_of_outputs: bool | None
    stationarity: Stationarity | None

    @property
    def radius(self) -> float:
        """The norm bound; infinite if the parameters left the ball."""
        return self.norm.ball(self.displacement, self.delta)[0]


def conditions_of(case: Circumstances) -> Iterator[Condition]:
    """Yield every condition of Theorem 3 with its verdict.

    Args:
        case: What they are about.

    Yields:
        The conditions, those on the data first.
    """
    yield Condition(
        name=INDEPENDENT,
        required="points and labels are drawn independently from one distribution",
        found="taken on trust: numbers do not show it (a regular lattice is not)",
        holds=None,
    )
    enough = math.log(1 / case.delta)
    yield Condition(
        name="samples",
        required=f"n > log(1/delta) = {enough:.3g}",
        found=f"n = {case.num_points}",
        holds=case.num_points > enough,
        needed_by=(RAW,),
    )
    yield _labels(case)
    yield _loss(case)
    yield _eigenvalue(case)
    yield from _training(case)
    yield _kernel(case)
    yield _stationary(case)
    yield Condition(
        name="ball fixed beforehand",
        required="the norm bound does not depend on the labels",
        found=f"{RAW} and {TRACE} read it off the labels",
        holds=False,
        needed_by=(RAW, TRACE),
    )
    yield Condition(
        name="inside the ball",
        required=f"the parameters stay in {case.norm}",
        found=f"they moved by {case.displacement:.4g}",
        holds=case.radius < math.inf,
        needed_by=(FINITE,),
    )


def _labels(case: Circumstances) -> Condition:
    return Condition(
        name="labels",
        required="|y| <= 1",
        found=f"the largest is {case.largest_label:.3g}",
        holds=case.largest_label <= 1,
        needed_by=(RAW,),
    )


def _loss(case: Circumstances) -> Condition:
    slope = case.loss.lipschitz
    price = f" and multiplies the complexity by {slope:.3g}" if slope != 1 else ""
    broken = case.loss.violations(case.num_channels, case.largest_residual)
    return Condition(
        name="loss",
        required=f"in [0, 1] and {slope:.3g}-Lipschitz in the outputs",
        found=f"{case.loss.name}: " + (broken or f"it is{price}"),
        holds=not broken,
    )


def _eigenvalue(case: Circumstances) -> Condition:
    energy = case.energy
    allowed = case.smallest_allowed
    wanted = "above rounding" if allowed is None else f">= lambda_0 = {allowed:.3g}"
    if energy.smallest is None:
        found, holds = "unknown: a solver does not see it", None
    elif energy.smallest == 0:
        found, holds = f"0 to rounding, rank {energy.rank} of {energy.num_rows}", False
    else:
        found = f"{energy.smallest:.3g}"
        holds = allowed is None or energy.smallest >= allowed
    return Condition(
        name="smallest eigenvalue",
        required=f"lambda_min {wanted}",
        found=found,
        holds=holds,
        needed_by=(RAW, TRACE),
    )


def _training(case: Circumstances) -> Iterator[Condition]:
    limit = case.descent.stability_limit
    if case.energy.largest is None:
        found, stable = "unknown: a solver does not see lambda_max", None
    else:
        reached = case.descent.rate * (case.energy.largest + case.descent.ridge)
        found, stable = f"it is {reached:.3g}", reached < limit
    if limit == math.inf:
        found, stable = "a flow has no rate that is too large", True
    yield Condition(
        name="learning rate",
        required=f"rate times lambda_max < {limit:.3g}",
        found=found,
        holds=stable,
        needed_by=(RAW, TRACE),
    )
    yield _steps(case)


def _steps(case: Circumstances) -> Condition:
    shrink = case.num_points / case.delta
    allowed = case.smallest_allowed
    floor = case.energy.smallest if allowed is None else allowed
    wanted = f"time for the slowest mode to shrink by n/delta = {shrink:.3g}"
    if case.time == math.inf:
        found, holds = "training goes on for ever", True
    elif floor is None:
        found, holds = f"t = {case.time:g}; lambda_min is unknown", None
    else:
        slowest = torch.tensor([floor], dtype=torch.float64)
        needed = float(case.descent.times_to_decay(slowest, shrink))
        found = f"t = {case.time:g}, needed are {needed:.3g} with {case.descent}"
        holds = case.time >= needed
    return Condition(
        name="training time",
        required=f"{wanted} (the theorem's Omega taken with the constant 1)",
        found=found,
        holds=holds,
        needed_by=(RAW, TRACE),
    )


def _kernel(case: Circumstances) -> Condition:
    return Condition(
        name="kernel of the outputs",
        required="the kernel is that of all outputs",
        found=(
            "it is"
            if case.is_of_outputs
            else f"one kernel for {case.num_channels} channels, which are taken for "
            "equal and independent of each other, not checked"
        ),
        holds=case.is_of_outputs,
    )


def _stationary(case: Circumstances) -> Condition:
    verdict = case.stationarity
    if verdict is None:
        found = "nobody looked; give stationarity(field, parameters)"
    else:
        trained = " and ".join(verdict.groups)
        found = f"the values are {'' if verdict.holds else 'not '}affine in {trained}"
    return Condition(
        name="stationary kernel",
        required="the kernel does not move in training (Theorem 2)",
        found=found,
        holds=None if verdict is None else verdict.holds,
    )
