r"""Damped least-squares steps: conjugate gradients, the gain ratio, the damping.

A step solves :math:`(G + \lambda D)\,\delta = g`, where G is the Gauss-Newton matrix, g
half of the direction of descent and D a diagonal, and is taken if the loss falls. The
gain ratio is how far the loss fell over how far the quadratic model said it would;
lambda rises where the model was bad and falls where it was good.

References:
    Marquardt 1963; More 1978, "The Levenberg-Marquardt algorithm: implementation and
    theory"; Martens 2010, "Deep learning via Hessian-free optimization".
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

_LEAST_GAIN, _GOOD_GAIN = 0.25, 0.75
_RAISE, _RAISE_AFTER_REJECTION, _LOWER = 4.0, 8.0, 3.0
_SMALLEST, _LARGEST = 1e-8, 1e8
_ROUNDINGS = 10
"""Of what is left of g over g, at which the iteration ends."""


@dataclass(frozen=True)
class Solution:
    """A step that conjugate gradients found.

    Attributes:
        step: Change of the parameters, delta.
        expected_fall: How far the quadratic model without damping says that the loss
            falls.
        iterations: Products with G that it took.
    """

    step: Float[Tensor, " p"]
    expected_fall: float
    iterations: int


def damped_step(
    curvature: Callable[[Tensor], Tensor],
    descent: Float[Tensor, " p"],
    scales: Float[Tensor, " p"],
    damping: float,
    iterations: int,
) -> Solution:
    r"""Solve :math:`(G + \lambda D)\,\delta = g` for a step, perhaps not to the end.

    The preconditioner is :math:`(1 + \lambda) D`, as D is about the diagonal of G.

    Args:
        curvature: Returns G v.
        descent: g, half of the negative gradient of the loss.
        scales: D, all entries above 0.
        damping: lambda.
        iterations: Products with G that are made at most.

    Returns:
        The step, and the fall of the loss that goes with it.

    Example:
        >>> matrix = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
        >>> found = damped_step(matrix.mv, torch.ones(2), torch.ones(2), 0.0, 2)
        >>> [round(number, 4) for number in found.step.tolist()]
        [0.3333, 0.3333]
    """
    step, left = torch.zeros_like(descent), descent.clone()
    preconditioner = ((1 + damping) * scales).reciprocal_()
    better = left * preconditioner
    direction, size = better.clone(), torch.dot(left, better).item()
    # Below a few roundings directions that no point sees would grow without bounds.
    smallest = size * (_ROUNDINGS * torch.finfo(left.dtype).eps) ** 2
    done = 0
    while done < iterations and size > smallest:
        product = curvature(direction).addcmul_(scales, direction, value=damping)
        length = torch.dot(direction, product).item()
        if not length > 0:
            break
        done += 1
        step.add_(direction, alpha=size / length)
        left.sub_(product, alpha=size / length)
        torch.mul(left, preconditioner, out=better)
        before, size = size, torch.dot(left, better).item()
        direction.mul_(size / before).add_(better)
    # 2 g.d - d.G d, where G d = g - left - lambda D d.
    damped = damping * torch.dot(step * scales, step).item()
    fall = torch.dot(step, descent + left).item() + damped
    return Solution(step, fall, done)


def next_damping(damping: float, gain: float) -> float:
    """Return the damping of the next step.

    Args:
        damping: That of the step that was tried.
        gain: Its gain ratio; below 0 where the loss has risen, or is not finite.

    Example:
        >>> next_damping(1.0, 0.5), next_damping(1.0, 0.1), next_damping(1.0, -2.0)
        (1.0, 4.0, 8.0)
    """
    if not gain > 0:
        damping *= _RAISE_AFTER_REJECTION
    elif gain < _LEAST_GAIN:
        damping *= _RAISE
    elif gain > _GOOD_GAIN:
        damping /= _LOWER
    return min(max(damping, _SMALLEST), _LARGEST)
