"""The k nearest centres: right, remembered, and not confused by what is remembered."""

import copy
import pickle

import pytest
import torch
from torch.func import vmap

from tangrid.encodings import neighbours
from tangrid.encodings.neighbours import NeighbourSearch
from tangrid.seeding import generator

SIDES = (1.0, 0.5)


def cloud(count: int, stream: str) -> torch.Tensor:
    return torch.rand(count, 2, generator=generator(0, stream))


def nearest(coords: torch.Tensor, centres: torch.Tensor, count: int) -> torch.Tensor:
    points = coords.double() * torch.tensor(SIDES).double()
    return torch.cdist(points, centres.double()).topk(count, largest=False).indices


@pytest.mark.parametrize("count", [1, 4])
def test_the_nearest_are_found_nearest_first(count: int):
    coords, centres = cloud(60, "points"), cloud(20, "centres")
    found = NeighbourSearch(SIDES).nearest(coords, centres, count)
    assert found.dtype == torch.int64
    assert torch.equal(found, nearest(coords, centres, count))


def test_memory_that_holds_other_points_gives_other_answers():
    search, centres = NeighbourSearch(SIDES), cloud(20, "centres")
    coords = cloud(60, "points")
    first = search.nearest(coords, centres, 2)
    assert torch.equal(search.nearest(coords, centres, 2), first)
    coords.copy_(cloud(60, "others"))
    assert torch.equal(search.nearest(coords, centres, 2), nearest(coords, centres, 2))
    centres.copy_(cloud(20, "other centres"))
    assert torch.equal(search.nearest(coords, centres, 2), nearest(coords, centres, 2))


def test_points_are_looked_for_once(monkeypatch: pytest.MonkeyPatch):
    search, centres = NeighbourSearch(SIDES), cloud(20, "centres")
    coords = cloud(60, "points")
    first = search.find(coords, centres, 2)
    monkeypatch.setattr(search, "_tree_of", lambda centres: None)
    assert search.find(coords, centres, 2) is first


def test_it_works_under_vmap():
    coords, centres = cloud(6, "points"), cloud(20, "centres")
    search = NeighbourSearch(SIDES)

    def one(point: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        return search.nearest(point[None], where, 3)[0]

    found = vmap(one, in_dims=(0, None))(coords, centres)
    assert torch.equal(found, nearest(coords, centres, 3))
    both = torch.stack((centres, centres.flip(0)))
    found = vmap(one, in_dims=(None, 0))(coords[0], both)
    assert torch.equal(found[0], 19 - found[1])


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))]
)
def test_copies_find_the_same(again):
    coords, centres = cloud(6, "points"), cloud(20, "centres")
    search = NeighbourSearch(SIDES)
    first = search.nearest(coords, centres, 3)
    assert torch.equal(again(search).nearest(coords, centres, 3), first)


def test_what_is_kept_is_counted_when_it_is_replaced(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(neighbours, "_MOST_POINTS_KEPT", 10)
    centres = torch.rand(8, 2, generator=generator(0))
    search = NeighbourSearch((1.0, 1.0))
    batches = [torch.rand(6, 2, generator=generator(i)) for i in range(2)]
    for batch in batches * 2:
        search.nearest(batch, centres, 3)
        batch.add_(0.01)
        search.nearest(batch, centres, 3)
        kept = [points for points, _ in search._kept.values()]
        assert sum(map(len, kept)) == search._num_kept <= 10


def test_points_beyond_all_distances_find_some_node():
    centres = torch.rand(8, 2, generator=generator(0), dtype=torch.float64)
    far = torch.full((1, 2), 1e200, dtype=torch.float64)
    rows = NeighbourSearch((1.0, 1.0)).nearest(far, centres, 3)
    assert ((rows >= 0) & (rows < 8)).all()
