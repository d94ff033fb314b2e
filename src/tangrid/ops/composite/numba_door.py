"""What the numba loops of compositing take and give, from and to tensors."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tangrid.ops.composite import numba_cpu
from tangrid.ops.composite.passes import Passes


def visible_samples(
    thickness: Tensor, bounds: Tensor, least_transmittance: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the samples that light comes through to, their rays and their bounds.

    Args:
        thickness: Optical thickness of each sample.
        bounds: First sample of each ray, and the number of all.
        least_transmittance: Light that must be left in front of a sample.
    """
    numbers, rays = bounds.new_empty(2, len(thickness)).unbind()
    kept_bounds = torch.empty_like(bounds)
    count = numba_cpu.visible(
        _array(thickness),
        bounds.numpy(),
        -math.log(least_transmittance),
        numbers.numpy(),
        rays.numpy(),
        kept_bounds.numpy(),
    )
    return numbers[:count], rays[:count], kept_bounds


def passes(*, serial: bool) -> Passes:
    """Return the loops over rays.

    Args:
        serial: Whether to stay on the calling thread.
    """
    return _SERIAL if serial else _PARALLEL


def _composite(
    run: Callable[..., None],
    thickness: Tensor,
    colours: Tensor,
    distances: Tensor,
    bounds: Tensor,
) -> tuple[Tensor, ...]:
    num_rays = len(bounds) - 1
    rgb = colours.new_empty(num_rays, colours.shape[1])
    opacity, depth, left = thickness.new_empty(3, num_rays).unbind()
    weights = thickness.new_empty(len(thickness))
    out = (rgb.numpy(), opacity.numpy(), depth.numpy())
    arrays = (_array(thickness), _array(colours), _array(distances))
    run(*arrays, _array(bounds), weights.numpy(), left.numpy(), out)
    return rgb, opacity, depth, weights, left


def _composite_vjp(
    run: Callable[..., None],
    upstream: tuple[Tensor, ...],
    colours: Tensor,
    distances: Tensor,
    bounds: Tensor,
    weights: Tensor,
    left: Tensor,
) -> tuple[Tensor, ...]:
    grads = tuple(t.new_empty(t.shape) for t in (weights, colours, distances))
    arrays = tuple(grad.numpy() for grad in grads)
    medium = _array(colours), _array(distances), _array(bounds)
    above = tuple(_array(tensor) for tensor in upstream)
    run(_array(weights), _array(left), *medium, above, arrays)
    return grads


def _weigh(
    run: Callable[..., None], thickness: Tensor, bounds: Tensor
) -> tuple[Tensor, Tensor]:
    weights = thickness.new_empty(len(thickness))
    left = thickness.new_empty(len(bounds) - 1)
    run(_array(thickness), _array(bounds), weights.numpy(), left.numpy())
    return weights, left


def _weigh_vjp(
    run: Callable[..., None],
    upstream: Tensor,
    bounds: Tensor,
    weights: Tensor,
    left: Tensor,
) -> Tensor:
    grad = weights.new_empty(len(weights))
    rays = _array(weights), _array(left), _array(bounds)
    run(*rays, _array(upstream), grad.numpy())
    return grad


def _array(tensor: Tensor) -> NDArray[np.generic]:
    return tensor.detach().contiguous().numpy()


_SERIAL = Passes(
    composite=partial(_composite, numba_cpu.composite_serial),
    composite_vjp=partial(_composite_vjp, numba_cpu.composite_vjp_serial),
    weigh=partial(_weigh, numba_cpu.weights_serial),
    weigh_vjp=partial(_weigh_vjp, numba_cpu.weights_vjp_serial),
)
_PARALLEL = Passes(
    composite=partial(_composite, numba_cpu.composite_parallel),
    composite_vjp=partial(_composite_vjp, numba_cpu.composite_vjp_parallel),
    weigh=partial(_weigh, numba_cpu.weights_parallel),
    weigh_vjp=partial(_weigh_vjp, numba_cpu.weights_vjp_parallel),
)
