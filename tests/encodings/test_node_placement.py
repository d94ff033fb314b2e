"""Nodes stand where the signal has detail, and nothing of them is ever NaN."""

from typing import cast

import numpy as np
import pytest
import torch

from tangrid.encodings import NeurbfConfig
from tangrid.encodings.neurbf import Neurbf
from tangrid.encodings.node_placement import Placement, place_nodes, proportions
from tangrid.errors import DataError, NumericalWarning
from tangrid.ops.rbf_lookup.radial import full_matrices
from tangrid.seeding import generator
from tangrid.signals.image import ImageSignal
from tangrid.signals.site import Site


def edge(height: int = 32, width: int = 32) -> ImageSignal:
    """A picture that is flat but for a strip of noise in its left quarter."""
    pixels = np.full((height, width), 0.5, dtype=np.float32)
    noise = torch.rand(height, width // 4, generator=generator(0, "edge")).numpy()
    pixels[:, : width // 4] = noise
    return ImageSignal.from_array(pixels)


def assert_sound(placement: Placement, count: int) -> None:
    centres, spreads = placement
    assert centres.shape == (count, 2)
    assert centres.isfinite().all()
    assert spreads.isfinite().all()
    sizes = torch.linalg.eigvalsh(spreads.double())
    assert (sizes > 0).all()
    assert torch.linalg.inv(spreads).isfinite().all()


def test_nodes_gather_where_the_signal_has_detail():
    placement = place_nodes(40, edge().site, generator(0))
    assert_sound(placement, 40)
    left = (placement.centres[:, 0] < 0.3).double().mean()
    assert left > 0.8
    again = place_nodes(40, edge().site, generator(0))
    assert torch.equal(placement.centres, again.centres)
    assert torch.equal(placement.spreads, again.spreads)


def test_nodes_are_the_means_of_their_own_points():
    """A few points in two clumps: both centres and both spreads by hand."""
    points = torch.tensor([[0.1, 0.1], [0.1, 0.2], [0.9, 0.9], [0.5, 0.9]])
    weights = torch.tensor([3.0, 1.0, 1.0, 1.0])
    site = Site(num_dims=2, num_channels=1, sampler=lambda n, g: (points, weights))
    centres, spreads = place_nodes(2, site, generator(0))
    order = centres[:, 0].argsort()
    wanted = torch.tensor([[0.1, 0.125], [0.7, 0.9]])
    assert torch.allclose(centres[order], wanted, atol=1e-6)
    # The weighted mean square of offsets, over one half; others leave the bounds.
    tall, wide = spreads[order]
    assert torch.allclose(tall[1, 1], torch.tensor((3 * 0.025**2 + 0.075**2) / 4 / 0.5))
    assert torch.allclose(wide[0, 0], torch.tensor(0.1**2))
    assert torch.allclose(tall[0, 0], torch.tensor(1 / 400**2))


def test_distances_are_those_of_the_signal():
    site = Site(num_dims=2, num_channels=1, resolution=(300, 100))
    assert proportions(site) == (1.0, pytest.approx(1 / 3))
    assert proportions(Site(num_dims=3, num_channels=1)) == (1.0, 1.0, 1.0)
    centres, _ = place_nodes(200, site, generator(0))
    assert centres[:, 0].max() > 0.9
    assert 0.3 < centres[:, 1].max() <= 1 / 3


def test_a_flat_image_is_said_to_be_flat():
    flat = ImageSignal.from_array(np.full((16, 16), 0.5))
    with pytest.warns(NumericalWarning, match="no detail to place nodes by"):
        placement = place_nodes(20, flat.site, generator(0))
    assert_sound(placement, 20)
    assert len(placement.centres.unique(dim=0)) == 20


def test_more_nodes_than_pixels_are_said_to_be_spread():
    with pytest.warns(NumericalWarning, match="64 points for 100 nodes; the other 36"):
        placement = place_nodes(100, edge(8, 8).site, generator(0))
    assert_sound(placement, 100)


@pytest.mark.parametrize(("resolution", "area"), [(None, 1.0), ((300, 75), 0.25)])
def test_without_a_signal_nodes_are_even(resolution, area: float):
    site = Site(num_dims=2, num_channels=1, resolution=resolution)
    placement = place_nodes(100, site, generator(0))
    assert_sound(placement, 100)
    wanted = area / 100 * torch.eye(2).expand(100, 2, 2)
    assert torch.allclose(placement.spreads, wanted)


def test_a_large_signal_gives_different_nodes():
    """Fewer points than pixels are drawn, and none of them twice."""
    placement = place_nodes(300, edge(256, 256).site, generator(0))
    assert len(placement.centres.unique(dim=0)) == 300


def test_points_in_a_plane_give_flat_but_definite_spreads():
    def sample(count, source):
        flat = torch.rand(count, 2, generator=source)
        points = torch.cat((flat, flat.sum(1, keepdim=True) / 2), 1)
        return points, torch.ones(count)

    site = Site(num_dims=3, num_channels=1, sampler=sample)
    spreads = place_nodes(50, site, generator(0)).spreads.double()
    sizes = torch.linalg.eigvalsh(spreads)
    assert (sizes > 0).all()
    assert (sizes[:, 0] < 0.01 * sizes[:, 2]).double().mean() > 0.5
    for profile in ("inverse-quadric", "linear"):
        config = NeurbfConfig(num_centres=50, finest_resolution=16, profile=profile)
        shapes = cast("Neurbf", config.build(site, generator(0))).shapes
        assert torch.linalg.eigvalsh(full_matrices(shapes, 3).double()).min() > 0


def test_detail_that_is_no_number_is_refused():
    points, detail = torch.rand(9, 2), torch.full((9,), float("nan"))
    site = Site(num_dims=2, num_channels=1, sampler=lambda n, g: (points, detail))
    with pytest.raises(DataError, match="expected finite detail"):
        place_nodes(4, site, generator(0))
