"""The public Gram matrix of gradients in tables: checks, order, implementation."""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tangrid.errors import ShapeError
from tangrid.ops.contract import is_single_threaded, numba_refusals, resolve
from tangrid.ops.tangent_gram import numba_cpu, reference

_DTYPES = (torch.float32, torch.float64)
_MEETINGS_FOR_THREADS = 2**16


def tangent_gram(
    rows: Int64[Tensor, "n k"],
    entries: Float[Tensor, "n k c o"],
    other_rows: Int64[Tensor, "m l"],
    other_entries: Float[Tensor, "m l e o"],
    *,
    out: Float[Tensor, "n c m e"],
    lower: bool = False,
) -> None:
    r"""Add the products of gradients that are zero but for a few rows of a table.

    With the gradient of channel c at point i written as
    :math:`\partial f_c / \partial T_{jo} = \sum_{k: r_{ik} = j} e_{ikco}`, adds
    :math:`\sum_{jo} \partial f_c(x_i)/\partial T_{jo}\;\partial f_{c'}(x'_{i'}) /
    \partial T_{jo}`. The cost grows with the pairs of points that share a row; the size
    of the table does not enter. Not differentiable.

    Args:
        rows: Rows of the table that each point reads.
        entries: The gradient in those rows, for every output channel.
        other_rows: Rows of the points of the columns.
        other_entries: Their gradient.
        out: Where to add.
        lower: Whether only pairs count in which the second point does not come after
            the first, for a matrix that is symmetric.

    Raises:
        ShapeError: If shapes do not fit.

    Example:
        >>> out = torch.zeros(2, 1, 2, 1)
        >>> rows, entries = torch.tensor([[0], [0]]), torch.ones(2, 1, 1, 1)
        >>> tangent_gram(rows, entries, rows, entries, out=out)
        >>> out.flatten().tolist()
        [1.0, 1.0, 1.0, 1.0]
    """
    wanted = (*_sides(entries), *_sides(other_entries))
    if out.shape != wanted or entries.shape[3] != other_entries.shape[3]:
        raise ShapeError(
            f"tangent_gram(out=...): expected shape {list(wanted)} and gradients of "
            f"one width, got {list(out.shape)} and widths {entries.shape[3]} and "
            f"{other_entries.shape[3]}."
        )
    tensors = {"entries": entries, "other_entries": other_entries, "out": out}
    refusals = numba_refusals(tensors, _DTYPES)
    if not out.is_contiguous():
        refusals.append("out is not contiguous")
    if resolve("tangent_gram", refusals) == "numba":
        _add(rows, entries, other_rows, other_entries, out, lower)
        return
    found = reference.tangent_gram(rows, entries, other_rows, other_entries)
    if lower:
        points = torch.arange(len(rows), device=rows.device)
        is_lower = points[:, None] >= torch.arange(len(other_rows), device=rows.device)
        found = found * is_lower[:, None, :, None]
    out += found


def _sides(entries: Float[Tensor, "n k c o"]) -> tuple[int, int]:
    return entries.shape[0], entries.shape[2]


def _add(
    rows: Tensor,
    entries: Tensor,
    other_rows: Tensor,
    other_entries: Tensor,
    out: Tensor,
    lower: bool,
) -> None:
    flat = other_rows.flatten().numpy()
    # Stable: under every node the points stay in order.
    order = np.argsort(flat, kind="stable")
    in_order = flat[order]
    starts = np.flatnonzero(np.diff(in_order, prepend=-1, append=-1))
    nodes = in_order[starts[:-1]]
    labels = np.empty(rows.numel(), np.int64)
    numba_cpu.label(rows.contiguous().view(-1).numpy(), nodes, labels)
    width = other_rows.shape[1]
    others = other_entries.flatten(0, 1)[torch.from_numpy(order)].contiguous()
    # Points meet about this often; threads are worth waking for more than a few.
    meetings = labels.size * len(flat) // max(len(nodes), 1)
    is_serial = is_single_threaded() or meetings < _MEETINGS_FOR_THREADS
    compute = numba_cpu.add_serial if is_serial else numba_cpu.add_parallel
    compute(
        labels.reshape(rows.shape),
        entries.contiguous().numpy(),
        starts,
        order // width,
        others.numpy(),
        lower,
        out.numpy(),
    )
