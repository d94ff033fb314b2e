"""The public compositing: checks, choice of implementation, autograd.

First-order derivatives run in the chosen implementation; higher orders, ``vmap`` and
forward mode belong to the reference.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tangrid.errors import ShapeError
from tangrid.ops.composite import numba_door, reference
from tangrid.ops.composite.passes import Passes
from tangrid.ops.contract import (
    Resolved,
    is_single_threaded,
    numba_refusals,
    resolve,
    triton_refusals,
)

_HALF = torch.float16, torch.bfloat16


class Composited(NamedTuple):
    """What rays see of a medium, without anything behind it."""

    colour: Float[Tensor, "r c"]
    """Light that comes from the samples."""
    opacity: Float[Tensor, " r"]
    """Share of the light behind the samples that does not come through."""
    depth: Float[Tensor, " r"]
    """Sum of the distances, weighted as the colours are; not divided by the opacity."""


class VisibleSamples(NamedTuple):
    """Which of packed samples light comes through to."""

    numbers: Int64[Tensor, " k"]
    """Their numbers among all samples, in order."""
    rays: Int64[Tensor, " k"]
    """The ray of each."""
    bounds: Int64[Tensor, " b"]
    """The first of them on each ray, and after them their number."""


def composite(
    thickness: Float[Tensor, " m"],
    colours: Float[Tensor, "m c"],
    distances: Float[Tensor, " m"],
    bounds: Int64[Tensor, " b"],
) -> Composited:
    r"""Return what rays see, each of a run of packed samples.

    With the optical thickness :math:`\tau_i = \sigma_i \delta_i` of the samples of a
    ray, :math:`w_i = e^{-\sum_{j<i} \tau_j} (1 - e^{-\tau_i})`, and the colour is
    :math:`\sum_i w_i c_i`. A ray without samples sees nothing: all is 0.

    Args:
        thickness: Optical thickness of each sample, the samples of a ray in order and
            the rays one after the other.
        colours: Its colour.
        distances: Its distance along the ray.
        bounds: First sample of each ray, and after them the number of all samples.

    Raises:
        ShapeError: If the shapes or dtypes do not belong together.

    Example:
        >>> thickness, bounds = torch.tensor([0.0, 50.0, 1.0]), torch.tensor([0, 3, 3])
        >>> seen = composite(thickness, torch.eye(3), torch.arange(3.0), bounds)
        >>> seen.colour.tolist()
        [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]

    References:
        Max 1995, "Optical Models for Direct Volume Rendering"; the backward pass from
        the last sample as in Mueller et al. 2022, "Instant Neural Graphics Primitives".
    """
    _check_packed("composite", thickness, bounds)
    count = len(thickness)
    if len(colours) != count or colours.ndim != 2 or distances.shape != (count,):
        raise ShapeError(
            f"composite: expected colours [{count}, c] and distances [{count}] for "
            f"{count} samples, got {list(colours.shape)} and {list(distances.shape)}."
        )
    is_like = colours.dtype in (thickness.dtype, *_HALF)
    if not is_like or thickness.dtype != distances.dtype:
        raise ShapeError(
            "composite: expected thickness, colours and distances of one dtype, got "
            f"{thickness.dtype}, {colours.dtype} and {distances.dtype}. Colours alone "
            "may be of half precision."
        )
    medium = {"thickness": thickness, "distances": distances}
    chosen = _resolved(medium, colours={"colours": colours})
    if chosen == "reference":
        found = reference.composite(thickness, colours, distances, bounds)
        return Composited(*found)
    passes = _passes(chosen)
    *found, _, _ = _Composite.apply(thickness, colours, distances, bounds, passes)
    return Composited(*found)


def ray_weights(
    thickness: Float[Tensor, " m"], bounds: Int64[Tensor, " b"]
) -> Float[Tensor, " m"]:
    r"""Return the share of each ray's light that each sample gives.

    Args:
        thickness: Optical thickness of each sample, packed as for `composite`.
        bounds: First sample of each ray, and after them the number of all samples.

    Raises:
        ShapeError: If the shapes do not belong together.

    Example:
        >>> ray_weights(torch.tensor([0.5, 50.0]), torch.tensor([0, 2])).sum()
        tensor(1.)
    """
    _check_packed("ray_weights", thickness, bounds)
    chosen = _resolved({"thickness": thickness})
    if chosen == "reference":
        return reference.ray_weights(thickness, bounds)
    return _RayWeights.apply(thickness, bounds, _passes(chosen))[0]


@torch.no_grad()
def visible_samples(
    thickness: Float[Tensor, " m"],
    bounds: Int64[Tensor, " b"],
    least_transmittance: float,
) -> VisibleSamples:
    """Return the samples that light comes through to.

    What is left out changes a ray's colour by less than `least_transmittance`.

    Args:
        thickness: Optical thickness of each sample, packed as for `composite`.
        bounds: First sample of each ray, and after them the number of all samples.
        least_transmittance: Light that must be left in front of a sample, above 0.

    Returns:
        Which they are, in order.

    Raises:
        ShapeError: If the shapes do not belong together.

    Example:
        >>> thickness, bounds = torch.tensor([50.0, 1.0, 1.0]), torch.tensor([0, 2, 3])
        >>> kept = visible_samples(thickness, bounds, 1e-4)
        >>> kept.numbers.tolist(), kept.rays.tolist(), kept.bounds.tolist()
        ([0, 2], [0, 1], [0, 1, 2])
    """
    _check_packed("visible_samples", thickness, bounds)
    chosen = _resolved({"thickness": thickness})
    where: ModuleType = reference
    if chosen != "reference":
        where = numba_door if chosen == "numba" else _programs()
    return VisibleSamples(
        *where.visible_samples(thickness, bounds, least_transmittance)
    )


def _resolved(
    medium: Mapping[str, Tensor], colours: Mapping[str, Tensor] | None = None
) -> Resolved:
    """Return what runs; programs for a GPU read colours of half precision too."""
    more = colours or {}
    triton = triton_refusals(medium, (torch.float32,), beside=more)
    triton += triton_refusals(more)
    # Both say it where Triton is not installed.
    triton = list(dict.fromkeys(triton))
    return resolve("composite", numba_refusals({**medium, **more}), triton)


def _programs() -> ModuleType:
    # Triton is an extra, and not for every platform.
    from tangrid.ops.composite import triton_gpu  # noqa: PLC0415

    return triton_gpu


def _passes(chosen: Resolved) -> Passes:
    if chosen == "triton":
        return _programs().PASSES
    return numba_door.passes(serial=is_single_threaded())


def _check_packed(name: str, thickness: Tensor, bounds: Tensor) -> None:
    if thickness.ndim != 1 or bounds.ndim != 1 or not len(bounds):
        raise ShapeError(
            f"{name}: expected a thickness for each sample and bounds of one more "
            f"entry than there are rays, got shapes {list(thickness.shape)} and "
            f"{list(bounds.shape)}."
        )
    is_whole = bounds.dtype == torch.int64 and bounds.device == thickness.device
    if not is_whole:
        raise ShapeError(
            f"{name}: expected bounds as 64-bit whole numbers on {thickness.device}, "
            f"got {bounds.dtype} on {bounds.device}."
        )
    # Loops go where bounds send them, without another look. Programs stay among the
    # samples there are: to look at numbers on a GPU would wait for it at every call.
    if bounds.device.type != "cpu":
        return
    ends = int(bounds[0]), int(bounds[-1])
    if ends != (0, len(thickness)) or bool((bounds.diff() < 0).any()):
        raise ShapeError(
            f"{name}: expected bounds that do not fall, from 0 to the "
            f"{len(thickness)} samples, got {ends[0]} to {ends[1]}."
        )


class _Composite(torch.autograd.Function):
    """One pass forward; weights and the light left come out for the way back."""

    @staticmethod
    def forward(
        thickness: Tensor,
        colours: Tensor,
        distances: Tensor,
        bounds: Tensor,
        passes: Passes,
    ) -> tuple[Tensor, ...]:
        return passes.composite(thickness, colours, distances, bounds)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        thickness, colours, distances, bounds, ctx.passes = inputs
        *_, weights, left = output
        ctx.mark_non_differentiable(weights, left)
        ctx.save_for_backward(thickness, colours, distances, bounds, weights, left)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        grads = _CompositeVjp.apply(*upstream[:3], *saved, ctx.passes)
        return (*grads, None, None)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *inputs: Any
    ) -> tuple[tuple[Tensor, ...], tuple[int | None, ...]]:
        tensors, bounds = inputs[:3], inputs[3]

        def compute(t: Tensor, c: Tensor, d: Tensor) -> tuple[Tensor, ...]:
            return reference.composite(t, c, d, bounds)

        found = torch.vmap(compute, in_dims=in_dims[:3])(*tensors)
        unused = bounds.new_empty(0, dtype=tensors[0].dtype)
        return (*found, unused, unused), (0, 0, 0, None, None)


def _composite_vjp(
    upstream: tuple[Tensor, ...], inputs: tuple[Tensor, ...], bounds: Tensor
) -> tuple[Tensor, ...]:
    def compute(t: Tensor, c: Tensor, d: Tensor) -> tuple[Tensor, ...]:
        return reference.composite(t, c, d, bounds)

    return torch.func.vjp(compute, *inputs)[1](upstream)


class _CompositeVjp(torch.autograd.Function):
    """Gradients of all three inputs; their own derivatives are the reference's."""

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, ...]:
        *tensors, passes = inputs
        _, colours, distances, bounds, weights, left = tensors[3:]
        upstream = tuple(tensors[:3])
        return passes.composite_vjp(upstream, colours, distances, bounds, weights, left)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs[:7])

    @staticmethod
    def backward(ctx: Any, *directions: Tensor) -> tuple[Tensor | None, ...]:
        *tensors, bounds = ctx.saved_tensors

        def vjp(*inputs: Tensor) -> tuple[Tensor, ...]:
            return _composite_vjp(inputs[:3], inputs[3:], bounds)

        pulled = torch.func.vjp(vjp, *tensors)[1](directions)
        return (*pulled, None, None, None, None)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *inputs: Any
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        tensors, bounds = inputs[:6], inputs[6]

        def vjp(*each: Tensor) -> tuple[Tensor, ...]:
            return _composite_vjp(each[:3], each[3:], bounds)

        return torch.vmap(vjp, in_dims=in_dims[:6])(*tensors), (0, 0, 0)


