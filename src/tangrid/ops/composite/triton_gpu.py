"""Compositing as Triton programs: a program takes a few rays, a run of samples at once.

What stands in front of a sample is a sum over the samples before it, read one place
earlier, and never a sum less its last term. Each result has one writer: the same bits
come out every time. Rays stay among the samples there are, whatever their bounds say.
"""

import math

import torch
import triton
import triton.language as tl

from tangrid.ops.composite.passes import Passes

RAYS = 4
"""Rays of one program."""
SAMPLES = 32
"""Samples of a ray that are read at once."""
MOST_CHANNELS = 16
"""Colour channels that are read at once."""

_SIZES = ("num_rays", "num_samples")
"""Numbers that change from batch to batch: no program is compiled for one of them."""


@triton.jit
def _taken(thickness):
    """Return 1 - exp(-thickness), with all digits of a thin one."""
    is_thin = tl.abs(thickness) < 0.5
    x = tl.where(is_thin, thickness, 0.0)
    # Taylor's series; what is left out of it is 1e-8 of the sum at 0.5.
    x = x * (1 - x / 2 * (1 - x / 3 * (1 - x / 4 * (1 - x / 5 * (
        1 - x / 6 * (1 - x / 7 * (1 - x / 8)))))))  # fmt: skip
    return tl.where(is_thin, x, 1 - tl.exp(-thickness))


@triton.jit
def _rays_of(bounds, num_rays, num_samples, RAYS: tl.constexpr):
    """Return which rays a program has, and where each begins and ends."""
    ray = tl.program_id(0).to(tl.int64) * RAYS + tl.arange(0, RAYS)
    is_ray = ray < num_rays
    start = tl.load(bounds + ray, mask=is_ray, other=0)
    stop = tl.load(bounds + ray + 1, mask=is_ray, other=0)
    # Nobody has looked at the numbers: that would wait for the device.
    return ray, is_ray, tl.maximum(start, 0), tl.minimum(stop, num_samples)


@triton.jit
def _weigh(thickness, at, start, here, passed):
    """Return weights and thickness of samples, and what stands before the next ones."""
    own = tl.load(thickness + at, mask=here, other=0.0)
    previous = tl.load(thickness + at - 1, mask=here & (at > start), other=0.0)
    before = passed[:, None] + tl.cumsum(previous, axis=1)
    return tl.exp(-before) * _taken(own), own, passed + tl.sum(previous, axis=1)


@triton.jit(do_not_specialize=_SIZES)
def _composite(
    thickness, colours, distances, bounds, weights, left, rgb, opacity, depth,
    num_rays, num_samples, CHANNELS: tl.constexpr, WIDTH: tl.constexpr,
    RAYS: tl.constexpr, SAMPLES: tl.constexpr,
):  # fmt: skip
    ray, is_ray, start, stop = _rays_of(bounds, num_rays, num_samples, RAYS)
    channel = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    is_channel = channel < CHANNELS
    # Programs of further channels weigh the same samples again.
    is_first = is_ray & (tl.full((RAYS,), 0, tl.int32) == tl.program_id(1))
    passed = tl.zeros((RAYS,), tl.float32)
    total = tl.zeros((RAYS,), tl.float32)
    far = tl.zeros((RAYS,), tl.float32)
    seen = tl.zeros((RAYS, WIDTH), tl.float32)
    for first in range(0, tl.max(stop - start, axis=0), SAMPLES):
        at = start[:, None] + (first + tl.arange(0, SAMPLES))[None, :]
        here = at < stop[:, None]
        weight, own, passed = _weigh(thickness, at, start[:, None], here, passed)
        total += tl.sum(own, axis=1)
        tl.store(weights + at, weight, mask=here & is_first[:, None])
        far += tl.sum(weight * tl.load(distances + at, mask=here, other=0.0), axis=1)
        place = at[:, :, None] * CHANNELS + channel[None, None, :]
        known = here[:, :, None] & is_channel[None, None, :]
        colour = tl.load(colours + place, mask=known, other=0.0).to(tl.float32)
        seen += tl.sum(weight[:, :, None] * colour, axis=1)
    place = ray[:, None] * CHANNELS + channel[None, :]
    tl.store(rgb + place, seen, mask=is_ray[:, None] & is_channel[None, :])
    tl.store(opacity + ray, _taken(total), mask=is_first)
    tl.store(depth + ray, far, mask=is_first)
    tl.store(left + ray, tl.exp(-total), mask=is_first)


@triton.jit(do_not_specialize=_SIZES)
def _weights(
    thickness, bounds, weights, left, num_rays, num_samples, RAYS: tl.constexpr,
    SAMPLES: tl.constexpr,
):  # fmt: skip
    ray, is_ray, start, stop = _rays_of(bounds, num_rays, num_samples, RAYS)
    passed = tl.zeros((RAYS,), tl.float32)
    total = tl.zeros((RAYS,), tl.float32)
    for first in range(0, tl.max(stop - start, axis=0), SAMPLES):
        at = start[:, None] + (first + tl.arange(0, SAMPLES))[None, :]
        here = at < stop[:, None]
        weight, own, passed = _weigh(thickness, at, start[:, None], here, passed)
        total += tl.sum(own, axis=1)
        tl.store(weights + at, weight, mask=here)
    tl.store(left + ray, tl.exp(-total), mask=is_ray)


