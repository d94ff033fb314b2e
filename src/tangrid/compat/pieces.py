"""A network over an encoding, worked through in pieces that stay in the cache.

On a CPU the layers of a whole batch are too large for the cache, and a flat gradient
that is put together from those of its parts is copied as often as there are parts. Here
the encoding reads the whole batch, the network takes a piece at a time, and all
gradients are written where they belong in one flat gradient. Derivatives of derivatives
take the usual way.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from tangrid.compat.evaluation import Model
from tangrid.compat.grids import GridPart
from tangrid.compat.network_pieces import NetworkPieces, network_pieces
from tangrid.compat.parts import Flat
from tangrid.compat.perceptron import Perceptron
from tangrid.compat.reused_memory import KEPT_LAYERS
from tangrid.notation import Coords, Features, Values
from tangrid.ops.grid_lookup.anywhere import read_anywhere


def suits_pieces(model: Model, coords: Coords, params: Flat) -> bool:
    """Return whether a batch can be worked through in pieces.

    Args:
        model: What is computed.
        coords: Points.
        params: All parameters.
    """
    encoding = model.encoding
    has_plain_encoding = not encoding.num_params or (
        isinstance(encoding, GridPart) and not encoding.is_stochastic
    )
    return (
        model.network is not None
        and has_plain_encoding
        and coords.dtype == params.dtype == torch.float32
        and coords.device.type == "cpu"
        and params.requires_grad
        and torch.is_grad_enabled()
        # Who wants gradients of points may want derivatives of them.
        and not coords.requires_grad
        and not _has_tangent(coords)
        and not _has_tangent(params)
        and len(coords) > 0
    )


def _has_tangent(tensor: Tensor) -> bool:
    """Return whether forward mode is on its way through a tensor."""
    return forward_ad.unpack_dual(tensor).tangent is not None


def evaluate_in_pieces(model: Model, coords: Coords, params: Flat) -> Values:
    """Return the values of each point, as ``model.evaluate`` does.

    Args:
        model: What is computed.
        coords: Points, without a gradient.
        params: All parameters.
    """
    return _InPieces.apply(coords, params, _Work(model))


class _Work:
    """What is kept from the forward to the backward pass."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.layers: NetworkPieces | None = None

    def forward(self, coords: Coords, params: Flat) -> Values:
        """Return the values, and keep what the way back needs of all layers."""
        of_network, of_encoding = params.detach().split(self.model.sizes)
        # Zeros that the system makes where somebody looks, and nobody does until then.
        self.flat_grad = torch.from_numpy(np.zeros(len(params), np.float32))
        self.params = of_encoding.requires_grad_()
        with torch.enable_grad():
            self.features = self._features(coords)
        network = self._network
        matrices = network.matrices(of_network)
        self.layers = network_pieces(network, matrices, self.features.detach())
        return self.layers.forward()

    def backward(self, layers: NetworkPieces, grad_out: Values) -> Flat:
        """Return the flat gradient, and drop what was kept."""
        self.layers = None
        flat, features = self.flat_grad, self.features
        of_network, of_encoding = flat.split(self.model.sizes)
        grad_features = KEPT_LAYERS.take(*features.shape)
        layers.backward(grad_out, self._network.matrices(of_network), grad_features)
        if features.requires_grad:
            (rest,) = torch.autograd.grad(
                features, self.params, grad_features, allow_unused=True
            )
            if rest is not None:
                of_encoding.add_(rest)
        KEPT_LAYERS.give(grad_features)
        del self.flat_grad, self.features, self.params
        return flat

    def _features(self, coords: Coords) -> Features:
        """Return features whose gradient goes into the flat one."""
        encoding = self.model.encoding
        if not isinstance(encoding, GridPart):
            return encoding.evaluate(coords, self.params)
        buffer = self.flat_grad[self.model.sizes[0] :]
        features = read_anywhere(
            coords,
            encoding.table(self.params),
            encoding.layout,
            grad_into=encoding.table(buffer),
        )
        return encoding.filled_up(features)

    @property
    def _network(self) -> Perceptron:
        network = self.model.network
        # `suits_pieces` has seen to it.
        assert network is not None
        return network


class _InPieces(torch.autograd.Function):
    """Values by pieces; gradients of them too, if nobody differentiates those."""

    @staticmethod
    def forward(coords: Tensor, params: Tensor, work: _Work) -> Tensor:
        return work.forward(coords, params)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
        coords, params, ctx.work = inputs
        ctx.save_for_backward(coords, params)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        coords, params = ctx.saved_tensors
        # What was kept is used up by the first pass; later ones compute it again.
        layers = ctx.work.layers
        if layers is not None and not torch.is_grad_enabled():
            return None, ctx.work.backward(layers, grad_out), None
        model = ctx.work.model
        pull = torch.func.vjp(lambda p: model.evaluate(coords, p), params)[1]
        return None, pull(grad_out)[0], None

    @staticmethod
    def vmap(
        info: Any,  # noqa: ANN401
        in_dims: tuple[int | None, ...],
        coords: Tensor,
        params: Tensor,
        work: _Work,
    ) -> tuple[Tensor, int]:
        del info
        evaluate = torch.vmap(work.model.evaluate, in_dims=in_dims[:2])
        return evaluate(coords, params), 0
