"""The public small perceptron: checks, choice of implementation, autograd.

First-order derivatives run in the chosen implementation; higher orders, ``vmap`` and
forward mode belong to the reference. On a CPU that is the fast one too: matrix products
are PyTorch's.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.errors import ShapeError
from tangrid.ops.contract import numba_refusals, resolve, triton_refusals
from tangrid.ops.small_mlp import reference
from tangrid.ops.small_mlp.activations import ACTIVATIONS, Activation
from tangrid.ops.wanted import parameters_are_wanted

WIDTHS = (16, 32, 64, 128)
"""Channels of hidden layers that the GPU's programs are written for."""

MOST_HIDDEN = 8
MOST_INPUTS = 256
MOST_OUTPUTS = 128

_CPU_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


class _Network(NamedTuple):
    """What a network is besides its numbers."""

    sizes: tuple[int, ...]
    """Channels that come in, of each hidden layer, and that go out."""
    activation: Activation
    output_activation: Activation

    def matrices(self, flat: Tensor) -> tuple[Tensor, ...]:
        """Return the matrices that lie one after the other in one tensor."""
        shapes = [(b, a) for a, b in pairwise(self.sizes)]
        parts = flat.split([b * a for b, a in shapes])
        return tuple(p.view(s) for p, s in zip(parts, shapes, strict=True))

    def reference(self, inputs: Tensor, flat: Tensor) -> Tensor:
        """Return the outputs by the reference."""
        matrices = self.matrices(flat)
        return reference.small_mlp(
            inputs, matrices, self.activation, self.output_activation
        )

    def reference_vjp(
        self, grad_out: Tensor, inputs: Tensor, flat: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients of both by the reference."""
        return torch.func.vjp(self.reference, inputs, flat)[1](grad_out)


def small_mlp(
    inputs: Float[Tensor, "n k"],
    weights: Sequence[Float[Tensor, "o i"]],
    activation: Activation = "relu",
    output_activation: Activation = "none",
) -> Float[Tensor, "n m"]:
    r"""Return the outputs of a multilayer perceptron without biases.

    With matrices :math:`W_0, \dots, W_L`, :math:`h_0 = x` and
    :math:`h_{l+1} = a(W_l h_l)`; the last layer has the output activation in place of
    a. Sums are float32 or wider. In half precision each product and each activation is
    rounded once, and so are their gradients.

    A GPU's program computes all layers at once where the hidden ones have 16, 32, 64 or
    128 channels each; else PyTorch computes one after the other.

    Args:
        inputs: What the first layer sees.
        weights: Matrices, of outputs times inputs. Those in float32 are rounded on the
            way in where the inputs are half precision.
        activation: After every layer but the last.
        output_activation: After the last.

    Raises:
        ShapeError: If the shapes or dtypes do not belong together.

    Example:
        >>> hidden, last = torch.ones(16, 2), torch.ones(1, 16)
        >>> small_mlp(torch.tensor([[1.0, 2.0], [1.0, -2.0]]), (hidden, last)).tolist()
        [[48.0], [0.0]]

    References:
        Mueller et al. 2021, "Real-time Neural Radiance Caching for Path Tracing", whose
        fully fused networks are tiny-cuda-nn's.
    """
    network = _checked(inputs, weights, activation, output_activation)
    tensors = {"inputs": inputs}
    beside = {f"weights[{i}]": weight for i, weight in enumerate(weights)}
    name = resolve(
        "small_mlp",
        numba_refusals(tensors, _CPU_DTYPES),
        _shape_refusals(network) or triton_refusals(tensors, beside=beside),
        on_cpu="reference",
    )
    if name == "reference":
        return reference.small_mlp(inputs, weights, activation, output_activation)
    # One tensor of all matrices: one copy, one rounding, and one gradient.
    flat = torch.cat([weight.reshape(-1) for weight in weights]).to(inputs.dtype)
    return _SmallMlp.apply(inputs, flat, network)


def _checked(
    inputs: Tensor,
    weights: Sequence[Tensor],
    activation: Activation,
    output_activation: Activation,
) -> _Network:
    for name in (activation, output_activation):
        if name not in ACTIVATIONS:
            raise ShapeError(
                f"small_mlp: expected an activation among {', '.join(ACTIVATIONS)}, "
                f"got {name!r}."
            )
    shapes = [weight.shape for weight in weights]
    sizes = (*inputs.shape[1:], *(shape[0] for shape in shapes))
    if inputs.ndim != 2 or not shapes or shapes != [(b, a) for a, b in pairwise(sizes)]:
        raise ShapeError(
            "small_mlp: expected inputs [n, k] and matrices of which the first has k "
            "columns and each other one for every row of the one before, got inputs "
            f"{list(inputs.shape)} and matrices {[list(shape) for shape in shapes]}."
        )
    dtypes = {weight.dtype for weight in weights}
    wide = torch.promote_types(inputs.dtype, weights[0].dtype)
    if dtypes != {wide} or not inputs.dtype.is_floating_point:
        raise ShapeError(
            "small_mlp: expected matrices of one dtype, that of the inputs or a wider "
            f"one, got inputs {inputs.dtype} and matrices "
            f"{[str(weight.dtype) for weight in weights]}. Convert with .to(dtype)."
        )
    return _Network(sizes, activation, output_activation)


def _shape_refusals(network: _Network) -> list[str]:
    """Return why the programs cannot compute a network, whatever holds its numbers."""
    first, *hidden, last = network.sizes
    reasons = []
    if not 1 <= len(hidden) <= MOST_HIDDEN:
        reasons.append(
            f"the network has {len(hidden)} hidden layers (needs 1 to {MOST_HIDDEN})"
        )
    if len(set(hidden)) > 1 or not {*hidden} <= {*WIDTHS}:
        reasons.append(
            f"hidden layers have {hidden} channels (needs the same number of "
            f"{', '.join(map(str, WIDTHS))} in each)"
        )
    if not 1 <= first <= MOST_INPUTS or not 1 <= last <= MOST_OUTPUTS:
        reasons.append(
            f"{first} channels come in and {last} go out (needs at most {MOST_INPUTS} "
            f"and {MOST_OUTPUTS})"
        )
    return reasons


class _SmallMlp(torch.autograd.Function):
    """Triton forward; the vector-Jacobian product is a function of its own."""

    @staticmethod
    def forward(inputs: Tensor, flat: Tensor, network: _Network) -> Tensor:
        # Triton is an extra, which not every platform has.
        from tangrid.ops.small_mlp import launching  # noqa: PLC0415

        return launching.run_forward(inputs, flat, *network)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        points, flat, ctx.network = inputs
        ctx.save_for_backward(points, flat)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        of_inputs, of_weights, _ = ctx.needs_input_grad
        needs = of_inputs, of_weights and parameters_are_wanted()
        if not any(needs):
            return None, None, None
        grads = _SmallMlpVjp.apply(grad_out, *ctx.saved_tensors, ctx.network, needs)
        return (*(g if n else None for g, n in zip(grads, needs, strict=True)), None)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *inputs: Any
    ) -> tuple[Tensor, int]:
        points, flat, network = inputs
        compute = torch.vmap(network.reference, in_dims=in_dims[:2])
        return compute(points, flat), 0


class _SmallMlpVjp(torch.autograd.Function):
    """Gradients of inputs and matrices; their own derivatives are the reference's."""

    @staticmethod
    def forward(
        grad_out: Tensor,
        inputs: Tensor,
        flat: Tensor,
        network: _Network,
        needs: tuple[bool, bool],
    ) -> tuple[Tensor, Tensor]:
        # Triton is an extra, which not every platform has.
        from tangrid.ops.small_mlp import launching  # noqa: PLC0415

        return launching.run_backward(grad_out, inputs, flat, *network, needs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        *tensors, ctx.network, ctx.needs = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *directions: Tensor) -> tuple[Tensor | None, ...]:
        network, needs = ctx.network, ctx.needs

        def wanted(grads: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            pairs = zip(grads, needs, strict=True)
            return tuple(grad for grad, need in pairs if need)

        def vjp(g: Tensor, x: Tensor, w: Tensor) -> tuple[Tensor, ...]:
            return wanted(network.reference_vjp(g, x, w))

        pull = torch.func.vjp(vjp, *ctx.saved_tensors)[1]
        return (*pull(wanted(directions)), None, None)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *inputs: Any
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        *tensors, network, _ = inputs
        compute = torch.vmap(network.reference_vjp, in_dims=in_dims[:3])
        return compute(*tensors), (0, 0)
