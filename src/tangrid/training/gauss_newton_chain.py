r"""Layers whose activations act entry by entry, linearised by hand.

From :math:`h_0` follow :math:`a_l = W_l h_{l-1} + b_l` and :math:`h_l = s_l(a_l)`. Once
the inputs :math:`h_l` and the slopes :math:`s_l'(a_l)` of a forward pass are kept, a
product with the Jacobian, or with its transpose, is two matrix products per layer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from tangrid.decoders import Decoder
from tangrid.decoders.linear import LinearDecoder
from tangrid.decoders.mlp import Mlp
from tangrid.fields.siren import Siren
from tangrid.ops.sine_residual import sine_residual

Activation = Callable[[Tensor], Tensor]
"""A function of single entries."""


@dataclass(frozen=True)
class LinearisedChain:
    """What a forward pass of a chain leaves for products with its Jacobian.

    Attributes:
        layers: Linear maps, the first one first.
        inputs: What each of them was given, [n, channels].
        slopes: Slope of the activation behind each of them; None where there is none.
    """

    layers: tuple[nn.Linear, ...]
    inputs: tuple[Tensor, ...]
    slopes: tuple[Tensor | None, ...]

    def push(self, tangents: Sequence[Tensor], change: Tensor | None) -> Tensor:
        """Return how the outputs change, J v.

        Args:
            tangents: Change of each parameter, as `Chain.parameters` has them.
            change: Change of what the chain is given; None for none.
        """
        rest = iter(tangents)
        parts = zip(self.layers, self.inputs, self.slopes, strict=True)
        for layer, inputs, slope in parts:
            found = inputs @ next(rest).T
            if layer.bias is not None:
                found += next(rest)
            if change is not None:
                found.addmm_(change, layer.weight.T)
            change = found if slope is None else found.mul_(slope)
        return cast("Tensor", change)

    def pull(self, cotangents: Tensor, totals: Sequence[Tensor]) -> Tensor:
        """Add J^T u to the totals of the parameters.

        Args:
            cotangents: Weight u of each output, [n, channels].
            totals: What is added to, as `Chain.parameters` has them.

        Returns:
            The gradient of what the first linear map gives; `to_inputs` takes it on.
        """
        rest = list(totals)
        for place in reversed(range(len(self.layers))):
            layer, slope = self.layers[place], self.slopes[place]
            if slope is not None:
                cotangents = cotangents * slope
            if layer.bias is not None:
                rest.pop().add_(cotangents.sum(0))
            rest.pop().addmm_(cotangents.T, self.inputs[place])
            if place:
                cotangents = cotangents @ layer.weight
        return cotangents

    def to_inputs(self, cotangents: Tensor) -> Tensor:
        """Return the gradient of the chain's inputs from what `pull` returned.

        Args:
            cotangents: Gradient of what the first linear map gives, from `pull`.
        """
        return cotangents @ self.layers[0].weight

    def input_jacobian(self) -> Tensor:
        """Return the derivatives of the outputs in the inputs, [c, n, f]."""
        last = self.layers[-1]
        slope = self.slopes[-1]
        size = len(self.inputs[0])
        found = last.weight[:, None, :].expand(-1, size, -1)
        if slope is not None:
            found = found * slope.T[:, :, None]
        for layer, slope in zip(self.layers[-2::-1], self.slopes[-2::-1], strict=True):
            if slope is not None:
                found = found * slope
            found = found @ layer.weight
        return found.contiguous()


class Chain:
    """Linear maps with activations that act entry by entry.

    Args:
        layers: The maps.
        activations: What follows each of them; None for nothing.
    """

    def __init__(
        self, layers: Sequence[nn.Linear], activations: Sequence[Activation | None]
    ) -> None:
        self.layers = tuple(layers)
        self._activations = tuple(activations)

    @property
    def parameters(self) -> list[Tensor]:
        """Weight and bias of each layer."""
        pairs = ((layer.weight, layer.bias) for layer in self.layers)
        return [part for pair in pairs for part in pair if part is not None]

    def linearise(self, inputs: Tensor) -> tuple[Tensor, LinearisedChain]:
        """Return the outputs, and what products with their Jacobian need.

        Args:
            inputs: What the chain is given, [n, channels].
        """
        given, slopes = [], []
        for layer, activation in zip(self.layers, self._activations, strict=True):
            given.append(inputs)
            inputs = nn.functional.linear(inputs, layer.weight, layer.bias)
            slope = None
            if activation is not None:
                inputs, slope = _with_slope(activation, inputs)
            slopes.append(slope)
        return inputs, LinearisedChain(self.layers, tuple(given), tuple(slopes))


def decoder_chain(decoder: Decoder) -> Chain | None:
    """Return a decoder as a chain; None for one that is none.

    Args:
        decoder: Features to values, in the arithmetic of its parameters.
    """
    if type(decoder) is LinearDecoder:
        return Chain([decoder.output], [None])
    if type(decoder) is not Mlp:
        return None
    layers = cast("list[nn.Linear]", list(decoder.layers))
    frequencies = decoder.sine_frequencies
    first: Activation = torch.relu
    if frequencies is not None:
        first = partial(sine_residual, frequencies=frequencies)
    inner: list[Activation] = [torch.relu] * (len(layers) - 2)
    is_plain = decoder.output_activation == "none"
    return Chain(layers, [first, *inner, None if is_plain else torch.sigmoid])


def siren_chain(field: Siren) -> Chain:
    """Return a sine network as a chain.

    Args:
        field: The network.
    """
    layers = cast("list[nn.Linear]", list(field.layers))
    return Chain(layers, [*[field.wave] * (len(layers) - 1), None])


def _with_slope(activation: Activation, at: Tensor) -> tuple[Tensor, Tensor]:
    """Return an activation's values and slopes, entry by entry."""
    if activation is torch.relu:
        return at.relu(), (at > 0).to(at.dtype)
    with torch.enable_grad():
        at = at.detach().requires_grad_()
        values = activation(at)
        (slopes,) = torch.autograd.grad(values, at, torch.ones_like(values))
    return values.detach(), slopes
