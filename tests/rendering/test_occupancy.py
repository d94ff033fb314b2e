"""What is known of a field, cell by cell: seen, forgotten, decided, drawn."""

import dataclasses

import pytest
import torch
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.rendering.occupancy import Occupancy, OccupancySettings
from tangrid.seeding import generator
from tests.ops.comparison import assert_same_bits

SIDE = 32
STEP = 0.01
SETTINGS = OccupancySettings(
    resolution=SIDE, threshold=0.02, decay=0.5, warmup_steps=100
)
LEAST = SETTINGS.threshold / STEP
"""Density of a cell that just counts."""


def grid(num_cascades: int = 1) -> Occupancy:
    return Occupancy(SETTINGS, (STEP,) * num_cascades)


def see(occupancy: Occupancy, densities: dict[int, float]) -> None:
    occupancy.see(torch.tensor(list(densities)), torch.tensor(list(densities.values())))


def occupied(occupancy: Occupancy) -> list[int]:
    return occupancy.cells.unpacked().flatten().nonzero()[:, 0].tolist()


def fill(occupancy: Occupancy, density: float) -> None:
    count = len(occupancy.densities)
    occupancy.see(torch.arange(count), torch.full((count,), density))


@pytest.mark.parametrize("num_cascades", [1, 3])
def test_at_first_everything_counts(num_cascades: int):
    occupancy = grid(num_cascades)
    assert occupancy.fraction == 1
    assert occupancy.cells.num_cascades == num_cascades
    assert occupancy.cells.resolution == SIDE
    assert not occupancy.floors.any()


def test_the_largest_density_is_remembered():
    occupancy = grid()
    see(occupancy, {3: 5.0, 7: 1.0})
    occupancy.see(torch.tensor([3, 3, 7, 3]), torch.tensor([4.0, 9.0, 0.5, 6.0]))
    assert occupancy.densities[[3, 7]].tolist() == [9.0, 1.0]
    assert int(occupancy.densities.count_nonzero()) == 2


def test_what_is_thicker_than_the_threshold_counts():
    occupancy = grid()
    fill(occupancy, 4 * LEAST)
    occupancy.densities[:100] = 0
    see(occupancy, {1: 1.01 * LEAST, 2: 0.99 * LEAST, 5: 100.0})
    assert occupancy.fraction == 1
    occupancy.refresh()
    assert occupied(occupancy)[:3] == [1, 5, 100]


def test_where_steps_may_be_longer_less_is_enough():
    occupancy = Occupancy(SETTINGS, (STEP, 2 * STEP))
    fill(occupancy, 0.0)
    far = len(occupancy.densities) // 2
    see(occupancy, {3: 0.6 * LEAST, far + 3: 0.6 * LEAST, 4: 9 * LEAST})
    occupancy.densities[5] = 1e9  # the mean shall not decide
    occupancy.refresh()
    assert occupied(occupancy) == [4, 5, far + 3]


def test_while_all_is_thin_the_mean_decides():
    """At the start nothing reaches the threshold, and something must be looked at."""
    occupancy = grid()
    fill(occupancy, 0.01 * LEAST)
    see(occupancy, {4: 0.2 * LEAST, 9: 0.3 * LEAST})
    occupancy.refresh()
    assert occupied(occupancy) == [4, 9]


@pytest.mark.parametrize("density", [0.0, 0.3 * LEAST, 0.5 * LEAST])
def test_an_even_field_is_all_occupied(density: float):
    """Nothing is above the mean of equals: then all of it is looked at."""
    occupancy = grid(2)
    for _ in range(3):
        fill(occupancy, density)
        occupancy.refresh()
        assert occupancy.fraction == 1


def looked_over() -> Occupancy:
    """A grid of which every cell is known to be empty."""
    occupancy = grid()
    see(occupancy, dict.fromkeys(range(len(occupancy.densities)), 0.0))
    return occupancy


def test_a_cell_counts_as_occupied_until_it_has_been_seen():
    occupancy = grid()
    see(occupancy, {1: 0.0, 2: 1e6 * LEAST})
    occupancy.refresh()
    total = len(occupancy.densities)
    assert occupied(occupancy) == [0, *range(2, total)]
    see(occupancy, {5: 0.0})
    occupancy.refresh()
    assert occupied(occupancy) == [0, 2, 3, 4, *range(6, total)]


def test_what_is_not_seen_again_is_forgotten():
    occupancy = looked_over()
    see(occupancy, {1: 3.5 * LEAST, 2: 1.5 * LEAST, 3: 1e6 * LEAST})
    counts = []
    for _ in range(4):
        see(occupancy, {3: 1e6 * LEAST})
        occupancy.refresh()
        counts.append(occupied(occupancy))
    # 3.5, 1.75 and 0.875 thresholds: the decay follows the decision.
    assert counts == [[1, 2, 3], [1, 3], [3], [3]]
    assert float(occupancy.densities[1]) == pytest.approx(3.5 / 16 * LEAST)


