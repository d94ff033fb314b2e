"""The layers of a network for a batch, a piece that stays in the cache at a time."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.ops import aten  # pyright: ignore[reportMissingImports]

from tangrid.compat.perceptron import Perceptron
from tangrid.compat.reused_memory import KEPT_LAYERS
from tangrid.notation import Features, Values
from tangrid.ops.contract import is_single_threaded
from tangrid.ops.small_mlp import activated

_SHARE = 2048
"""Points of a piece for each thread, whose hidden channels its cache holds."""


class NetworkPieces(ABC):
    """A network at the features of a batch, and what it keeps for the way back.

    Args:
        network: What is computed.
        matrices: Its matrices.
        features: What its first layer sees.
    """

    def __init__(
        self, network: Perceptron, matrices: list[Tensor], features: Features
    ) -> None:
        self.network = network
        self.matrices = matrices
        self.features = features
        # PyTorch's own threads share each product: no thread waits for a whole piece.
        threads = 1 if is_single_threaded() else torch.get_num_threads()
        size = threads * _SHARE
        self.places = [
            slice(first, first + size) for first in range(0, len(features), size)
        ]

    def forward(self) -> Values:
        """Return the values of all points."""
        values = self.features.new_empty(len(self.features), self.network.num_outputs)
        for place in self.places:
            values[place] = self._forward(place)
        return values

    def backward(self, grad_out: Values, sums: list[Tensor], out: Features) -> None:
        """Add the gradients of the matrices, write that of the features, and forget.

        Args:
            grad_out: Gradient of the values.
            sums: What the gradients of the matrices are added to.
            out: Where that of the features goes.
        """
        for place in self.places:
            out[place] = self._backward(place, grad_out[place], sums)
        self._forget()

    @abstractmethod
    def _forward(self, place: slice) -> Values:
        """Return the values of a piece."""

    @abstractmethod
    def _backward(self, place: slice, grad_out: Values, sums: list[Tensor]) -> Features:
        """Return the gradient of a piece's features, and add those of the matrices."""

    @abstractmethod
    def _forget(self) -> None:
        """Drop what was kept."""


class AnyPieces(NetworkPieces):
    """Layers with any activation: PyTorch keeps a graph for each piece."""

    def __init__(
        self, network: Perceptron, matrices: list[Tensor], features: Features
    ) -> None:
        leaves = [matrix.requires_grad_() for matrix in matrices]
        super().__init__(network, leaves, features)
        self._graphs: dict[int, tuple[Tensor, Tensor]] = {}

    def _forward(self, place: slice) -> Values:
        with torch.enable_grad():
            inputs = self.features[place].requires_grad_()
            values = self.network.apply(inputs, self.matrices)
        self._graphs[place.start] = inputs, values
        return values.detach()

    def _backward(self, place: slice, grad_out: Values, sums: list[Tensor]) -> Features:
        inputs, values = self._graphs.pop(place.start)
        of_features, *of_matrices = torch.autograd.grad(
            values, (inputs, *self.matrices), grad_out
        )
        for total, grad in zip(sums, of_matrices, strict=True):
            total.add_(grad)
        return of_features

    def _forget(self) -> None:
        self._graphs.clear()


class RectifiedPieces(NetworkPieces):
    """Layers with rectifiers, whose hidden channels stand in memory that is reused."""

    def __init__(
        self, network: Perceptron, matrices: list[Tensor], features: Features
    ) -> None:
        super().__init__(network, matrices, features)
        shape = len(features), network.width
        self._hidden = [KEPT_LAYERS.take(*shape) for _ in range(network.num_hidden)]
        self._ends: dict[int, tuple[Tensor, Tensor]] = {}

    def _forward(self, place: slice) -> Values:
        inputs = self.features[place]
        for matrix, hidden in zip(self.matrices[:-1], self._hidden, strict=True):
            inputs = torch.mm(inputs, matrix.T, out=hidden[place]).relu_()
        product = torch.mm(inputs, self.matrices[-1].T)
        if self.network.output_activation == "none":
            return product
        with torch.enable_grad():
            values = activated(product.requires_grad_(), self.network.output_activation)
        self._ends[place.start] = product, values
        return values.detach()

    def _backward(self, place: slice, grad_out: Values, sums: list[Tensor]) -> Features:
        grad = grad_out
        if self._ends:
            product, values = self._ends.pop(place.start)
            (grad,) = torch.autograd.grad(values, product, grad_out)
        layers = zip(self.matrices[1:], sums[1:], self._hidden, strict=True)
        for matrix, total, whole in reversed(list(layers)):
            hidden = whole[place]
            total.addmm_(grad.T, hidden)
            grad = aten.threshold_backward(torch.mm(grad, matrix), hidden, 0)
        sums[0].addmm_(grad.T, self.features[place])
        return torch.mm(grad, self.matrices[0])

    def _forget(self) -> None:
        KEPT_LAYERS.give(*self._hidden)
        self._hidden = []


def network_pieces(
    network: Perceptron, matrices: list[Tensor], features: Features
) -> NetworkPieces:
    """Return a network at the features of a batch.

    Args:
        network: What is computed.
        matrices: Its matrices.
        features: What its first layer sees.
    """
    kind = RectifiedPieces if network.activation == "relu" else AnyPieces
    return kind(network, matrices, features)
