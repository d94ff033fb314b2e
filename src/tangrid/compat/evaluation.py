"""The values of an encoding, of a network, or of both, from one flat vector."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tangrid.compat.parts import Flat, Part
from tangrid.compat.perceptron import Perceptron
from tangrid.notation import Coords, Values
from tangrid.ops.pcg32 import Pcg32


@dataclass(frozen=True)
class Model:
    """What a module computes; the network's parameters come before the encoding's."""

    encoding: Part
    network: Perceptron | None = None

    @property
    def num_params(self) -> int:
        """Numbers of the flat vector."""
        return sum(self.sizes)

    @property
    def num_outputs(self) -> int:
        """Values of each point."""
        if self.network is None:
            return self.encoding.output_width
        return self.network.num_outputs

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers of the network and of the encoding."""
        of_network = self.network.num_params if self.network else 0
        return of_network, self.encoding.num_params

    def evaluate(
        self, coords: Coords, params: Flat, loss_scale: float | None = None
    ) -> Values:
        """Return the values of each point, differentiable to any order.

        Args:
            coords: Points.
            params: All parameters.
            loss_scale: If given, the network computes in half precision, and gradients
                on their way through it are larger by this factor.
        """
        if self.network is None:
            return self.encoding.evaluate(coords, params)
        of_network, of_encoding = params.split(self.sizes)
        features = self.encoding.evaluate(coords, of_encoding)
        if loss_scale is None:
            return self.network.evaluate(features, of_network)
        features = scale_gradient(features, 1 / loss_scale).half()
        of_network = scale_gradient(of_network, 1 / loss_scale)
        values = self.network.evaluate(features, of_network)
        return scale_gradient(values, loss_scale)

    def initial_params(self, stream: Pcg32) -> Flat:
        """Return fresh parameters.

        Args:
            stream: Where random numbers come from; the network draws first.
        """
        parts = [part for part in (self.network, self.encoding) if part is not None]
        return torch.cat([part.initial_params(stream) for part in parts])

    def hyperparams(self) -> dict[str, object]:
        """Return the settings by the names that tiny-cuda-nn has for them."""
        if self.network is None:
            return self.encoding.hyperparams()
        return {
            "otype": "NetworkWithInputEncoding",
            "encoding": self.encoding.hyperparams(),
            "network": self.network.hyperparams(),
        }


def scale_gradient(numbers: Tensor, factor: float) -> Tensor:
    """Return numbers as they are, with another gradient.

    Args:
        numbers: Any tensor.
        factor: What its gradient is multiplied by.
    """
    return _ScaledGradient.apply(numbers, factor)


class _ScaledGradient(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a factor."""

    generate_vmap_rule = True

    @staticmethod
    def forward(numbers: Tensor, factor: float) -> Tensor:
        del factor
        return numbers.view_as(numbers)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:  # noqa: ANN401
        ctx.factor = inputs[1]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return grad * ctx.factor, None
