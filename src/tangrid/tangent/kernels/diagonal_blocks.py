r"""Kernels of many small groups of points, each with itself, from one look at a field.

Groups of a hundred points are too small for their matrices to take long: what takes
long is to begin with each. Here every step does all groups at once. For linear layers
that is a batch of small matrices. Reads of tables take a trick: rows get another number
in every group, so that groups never meet, and the j-th points of all groups are one
column that reads what they all read. Then one sparse product gives every block.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tangrid.devices import HOST, require_memory
from tangrid.errors import ShapeError
from tangrid.ops.contract import asked_implementation
from tangrid.ops.tangent_gram import list_nodes, tangent_gram
from tangrid.tangent.kernels.parts import Part
from tangrid.tangent.kernels.sites import LookupSite, OuterSite

_WIDTH_AT_ONCE = 4096
"""Columns of gradients that are put into groups at a time."""


def diagonal_blocks(
    parts: Sequence[Part], sizes: Sequence[int]
) -> Float[Tensor, "b rows rows"]:
    """Return the tangent kernel of every group of points with itself.

    Args:
        parts: Gradients at all points, group after group.
        sizes: Points of every group.

    Returns:
        One matrix per group, point by point and in these channel by channel, as large
        as the largest needs; rows and columns beyond a group's own are 0.

    Raises:
        ShapeError: If the groups are not all the points.

    Example:
        >>> import tangrid
        >>> from tangrid.tangent.kernels.assembly import gradient_parts
        >>> field = tangrid.build("siren", num_dims=2, num_channels=3, seed=0)
        >>> parts = gradient_parts(field, torch.rand(6, 2))
        >>> diagonal_blocks([part.over("trace") for part in parts], [2, 4]).shape
        torch.Size([2, 4, 4])
    """
    points, channels = parts[0].num_points, parts[0].num_outputs
    if sum(sizes) != points:
        raise ShapeError(
            f"diagonal_blocks(sizes=...): expected the sizes of groups of {points} "
            f"points, got {sum(sizes)} in all. Give every point to one group."
        )
    longest = max(sizes)
    sample = parts[0].sites[0].cotangents
    # The blocks, and two more of their size while a layer is added.
    require_memory(
        3 * len(sizes) * (longest * channels) ** 2 * sample.element_size(),
        f"diagonal_blocks: {len(sizes)} matrices of {longest * channels} rows",
        "Take fewer or smaller groups.",
    )
    # As [points, channels, points of a group, channels] with zeros for missing points.
    blocks = sample.new_zeros(len(sizes), longest, channels, longest, channels)
    for part in parts:
        for first, second in part.pairs(part):
            if isinstance(first, LookupSite) and isinstance(second, LookupSite):
                _add_reads(blocks, first, second, sizes)
            else:
                assert isinstance(first, OuterSite)
                assert isinstance(second, OuterSite)
                _add_layers(blocks, first, second, sizes)
    return blocks.view(len(sizes), longest * channels, longest * channels)


def grouped(numbers: Shaped[Tensor, "n ..."], sizes: Sequence[int]) -> Tensor:
    """Return what belongs to points by groups, with zeros where a group has no more.

    Args:
        numbers: Something for every point, group after group.
        sizes: Points of every group.

    Returns:
        [groups, points of the largest, ...].
    """
    return pad_sequence(list(numbers.split(list(sizes))), batch_first=True)


def _add_layers(
    blocks: Float[Tensor, "b n c n c"],
    first: OuterSite,
    second: OuterSite,
    sizes: Sequence[int],
) -> None:
    inputs = grouped(first.inputs, sizes) @ grouped(second.inputs, sizes).mT
    answered = torch.zeros_like(blocks).flatten(3).flatten(1, 2)
    # Gradients that are written out are as wide as there are parameters: they are not
    # copied whole.
    for mine, theirs in zip(
        first.cotangents.split(_WIDTH_AT_ONCE, 2),
        second.cotangents.split(_WIDTH_AT_ONCE, 2),
        strict=True,
    ):
        left = grouped(mine, sizes).flatten(1, 2)
        right = left if first is second else grouped(theirs, sizes).flatten(1, 2)
        answered.baddbmm_(left, right.mT)
    blocks.addcmul_(answered.view(blocks.shape), inputs[:, :, None, :, None])


def _add_reads(
    blocks: Float[Tensor, "b n c n c"],
    first: LookupSite,
    second: LookupSite,
    sizes: Sequence[int],
) -> None:
    mine, entries = _reads_of(first, sizes)
    theirs, others = (mine, entries) if first is second else _reads_of(second, sizes)
    # Without loops of its own the product writes out the nodes of all groups for every
    # point: there each group by itself is less, in time and in memory.
    has_loops = mine.device == HOST and asked_implementation() != "reference"
    step = len(sizes) if has_loops else 1
    for start in range(0, len(sizes), step):
        chosen = slice(start, start + step)
        # Groups apart: the same row of the table has another number in each of them.
        numbers = torch.arange(len(mine[chosen]), device=mine.device)[:, None, None]
        apart = numbers * (1 + max(int(mine.max()), int(theirs.max())))
        lists = list_nodes((theirs[chosen] + apart).transpose(0, 1).flatten(1))
        tangent_gram(
            lists.places_of((mine[chosen] + apart).flatten(0, 1)),
            entries[chosen].flatten(0, 1),
            lists,
            others[chosen].transpose(0, 1).flatten(1, 2),
            out=blocks[chosen].flatten(0, 1),
        )


def _reads_of(site: LookupSite, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return rows [b, n, k] and gradients there [b, n, k, c, o]."""
    return grouped(site.rows, sizes), grouped(site.entries, sizes)
