"""Gram matrices and products in plain PyTorch: the truth that the fast forms match."""

import torch
from jaxtyping import Float, Int32
from torch import Tensor

from tangrid.ops.tangent_gram.nodes import NodeLists


def tangent_gram(
    places: Int32[Tensor, "n k"],
    entries: Float[Tensor, "n k c o"],
    lists: NodeLists,
    other_entries: Float[Tensor, "m l e o"],
) -> Float[Tensor, "n c m e"]:
    """Return the products of gradients that are zero but for a few rows of a table.

    Args:
        places: Which of the listed nodes each point reads; -1 for another.
        entries: The gradient there, for every output channel.
        lists: The reads of the points of the columns.
        other_entries: Their gradient.
    """
    count = len(lists.nodes)
    first = _scattered(places, entries, count)
    second = _scattered(lists.places, other_entries, count)
    return torch.einsum("ncto,meto->ncme", first, second)


def _scattered(
    places: Int32[Tensor, "n k"], entries: Float[Tensor, "n k c o"], count: int
) -> Float[Tensor, "n c t o"]:
    """Return gradients in all nodes; what is read elsewhere has a node of its own."""
    points, corners, channels, width = entries.shape
    index = places.where(places >= 0, count).long()
    index = index[:, None, :, None].expand(points, channels, corners, width)
    dense = entries.new_zeros(points, channels, count + 1, width)
    return dense.scatter_add(2, index, entries.transpose(1, 2))[:, :, :-1]


def overlap_product(
    places: Int32[Tensor, "n k"],
    weights: Float[Tensor, "n k w"],
    lists: NodeLists,
    listed_weights: Float[Tensor, "reads w"],
    values: Float[Tensor, "m r o"],
) -> Float[Tensor, "n r o"]:
    """Return what points read of a table into which others have written values.

    Args:
        places: Which of the listed nodes each point reads; -1 for another.
        weights: With which weights; the last axis is 1 or o.
        lists: The reads of the points that write.
        listed_weights: With which weights they write, in the order of the lists.
        values: What they write.
    """
    # What is read elsewhere has a last node of its own, where nothing is written.
    written = values.new_zeros(len(lists.nodes) + 1, *values.shape[1:])
    reads = (lists.listed(lists.places), lists.points, listed_weights)
    # By parts, as all of them take the room of the values for every corner.
    parts = (part.split(max(len(values), 1)) for part in reads)
    for nodes, points, part in zip(*parts, strict=True):
        written.index_add_(0, nodes, part[:, None, :] * values[points])
    read = values.new_zeros(len(places), *values.shape[1:])
    for corner, nodes in enumerate(places.unbind(1)):
        read += weights[:, corner, None, :] * written[nodes]
    return read
