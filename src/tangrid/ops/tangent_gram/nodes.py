"""Which points read which rows of a table: the reads, listed under their rows."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Int32, Int64, Shaped
from torch import Tensor


@dataclass(frozen=True)
class NodeLists:
    """Hold the reads of all points, sorted by the row that is read.

    Attributes:
        nodes: The rows that are read at all, in order.
        starts: Where each node's reads begin among the sorted ones, and the end.
        order: Number of every read, ``point * k + corner``; points stay in order under
            each node.
        num_corners: Reads of each point (k).
    """

    nodes: Int64[Tensor, " t"]
    starts: Int64[Tensor, " t+1"]
    order: Int64[Tensor, " reads"]
    num_corners: int

    @cached_property
    def points(self) -> Int32[Tensor, " reads"]:
        """The point of every read."""
        # Loops go through these and through places: short numbers are half to read.
        return (self.order // self.num_corners).int()

    @cached_property
    def places(self) -> Int32[Tensor, "n k"]:
        """The place of every read's row among the nodes."""
        numbers = torch.arange(len(self.nodes), device=self.order.device).int()
        places = torch.empty_like(self.order, dtype=torch.int32)
        places[self.order] = numbers.repeat_interleave(self.counts)
        return places.view(-1, self.num_corners)

    @property
    def counts(self) -> Int64[Tensor, " t"]:
        """The number of reads of every node."""
        return self.starts.diff()

    def listed(self, numbers: Shaped[Tensor, "m k ..."]) -> Shaped[Tensor, "reads ..."]:
        """Return what belongs to every read in the order of the lists.

        Args:
            numbers: Something for every read of every point.
        """
        return numbers.flatten(0, 1)[self.order]

    def places_of(self, rows: Int64[Tensor, "n k"]) -> Int32[Tensor, "n k"]:
        """Return the place of every row among the nodes, -1 where it is not.

        Args:
            rows: Rows that other points read.
        """
        found = torch.searchsorted(self.nodes, rows).clamp(max=len(self.nodes) - 1)
        return torch.where(self.nodes[found] == rows, found, -1).int()


def list_nodes(rows: Int64[Tensor, "n k"]) -> NodeLists:
    """Return the reads of all points, sorted by row.

    Args:
        rows: Rows that every point reads.

    Example:
        >>> lists = list_nodes(torch.tensor([[7, 3], [3, 3]]))
        >>> lists.nodes.tolist(), lists.points.tolist()
        ([3, 7], [0, 1, 1, 0])
    """
    ordered, order = rows.flatten().sort(stable=True)
    ends = torch.ones(1, dtype=torch.bool, device=rows.device)
    begins = torch.cat((ends, ordered.diff() != 0, ends)) if len(ordered) else ends[:0]
    starts = begins.nonzero()[:, 0]
    return NodeLists(ordered[starts[:-1]], starts, order, rows.shape[1])
