"""The public grid lookup: checks, choice of implementation, autograd.

First-order derivatives run in the chosen implementation, and so does what a loss of the
coordinates' gradient hands back to table and values. The Hessian of the coordinates,
higher orders, ``vmap`` over tables and forward mode belong to the reference.
"""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from tangrid.errors import ShapeError
from tangrid.notation import Coords, Features, Table
from tangrid.ops.accumulation import buffer_for
from tangrid.ops.batches import in_front
from tangrid.ops.contract import (
    is_single_threaded,
    numba_refusals,
    resolve,
    triton_refusals,
)
from tangrid.ops.grid_lookup import numba_door, reference
from tangrid.ops.grid_lookup.layout import GridLayout
from tangrid.ops.wanted import parameters_are_wanted


class _Door(Protocol):
    """What a fast implementation does with tensors; `numba_door` says it in full."""

    def read(
        self,
        coords: Tensor,
        table: Tensor,
        layout: GridLayout,
        directions: Tensor | None = None,
    ) -> Tensor: ...

    def pull(
        self, grad_out: Tensor, coords: Tensor, table: Tensor, layout: GridLayout
    ) -> Tensor: ...

    def push(
        self,
        grad_out: Tensor,
        coords: Tensor,
        table: Tensor,
        layout: GridLayout,
        into: Tensor | None,
        directions: Tensor | None = None,
    ) -> Tensor: ...


class _Call(NamedTuple):
    """What a lookup carries from its forward to its backward pass, besides tensors."""

    layout: GridLayout
    door: _Door
    grad_into: Tensor | None
    absorbs: bool = True

    @property
    def buffer(self) -> Tensor | None:
        """What the table's gradient is added to now, in place of being returned."""
        return self.grad_into if self.absorbs else None

    def in_this_pass(self) -> "_Call":
        """Return the call for a backward pass as it is run now.

        A gradient that will itself be differentiated, as in an eikonal loss, is part of
        the loss: what it gives the table belongs to autograd.
        """
        return self._replace(absorbs=not torch.is_grad_enabled())


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
        table: Features w of the nodes of all levels, of the coordinates' dtype or, for
            float32 coordinates, of half the precision; sums are then in float32.
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
    door = _door_for(coords, table, layout)
    if door is None:
        return reference.grid_lookup(coords, table, layout)
    grad_into = buffer_for(table) if grad_into is None else grad_into
    return _GridLookup.apply(coords, table, _Call(layout, door, grad_into))


def _door_for(coords: Tensor, table: Tensor, layout: GridLayout) -> _Door | None:
    """Return the fast implementation that runs now, if one does."""
    of_coords = triton_refusals(
        {"coords": coords}, (torch.float32,), beside={"table": table}
    )
    of_table = triton_refusals({"table": table})
    name = resolve(
        "grid_lookup",
        numba_refusals({"coords": coords, "table": table}) + layout.refusals,
        # Both say it where Triton is not installed.
        list(dict.fromkeys(of_coords + of_table + layout.refusals)),
    )
    if name == "numba":
        return numba_door.Loops(is_single_threaded())
    if name == "reference":
        return None
    # Triton is not installed everywhere, and an import of this package needs none.
    from tangrid.ops.grid_lookup import triton_door  # noqa: PLC0415

    return triton_door


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
    is_half = table.dtype in {torch.float16, torch.bfloat16}
    if coords.dtype != table.dtype and not (is_half and coords.dtype == torch.float32):
        raise ShapeError(
            "grid_lookup: expected coords and table of one dtype, or coords in float32 "
            f"and the table in half precision, got {coords.dtype} and {table.dtype}. "
            "Convert the module with .to(dtype)."
        )


def _is_wanted(coords: Tensor) -> bool:
    """Return whether coordinates that required a gradient still do.

    Whoever made them can tell, with ``coords.requires_grad_(False)``, that from now on
    their gradient is not asked for.
    """
    return coords.requires_grad


