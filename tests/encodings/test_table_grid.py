from typing import Any

import pytest
import torch

from tangrid.encodings import (
    DenseGridConfig,
    EncodingConfig,
    HashGridConfig,
    MulfaGridConfig,
    RingGridConfig,
)
from tangrid.encodings.grid_reads import INITIAL_RANGE
from tangrid.errors import ConfigError
from tangrid.fields import EncodedFieldConfig, count_parameters, fit_budget
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
    # Then again from a coarser coarsest level: half as fine as 4 vertices.
    assert [config.log2_table_size for config in middle] == 2 * [*range(6, 27)]
    assert [config.base_resolution for config in middle] == 21 * [4] + 21 * [2]


@pytest.mark.parametrize(
    ("base", "expected"),
    [(16, [16, 8, 4, 2]), (12, [12, 6, 3]), (5, [5, 2]), (3, [3]), (2, [2])],
)
def test_coarser_levels_are_tried_last(base: int, expected: list[int]):
    config = DenseGridConfig(num_levels=4, base_resolution=base)
    families = config.families()
    assert len(families) == len(expected)
    for family, resolution in zip(families, expected, strict=True):
        levels = [family(size).layout(3).levels for size in (0.0, 0.2)]
        assert {level.resolution for level in levels[0]} == {levels[0][0].resolution}
        assert levels[1][0].resolution == levels[0][0].resolution
        grown: Any = family(1.0)
        assert grown.base_resolution == resolution
        assert resolution * grown.growth**3 == pytest.approx(2**14)


@pytest.mark.parametrize(
    "encoding",
    [
        HashGridConfig(log2_table_size=8),
        HashGridConfig(log2_table_size=15),
        HashGridConfig(),
        HashGridConfig(num_levels=8, channels_per_level=4, log2_table_size=15),
        HashGridConfig(num_levels=4, channels_per_level=8, log2_table_size=19),
        MulfaGridConfig(num_levels=6, base_resolution=8, log2_table_size=8),
        RingGridConfig(),
    ],
    ids=["T8", "T15", "T19", "L8 F4 T15", "L4 F8 T19", "mulfa", "ring"],
)
def test_budgets_in_space_are_met(encoding: EncodingConfig):
    """A coarsest level of 16^3 vertices alone has as many rows as small budgets."""
    site = Site(num_dims=3, num_channels=1)
    config = EncodedFieldConfig(encoding=encoding)
    is_smallest = encoding == HashGridConfig(log2_table_size=8)
    for step in range(13 if is_smallest else 3):
        budget = round(20_000 * 100 ** (step / (12 if is_smallest else 2)))
        sized = fit_budget(config, site, budget)
        assert count_parameters(sized, site) == pytest.approx(budget, rel=0.02)


def test_a_budget_that_the_first_ways_meet_keeps_the_coarsest_level():
    site = Site(num_dims=3, num_channels=1)
    config = EncodedFieldConfig(encoding=HashGridConfig(log2_table_size=8))
    sized = fit_budget(config, site, 950_000)
    assert isinstance(sized, EncodedFieldConfig)
    assert isinstance(sized.encoding, HashGridConfig)
    assert sized.encoding.base_resolution == 16
    # The smallest tables that hold it, so that the finest level is fine.
    assert sized.encoding.log2_table_size == 15
    assert sized.encoding.layout(3).levels[-1].resolution > 256


def test_a_single_level_reaches_a_resolution_itself():
    one = DenseGridConfig(num_levels=1)
    assert one.reaching(40.4).layout(2).levels[0].resolution == 40
    assert one.reaching(1.0).layout(2).levels[0].resolution == 2
    two = DenseGridConfig(num_levels=2).reaching(40.0)
    assert [level.resolution for level in two.layout(2).levels] == [16, 40]


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
