import pytest
import torch

from tangrid.encodings import OneBlobConfig
from tangrid.errors import ConfigError
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tests.tolerances import LINEAR_ALGEBRA

SITE = Site(num_dims=2, num_channels=1)


def test_a_blob_in_the_middle_of_a_bin_is_shared_with_its_neighbours():
    """The bin holds the middle half of the blob: 15/16 (1 - 2/3/4 + 1/5/16)."""
    encoding = OneBlobConfig(num_bins=4).build(SITE, generator(0))
    found = encoding(torch.tensor([[0.375, 0.125]]).double())
    inner = 15 / 16 * (1 - 2 / 12 + 1 / 80)
    outer = (1 - inner) / 2
    wanted = [outer, inner, outer, 0, inner, outer, 0, outer]
    assert torch.allclose(found, torch.tensor([wanted]).double(), atol=LINEAR_ALGEBRA)


def test_both_ends_of_the_axis_are_one_place():
    encoding = OneBlobConfig(num_bins=8).build(SITE, generator(0))
    start, end = encoding(torch.tensor([[0.0, 0.0], [1.0, 1.0]]).double())
    assert torch.allclose(start, end, atol=LINEAR_ALGEBRA)


def test_there_is_at_least_one_bin():
    with pytest.raises(ConfigError, match="num_bins: expected a whole number >= 1"):
        OneBlobConfig(num_bins=0)