class _RayWeights(torch.autograd.Function):
    """One pass forward; the light that is left comes out for the way back."""

    @staticmethod
    def forward(
        thickness: Tensor, bounds: Tensor, passes: Passes
    ) -> tuple[Tensor, Tensor]:
        return passes.weigh(thickness, bounds)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        thickness, bounds, ctx.passes = inputs
        weights, left = output
        ctx.mark_non_differentiable(left)
        ctx.save_for_backward(thickness, bounds, weights.detach(), left)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        grad = _RayWeightsVjp.apply(upstream[0], *ctx.saved_tensors, ctx.passes)
        return grad, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *inputs: Any
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, None]]:
        thickness, bounds, _ = inputs

        def compute(t: Tensor) -> Tensor:
            return reference.ray_weights(t, bounds)

        found = torch.vmap(compute, in_dims=in_dims[:1])(thickness)
        return (found, bounds.new_empty(0, dtype=thickness.dtype)), (0, None)


def _weights_vjp(upstream: Tensor, thickness: Tensor, bounds: Tensor) -> Tensor:
    def compute(t: Tensor) -> Tensor:
        return reference.ray_weights(t, bounds)

    return torch.func.vjp(compute, thickness)[1](upstream)[0]


class _RayWeightsVjp(torch.autograd.Function):
    """The gradient of the thickness; its own derivatives are the reference's."""

    @staticmethod
    def forward(
        upstream: Tensor,
        thickness: Tensor,
        bounds: Tensor,
        weights: Tensor,
        left: Tensor,
        passes: Passes,
    ) -> Tensor:
        return passes.weigh_vjp(upstream, bounds, weights, left)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs[:3])

    @staticmethod
    def backward(ctx: Any, direction: Tensor) -> tuple[Tensor | None, ...]:
        upstream, thickness, bounds = ctx.saved_tensors

        def vjp(g: Tensor, t: Tensor) -> Tensor:
            return _weights_vjp(g, t, bounds)

        pulled = torch.func.vjp(vjp, upstream, thickness)[1](direction)
        return (*pulled, None, None, None, None)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *inputs: Any
    ) -> tuple[Tensor, int]:
        upstream, thickness, bounds = inputs[:3]

        def vjp(g: Tensor, t: Tensor) -> Tensor:
            return _weights_vjp(g, t, bounds)

        return torch.vmap(vjp, in_dims=in_dims[:2])(upstream, thickness), 0
