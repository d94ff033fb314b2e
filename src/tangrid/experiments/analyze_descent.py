"""Gradient descent on all points at once: as the kernel predicts it, and as it is."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.experiments.analyze_probes import Probes
from tangrid.experiments.analyze_specimen import Specimen
from tangrid.tangent.dynamics.descent import GradientDescent
from tangrid.tangent.dynamics.evolution import evolve_training
from tangrid.tangent.dynamics.prediction import predict_mse
from tangrid.tangent.kernels.kernel import TangentKernel

_RECORDED = 200
"""Numbers of steps at which a curve is recorded."""


@dataclass(frozen=True, eq=False)
class MeasuredDescent:
    """Hold what gradient descent really did.

    Attributes:
        losses: Mean squared error before each step and after the last one; shorter
            than that if it was given up or left the finite numbers.
        specimen: The model after the last step.
    """

    losses: Float[Tensor, " t"]
    specimen: Specimen

    def at(self, steps: Tensor) -> Tensor:
        """Return the loss after numbers of steps; nan where there is none.

        Args:
            steps: Whole numbers.
        """
        there = steps < len(self.losses)
        found = self.losses[torch.where(there, steps, 0)]
        return torch.where(there, found, torch.nan)


def recorded_steps(steps: int, count: int = _RECORDED) -> Tensor:
    """Return the numbers of steps at which curves are recorded, 0 and the last too.

    Args:
        steps: The last one.
        count: How many there are at most between them.

    Example:
        >>> recorded_steps(3).tolist(), len(recorded_steps(10_000)) <= 201
        ([0, 1, 2, 3], True)
    """
    if steps <= count:
        return torch.arange(steps + 1)
    spread = torch.logspace(0, math.log10(steps), count, dtype=torch.float64)
    ends = torch.tensor([0, steps])
    return torch.cat((ends, spread.round().long().clamp(max=steps))).unique()


def predicted_losses(
    dense: TangentKernel,
    specimen: Specimen,
    probes: Probes,
    descent: GradientDescent,
    steps: Tensor,
) -> tuple[Tensor, str]:
    """Return predicted mean squared errors, on the host, and how they were found.

    Args:
        dense: The kernel of all parameters, whose eigenvectors are known.
        specimen: What it is the kernel of.
        probes: Points and labels.
        descent: How the parameters go downhill.
        steps: When.
    """
    initial, times = specimen.values(probes.points), steps.double()
    if dense.outputs == "full" or probes.num_channels == 1:
        losses = predict_mse(dense, probes.labels, initial, descent, times)
        return losses.cpu(), "eigenvectors"
    # Channels act on each other: the kernel of their sum does not know of it.
    whole = specimen.kernel("all", probes.points)
    found = evolve_training(
        whole,
        probes.labels,
        initial,
        descent,
        times,
        max_products=max(300, int(steps.max()) + 1),
    )
    return found.mse.cpu(), "products"


def measured_descent(
    specimen: Specimen,
    probes: Probes,
    rate: float,
    steps: int,
    *,
    ceiling: float = math.inf,
    on_step: Callable[[int], None] | None = None,
) -> MeasuredDescent:
    """Return what gradient descent on half the sum of squares makes of a model.

    All parameters go downhill on all points at once, in float64, with the reference
    implementation of every operator.

    Args:
        specimen: What is trained; it stays as it is.
        probes: Points and labels.
        rate: Learning rate.
        steps: How many.
        ceiling: Loss over the first one at which it is given up.
        on_step: Called after every step with its number.
    """
    subject = specimen.subject
    parameters = {
        name: value.clone().requires_grad_()
        for name, value in subject.parameters.items()
    }
    losses: list[float] = []
    for step in range(steps + 1):
        residual = subject.function(parameters, probes.points) - probes.labels
        loss = float(residual.detach().square().mean())
        if not math.isfinite(loss) or (losses and loss > ceiling * losses[0]):
            break
        losses.append(loss)
        if step == steps:
            break
        gradients = torch.autograd.grad(
            residual.square().sum() / 2, list(parameters.values()), allow_unused=True
        )
        with torch.no_grad():
            for value, gradient in zip(parameters.values(), gradients, strict=True):
                if gradient is not None:
                    value.sub_(gradient, alpha=rate)
        if on_step is not None:
            on_step(step + 1)
    found = torch.tensor(losses, dtype=torch.float64)
    ended = {name: value.detach() for name, value in parameters.items()}
    return MeasuredDescent(found, specimen.moved(ended))
