"""Checks of derivatives: backward, and the transforms of torch.func."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor
from torch.func import functional_call, grad, jacrev, vmap

from tangrid.conformance.subjects import (
    FLOAT32_TOLERANCE,
    Component,
    ComponentConfig,
    components_of,
    corners,
    distance,
    expect,
    points,
    weights_like,
)
from tangrid.encodings import Encoding, EncodingConfig

_STEP = 1e-8
"""Of central differences in float64; small next to a wave of any component."""
_RELATIVE_STEP = 1e-6
"""The same of parameters, next to their size."""
_SLOPE_TOLERANCE = 1e-3
_SLOPE_POINTS = 100
_AT_KINKS = 0.05
"""Most points at which a slope may be none."""
_ROUNDING = 1e-14
"""Of features in float64, relative."""
_FLAT = 1e-11
"""Slopes in float64 that are none, next to the features."""


def check_corners(config: ComponentConfig) -> None:
    """Features and gradients are finite at the corners of the box.

    Args:
        config: Settings of the component.
    """
    for component in components_of(config):
        coords = corners(component.num_dims)
        expect_finite(component, coords, "at the corners 0 and 1")


def check_gradients(config: ComponentConfig) -> None:
    """Gradients for coordinates and parameters are finite.

    Args:
        config: Settings of the component.
    """
    for component in components_of(config):
        coords = points(component.num_dims)
        expect_finite(component, coords, "inside the box")
        expect_finite(component.double(), coords.double(), "in float64")


def expect_finite(component: Component, coords: Tensor, where: str) -> None:
    """Raise unless features and all gradients are finite.

    Args:
        component: The component.
        coords: Points in the unit box.
        where: The points, in words.
    """
    coords = coords.requires_grad_()
    features = component(coords)
    named = {"coords": coords, **dict(component.named_parameters())}
    trained = {name: t for name, t in named.items() if t.requires_grad}
    found = {"features": features}
    if features.requires_grad:
        scalar = (features * weights_like(features)).sum()
        grads = torch.autograd.grad(
            scalar, list(trained.values()), materialize_grads=True
        )
        found |= {
            f"gradient of {name}": g for name, g in zip(trained, grads, strict=True)
        }
    for name, tensor in found.items():
        bad = int((~tensor.isfinite()).sum())
        expect(bad == 0, f"{name} {where}", "finite numbers", f"{bad} that are not")


def check_slopes(config: ComponentConfig) -> None:
    """Gradients for coordinates and parameters are the slopes of the features.

    Args:
        config: Settings of the component.
    """
    for component in components_of(config):
        if component.stops_gradients:
            continue
        wide = component.double()
        coords = points(wide.num_dims, _SLOPE_POINTS).double()
        if not (isinstance(component, Encoding) and component.is_piecewise_constant):
            expect_coordinate_slopes(wide, coords)
        expect_parameter_slopes(wide, coords)


def expect_coordinate_slopes(component: Component, coords: Tensor) -> None:
    """Raise unless gradients for coordinates are central differences.

    Args:
        component: The component, in float64.
        coords: Points in the unit box.
    """
    leaf = (coords * (1 - 4 * _STEP) + 2 * _STEP).requires_grad_()
    features = component(leaf)
    if not features.requires_grad:
        return
    weights = weights_like(features)
    terms = features * weights
    (found,) = torch.autograd.grad(terms.sum(), leaf, materialize_grads=True)
    rounding = _ROUNDING / _STEP * terms.detach().abs().sum(1)
    inner = leaf.detach()
    with torch.no_grad():
        for axis, step in enumerate(_STEP * torch.eye(component.num_dims).double()):
            rise = component(inner + step) - component(inner - step)
            slope = (rise * weights).sum(1) / (2 * _STEP)
            typical = slope.square().mean().sqrt()
            allowed = _SLOPE_TOLERANCE * typical + rounding
            wrong = (found[:, axis] - slope).abs() > allowed
            # At a kink no slope is right; few points stand on one.
            share = float(wrong.double().mean())
            what = f"gradient of coords along axis {axis}"
            sentence = f"others at {share:.0%} of all points"
            expect(share <= _AT_KINKS, what, "central differences", sentence)


def expect_parameter_slopes(component: Component, coords: Tensor) -> None:
    """Raise unless gradients for parameters are central differences along a line.

    Args:
        component: The component, in float64.
        coords: Points in the unit box.
    """
    features = component(coords)
    trained = {n: p for n, p in component.named_parameters() if p.requires_grad}
    if not trained or not features.requires_grad:
        return
    weights = weights_like(features)
    terms = features * weights
    grads = torch.autograd.grad(
        terms.sum(), list(trained.values()), materialize_grads=True
    )
    rounding = _ROUNDING * float(terms.detach().abs().sum())
    for (name, parameter), gradient in zip(trained.items(), grads, strict=True):
        line = weights_like(parameter)
        start = parameter.detach().clone()
        size = float(start.square().mean().sqrt()) or 1.0
        step = _RELATIVE_STEP * size
        ends = []
        with torch.no_grad():
            for sign in (1, -1):
                parameter.copy_(start + sign * step * line)
                ends.append(float((component(coords) * weights).sum()))
            parameter.copy_(start)
        slope = (ends[0] - ends[1]) / (2 * step)
        found = float((gradient * line).sum())
        # Along a random line of normal steps a gradient's slope has its size.
        allowed = _SLOPE_TOLERANCE * float(gradient.norm()) + rounding / step
        holds = abs(found - slope) <= allowed
        what = f"gradient of {name}, along a line"
        expect(holds, what, f"the central difference {slope:.3e}", f"{found:.3e}")


def check_steps(config: EncodingConfig) -> None:
    """The encoding says whether it is piecewise constant.

    Args:
        config: Settings of the encoding.
    """
    for encoding in components_of(config):
        wide = cast("Encoding", encoding.double())
        expect_piecewise_constant(wide, points(wide.num_dims).double())


def expect_piecewise_constant(encoding: Encoding, coords: Tensor) -> None:
    """Raise unless the encoding says whether it is piecewise constant.

    Args:
        encoding: The encoding, in float64.
        coords: Points in the unit box.
    """
    leaf = coords.detach().clone().requires_grad_()
    features = encoding(leaf)
    # Features that are the same everywhere, such as 0 at the start, show nothing.
    if torch.equal(features, features[:1].expand_as(features)):
        return
    slopes = torch.zeros_like(leaf)
    if features.requires_grad:
        scalar = (features * weights_like(features)).sum()
        (slopes,) = torch.autograd.grad(scalar, leaf, materialize_grads=True)
    # Weights that are divided by their sum have slopes by rounding.
    is_flat = bool(slopes.abs().max() <= _FLAT * features.abs().max())
    wanted = f"{is_flat}, as its gradients in coordinates say"
    found = encoding.is_piecewise_constant
    expect(found == is_flat, "is_piecewise_constant", wanted, found)


def check_functional(config: ComponentConfig) -> None:
    """The component works under functional_call, vmap, grad and jacrev.

    Args:
        config: Settings of the component.
    """
    for component in components_of(config):
        coords = points(component.num_dims, 5)
        tensors = component.state_dict()
        features = component(coords).detach()

        def call(x: Tensor, state: dict[str, Tensor]) -> Tensor:
            return functional_call(component, state, (x,))  # noqa: B023

        def at(point: Tensor, state: dict[str, Tensor]) -> Tensor:
            return call(point[None], state)[0]

        ways = {"functional_call": call, "vmap": vmap(at, in_dims=(0, None))}
        for name, way in ways.items():
            error = distance(way(coords, tensors).detach(), features)
            found = f"others, by {error:.1e}"
            wanted = "the features of forward"
            expect(error <= FLOAT32_TOLERANCE, name, wanted, found)
        if features.numel():
            expect_same_gradients(component, coords, at)


def expect_same_gradients(
    component: Component,
    coords: Tensor,
    at: Callable[[Tensor, dict[str, Tensor]], Tensor],
) -> None:
    """Raise unless the transforms give the gradients that backward gives.

    Args:
        component: The component.
        coords: Points in the unit box.
        at: The component as a function of one point and of its tensors.
    """
    tensors = component.state_dict()
    leaf = coords.clone().requires_grad_()
    features = component(leaf)
    weights = weights_like(features[0])
    wanted = torch.zeros_like(coords)
    if features.requires_grad:
        scalar = (features * weights).sum()
        (wanted,) = torch.autograd.grad(scalar, leaf, materialize_grads=True)

    def scalar_at(point: Tensor, state: dict[str, Tensor]) -> Tensor:
        return (at(point, state) * weights).sum()

    each = vmap(grad(scalar_at), in_dims=(0, None))(coords, tensors)
    jacobians = vmap(jacrev(at), in_dims=(0, None))(coords, tensors)
    pulled = torch.einsum("nfd,f->nd", jacobians, weights)
    for name, found in (("vmap of grad", each), ("vmap of jacrev", pulled)):
        error = distance(found.detach(), wanted)
        sentence = f"others, by {error:.1e}"
        holds = error <= 10 * FLOAT32_TOLERANCE
        expect(holds, name, "the gradients of backward", sentence)
