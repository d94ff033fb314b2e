"""Gram matrices and products in plain PyTorch: the truth that the fast forms match."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tangrid.ops.tangent_gram.nodes import NodeLists


def tangent_gram(
    places: Int64[Tensor, "n k"],
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
    second = _scattered(_places_listed(lists), other_entries, count)
    return torch.einsum("ncto,meto->ncme", first, second)


def _scattered(
    places: Int64[Tensor, "n k"], entries: Float[Tensor, "n k c o"], count: int
) -> Float[Tensor, "n c t o"]:
    """Return gradients in all nodes; what is read elsewhere has a node of its own."""
    points, corners, channels, width = entries.shape
    index = places.where(places >= 0, count)
    index = index[:, None, :, None].expand(points, channels, corners, width)
    dense = entries.new_zeros(points, channels, count + 1, width)
    return dense.scatter_add(2, index, entries.transpose(1, 2))[:, :, :-1]


def _places_listed(lists: NodeLists) -> Int64[Tensor, "m l"]:
    places = torch.empty_like(lists.order)
    nodes = torch.arange(len(lists.nodes), device=places.device)
    places[lists.order] = nodes.repeat_interleave(lists.counts)
    return places.view(-1, lists.num_corners)


def overlap_product(
    places: Int64[Tensor, "n k"],
    weights: Float[Tensor, "n k w"],
    lists: NodeLists,
    other_weights: Float[Tensor, "m l w"],
    values: Float[Tensor, "m o r"],
) -> Float[Tensor, "n o r"]:
    """Return what points read of a table into which others have written values.

    Args:
        places: Which of the listed nodes each point reads; -1 for another.
        weights: With which weights; the last axis is 1 or o.
        lists: The reads of the points that write.
        other_weights: With which weights they write.
        values: What they write.
    """
    written = values.new_zeros(len(lists.nodes) + 1, *values.shape[1:])
    for corner, nodes in enumerate(_places_listed(lists).unbind(1)):
        written.index_add_(0, nodes, other_weights[:, corner, :, None] * values)
    read = values.new_zeros(len(places), *values.shape[1:])
    for corner, nodes in enumerate(places.unbind(1)):
        read += weights[:, corner, :, None] * written[nodes]
    return read
