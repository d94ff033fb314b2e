"""The kernels that Fourier features induce."""

import math

import pytest
import torch
from torch import Tensor

from tangrid.encodings import FourierConfig
from tangrid.encodings.fourier import FourierEncoding
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tests.ops.grid_cases import random_points

SITE = Site(num_dims=2, num_channels=3, resolution=(32, 24))
FAMILIES = (
    FourierConfig(family="basic"),
    FourierConfig(family="gaussian", num_frequencies=40, amplitude_power=0.5),
    FourierConfig(family="nerf", num_frequencies=5),
    FourierConfig(family="nerf", num_frequencies=5, includes_pi=False),
    FourierConfig(family="transformer", num_frequencies=6),
    FourierConfig(family="posenc-new", num_frequencies=8, amplitude_power=1.0),
    FourierConfig(family="posenc-new-linear", num_frequencies=8),
)


def build(config: FourierConfig) -> FourierEncoding:
    return config.build(SITE, generator(0, "fourier")).double()


def kernel(encoding: FourierEncoding, x: Tensor, y: Tensor) -> Tensor:
    return (encoding(x) * encoding(y)).sum(1)


@pytest.mark.parametrize("config", FAMILIES, ids=lambda config: config.family)
def test_the_kernel_depends_on_the_difference_alone(config: FourierConfig):
    encoding = build(config)
    x, y, shift = (random_points(50, 2, seed).double() / 2 for seed in range(3))
    here = kernel(encoding, x, y)
    there = kernel(encoding, x + shift, y + shift)
    assert torch.allclose(here, there, atol=1e-9)
    phases = 2 * math.pi * (x - y) @ encoding.frequencies.T
    expected = (encoding.amplitudes**2 * phases.cos()).sum(1)
    assert torch.allclose(here, expected, atol=1e-9)


def normalised_kernel(config: FourierConfig, difference: Tensor) -> Tensor:
    encoding = build(config)
    difference = difference.double()
    centre = torch.full_like(difference, 0.5)
    found = kernel(encoding, centre + difference, centre)
    return found / kernel(encoding, centre, centre)


@pytest.mark.parametrize("bandwidth", [1.0, 3.0, 10.0])
def test_gaussian_features_have_a_gaussian_kernel(bandwidth: float):
    count = 20_000
    config = FourierConfig(num_frequencies=count, bandwidth_cycles=bandwidth)
    radius = torch.linspace(0, 0.6, 60) / bandwidth
    angle = torch.linspace(0, 6, 60)
    difference = torch.stack((angle.cos(), angle.sin()), dim=1) * radius[:, None]
    found = normalised_kernel(config, difference)
    expected = torch.exp(-2 * math.pi**2 * bandwidth**2 * radius.double() ** 2)
    # The mean of `count` cosines; five standard deviations.
    assert (found - expected).abs().max() < 5 / math.sqrt(2 * count)


def rotated(difference: Tensor, degrees: float) -> Tensor:
    angle = math.radians(degrees)
    turn = torch.tensor([
        [math.cos(angle), -math.sin(angle)],
        [math.sin(angle), math.cos(angle)],
    ])
    return difference @ turn.T


@pytest.mark.parametrize(
    ("config", "turns"),
    [
        (FourierConfig(num_frequencies=20_000, bandwidth_cycles=4.0), False),
        (FourierConfig(family="nerf", num_frequencies=5), True),
        (FourierConfig(family="posenc-new", num_frequencies=16, octaves=4.0), True),
    ],
    ids=["gaussian", "nerf", "posenc-new"],
)
def test_only_gaussian_features_treat_all_directions_alike(
    config: FourierConfig, turns: bool
):
    along = torch.stack((torch.linspace(0, 0.3, 40), torch.zeros(40)), dim=1)
    across = rotated(along, 45)
    change = normalised_kernel(config, along) - normalised_kernel(config, across)
    if turns:
        assert change.abs().max() > 0.2
    else:
        assert change.abs().max() < 0.03
