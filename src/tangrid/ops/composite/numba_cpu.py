"""Compositing as loops over rays; the backward pass begins with the last sample.

What stands behind a sample is summed on the way, so no transmittance is stored but that
behind the last sample. Functions take NumPy views of float32 tensors.
"""
# Kernels are typed by numba.

import math
import typing

import numpy as np
from numba import njit, prange

from tangrid.ops.loops import INNER, OUTER, PARALLEL

RAYS = 256
"""Rays that one thread takes at a time."""

_ONE = np.float32(1)
_ZERO = np.float32(0)


@typing.no_type_check
@njit(**INNER)
def _weigh(thickness, start, stop, weights):
    """Fill in the weights of one ray.

    Returns:
        The light that is left behind it.
    """
    left = _ONE
    for i in range(start, stop):
        # Thin samples keep their digits, which 1 - exp would lose.
        taken = np.float32(-math.expm1(-thickness[i]))
        weights[i] = left * taken
        left *= _ONE - taken
    return left


@typing.no_type_check
@njit(**INNER)
def _composite_ray(
    ray, thickness, colours, distances, bounds, weights, left, rgb, opacity, depth
):
    start, stop = bounds[ray], bounds[ray + 1]
    left[ray] = _weigh(thickness, start, stop, weights)
    for channel in range(colours.shape[1]):
        rgb[ray, channel] = _ZERO
    total, far = _ZERO, _ZERO
    for i in range(start, stop):
        weight = weights[i]
        total += weight
        far += weight * distances[i]
        for channel in range(colours.shape[1]):
            rgb[ray, channel] += weight * colours[i, channel]
    opacity[ray] = total
    depth[ray] = far


@typing.no_type_check
@njit(**INNER)
def _pull_ray(ray, weights, left, values, bounds, grad_thickness):
    """Turn the gradients of one ray's weights into those of its thicknesses."""
    behind, light = _ZERO, left[ray]
    for i in range(bounds[ray + 1] - 1, bounds[ray] - 1, -1):
        # The light that is left behind sample i.
        value = values[i]
        grad_thickness[i] = light * value - behind
        behind += weights[i] * value
        light += weights[i]


@typing.no_type_check
@njit(**INNER)
def _composite_vjp_ray(
    ray, weights, left, colours, distances, bounds, upstream, grad_thickness,
    grad_colours, grad_distances,
):  # fmt: skip
    of_rgb, of_opacity, of_depth = upstream
    for i in range(bounds[ray], bounds[ray + 1]):
        value = of_opacity[ray] + of_depth[ray] * distances[i]
        for channel in range(colours.shape[1]):
            value += of_rgb[ray, channel] * colours[i, channel]
            grad_colours[i, channel] = weights[i] * of_rgb[ray, channel]
        grad_distances[i] = weights[i] * of_depth[ray]
        # What the weight is worth; overwritten below, from the last sample on.
        grad_thickness[i] = value
    _pull_ray(ray, weights, left, grad_thickness, bounds, grad_thickness)


@typing.no_type_check
@njit(**OUTER)
def composite_serial(thickness, colours, distances, bounds, weights, left, out):
    """Composite all rays on the calling thread."""
    for ray in range(bounds.shape[0] - 1):
        _composite_ray(
            ray, thickness, colours, distances, bounds, weights, left, out[0], out[1],
            out[2],
        )  # fmt: skip


@typing.no_type_check
@njit(**PARALLEL)
def composite_parallel(thickness, colours, distances, bounds, weights, left, out):
    """Composite all rays with numba's threads."""
    num_rays = bounds.shape[0] - 1
    for run in prange((num_rays + RAYS - 1) // RAYS):
        for ray in range(run * RAYS, min(run * RAYS + RAYS, num_rays)):
            _composite_ray(
                ray, thickness, colours, distances, bounds, weights, left, out[0],
                out[1], out[2],
            )  # fmt: skip


@typing.no_type_check
@njit(**OUTER)
def composite_vjp_serial(weights, left, colours, distances, bounds, upstream, grads):
    """Compute all gradients on the calling thread."""
    for ray in range(bounds.shape[0] - 1):
        _composite_vjp_ray(
            ray, weights, left, colours, distances, bounds, upstream, grads[0],
            grads[1], grads[2],
        )  # fmt: skip


@typing.no_type_check
@njit(**PARALLEL)
def composite_vjp_parallel(weights, left, colours, distances, bounds, upstream, grads):
    """Compute all gradients with numba's threads."""
    num_rays = bounds.shape[0] - 1
    for run in prange((num_rays + RAYS - 1) // RAYS):
        for ray in range(run * RAYS, min(run * RAYS + RAYS, num_rays)):
            _composite_vjp_ray(
                ray, weights, left, colours, distances, bounds, upstream, grads[0],
                grads[1], grads[2],
            )  # fmt: skip


@typing.no_type_check
@njit(**OUTER)
def weights_serial(thickness, bounds, weights, left):
    """Weigh the samples of all rays on the calling thread."""
    for ray in range(bounds.shape[0] - 1):
        left[ray] = _weigh(thickness, bounds[ray], bounds[ray + 1], weights)


@typing.no_type_check
@njit(**PARALLEL)
def weights_parallel(thickness, bounds, weights, left):
    """Weigh the samples of all rays with numba's threads."""
    for ray in prange(bounds.shape[0] - 1):
        left[ray] = _weigh(thickness, bounds[ray], bounds[ray + 1], weights)


@typing.no_type_check
@njit(**OUTER)
def weights_vjp_serial(weights, left, bounds, upstream, grad_thickness):
    """Pull gradients of weights back on the calling thread."""
    for ray in range(bounds.shape[0] - 1):
        _pull_ray(ray, weights, left, upstream, bounds, grad_thickness)


@typing.no_type_check
@njit(**PARALLEL)
def weights_vjp_parallel(weights, left, bounds, upstream, grad_thickness):
    """Pull gradients of weights back with numba's threads."""
    for ray in prange(bounds.shape[0] - 1):
        _pull_ray(ray, weights, left, upstream, bounds, grad_thickness)


@typing.no_type_check
@njit(**OUTER)
def visible(thickness, bounds, most_thickness, kept, kept_rays, kept_bounds):
    """Collect the samples in front of which little stands.

    Returns:
        Their number.
    """
    count = 0
    kept_bounds[0] = 0
    for ray in range(bounds.shape[0] - 1):
        before = _ZERO
        for i in range(bounds[ray], bounds[ray + 1]):
            # Not `before >= most`: a thickness that is no number must not hide.
            if not before < most_thickness:
                break
            kept[count] = i
            kept_rays[count] = ray
            count += 1
            before += thickness[i]
        kept_bounds[ray + 1] = count
    return count
