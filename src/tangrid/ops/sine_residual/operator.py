"""The public sine residual: choice of implementation, autograd."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.errors import ShapeError
from tangrid.ops.contract import is_single_threaded, numba_refusals, resolve
from tangrid.ops.sine_residual import numba_cpu, reference


def sine_residual(
    hidden: Float[Tensor, "n w"], frequencies: Float[Tensor, " w"]
) -> Float[Tensor, "n w"]:
    r"""Return :math:`h + \sin(f \odot h)`.

    Args:
        hidden: Channels h of a layer.
        frequencies: One factor f per channel; a constant.

    Raises:
        ShapeError: If there is not one frequency per channel.

    Example:
        >>> sine_residual(torch.zeros(1, 2), torch.ones(2))
        tensor([[0., 0.]])

    References:
        Chen et al. 2023, "NeuRBF".
    """
    if frequencies.shape != hidden.shape[-1:]:
        raise ShapeError(
            "sine_residual(frequencies=...): expected one for each of "
            f"{hidden.shape[-1]} channels, got shape {list(frequencies.shape)}."
        )
    refusals = numba_refusals({"hidden": hidden, "frequencies": frequencies})
    if resolve("sine_residual", refusals) == "reference":
        return reference.sine_residual(hidden, frequencies)
    return _SineResidual.apply(hidden, frequencies, is_single_threaded())


def _rows(tensor: Tensor) -> Tensor:
    return tensor.detach().reshape(-1, tensor.shape[-1]).contiguous()


class _SineResidual(torch.autograd.Function):
    """Numba forward; frequencies get no gradient."""

    @staticmethod
    def forward(hidden: Tensor, frequencies: Tensor, serial: bool) -> Tensor:
        rows = _rows(hidden)
        out = rows.new_empty(rows.shape)
        compute = numba_cpu.forward_serial if serial else numba_cpu.forward_parallel
        compute(rows.numpy(), frequencies.detach().contiguous().numpy(), out.numpy())
        return out.view(hidden.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        hidden, frequencies, ctx.serial = inputs
        ctx.save_for_backward(hidden, frequencies)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        hidden, frequencies = ctx.saved_tensors
        grad = _SineResidualVjp.apply(grad_out, hidden, frequencies, ctx.serial)
        return grad, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *inputs: Any
    ) -> tuple[Tensor, int]:
        hidden, frequencies, serial = inputs
        if in_dims[0] is not None and in_dims[1] is None:
            batched = hidden.movedim(in_dims[0], 0)
            return _SineResidual.apply(batched, frequencies, serial), 0
        compute = torch.vmap(reference.sine_residual, in_dims=in_dims[:2])
        return compute(hidden, frequencies), 0


def _reference_vjp(grad_out: Tensor, hidden: Tensor, frequencies: Tensor) -> Tensor:
    return grad_out * (1 + frequencies * torch.cos(frequencies * hidden))


class _SineResidualVjp(torch.autograd.Function):
    """The gradient of hidden channels; its own derivative is the reference's."""

    @staticmethod
    def forward(
        grad_out: Tensor, hidden: Tensor, frequencies: Tensor, serial: bool
    ) -> Tensor:
        rows = _rows(hidden)
        grad_hidden = rows.new_empty(rows.shape)
        compute = numba_cpu.vjp_serial if serial else numba_cpu.vjp_parallel
        compute(
            rows.numpy(),
            frequencies.detach().contiguous().numpy(),
            _rows(grad_out).numpy(),
            grad_hidden.numpy(),
        )
        return grad_hidden.view(hidden.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:3])

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        grad_out, hidden, frequencies = ctx.saved_tensors

        def vjp(g: Tensor, h: Tensor) -> Tensor:
            return _reference_vjp(g, h, frequencies)

        pull = torch.func.vjp(vjp, grad_out, hidden)[1]
        return (*pull(upstream), None, None)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *inputs: Any
    ) -> tuple[Tensor, int]:
        tensors = inputs[:3]
        return torch.vmap(_reference_vjp, in_dims=in_dims[:3])(*tensors), 0
