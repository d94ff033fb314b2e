"""The public MulFAGrid lookup: checks, choice of implementation, autograd.

First-order derivatives run in the chosen implementation; higher orders, ``vmap`` over
parameters and forward mode belong to the reference.
"""

from collections.abc import Callable
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
from tangrid.ops.grid_lookup.layout import GridLayout
from tangrid.ops.mulfa_lookup import numba_door, reference
from tangrid.ops.mulfa_lookup.blocks import block_refusals
from tangrid.ops.mulfa_lookup.filters import (
    FilterKernel,
    KernelSettings,
    check_kernel,
)


class _Door(Protocol):
    """What a fast implementation does with tensors; `numba_door` says it in full."""

    def forward(
        self,
        coords: Tensor,
        table: Tensor,
        kernel: FilterKernel,
        layout: GridLayout,
        settings: KernelSettings,
    ) -> Tensor: ...

    def vjp(
        self,
        grad_out: Tensor,
        coords: Tensor,
        table: Tensor,
        kernel: FilterKernel,
        layout: GridLayout,
        settings: KernelSettings,
        *,
        grad_into: Tensor | None,
        needs: tuple[bool, ...],
    ) -> tuple[Tensor, ...]: ...


class _Call(NamedTuple):
    """What a lookup carries from its forward to its backward pass, besides inputs."""

    layout: GridLayout
    settings: KernelSettings
    door: _Door
    grad_into: Tensor | None


def mulfa_lookup(
    coords: Coords,
    table: Table,
    kernel: FilterKernel,
    layout: GridLayout,
    settings: KernelSettings,
    *,
    grad_into: Tensor | None = None,
) -> Features:
    r"""Read a multi-resolution grid with a node-dependent kernel function.

    Level l gives :math:`z_{lf}(x) = \sum_{i \in U_l(x)} \tilde\phi_f(x, i)\, w_{if}`
    over the corners of the cell around x, and the levels are concatenated. Levels
    beyond those that the kernel function has parameters for are interpolated.

    Args:
        coords: Points in the unit box; not checked here.
        table: Features w of the nodes of all levels, of the coordinates' dtype or, for
            float32 coordinates, of half the precision; sums are then in float32.
        kernel: Parameters of the filter networks phi, of all levels or the coarsest.
        layout: Where the nodes are and how they are weighted.
        settings: Fourier features and normaliser of the kernel function.
        grad_into: Buffer of the table's shape that the table's gradient is added to, in
            place of being returned; the current `accumulate_into` buffer by default.

    Returns:
        Features of each point, the coarsest level first.

    Raises:
        ShapeError: If the shapes or dtypes do not belong together.
    """
    _check(coords, table, kernel, layout)
    check_kernel(kernel, layout, settings, table.shape[1])
    door = _door_for(coords, table, kernel, layout)
    if door is None:
        return reference.mulfa_lookup(coords, table, kernel, layout, settings)
    grad_into = buffer_for(table) if grad_into is None else grad_into
    call = _Call(layout, settings, door, grad_into)
    return _MulfaLookup.apply(call, coords, table, *kernel)


def _door_for(
    coords: Tensor, table: Tensor, kernel: FilterKernel, layout: GridLayout
) -> _Door | None:
    """Return the fast implementation that runs now, if one does."""
    tensors = {"coords": coords, **kernel._asdict()}
    del tensors["frequencies"]
    beside = {"table": table, "frequencies": kernel.frequencies}
    of_triton = triton_refusals(tensors, (torch.float32,), beside=beside)
    of_triton += triton_refusals({"table": table})
    name = resolve(
        "mulfa_lookup",
        numba_refusals(tensors | {"table": table}) + layout.refusals,
        # Both say it where Triton is not installed.
        [*dict.fromkeys(of_triton), *block_refusals(kernel), *layout.refusals],
    )
    if name == "numba":
        return numba_door.Loops(is_single_threaded())
    if name == "reference":
        return None
    # Triton is not installed everywhere, and an import of this package needs none.
    from tangrid.ops.mulfa_lookup import triton_door  # noqa: PLC0415

    return triton_door


