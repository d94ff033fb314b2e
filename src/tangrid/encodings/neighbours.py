"""The index function of nodes that are not a lattice: the k nearest to each point."""

import threading
from typing import Any, cast

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor
from torch.autograd.function import FunctionCtx

from tangrid.notation import Coords, Rows
from tangrid.ops.batches import in_front

_MOST_POINTS_KEPT = 2**22


class NeighbourSearch:
    """Find the nearest of a set of centres, and remember what was found.

    Training asks for the same pieces of the same batch again and again. Answers are
    kept by where the points stand in memory, and checked against the points
    themselves, so that memory that is used again for others gives no wrong answer.

    Args:
        sides: What coordinates in the unit box are multiplied by before distances are
            taken.
    """

    def __init__(self, sides: tuple[float, ...]) -> None:
        self.sides = sides
        self._lock = threading.Lock()
        self._centres = torch.empty(0)
        self._tree: KDTree | None = None
        self._kept: dict[tuple[int, int, int], tuple[Tensor, Tensor]] = {}
        self._num_kept = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> "NeighbourSearch":
        """Return a new search that remembers nothing."""
        return NeighbourSearch(self.sides)

    def __getstate__(self) -> dict[str, Any]:
        """Return the sides alone: what is remembered can be found again."""
        return {"sides": self.sides}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin anew."""
        self.__init__(state["sides"])

    def nearest(self, coords: Coords, centres: Tensor, count: int) -> Rows:
        """Return the numbers of the nearest centres, the nearest first.

        Works under `torch.vmap`; carries no gradient.

        Args:
            coords: Points in the unit box.
            centres: Where the nodes are, [t, d].
            count: How many for each point (k).
        """
        return _Nearest.apply(coords.detach(), centres.detach(), self, count)

    def find(self, coords: Tensor, centres: Tensor, count: int) -> Tensor:
        """Return `nearest` of plain tensors.

        Args:
            coords: Points in the unit box, [n, d].
            centres: Where the nodes are, [t, d].
            count: How many for each point.
        """
        tree = self._tree_of(centres)
        key = (coords.data_ptr(), len(coords), count)
        kept = self._kept.get(key)
        if kept is not None and torch.equal(kept[0], coords):
            return kept[1]
        points = coords.double().cpu().numpy() * np.array(self.sides)
        found = tree.query(points, k=count)[1].reshape(-1, count)
        # Points too far away for any distance have no nearest node.
        found = np.minimum(found, len(centres) - 1)
        rows = torch.from_numpy(found.astype(np.int64, copy=False)).to(coords.device)
        with self._lock:
            stale = self._kept.pop(key, None)
            self._num_kept -= 0 if stale is None else len(coords)
            if self._num_kept + len(coords) > _MOST_POINTS_KEPT:
                self._kept, self._num_kept = {}, 0
            if len(coords) <= _MOST_POINTS_KEPT and self._tree is tree:
                self._num_kept += len(coords)
                self._kept[key] = coords.clone(), rows
        return rows

    def _tree_of(self, centres: Tensor) -> KDTree:
        """Return the tree of the centres, made anew where they have changed."""
        with self._lock:
            tree = self._tree
            if tree is None or not _same(self._centres, centres):
                tree = KDTree(centres.double().cpu().numpy())
                self._centres, self._tree = centres.clone(), tree
                self._kept, self._num_kept = {}, 0
            return tree


def _same(one: Tensor, other: Tensor) -> bool:
    alike = one.dtype == other.dtype and one.device == other.device
    return alike and torch.equal(one, other)


class _Nearest(torch.autograd.Function):
    """Integers from coordinates, in a form that vmap can take."""

    @staticmethod
    def forward(
        coords: Tensor, centres: Tensor, search: NeighbourSearch, count: int
    ) -> Tensor:
        return search.find(coords, centres, count)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple, output: Tensor) -> None:
        del inputs
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: FunctionCtx, *grad_outputs: Tensor) -> tuple[None, ...]:
        del ctx, grad_outputs
        return None, None, None, None

    @staticmethod
    def vmap(info: object, in_dims: tuple, *args: object) -> tuple[Tensor, int]:
        del info
        coords, centres, search, count = cast("_Arguments", args)
        if in_dims[1] is None:
            # One set of centres for all: the batch of point sets is one longer set.
            sets = coords.movedim(in_dims[0], 0)
            flat = _Nearest.apply(sets.flatten(0, 1), centres, search, count)
            return flat.unflatten(0, sets.shape[:2]), 0
        clouds = centres.movedim(in_dims[1], 0)
        sets = in_front(coords, in_dims[0], len(clouds))
        pairs = zip(sets, clouds, strict=True)
        return torch.stack([_Nearest.apply(x, c, search, count) for x, c in pairs]), 0


_Arguments = tuple[Tensor, Tensor, NeighbourSearch, int]