def test_a_field_that_empties_is_looked_at_everywhere_again():
    occupancy = looked_over()
    see(occupancy, {8: 2 * LEAST})
    occupancy.refresh()
    assert occupied(occupancy) == [8]
    occupancy.densities.zero_()
    occupancy.refresh()
    assert occupancy.fraction == 1


def test_floors_are_the_least_of_a_few_looks():
    occupancy = Occupancy(dataclasses.replace(SETTINGS, floor_looks=2), (STEP,))
    see(occupancy, {1: 40.0, 2: 50.0, 3: 9.0})
    see(occupancy, {1: 30.0, 2: 60.0})
    assert not occupancy.floors.any()
    occupancy.refresh()
    assert occupancy.floors[:4].tolist() == [0.0, 30.0, 50.0, 0.0]
    # They do not decay, and stay where nothing is seen. One look lowers them; to rise
    # takes as many as at first, whenever these are.
    see(occupancy, {1: 20.0, 2: 80.0})
    occupancy.refresh()
    assert occupancy.floors[:4].tolist() == [0.0, 20.0, 50.0, 0.0]
    see(occupancy, {2: 70.0, 3: 8.0})
    occupancy.refresh()
    assert occupancy.floors[:4].tolist() == [0.0, 20.0, 70.0, 8.0]


@pytest.mark.parametrize(
    ("step", "share"), [(0, 16), (99, 16), (100, 256), (9999, 256)]
)
@pytest.mark.parametrize("num_cascades", [1, 3])
def test_places_lie_in_their_cells(num_cascades: int, step: int, share: int):
    occupancy = grid(num_cascades)
    cells, places = occupancy.draw(step, generator(0, "draw"))
    assert len(cells) == num_cascades * SIDE**3 // share
    cascade = cells // SIDE**3
    assert set(cascade.tolist()) == set(range(num_cascades))
    # Cascade k is the cube of side 2^k around the middle of the box.
    inside = ((places - 0.5) / 2.0 ** cascade[:, None] + 0.5) * SIDE
    x, y, z = (cells // SIDE**k % SIDE for k in range(3))
    corners = torch.stack((x, y, z), dim=1)
    shares = inside - corners
    assert float(shares.min()) > -1e-4
    assert float(shares.max()) < 1 + 1e-4
    assert torch.allclose(shares.mean(0), torch.full((3,), 0.5), atol=0.1)
    assert float(shares.std(0).min()) > 0.25


def test_draws_reach_every_part():
    cells, _ = grid(2).draw(0, generator(0, "reach"))
    counts = torch.bincount(cells // 1024, minlength=64)
    assert bool((counts > 35).all())
    assert bool((counts < 110).all())


def history(seed: int) -> dict[str, Tensor]:
    occupancy = grid(2)
    for step in range(5):
        cells, places = occupancy.draw(step, generator(seed, step))
        occupancy.see(cells, 50 * places.square().sum(1))
        occupancy.refresh()
    return {key: tensor.clone() for key, tensor in occupancy.state.items()}


def test_the_same_draws_give_the_same_bits():
    found = history(1)
    assert_same_bits(history(1), found)
    assert not torch.equal(history(2)["densities"], found["densities"])


def test_the_state_is_the_whole_grid():
    found, other = history(1), grid(2)
    for key, tensor in other.state.items():
        tensor.copy_(found[key])
    assert_same_bits(other.state, found)
    again = grid(2)
    for _ in range(2):
        again.see(torch.arange(10), torch.arange(10.0))
        again.refresh()
    expected = history(1)
    for key, tensor in again.state.items():
        tensor.copy_(expected[key])
    for occupancy in (other, again):
        see(occupancy, {11: 9.0})
        occupancy.refresh()
    assert_same_bits(again.state, other.state)
    assert again.fraction == other.fraction
    assert 0 < again.fraction < 1


def test_an_unfinished_round_is_part_of_the_state():
    """What was seen since the last refresh would otherwise be lost by a resume."""
    occupancy, other = grid(), grid()
    for _ in range(SETTINGS.floor_looks):
        see(occupancy, {5: 70.0})
    for key, tensor in other.state.items():
        tensor.copy_(occupancy.state[key])
    other.refresh()
    assert float(other.floors[5]) == 70


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"resolution": 16}, "occupancy.resolution: expected a multiple of 32, got 16"),
        ({"resolution": 100}, "expected a multiple of 32, got 100. 128 is usual."),
        ({"resolution": 0}, "expected a multiple of 32, got 0"),
        ({"threshold": 0.0}, "occupancy: expected threshold > 0"),
        ({"decay": 0.0}, r"decay in \(0, 1\]"),
        ({"decay": 1.1}, r"decay in \(0, 1\]"),
        ({"interval": 0}, "interval >= 1, got 0.01, 0.95 and 0"),
    ],
)
def test_grids_that_know_nothing_are_refused(settings: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        OccupancySettings(**settings)