def _check(
    coords: Tensor, table: Tensor, kernel: FilterKernel, layout: GridLayout
) -> None:
    if coords.ndim != 2 or coords.shape[1] != layout.num_dims:
        raise ShapeError(
            f"mulfa_lookup(coords=...): expected shape [n, {layout.num_dims}], got "
            f"{list(coords.shape)}."
        )
    if table.ndim != 2 or table.shape[0] != layout.num_rows:
        raise ShapeError(
            f"mulfa_lookup(table=...): expected {layout.num_rows} rows, as the layout "
            f"has, got shape {list(table.shape)}."
        )
    is_half = table.dtype in {torch.float16, torch.bfloat16}
    fits = table.dtype == coords.dtype or (is_half and coords.dtype == torch.float32)
    if not (fits and coords.dtype == kernel.projection.dtype):
        raise ShapeError(
            "mulfa_lookup: expected coords, table and kernel of one dtype, or the "
            f"table in half precision and the others in float32, got {coords.dtype}, "
            f"{table.dtype} and {kernel.projection.dtype}. Convert the module with "
            ".to(dtype)."
        )


class _MulfaLookup(torch.autograd.Function):
    """Fast forward; the vector-Jacobian product is a function of its own."""

    @staticmethod
    def forward(call: _Call, coords: Tensor, table: Tensor, *kernel: Tensor) -> Tensor:
        return call.door.forward(
            coords,
            table,
            FilterKernel(*kernel),
            call.layout,
            call.settings,
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.call = inputs[0]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        needs = ctx.needs_input_grad[1:]
        call = ctx.call
        if torch.is_grad_enabled():
            # A gradient that will itself be differentiated, as in an eikonal loss, is
            # part of the loss: what it gives the table belongs to autograd.
            call = call._replace(grad_into=None)
        grads = _MulfaLookupVjp.apply(call, needs, grad_out, *ctx.saved_tensors)
        kept = [g if need else None for g, need in zip(grads, needs, strict=True)]
        if call.grad_into is not None:
            kept[1] = None
        return (None, *kept)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], call: _Call, *inputs: Tensor
    ) -> tuple[Tensor, int]:
        if in_dims[1] is not None and all(dim is None for dim in in_dims[2:]):
            # Parameters shared by all: the batch of point sets is one longer point set.
            coords = inputs[0].movedim(in_dims[1], 0)
            flat = _MulfaLookup.apply(call, coords.flatten(0, 1), *inputs[1:])
            return flat.unflatten(0, coords.shape[:2]), 0
        read = torch.vmap(_reference(call), in_dims=in_dims[1:])
        return read(*inputs), 0


def _reference(call: _Call) -> Callable[..., Tensor]:
    """Return the reference as a function of all tensors."""

    def read(coords: Tensor, table: Tensor, *kernel: Tensor) -> Tensor:
        return reference.mulfa_lookup(
            coords, table, FilterKernel(*kernel), call.layout, call.settings
        )

    return read


def _reference_vjp(call: _Call) -> Callable[..., tuple[Tensor, ...]]:
    """Return the reference's vector-Jacobian product as a function of all tensors."""

    def vjp(grad_out: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        pull = torch.func.vjp(_reference(call), *inputs)[1]
        return pull(grad_out)

    return vjp


class _MulfaLookupVjp(torch.autograd.Function):
    """Gradients for all inputs; its own derivative is the reference's."""

    @staticmethod
    def forward(
        call: _Call, needs: tuple[bool, ...], grad_out: Tensor, *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        coords, table, *kernel = inputs
        return call.door.vjp(
            grad_out,
            coords,
            table,
            FilterKernel(*kernel),
            call.layout,
            call.settings,
            grad_into=call.grad_into,
            needs=needs,
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.call, ctx.needs = inputs[:2]
        ctx.save_for_backward(*inputs[2:])

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        vjp = _reference_vjp(ctx.call)

        def wanted(grads: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            pairs = zip(grads, ctx.needs, strict=True)
            return tuple(grad for grad, need in pairs if need)

        pull = torch.func.vjp(lambda *x: wanted(vjp(*x)), *ctx.saved_tensors)[1]
        return (None, None, *pull(wanted(upstream)))

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *inputs: Any
    ) -> tuple[tuple[Tensor, ...], tuple[int | None, ...]]:
        call, needs, grad_out, coords, *rest = inputs
        if not any(needs[1:]) and all(dim is None for dim in in_dims[4:]):
            # Parameters shared by all, and no gradients of them wanted: the batch of
            # point sets is one longer point set.
            outs = in_front(grad_out, in_dims[2], info.batch_size)
            sets = in_front(coords, in_dims[3], info.batch_size)
            flat = outs.flatten(0, 1), sets.flatten(0, 1)
            grads = _MulfaLookupVjp.apply(call, needs, *flat, *rest)
            return (grads[0].view(sets.shape), *grads[1:]), (0,) + (None,) * len(rest)
        vjp = torch.vmap(_reference_vjp(call), in_dims=in_dims[2:])
        grads = vjp(*inputs[2:])
        return grads, (0,) * len(grads)
