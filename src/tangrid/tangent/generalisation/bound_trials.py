"""Does the bound of Theorem 3 hold? Draw data, train, and count how often it does not.

A bound that holds with probability 1 - delta may be broken in a share delta of all
draws of the training set. That can be counted wherever the distribution is at hand.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.stats import binomtest
from torch import Tensor, nn

from tangrid.errors import ConfigError, ShapeError
from tangrid.notation import Coords, Values
from tangrid.tangent.dynamics.descent import Descent
from tangrid.tangent.dynamics.stationarity import stationarity
from tangrid.tangent.generalisation.bound_forms import finite_time_form
from tangrid.tangent.generalisation.bounded_loss import CLIPPED_ABSOLUTE, BoundedLoss
from tangrid.tangent.generalisation.norm_rules import NormRule
from tangrid.tangent.kernels.jacobian import jacobian
from tangrid.tangent.kernels.subject import Selection, Subject, subject_of

Draw = Callable[[int, torch.Generator], tuple[Coords, Values]]
"""Number of samples and source of randomness to independent points and labels."""


@dataclass(frozen=True, kw_only=True)
class BoundTrials:
    """Hold bounds and true losses over repeated draws of the training set.

    Attributes:
        bounds: Bound of every draw; infinite where training left the ball.
        population_losses: Loss on a large fresh sample.
        training_losses: Loss on the training points.
        delta: Probability with which the bound may fail.
        standard_error: Error of the losses on the fresh sample, the largest of them.
    """

    bounds: Float[Tensor, " t"]
    population_losses: Float[Tensor, " t"]
    training_losses: Float[Tensor, " t"]
    delta: float
    standard_error: float

    @property
    def num_violations(self) -> int:
        """Draws in which the true loss is not below its bound, nan counting so."""
        return int((~(self.population_losses <= self.bounds)).sum())

    @property
    def share_violated(self) -> float:
        """Share of draws in which the true loss is above its bound."""
        return self.num_violations / len(self.bounds)

    @property
    def share_limit(self) -> float:
        """Upper end of the 95 % interval of that share (Clopper and Pearson)."""
        found = binomtest(self.num_violations, len(self.bounds))
        return float(found.proportion_ci(0.95, method="exact").high)

    @property
    def is_vacuous(self) -> bool:
        """Whether some bound says nothing, being 1 or more."""
        return not bool((self.bounds < 1).all())

    def __str__(self) -> str:
        """Return what was counted, in words."""
        bounds, losses = self.bounds, self.population_losses
        gap = float((losses - self.training_losses).mean())
        worth = "; VACUOUS in some draws" if self.is_vacuous else ""
        return (
            f"{self.num_violations} violations in {len(bounds)} draws (share at most "
            f"{self.share_limit:.3g} with 95 % confidence, allowed {self.delta:g}): "
            f"bounds {float(bounds.min()):.4f} to {float(bounds.max()):.4f}, true "
            f"losses {float(losses.min()):.4f} to {float(losses.max()):.4f} +- "
            f"{self.standard_error:.1g}, on average {gap:.2g} above the loss in "
            f"training{worth}"
        )


def bound_trials(
    model: nn.Module,
    parameters: Selection,
    draw: Draw,
    *,
    num_points: int,
    num_trials: int,
    descent: Descent,
    norm: NormRule,
    generator: torch.Generator,
    time: float = math.inf,
    loss: BoundedLoss = CLIPPED_ABSOLUTE,
    delta: float = 0.05,
    num_fresh: int = 2**16,
) -> BoundTrials:
    """Return bounds and true losses over repeated draws of the training set.

    Every trial starts from the parameters that the field has now, which are therefore
    independent of the data, and trains on points of its own.

    Args:
        model: A field that is affine in what is trained.
        parameters: What is trained.
        draw: Makes independent points and labels.
        num_points: Training points of a trial.
        num_trials: Number of trials.
        descent: How the parameters go downhill, on half the sum of squares.
        norm: Where the ball comes from.
        generator: Source of randomness.
        time: When training stops, in steps or units of time.
        loss: The loss that is bounded.
        delta: Probability with which the bound may fail.
        num_fresh: Samples on which the true loss is measured, the same for all trials.

    Raises:
        ConfigError: If the field is not affine in what is trained, the loss is not
            what it promises, or a number is out of range.
        ShapeError: If points or labels are drawn that are not finite.
    """
    _check_numbers(delta, num_points, num_trials, num_fresh)
    _check_affine(model, parameters)
    subject = subject_of(model, parameters, torch.float64)
    fresh, fresh_labels = _doubled(draw(num_fresh, generator))
    before = fresh_labels - subject.function(subject.parameters, fresh)
    largest = float(before.norm(dim=1).max())
    _check_loss(loss, fresh_labels.shape[1], largest)
    bounds, truths, trained_losses, errors = [], [], [], []
    for _ in range(num_trials):
        points, labels = _doubled(draw(num_points, generator))
        step, trace = _step(subject, points, labels, descent, time)
        given = _moved(subject, step)
        losses = loss(labels - subject.function(given, points))
        left = fresh_labels - subject.function(given, fresh)
        largest, true = max(largest, float(left.norm(dim=1).max())), loss(left)
        # Affinity and loss are looked at here; to draw independently is the caller's
        # part.
        promises = {"norm": norm, "loss": loss, "delta": delta, "is_proven": True}
        size, channels = float(step.norm()), labels.shape[1]
        form = finite_time_form(losses, size, trace, num_channels=channels, **promises)
        bounds.append(form.total)
        truths.append(float(true.mean()))
        trained_losses.append(form.training_loss)
        errors.append(float(true.std()) / math.sqrt(num_fresh))
    _check_loss(loss, fresh_labels.shape[1], largest)
    return BoundTrials(
        bounds=torch.tensor(bounds, dtype=torch.float64),
        population_losses=torch.tensor(truths, dtype=torch.float64),
        training_losses=torch.tensor(trained_losses, dtype=torch.float64),
        delta=delta,
        standard_error=max(errors),
    )


def _check_affine(model: nn.Module, parameters: Selection) -> None:
    verdict = stationarity(model, parameters)
    if not verdict.holds:
        raise ConfigError(
            "bound_trials(model, parameters): expected values affine in the trained "
            f"parameters, for which the bound is proven, got others. {verdict}"
        )


def _doubled(drawn: tuple[Coords, Values]) -> tuple[Coords, Values]:
    points, labels = drawn
    for what, numbers in (("points", points), ("labels", labels)):
        bad = int((~torch.isfinite(numbers)).sum())
        if bad:
            raise ShapeError(
                f"bound_trials(draw=...): expected finite {what}, got {bad} of "
                f"{numbers.numel()} others. A loss that is no number is no evidence."
            )
    return points.double(), labels.double()


def _check_numbers(
    delta: float, num_points: int, num_trials: int, num_fresh: int
) -> None:
    if not 0 < delta < 1:
        raise ConfigError(
            f"bound_trials(delta=...): expected a probability, got {delta}."
        )
    if min(num_points, num_trials) < 1 or num_fresh < 2:
        raise ConfigError(
            "bound_trials: expected at least 1 point and 1 trial, and 2 fresh samples "
            f"for an error, got {num_points}, {num_trials} and {num_fresh}."
        )


def _check_loss(loss: BoundedLoss, num_channels: int, largest: float) -> None:
    broken = loss.violations(num_channels, largest)
    if broken:
        raise ConfigError(
            f"bound_trials(loss=...): expected a loss in [0, 1] and "
            f"{loss.lipschitz:.3g}-Lipschitz, got {loss.name}: {broken}. State its "
            "slope and joining, and cut it off at 1."
        )


def _step(
    subject: Subject, points: Coords, labels: Values, descent: Descent, time: float
) -> tuple[Float[Tensor, " p"], float]:
    """Return how training moves the parameters, and the trace of the tangent kernel.

    Of few parameters and many points the matrix J^T J is the small one; its eigenvalues
    are those of the kernel.
    """
    gradients = jacobian(subject, subject.parameters, points)
    rows = torch.cat(list(gradients.values()), dim=2).flatten(0, 1)
    residual = (labels - subject.function(subject.parameters, points)).flatten()
    values, vectors = torch.linalg.eigh(rows.T @ rows)
    trace = float(values.sum())
    resolved = values > len(values) * torch.finfo(values.dtype).eps * values.max()
    gains = descent.response(values.clamp(min=0), time).gains[0]
    # Directions without gradient are never pushed.
    gains = torch.where(resolved, gains, 0.0)
    return vectors @ (gains * (vectors.T @ (rows.T @ residual))), trace


def _moved(subject: Subject, step: Float[Tensor, " p"]) -> dict[str, Tensor]:
    sizes = [tensor.numel() for tensor in subject.parameters.values()]
    return {
        name: tensor + change.reshape(tensor.shape)
        for (name, tensor), change in zip(
            subject.parameters.items(), step.split(sizes), strict=True
        )
    }
