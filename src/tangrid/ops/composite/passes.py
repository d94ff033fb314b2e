"""What an implementation gives to autograd: ways along all rays, forward and back."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Passes:
    """Hold the four ways along the rays that one implementation has.

    Of every sample its weight is kept and of every ray the light that is left behind
    it: with these the way back needs no exponentials.
    """

    composite: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, ...]]
    """Thickness, colours, distances and bounds to what rays see, weights and light."""
    composite_vjp: Callable[..., tuple[Tensor, ...]]
    """Gradients of three results (a tuple), colours, distances, bounds, weights, left
    to the gradients of thickness, colours and distances."""
    weigh: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    """Thickness and bounds to weights and the light left."""
    weigh_vjp: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    """Gradient of weights, bounds, weights, left to the gradient of thickness."""
