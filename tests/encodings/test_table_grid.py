from typing import Any

import pytest
import torch

from tangrid.encodings import DenseGridConfig, HashGridConfig
from tangrid.encodings.grid_reads import INITIAL_RANGE
from tangrid.errors import ConfigError
from tangrid.seeding import generator
from tangrid.signals.site import Site

SITE = Site(num_dims=2, num_channels=3)
SMALL = HashGridConfig(num_levels=3, base_resolution=4, log2_table_size=6)


def test_features_start_small_and_uniform():
    table = HashGridConfig(num_levels=4).build(SITE, generator(0)).table.detach()
    assert table.abs().max() <= INITIAL_RANGE
    assert table.std() == pytest.approx(INITIAL_RANGE / 3**0.5, rel=0.02)
    assert table.mean().abs() < 0.02 * INITIAL_RANGE


def test_levels_stand_side_by_side_the_coarsest_first():
    grid = SMALL.build(SITE, generator(0))
    with torch.no_grad():
        for number, level in enumerate(grid.layout.levels):
            grid.table[level.offset : level.offset + level.size] = number
    features = grid(torch.rand(5, 2))
    assert torch.allclose(features, torch.tensor([0.0, 0, 1, 1, 2, 2]).expand(5, 6))


def test_the_table_is_the_group_of_the_grid():
    grid = SMALL.build(SITE, generator(0))
    assert grid.parameter_groups() == {"grid": [grid.table]}


def test_families_grow_the_finest_level_then_the_tables():
    families = SMALL.families()
    smallest: Any = families[0](0.0)
    largest: Any = families[0](1.0)
    assert smallest.growth == 1.0
    assert smallest.log2_table_size == 6
    finest = largest.layout(2).levels[-1].resolution
    assert 2**14 - 20 <= finest <= 2**14 + 20
    middle: list[Any] = [family(0.5) for family in families]
    assert [config.log2_table_size for config in middle] == [*range(6, 27)]


def test_a_single_level_grows_itself():
    config = DenseGridConfig(num_levels=1)
    (family,) = config.families()
    sized: list[Any] = [family(size) for size in (0.0, 1.0)]
    assert [config.base_resolution for config in sized] == [2, 2**14]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"channels_per_level": 0}, "HashGridConfig.channels_per_level"),
        ({"num_levels": 0}, r"num_levels=.*from 1 to 64, got 0"),
        ({"base_resolution": 1}, r"base_resolution=.*from 2 to 1048576, got 1"),
        ({"growth": 0.9}, r"a finite ratio >= 1, got 0\.9"),
        ({"growth": float("inf")}, "a finite ratio >= 1, got inf"),
        ({"growth": 20.0}, r"at most 16777216 vertices per axis, got about 2\^68"),
        ({"log2_table_size": 40}, r"log2_table_size=.*from 3 to 28, got 40"),
        ({"storage": "tiled", "growth": 1.8}, "at most 65535 vertices per axis in 2"),
    ],
)
def test_impossible_grids_are_refused(changes: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        HashGridConfig(**changes).build(SITE, generator(0))


def test_dense_grids_never_hash():
    grid = DenseGridConfig(num_levels=3, growth=3.0).build(SITE, generator(0))
    rows = [level.resolution**2 for level in grid.layout.levels]
    assert grid.layout.num_rows == sum(-(-count // 8) * 8 for count in rows)


def test_five_dimensions_are_refused():
    with pytest.raises(ConfigError, match=r"num_dims=.*from 1 to 4, got 5"):
        SMALL.build(Site(num_dims=5, num_channels=1), generator(0))