@triton.jit
def _pull(value, weight_after, value_after, light, behind):
    """Return the gradient of samples, and what the next ones begin with.

    Samples are in the order from the last of a ray to the first. Light is what comes
    out behind a sample: all samples after it add their weights to what is left.
    """
    gained = weight_after * value_after
    light_here = light[:, None] + tl.cumsum(weight_after, axis=1)
    behind_here = behind[:, None] + tl.cumsum(gained, axis=1)
    light += tl.sum(weight_after, axis=1)
    return light_here * value - behind_here, light, behind + tl.sum(gained, axis=1)


@triton.jit
def _worth(
    colours, distances, of_rgb, of_opacity, of_depth, ray, is_ray, at, here,
    CHANNELS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Return what the weights of samples are worth."""
    worth = of_depth[:, None] * tl.load(distances + at, mask=here, other=0.0)
    worth += of_opacity[:, None]
    for first in range(0, CHANNELS, WIDTH):
        channel = first + tl.arange(0, WIDTH)
        is_channel = channel < CHANNELS
        place = ray[:, None] * CHANNELS + channel[None, :]
        known = is_ray[:, None] & is_channel[None, :]
        upstream = tl.load(of_rgb + place, mask=known, other=0.0)
        place = at[:, :, None] * CHANNELS + channel[None, None, :]
        known = here[:, :, None] & is_channel[None, None, :]
        colour = tl.load(colours + place, mask=known, other=0.0).to(tl.float32)
        worth += tl.sum(colour * upstream[:, None, :], axis=2)
    return tl.where(here, worth, 0.0)


@triton.jit(do_not_specialize=_SIZES)
def _composite_vjp(
    weights, left, colours, distances, bounds, of_rgb, of_opacity, of_depth,
    grad_thickness, grad_colours, grad_distances, num_rays, num_samples,
    CHANNELS: tl.constexpr, WIDTH: tl.constexpr, RAYS: tl.constexpr,
    SAMPLES: tl.constexpr,
):  # fmt: skip
    ray, is_ray, start, stop = _rays_of(bounds, num_rays, num_samples, RAYS)
    light = tl.load(left + ray, mask=is_ray, other=0.0)
    behind = tl.zeros((RAYS,), tl.float32)
    opaque = tl.load(of_opacity + ray, mask=is_ray, other=0.0)
    far = tl.load(of_depth + ray, mask=is_ray, other=0.0)
    for first in range(0, tl.max(stop - start, axis=0), SAMPLES):
        at = stop[:, None] - 1 - (first + tl.arange(0, SAMPLES))[None, :]
        here = at >= start[:, None]
        after = here & (at + 1 < stop[:, None])
        weight = tl.load(weights + at, mask=here, other=0.0)
        weight_after = tl.load(weights + at + 1, mask=after, other=0.0)
        value = _worth(
            colours, distances, of_rgb, opaque, far, ray, is_ray, at, here, CHANNELS,
            WIDTH,
        )  # fmt: skip
        value_after = _worth(
            colours, distances, of_rgb, opaque, far, ray, is_ray, at + 1, after,
            CHANNELS, WIDTH,
        )  # fmt: skip
        grad, light, behind = _pull(value, weight_after, value_after, light, behind)
        tl.store(grad_thickness + at, grad, mask=here)
        tl.store(grad_distances + at, weight * far[:, None], mask=here)
        for some in range(0, CHANNELS, WIDTH):
            channel = some + tl.arange(0, WIDTH)
            is_channel = channel < CHANNELS
            place = ray[:, None] * CHANNELS + channel[None, :]
            known = is_ray[:, None] & is_channel[None, :]
            upstream = tl.load(of_rgb + place, mask=known, other=0.0)
            of_colour = weight[:, :, None] * upstream[:, None, :]
            place = at[:, :, None] * CHANNELS + channel[None, None, :]
            known = here[:, :, None] & is_channel[None, None, :]
            tl.store(grad_colours + place, of_colour, mask=known)


@triton.jit(do_not_specialize=_SIZES)
def _weights_vjp(
    weights, left, upstream, bounds, grad_thickness, num_rays, num_samples,
    RAYS: tl.constexpr, SAMPLES: tl.constexpr,
):  # fmt: skip
    ray, is_ray, start, stop = _rays_of(bounds, num_rays, num_samples, RAYS)
    light = tl.load(left + ray, mask=is_ray, other=0.0)
    behind = tl.zeros((RAYS,), tl.float32)
    for first in range(0, tl.max(stop - start, axis=0), SAMPLES):
        at = stop[:, None] - 1 - (first + tl.arange(0, SAMPLES))[None, :]
        here = at >= start[:, None]
        after = here & (at + 1 < stop[:, None])
        value = tl.load(upstream + at, mask=here, other=0.0)
        weight_after = tl.load(weights + at + 1, mask=after, other=0.0)
        value_after = tl.load(upstream + at + 1, mask=after, other=0.0)
        grad, light, behind = _pull(value, weight_after, value_after, light, behind)
        tl.store(grad_thickness + at, grad, mask=here)


@triton.jit(do_not_specialize=_SIZES)
def _count_visible(
    thickness, bounds, counts, most_thickness, num_rays, num_samples,
    RAYS: tl.constexpr, SAMPLES: tl.constexpr,
):  # fmt: skip
    ray, is_ray, start, stop = _rays_of(bounds, num_rays, num_samples, RAYS)
    passed = tl.zeros((RAYS,), tl.float32)
    count = tl.zeros((RAYS,), tl.int64)
    for first in range(0, tl.max(stop - start, axis=0), SAMPLES):
        at = start[:, None] + (first + tl.arange(0, SAMPLES))[None, :]
        here = at < stop[:, None]
        has_more = here & (at > start[:, None])
        previous = tl.load(thickness + at - 1, mask=has_more, other=0.0)
        before = passed[:, None] + tl.cumsum(previous, axis=1)
        passed += tl.sum(previous, axis=1)
        count += tl.sum((here & (before < most_thickness)).to(tl.int64), axis=1)
    tl.store(counts + ray, count, mask=is_ray)


def _launch(program, num_rays, num_samples, given, *, columns=1, **shapes):
    grid = triton.cdiv(num_rays, RAYS), columns
    sizes = {"num_rays": num_rays, "num_samples": num_samples}
    shapes |= {"RAYS": RAYS, "SAMPLES": SAMPLES}
    with torch.cuda.device_of(given[0]):
        # Said, as Triton is about to change what it does unasked.
        program[grid](*given, **sizes, **shapes, enable_fp_fusion=True)


def _channels(count):
    width = min(triton.next_power_of_2(max(count, 1)), MOST_CHANNELS)
    return {"CHANNELS": count, "WIDTH": width}


def _of_samples(like):
    # Bounds are not looked at, and samples of no ray are written by no program.
    return like.new_zeros(like.shape)


def _composited(thickness, colours, distances, bounds):
    num_rays, channels = len(bounds) - 1, colours.shape[1]
    rgb = thickness.new_empty(num_rays, channels)
    opacity, depth, left = thickness.new_empty(3, num_rays).unbind()
    weights = _of_samples(thickness)
    medium = (tensor.contiguous() for tensor in (thickness, colours, distances, bounds))
    tensors = (*medium, weights, left, rgb, opacity, depth)
    shapes = _channels(channels)
    columns = triton.cdiv(max(channels, 1), shapes["WIDTH"])
    _launch(_composite, num_rays, len(weights), tensors, columns=columns, **shapes)
    return rgb, opacity, depth, weights, left


def _composited_vjp(upstream, colours, distances, bounds, weights, left):
    grads = [_of_samples(t) for t in (weights, colours, distances)]
    given = (weights, left, colours, distances, bounds, *upstream)
    tensors = (*(tensor.contiguous() for tensor in given), *grads)
    # A program goes over all channels: their gradients meet in that of the thickness.
    shapes = _channels(colours.shape[1])
    _launch(_composite_vjp, len(left), len(weights), tensors, **shapes)
    return tuple(grads)


def _weighed(thickness, bounds):
    weights = _of_samples(thickness)
    left = thickness.new_empty(len(bounds) - 1)
    tensors = thickness.contiguous(), bounds.contiguous(), weights, left
    _launch(_weights, len(left), len(thickness), tensors)
    return weights, left


def _weighed_vjp(upstream, bounds, weights, left):
    grad = _of_samples(weights)
    tensors = weights, left, upstream.contiguous(), bounds.contiguous(), grad
    _launch(_weights_vjp, len(left), len(weights), tensors)
    return grad


PASSES = Passes(
    composite=_composited,
    composite_vjp=_composited_vjp,
    weigh=_weighed,
    weigh_vjp=_weighed_vjp,
)


def visible_samples(thickness, bounds, least_transmittance):
    """Return the samples that light comes through to, their rays and their bounds.

    Args:
        thickness: Optical thickness of each sample.
        bounds: First sample of each ray, and the number of all.
        least_transmittance: Light that must be left in front of a sample.
    """
    counts = bounds.new_empty(len(bounds) - 1)
    most = -math.log(least_transmittance)
    given = thickness.contiguous(), bounds.contiguous(), counts, most
    _launch(_count_visible, len(counts), len(thickness), given)
    kept_bounds = torch.cat((bounds.new_zeros(1), counts.cumsum(0)))
    # How many there are is a shape: the one thing to wait for.
    size = int(kept_bounds[-1])
    every = torch.arange(len(counts), device=bounds.device)
    rays = every.repeat_interleave(counts, output_size=size)
    # What is kept of a ray is its front: thickness only adds up.
    shift = (bounds - kept_bounds)[:-1]
    numbers = torch.arange(size, device=bounds.device) + shift[rays]
    return numbers, rays, kept_bounds
