"""The public lookup at radial nodes: checks, choice of implementation, autograd.

First-order derivatives run in the chosen implementation; higher orders, ``vmap`` over
tables and forward mode belong to the reference.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.errors import ShapeError
from tangrid.notation import Features, Rows, Table
from tangrid.ops.accumulation import buffer_for
from tangrid.ops.batches import in_front
from tangrid.ops.contract import is_single_threaded, numba_refusals, resolve
from tangrid.ops.rbf_lookup import numba_cpu, reference


class _Call(NamedTuple):
    """What a lookup carries from its forward to its backward pass, besides tensors."""

    serial: bool
    grad_into: Tensor | None


def rbf_lookup(
    rows: Rows,
    values: Float[Tensor, "n k"],
    table: Table,
    frequencies: Float[Tensor, " f"],
    *,
    grad_into: Tensor | None = None,
) -> Features:
    r"""Return sums of nodes' features, weighted by sines of radial values.

    Channel j is :math:`z_j = \sum_k \sin(m_j \rho_k)\, w_{r_k j}`: every channel sees
    the radial value of a neighbour at a frequency of its own.

    Args:
        rows: Neighbours (r) of each point among the nodes; not checked here.
        values: Radial value (rho) of each neighbour.
        table: Features (w) of all nodes.
        frequencies: One factor m per channel; a constant.
        grad_into: Buffer of the table's shape that the table's gradient is added to, in
            place of being returned; the current `accumulate_into` buffer by default.

    Returns:
        Features of each point.

    Raises:
        ShapeError: If the shapes or dtypes do not belong together.

    Example:
        >>> rows, values = torch.tensor([[0, 1]]), torch.tensor([[0.5, 0.0]])
        >>> rbf_lookup(rows, values, torch.ones(2, 1), torch.tensor([torch.pi]))
        tensor([[1.]])

    References:
        Chen et al. 2023, "NeuRBF".
    """
    _check(rows, values, table, frequencies)
    tensors = {"values": values, "table": table, "frequencies": frequencies}
    refusals = numba_refusals(tensors)
    if resolve("rbf_lookup", refusals) == "reference":
        return reference.rbf_lookup(rows, values, table, frequencies)
    grad_into = buffer_for(table) if grad_into is None else grad_into
    call = _Call(is_single_threaded(), grad_into)
    return _RbfLookup.apply(call, rows, values, table, frequencies)


def _check(rows: Tensor, values: Tensor, table: Tensor, frequencies: Tensor) -> None:
    if rows.ndim != 2 or rows.shape != values.shape:
        raise ShapeError(
            "rbf_lookup(rows=..., values=...): expected two tensors [n, k] of one "
            f"shape, got {list(rows.shape)} and {list(values.shape)}."
        )
    if table.ndim != 2 or frequencies.shape != table.shape[1:]:
        raise ShapeError(
            "rbf_lookup(table=..., frequencies=...): expected a table [t, f] and f "
            f"factors, got {list(table.shape)} and {list(frequencies.shape)}."
        )
    if not values.dtype == table.dtype == frequencies.dtype:
        raise ShapeError(
            "rbf_lookup: expected values, table and frequencies of one dtype, got "
            f"{values.dtype}, {table.dtype} and {frequencies.dtype}. Convert the "
            "module with .to(dtype)."
        )


def _array(tensor: Tensor) -> Any:
    return tensor.detach().contiguous().numpy()


class _RbfLookup(torch.autograd.Function):
    """Numba forward; the vector-Jacobian product is a function of its own."""

    @staticmethod
    def forward(call: _Call, *inputs: Tensor) -> Tensor:
        rows, values, table, frequencies = (_array(tensor) for tensor in inputs)
        out = inputs[1].new_empty(len(rows), table.shape[1])
        read = numba_cpu.forward_serial if call.serial else numba_cpu.forward_parallel
        read(rows, values, table, frequencies, out.numpy())
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.call = inputs[0]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        needs = ctx.needs_input_grad[2:4]
        call = ctx.call
        if torch.is_grad_enabled():
            # A gradient that will itself be differentiated, as in an eikonal loss, is
            # part of the loss: what it gives the table belongs to autograd.
            call = call._replace(grad_into=None)
        grads = _RbfLookupVjp.apply(call, needs, grad_out, *ctx.saved_tensors)
        absorbed = call.grad_into is not None
        return (
            None,
            None,
            grads[0] if needs[0] else None,
            grads[1] if needs[1] and not absorbed else None,
            None,
        )

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], call: _Call, *inputs: Tensor
    ) -> tuple[Tensor, int]:
        dims = in_dims[1:]
        if dims[2] is None and dims[3] is None:
            # One table for all: the batch of point sets is one longer point set.
            rows = in_front(inputs[0], dims[0], info.batch_size)
            values = in_front(inputs[1], dims[1], info.batch_size)
            flat = _RbfLookup.apply(
                call, rows.flatten(0, 1), values.flatten(0, 1), *inputs[2:]
            )
            return flat.unflatten(0, rows.shape[:2]), 0
        return torch.vmap(reference.rbf_lookup, in_dims=dims)(*inputs), 0


def _reference_vjp(
    grad_out: Tensor, rows: Tensor, values: Tensor, table: Tensor, frequencies: Tensor
) -> tuple[Tensor, Tensor]:
    def read(v: Tensor, t: Tensor) -> Tensor:
        return reference.rbf_lookup(rows, v, t, frequencies)

    return torch.func.vjp(read, values, table)[1](grad_out)


class _RbfLookupVjp(torch.autograd.Function):
    """Gradients for values and table; its own derivative is the reference's."""

    @staticmethod
    def forward(
        call: _Call, needs: tuple[bool, bool], *tensors: Tensor
    ) -> tuple[Tensor, Tensor]:
        upstream, rows, values, table, frequencies = (_array(t) for t in tensors)
        serial, grad_into = call
        own_values, own_table = tensors[2:4]
        grad_values = own_values.new_empty(own_values.shape if needs[0] else 0)
        if needs[0]:
            pull = (
                numba_cpu.values_vjp_serial if serial else numba_cpu.values_vjp_parallel
            )
            grads = grad_values.numpy()
            pull(rows, values, table, frequencies, upstream, grads)
        empty = own_table.new_empty(0)
        if not needs[1]:
            return grad_values, empty
        grad_table = (
            own_table.new_zeros(table.shape) if grad_into is None else grad_into
        )
        push = numba_cpu.table_vjp_serial if serial else numba_cpu.table_vjp_parallel
        push(rows, values, frequencies, upstream, grad_table.numpy())
        # An accumulation buffer is the caller's and must not become an output.
        return grad_values, grad_table if grad_into is None else empty

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.needs = inputs[1]
        ctx.save_for_backward(*inputs[2:])

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        grad_out, rows, values, table, frequencies = ctx.saved_tensors

        def vjp(g: Tensor, v: Tensor, t: Tensor) -> tuple[Tensor, ...]:
            both = _reference_vjp(g, rows, v, t, frequencies)
            return tuple(g for g, need in zip(both, ctx.needs, strict=True) if need)

        wanted = tuple(g for g, need in zip(upstream, ctx.needs, strict=True) if need)
        pulled = torch.func.vjp(vjp, grad_out, values, table)[1](wanted)
        return None, None, pulled[0], None, *pulled[1:], None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *inputs: Any
    ) -> tuple[tuple[Tensor, Tensor], tuple[int | None, int | None]]:
        call, needs, *tensors = inputs
        dims = in_dims[2:]
        if dims[3] is None and dims[4] is None and not needs[1]:
            # One table for all and no gradient of it wanted: the batch of point sets is
            # one longer point set.
            batched = [
                in_front(tensor, dim, info.batch_size)
                for tensor, dim in zip(tensors[:3], dims[:3], strict=True)
            ]
            flat = [tensor.flatten(0, 1) for tensor in batched]
            grads, unused = _RbfLookupVjp.apply(call, needs, *flat, *tensors[3:])
            if needs[0]:
                grads = grads.view(batched[2].shape)
            return (grads, unused), (0 if needs[0] else None, None)
        return torch.vmap(_reference_vjp, in_dims=dims)(*tensors), (0, 0)
