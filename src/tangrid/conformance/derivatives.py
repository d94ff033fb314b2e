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
_SLOPE_TOLERANCE = 1e-3
_ROUNDING = 1e-11
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


def check_slopes(config: EncodingConfig) -> None:
    """Gradients for coordinates are the slopes of the features.

    Args:
        config: Settings of the encoding.
    """
    for encoding in components_of(config):
        if encoding.is_piecewise_constant:
            continue
        wide = cast("Encoding", encoding.double())
        # At a kink no slope is right; few points stand on one.
        coords = points(wide.num_dims).double() * (1 - 4 * _STEP) + 2 * _STEP
        leaf = coords.clone().requires_grad_()
        features = wide(leaf)
        if not features.requires_grad:
            continue
        weights = weights_like(features)
        scalar = (features * weights).sum()
        (found,) = torch.autograd.grad(scalar, leaf, materialize_grads=True)
        with torch.no_grad():
            for axis, step in enumerate(_STEP * torch.eye(wide.num_dims).double()):
                rise = (wide(coords + step) - wide(coords - step)) * weights
                slope = rise.sum(1) / (2 * _STEP)
                largest = slope.abs().median()
                error = float((found[:, axis] - slope).abs().median() / (largest or 1))
                what = f"gradient of coords along axis {axis}"
                sentence = f"others, by {error:.1e}"
                expect(error <= _SLOPE_TOLERANCE, what, "central differences", sentence)


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
    is_flat = bool(slopes.abs().max() <= _ROUNDING * features.abs().max())
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
            expect_slopes(component, coords, at)


def expect_slopes(
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
