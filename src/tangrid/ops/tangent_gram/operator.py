"""The public operators on gradients in tables: checks and choice of implementation."""

import torch
from jaxtyping import Float, Int32
from torch import Tensor

from tangrid.errors import ShapeError
from tangrid.ops.contract import is_single_threaded, numba_refusals, resolve
from tangrid.ops.tangent_gram import numba_cpu, reference
from tangrid.ops.tangent_gram.nodes import NodeLists

_DTYPES = (torch.float32, torch.float64)
_MEETINGS_FOR_THREADS = 2**16
"""Points meet about this often before threads are worth waking."""


def tangent_gram(
    places: Int32[Tensor, "n k"],
    entries: Float[Tensor, "n k c o"],
    lists: NodeLists,
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
        places: Which of the listed nodes each point reads; -1 for another.
        entries: The gradient there, for every output channel.
        lists: The reads of the points of the columns.
        other_entries: Their gradient.
        out: Where to add.
        lower: Whether only pairs count in which the second point does not come after
            the first, for a matrix that is symmetric.

    Raises:
        ShapeError: If shapes do not fit.

    Example:
        >>> from tangrid.ops.tangent_gram import list_nodes
        >>> rows, entries = torch.tensor([[5], [5]]), torch.ones(2, 1, 1, 1)
        >>> out, lists = torch.zeros(2, 1, 2, 1), list_nodes(rows)
        >>> tangent_gram(lists.places_of(rows), entries, lists, entries, out=out)
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
    _check_reads("tangent_gram", places, entries, lists, other_entries.flatten(0, 1))
    tensors = {"entries": entries, "other_entries": other_entries, "out": out}
    refusals = numba_refusals(tensors, _DTYPES)
    if not out.is_contiguous():
        refusals.append("out is not contiguous")
    if resolve("tangent_gram", refusals) == "numba":
        meetings = places.numel() * len(lists.order) // max(len(lists.nodes), 1)
        is_serial = is_single_threaded() or meetings < _MEETINGS_FOR_THREADS
        compute = numba_cpu.add_serial if is_serial else numba_cpu.add_parallel
        compute(
            places.contiguous().numpy(),
            entries.contiguous().numpy(),
            lists.starts.numpy(),
            lists.points.numpy(),
            lists.listed(other_entries).numpy(),
            lower,
            out.numpy(),
        )
        return
    found = reference.tangent_gram(places, entries, lists, other_entries)
    if lower:
        points = torch.arange(len(found), device=out.device)
        is_lower = points[:, None] >= torch.arange(found.shape[2], device=out.device)
        found = found * is_lower[:, None, :, None]
    out += found


def _check_reads(
    operator: str, places: Tensor, mine: Tensor, lists: NodeLists, others: Tensor
) -> None:
    reads = len(lists.order)
    if places.shape != mine.shape[:2] or len(others) != reads:
        raise ShapeError(
            f"{operator}: expected numbers for every read, {list(places.shape)} and "
            f"{reads} in all, got {list(mine.shape[:2])} and {len(others)}."
        )


def _sides(entries: Float[Tensor, "n k c o"]) -> tuple[int, int]:
    return entries.shape[0], entries.shape[2]


def overlap_product(
    places: Int32[Tensor, "n k"],
    weights: Float[Tensor, "n k w"],
    lists: NodeLists,
    listed_weights: Float[Tensor, "reads w"],
    values: Float[Tensor, "m r o"],
) -> Float[Tensor, "n r o"]:
    r"""Return what points read of a table into which others have written values.

    With S the sparse matrix of weights: :math:`S (S'^\top V)`, where nothing but the
    nodes that are read at all is kept. Not differentiable.

    Args:
        places: Which of the listed nodes each point reads; -1 for another.
        weights: With which weights; the last axis is 1, or o where every channel has
            its own.
        lists: The reads of the points that write.
        listed_weights: With which weights they write, in the order of the lists.
        values: What they write.

    Raises:
        ShapeError: If shapes do not fit.

    Example:
        >>> from tangrid.ops.tangent_gram import list_nodes
        >>> rows, weights = torch.tensor([[5], [5]]), torch.ones(2, 1, 1)
        >>> lists = list_nodes(rows)
        >>> values = torch.tensor([1.0, 2.0]).view(2, 1, 1)
        >>> places, listed = lists.places_of(rows), lists.listed(weights)
        >>> overlap_product(places, weights, lists, listed, values).flatten().tolist()
        [3.0, 3.0]
    """
    _check_reads("overlap_product", places, weights, lists, listed_weights)
    if len(values) * lists.num_corners != len(lists.order):
        raise ShapeError(
            "overlap_product(values=...): expected one row for each of "
            f"{len(lists.order) // lists.num_corners} points, got {len(values)}."
        )
    widths = {weights.shape[2], listed_weights.shape[1]}
    if widths != {1} and widths != {values.shape[2]}:
        raise ShapeError(
            "overlap_product(weights=...): expected one weight for all channels or "
            f"{values.shape[2]}, as values have, got {weights.shape[2]} and "
            f"{listed_weights.shape[1]}."
        )
    tensors = {"weights": weights, "listed_weights": listed_weights, "values": values}
    if resolve("overlap_product", numba_refusals(tensors, _DTYPES)) == "reference":
        return reference.overlap_product(places, weights, lists, listed_weights, values)
    is_serial = is_single_threaded() or len(lists.order) < _MEETINGS_FOR_THREADS
    write, read = numba_cpu.write_parallel, numba_cpu.read_parallel
    if is_serial:
        write, read = numba_cpu.write_serial, numba_cpu.read_serial
    written = values.new_empty(len(lists.nodes), *values.shape[1:])
    write(
        lists.starts.numpy(),
        lists.points.numpy(),
        listed_weights.contiguous().numpy(),
        values.contiguous().numpy(),
        written.numpy(),
    )
    result = values.new_empty(len(places), *values.shape[1:])
    read(
        places.contiguous().numpy(),
        weights.flatten(0, 1).contiguous().numpy(),
        written.numpy(),
        result.numpy(),
    )
    return result
