"""The Gram matrix in plain PyTorch: the truth that the fast form matches."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def tangent_gram(
    rows: Int64[Tensor, "n k"],
    entries: Float[Tensor, "n k c o"],
    other_rows: Int64[Tensor, "m l"],
    other_entries: Float[Tensor, "m l e o"],
) -> Float[Tensor, "n c m e"]:
    """Return the products of gradients that are zero but for a few rows of a table.

    Args:
        rows: Rows of the table that each point reads.
        entries: The gradient in those rows, for every output channel.
        other_rows: Rows of the points of the columns.
        other_entries: Their gradient.
    """
    first = _scattered(rows, entries, nodes := torch.unique(rows))
    is_shared = torch.isin(other_rows, nodes)
    places = torch.where(is_shared, other_rows, nodes[:1])
    second = _scattered(
        places, other_entries * is_shared[:, :, None, None].to(entries.dtype), nodes
    )
    return torch.einsum("ncto,meto->ncme", first, second)


def _scattered(
    rows: Int64[Tensor, "n k"],
    entries: Float[Tensor, "n k c o"],
    nodes: Int64[Tensor, " t"],
) -> Float[Tensor, "n c t o"]:
    """Return gradients in all nodes that are read at all."""
    points, corners, channels, width = entries.shape
    places = torch.searchsorted(nodes, rows)
    index = places[:, None, :, None].expand(points, channels, corners, width)
    dense = entries.new_zeros(points, channels, len(nodes), width)
    return dense.scatter_add(2, index, entries.transpose(1, 2))