class _GridLookup(torch.autograd.Function):
    """Features; the vector-Jacobian product is a function of its own."""

    @staticmethod
    def forward(coords: Tensor, table: Tensor, call: _Call) -> Tensor:
        return call.door.read(coords, table, call.layout)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        coords, table, ctx.call = inputs
        ctx.save_for_backward(coords, table)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        coords, table = ctx.saved_tensors
        call = ctx.call.in_this_pass()
        needs = (
            ctx.needs_input_grad[0] and _is_wanted(coords),
            ctx.needs_input_grad[1] and parameters_are_wanted(),
        )
        grads = _GridLookupVjp.apply(grad_out, coords, table, call, needs)
        absorbed = call.buffer is not None
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
    """Gradients for coordinates and table."""

    @staticmethod
    def forward(
        grad_out: Tensor,
        coords: Tensor,
        table: Tensor,
        call: _Call,
        needs: tuple[bool, bool],
    ) -> tuple[Tensor, Tensor]:
        none, door = coords.new_empty(0), call.door
        inputs = (grad_out, coords, table, call.layout)
        return (
            door.pull(*inputs) if needs[0] else none,
            door.push(*inputs, call.buffer) if needs[1] else none,
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        grad_out, coords, table, ctx.call, ctx.needs = inputs
        ctx.save_for_backward(grad_out, coords, table)
        # A dense zero for a table's gradient that nobody looked at would cost much.
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(
        ctx: Any, directions: Tensor | None, weights: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        if ctx.needs[1] and weights is not None:
            return (*_reference_of_both(ctx, directions, weights), None, None)
        if not ctx.needs[0] or directions is None:
            return (None,) * 5
        call = ctx.call.in_this_pass()
        needs = (
            ctx.needs_input_grad[0],
            ctx.needs_input_grad[1] and _is_wanted(inputs[1]),
            ctx.needs_input_grad[2],
        )
        grads = _GridSlopeVjp.apply(directions, *inputs, call, needs)
        found = [g if need else None for g, need in zip(grads, needs, strict=True)]
        if call.buffer is not None:
            found[2] = None
        return (*found, None, None)

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


def _reference_of_both(
    ctx: Any, of_coords: Tensor | None, of_table: Tensor
) -> tuple[Tensor, ...]:
    """Return what both gradients hand back to all that they were made of."""
    layout = ctx.call.layout
    if of_coords is None or not ctx.needs[0]:
        of_coords = torch.zeros_like(ctx.saved_tensors[1])

    def vjp(g: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return _reference_vjp(g, x, t, layout)

    return torch.func.vjp(vjp, *ctx.saved_tensors)[1]((of_coords, of_table))


def _reference_slope_vjp(
    directions: Tensor,
    grad_out: Tensor,
    coords: Tensor,
    table: Tensor,
    layout: GridLayout,
) -> tuple[Tensor, ...]:
    def pull(g: Tensor, x: Tensor, t: Tensor) -> Tensor:
        return _reference_vjp(g, x, t, layout)[0]

    return torch.func.vjp(pull, grad_out, coords, table)[1](directions)


class _GridSlopeVjp(torch.autograd.Function):
    """What the coordinates' gradient hands back to all that it was made of.

    With directions u it is the gradient of <u, grad_coords>, whose derivatives are the
    reference's.
    """

    @staticmethod
    def forward(
        directions: Tensor,
        grad_out: Tensor,
        coords: Tensor,
        table: Tensor,
        call: _Call,
        needs: tuple[bool, bool, bool],
    ) -> tuple[Tensor, Tensor, Tensor]:
        none, door = coords.new_empty(0), call.door
        inputs = (grad_out, coords, table, call.layout)
        return (
            door.read(*inputs[1:], directions) if needs[0] else none,
            _reference_slope_vjp(directions, *inputs)[1] if needs[1] else none,
            door.push(*inputs, call.buffer, directions) if needs[2] else none,
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        *tensors, ctx.call, ctx.needs = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        def wanted(grads: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            pairs = zip(grads, ctx.needs, strict=True)
            return tuple(grad for grad, need in pairs if need)

        def vjp(u: Tensor, g: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, ...]:
            return wanted(_reference_slope_vjp(u, g, x, t, ctx.call.layout))

        pull = torch.func.vjp(vjp, *ctx.saved_tensors)[1]
        return (*pull(wanted(upstream)), None, None)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *inputs: Any
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        *tensors, call, _ = inputs

        def vjp(u: Tensor, g: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, ...]:
            return _reference_slope_vjp(u, g, x, t, call.layout)

        return torch.vmap(vjp, in_dims=in_dims[:4])(*tensors), (0, 0, 0)
