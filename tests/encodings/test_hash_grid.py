"""The footprint that fades fine levels, as in Zip-NeRF, and tables read in halves."""

import math
from dataclasses import replace

import pytest
import torch

from tangrid.encodings import HashGridConfig, MulfaGridConfig
from tangrid.errors import ConfigError
from tangrid.ops import accumulate_into, implementation
from tangrid.seeding import generator
from tangrid.signals.site import Site

SITE = Site(num_dims=2, num_channels=3)
GRID = HashGridConfig(num_levels=5, base_resolution=4, growth=2.0, log2_table_size=12)


def features(footprint: float | None) -> torch.Tensor:
    encoding = replace(GRID, footprint=footprint).build(SITE, generator(0))
    return encoding(torch.rand(50, 2, generator=generator(1))).detach()


def test_levels_are_weighed_by_the_share_of_the_footprint_in_a_cell():
    plain, faded = features(None), features(0.05)
    for level in range(5):
        cells = 4 * 2.0**level - 1
        factor = math.erf(1 / (math.sqrt(8) * 0.05 * cells))
        own = slice(2 * level, 2 * level + 2)
        assert torch.allclose(faded[:, own], factor * plain[:, own], rtol=1e-5)


def test_a_tiny_footprint_is_none_and_a_large_one_leaves_nothing_fine():
    assert torch.equal(features(1e-6), features(None))
    fine = features(10.0)[:, -2:].abs().max() / features(None)[:, -2:].abs().max()
    assert fine < 1e-3


def test_a_footprint_has_a_size():
    with pytest.raises(ConfigError, match="footprint: expected a size above 0"):
        HashGridConfig(footprint=0.0)
    with pytest.raises(ConfigError, match="footprint: expected a size above 0"):
        HashGridConfig(footprint=float("inf"))
    with pytest.raises(ConfigError, match="offered for plain grids"):
        MulfaGridConfig(footprint=0.1)


@pytest.mark.parametrize("name", ["auto", "triton"])
def test_a_table_read_in_halves_has_a_gradient_in_float32(name):
    halves = replace(GRID, table_dtype="float16").build(SITE, generator(0))
    whole = GRID.build(SITE, generator(0))
    coords = torch.rand(50, 2, generator=generator(1))
    into = torch.zeros_like(halves.table)
    with implementation(name):
        found = halves(coords)
        assert found.dtype == torch.float16
        (gradient,) = torch.autograd.grad(found.float().sum(), halves.table)
        with accumulate_into({halves.table: into}):
            again = halves(coords).float().sum()
            (rest,) = torch.autograd.grad(again, halves.table, allow_unused=True)
    (expected,) = torch.autograd.grad(whole(coords).sum(), whole.table)
    assert gradient.dtype == torch.float32
    total = into if rest is None else into + rest
    for one in (gradient, total):
        assert torch.allclose(one, expected, rtol=1e-2, atol=1e-2)


def test_filters_read_no_halves():
    with pytest.raises(ConfigError, match="table_dtype"):
        MulfaGridConfig(table_dtype="float16")
