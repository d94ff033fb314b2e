"""The public grid lookup: checks, choice of implementation, autograd.

First-order derivatives run in the chosen implementation; higher orders, ``vmap`` over
tables and forward mode belong to the reference.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from tangrid.errors import ShapeError
from tangrid.notation import Coords, Features, Table
from tangrid.ops.accumulation import buffer_for
from tangrid.ops.batches import in_front
from tangrid.ops.contract import is_single_threaded, numba_refusals, resolve
from tangrid.ops.grid_lookup import numba_cpu, reference
from tangrid.ops.grid_lookup.layout import GridLayout


class _Call(NamedTuple):
    """What a lookup carries from its forward to its backward pass, besides tensors."""

    layout: GridLayout
    serial: bool
    grad_into: Tensor | None


def grid_lookup(
    coords: Coords,
    table: Table,
    layout: GridLayout,
    *,
    grad_into: Tensor | None = None,
) -> Features:
    r"""Read a multi-resolution grid at points of the unit box.

    Level l gives :math:`z_l(x) = \sum_{c \in \{0,1\}^d} \phi_c(x)\, w_{u_c(x)}` and the
    levels are concatenated.

    Args:
        coords: Points in the unit box; not checked here.
        table: Features w of the nodes of all levels.
        layout: Where the nodes are and how they are weighted.
        grad_into: Buffer of the table's shape that the table's gradient is added to, in
            place of being returned; the current `accumulate_into` buffer by default.

    Returns:
        Features of each point, the coarsest level first.

    Raises:
        ShapeError: If the shapes or dtypes do not belong together.

    Example:
        >>> from tangrid.ops.grid_lookup.layout import grid_layout
        >>> layout = grid_layout(num_dims=2, num_levels=1, base_resolution=4, growth=1)
        >>> table = torch.ones(layout.num_rows, 2)
        >>> grid_lookup(torch.rand(3, 2), table, layout).round(decimals=5)
        tensor([[1., 1.],
                [1., 1.],
                [1., 1.]])
    """
    _check(coords, table, layout)
    refusals = numba_refusals({"coords": coords, "table": table})
    if resolve("grid_lookup", refusals) == "reference":
        return reference.grid_lookup(coords, table, layout)
    grad_into = buffer_for(table) if grad_into is None else grad_into
    call = _Call(layout, is_single_threaded(), grad_into)
    return _GridLookup.apply(coords, table, call)


def _check(coords: Tensor, table: Tensor, layout: GridLayout) -> None:
    if coords.ndim != 2 or coords.shape[1] != layout.num_dims:
        raise ShapeError(
            f"grid_lookup(coords=...): expected shape [n, {layout.num_dims}], got "
            f"{list(coords.shape)}."
        )
    if table.ndim != 2 or table.shape[0] != layout.num_rows:
        raise ShapeError(
            f"grid_lookup(table=...): expected {layout.num_rows} rows, as the layout "
            f"has, got shape {list(table.shape)}."
        )
    if coords.dtype != table.dtype:
        raise ShapeError(
            f"grid_lookup: expected coords and table of one dtype, got {coords.dtype} "
            f"and {table.dtype}. Convert the module with .to(dtype)."
        )


class _GridLookup(torch.autograd.Function):
    """Numba forward; the vector-Jacobian product is a function of its own."""

    @staticmethod
    def forward(coords: Tensor, table: Tensor, call: _Call) -> Tensor:
        layout = call.layout
        out = coords.new_empty(len(coords), len(layout.levels) * table.shape[1])
        read = numba_cpu.forward_serial if call.serial else numba_cpu.forward_parallel
        read(
            coords.detach().contiguous().numpy(),
            table.detach().contiguous().numpy(),
            layout.scales,
            layout.addresses,
            layout.interpolation_code,
            out.numpy(),
        )
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        coords, table, ctx.call = inputs
        ctx.save_for_backward(coords, table)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        coords, table = ctx.saved_tensors
        needs = ctx.needs_input_grad[:2]
        call = ctx.call
        if torch.is_grad_enabled():
            # A gradient that will itself be differentiated, as in an eikonal loss, is
            # part of the loss: what it gives the table belongs to autograd.
            call = call._replace(grad_into=None)
        grads = _GridLookupVjp.apply(grad_out, coords, table, call, needs)
        absorbed = call.grad_into is not None
        return (
            grads[0] if needs[0] else None,
            grads[1] if needs[1] and not absorbed else None,
            None,
        )

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *inputs: Any
    ) -> tuple[Tensor, int]:
        coords, table, call = inputs
        if in_dims[1] is None:
            # One table for all: the batch of point sets is one longer point set.
            coords = coords.movedim(in_dims[0], 0)
            flat = _GridLookup.apply(coords.flatten(0, 1), table, call)
            return flat.unflatten(0, coords.shape[:2]), 0

        def read(x: Tensor, t: Tensor) -> Tensor:
            return reference.grid_lookup(x, t, call.layout)

        return torch.vmap(read, in_dims=in_dims[:2])(coords, table), 0


def _reference_vjp(
    grad_out: Tensor, coords: Tensor, table: Tensor, layout: GridLayout
) -> tuple[Tensor, Tensor]:
    def read(x: Tensor, t: Tensor) -> Tensor:
        return reference.grid_lookup(x, t, layout)

    return torch.func.vjp(read, coords, table)[1](grad_out)


class _GridLookupVjp(torch.autograd.Function):
    """Gradients for coordinates and table; its own derivative is the reference's."""

    @staticmethod
    def forward(
        grad_out: Tensor,
        coords: Tensor,
        table: Tensor,
        call: _Call,
        needs: tuple[bool, bool],
    ) -> tuple[Tensor, Tensor]:
        layout, serial, grad_into = call
        points = coords.detach().contiguous().numpy()
        upstream = grad_out.detach().contiguous().numpy()
        grid = (layout.scales, layout.addresses, layout.interpolation_code)
        # Not zeros_like: it copies the order in memory, and numba compiles for each.
        grad_coords = coords.new_zeros(coords.shape if needs[0] else 0)
        if needs[0]:
            pull = (
                numba_cpu.coords_vjp_serial if serial else numba_cpu.coords_vjp_parallel
            )
            nodes = table.detach().contiguous().numpy()
            pull(points, nodes, upstream, *grid, grad_coords.numpy())
        grad_table = table.new_empty(0)
        if needs[1]:
            zeros = grad_into is None
            grad_table = table.new_zeros(table.shape) if zeros else grad_into
            push = (
                numba_cpu.table_vjp_serial if serial else numba_cpu.table_vjp_parallel
            )
            push(points, upstream, *grid, grad_table.numpy())
        # An accumulation buffer is the caller's and must not become an output.
        return grad_coords, table.new_empty(0) if grad_into is not None else grad_table

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        grad_out, coords, table, ctx.call, ctx.needs = inputs
        ctx.save_for_backward(grad_out, coords, table)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors

        def vjp(grad_out: Tensor, coords: Tensor, table: Tensor) -> tuple[Tensor, ...]:
            both = _reference_vjp(grad_out, coords, table, ctx.call.layout)
            return tuple(g for g, need in zip(both, ctx.needs, strict=True) if need)

        wanted = tuple(g for g, need in zip(upstream, ctx.needs, strict=True) if need)
        pull = torch.func.vjp(vjp, *inputs)[1]
        return (*pull(wanted), None, None)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *inputs: Any
    ) -> tuple[tuple[Tensor, Tensor], tuple[int | None, int | None]]:
        grad_out, coords, table, call, needs = inputs
        if in_dims[2] is None and not needs[1]:
            # One table for all and no gradient of it wanted: the batch of point sets is
            # one longer point set.
            outs = in_front(grad_out, in_dims[0], info.batch_size)
            sets = in_front(coords, in_dims[1], info.batch_size)
            flat = outs.flatten(0, 1), sets.flatten(0, 1)
            grad_coords, unused = _GridLookupVjp.apply(*flat, table, call, needs)
            if needs[0]:
                grad_coords = grad_coords.view(sets.shape)
            return (grad_coords, unused), (0 if needs[0] else None, None)

        def vjp(g: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            return _reference_vjp(g, x, t, call.layout)

        return torch.vmap(vjp, in_dims=in_dims[:3])(grad_out, coords, table), (0, 0)
