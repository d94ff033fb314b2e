import pytest
import torch

from tangrid.signals.site import Site


def sampler(count: int, generator: torch.Generator):
    points = torch.rand(count, 2, generator=generator)
    return points, points[:, 0]


def test_sampler_is_no_part_of_what_is_saved():
    with_sampler = Site(num_dims=2, num_channels=1, sampler=sampler)
    assert with_sampler == Site(num_dims=2, num_channels=1)
    assert "sampler" not in repr(with_sampler)


def test_site_is_frozen():
    site = Site(num_dims=2, num_channels=1)
    with pytest.raises(AttributeError):
        site.num_dims = 3
