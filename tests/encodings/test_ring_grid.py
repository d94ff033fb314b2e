"""The smooth grid: partition of unity, two derivatives, its formula."""

from typing import cast

import pytest
import torch

from tangrid.encodings import RingGridConfig
from tangrid.encodings.ring_grid import RingGrid
from tangrid.errors import ConfigError
from tangrid.seeding import generator
from tangrid.signals.site import Site


def build(num_dims: int = 2, **settings: float) -> RingGrid:
    config = RingGridConfig(**{
        "num_levels": 2,
        "channels_per_level": 1,
        "base_resolution": 5,
        **settings,
    })
    site = Site(num_dims=num_dims, num_channels=1)
    encoding = cast("RingGrid", config.build(site, generator(0)).double())
    with torch.no_grad():
        encoding.table.normal_(generator=generator(1))
    return encoding


def points(count: int, num_dims: int = 2) -> torch.Tensor:
    return torch.rand(count, num_dims, generator=generator(2), dtype=torch.float64)


@pytest.mark.parametrize("num_dims", [1, 2, 3])
@pytest.mark.parametrize("num_rings", [1, 2, 3])
def test_weights_are_a_partition_of_unity(num_dims: int, num_rings: int):
    encoding = build(num_dims, num_rings=num_rings)
    edges = torch.tensor([[0.0] * num_dims, [1.0] * num_dims], dtype=torch.float64)
    coords = torch.cat((points(40, num_dims), edges))
    for lookup in encoding.lookups(coords, encoding.select(coords)):
        assert lookup.rows.shape[1] == (2 * num_rings) ** num_dims
        assert (lookup.weights >= 0).all()
        assert (lookup.weights.sum(1) - 1).abs().max() < 1e-14
        assert len(lookup.rows[0].unique()) == lookup.rows.shape[1]


def test_values_are_those_of_the_formula():
    encoding = build(1, num_levels=1, num_rings=2, width=0.6)
    coords = points(20, 1)
    # Five nodes in the box and one beyond either edge, at -1 ... 5 cells.
    nodes = torch.arange(-1, 6, dtype=torch.float64)
    distance = coords * 4 - nodes
    near = distance.abs() < 2
    raw = torch.exp(-(distance**2) / (2 * 0.36)) * (1 - distance**2 / 4) ** 3 * near
    wanted = (raw / raw.sum(1, keepdim=True)) @ encoding.table
    assert torch.allclose(encoding(coords), wanted, atol=1e-14)


def test_the_field_has_two_continuous_derivatives():
    """Across a face of cells nothing jumps."""
    encoding = build(1, num_levels=1)
    for face in (0.25, 0.5, 0.75):
        found = []
        for side in (-1e-7, 1e-7):
            x = torch.tensor([[face + side]], dtype=torch.float64, requires_grad=True)
            value = encoding(x).sum()
            (first,) = torch.autograd.grad(value, x, create_graph=True)
            (second,) = torch.autograd.grad(first.sum(), x)
            found.append(torch.stack((value, first.sum(), second.sum())).detach())
        # The third derivative is some hundreds: over 2e-7 a change below 1e-3.
        assert (found[0] - found[1]).abs().max() < 1e-3


@pytest.mark.parametrize("width", [0.01, 1e-20, 1e20])
def test_any_width_gives_finite_features(width: float):
    assert build(2, width=width)(points(500, 2)).isfinite().all()


def test_derivatives_are_exact():
    encoding = build(2)
    coords = points(3).requires_grad_()
    assert torch.autograd.gradcheck(encoding, coords)
    assert torch.autograd.gradgradcheck(encoding, coords)


@pytest.mark.parametrize("settings", [{"num_rings": 0}, {"width": 0.0}])
def test_settings_without_sense_are_refused(settings: dict):
    with pytest.raises(ConfigError, match="num_rings >= 1 and width > 0"):
        RingGridConfig(**settings)
