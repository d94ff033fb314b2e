"""The encoding; harmonics themselves are tested with directions of radiance fields."""

import pytest
import torch

from tangrid.encodings import SphericalHarmonicsConfig
from tangrid.encodings.spherical_harmonics import _tables, spherical_harmonics
from tangrid.errors import ConfigError
from tangrid.seeding import generator
from tangrid.signals.site import Site

SPACE = Site(num_dims=3, num_channels=1)


def test_the_unit_box_holds_directions():
    coords = torch.rand(20, 3, generator=generator(0))
    encoding = SphericalHarmonicsConfig(num_degrees=6).build(SPACE, generator(0))
    assert encoding.num_features == 36
    assert torch.equal(encoding(coords), spherical_harmonics(2 * coords - 1, 6))


def test_numbers_of_degrees_out_of_range_are_refused():
    for degrees in (0, 9):
        with pytest.raises(ConfigError, match="num_degrees: expected a whole number"):
            SphericalHarmonicsConfig(num_degrees=degrees)


def test_other_than_three_coordinates_are_refused():
    with pytest.raises(ConfigError, match="expected three coordinates"):
        SphericalHarmonicsConfig().build(Site(num_dims=2, num_channels=1), generator(0))


def test_tables_made_in_inference_mode_can_be_trained_with_later():
    _tables.cache_clear()
    with torch.inference_mode():
        spherical_harmonics(torch.ones(1, 3), 3)
    x = torch.ones(1, 3, requires_grad=True)
    spherical_harmonics(x, 3).sum().backward()
    assert x.grad is not None
