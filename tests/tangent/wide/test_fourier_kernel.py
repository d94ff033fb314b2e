import math

import pytest
import torch
from torch import Tensor

from tangrid.decoders import LinearConfig
from tangrid.encodings import FourierConfig
from tangrid.encodings.fourier import FourierEncoding
from tangrid.errors import ConfigError, ShapeError
from tangrid.fields import EncodedFieldConfig
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent import tangent_kernel
from tangrid.tangent.spectra.lattice import Lattice
from tangrid.tangent.wide.fourier_kernel import (
    anisotropy,
    gaussian_profile,
    induced_kernel,
    induced_profile,
    on_torus,
)
from tests.tolerances import PARITY_FLOAT64

SITE = Site(num_dims=2, num_channels=1, resolution=(32, 24))
FAMILIES = (
    FourierConfig(family="basic"),
    FourierConfig(family="gaussian", num_frequencies=40, amplitude_power=0.5),
    FourierConfig(family="nerf", num_frequencies=5),
    FourierConfig(family="transformer", num_frequencies=6),
    FourierConfig(family="posenc-new", num_frequencies=8, amplitude_power=1.0),
    FourierConfig(family="posenc-new-linear", num_frequencies=8),
)
by_family = pytest.mark.parametrize("config", FAMILIES, ids=lambda c: c.family)


def build(config: FourierConfig, site: Site = SITE) -> FourierEncoding:
    return config.build(site, generator(0, "fourier"))


def points(stream: str, count: int, dims: int = 2) -> Tensor:
    return torch.rand(count, dims, dtype=torch.float64, generator=generator(0, stream))


@by_family
@pytest.mark.parametrize("includes_coords", [False, True])
def test_the_closed_form_is_the_inner_product_of_features(
    config: FourierConfig, includes_coords: bool
):
    drawn = build(config)
    encoding = FourierEncoding(drawn.frequencies, drawn.amplitudes, includes_coords)
    x, y = points("x", 9), points("y", 7)
    kernel = induced_kernel(encoding, x, y)
    exact = encoding.double()
    expected = exact(x) @ exact(y).T
    scale = float(exact.amplitudes.square().sum())
    assert kernel.num_points == (9, 7)
    assert (kernel.to_dense() - expected).abs().max() < PARITY_FLOAT64 * scale


def test_it_is_the_tangent_kernel_of_a_linear_decoder():
    encoding = FourierConfig(num_frequencies=12, bandwidth_cycles=3.0)
    config = EncodedFieldConfig(encoding=encoding, decoder=LinearConfig(bias=False))
    field = config.build(SITE, generator(0, "init")).double()
    x = points("x", 8)
    found = tangent_kernel(field, x).to_dense()
    expected = induced_kernel(field.encoding, x).to_dense()
    assert torch.allclose(found, expected, atol=1e-12)


@by_family
def test_moving_both_points_changes_nothing(config: FourierConfig):
    encoding = build(config)
    x, y, shift = points("x", 30) / 2, points("y", 20) / 2, points("shift", 1) / 2
    here = induced_kernel(encoding, x, y).to_dense()
    there = induced_kernel(encoding, x + shift, y + shift).to_dense()
    largest = float(induced_profile(encoding, torch.zeros(1, 2)))
    assert (here - there).abs().max() < PARITY_FLOAT64 * largest
    offsets = (x[:, None] - y).flatten(0, 1)
    profile = induced_profile(encoding, offsets).reshape(30, 20)
    assert (here - profile).abs().max() < PARITY_FLOAT64 * largest


def test_coordinates_among_the_features_break_that():
    config = FourierConfig(num_frequencies=4, includes_coords=True)
    encoding = build(config)
    x, y = points("x", 5) / 2, points("y", 5) / 2
    moved = induced_kernel(encoding, x + 0.5, y + 0.5).to_dense()
    change = moved - induced_kernel(encoding, x, y).to_dense()
    # (x + s).(y + s) - x.y with s = (1/2, 1/2).
    expected = (x.sum(1)[:, None] + y.sum(1)) / 2 + 0.5
    assert torch.allclose(change, expected, atol=1e-10)
    with pytest.raises(ConfigError, match="includes_coords"):
        induced_profile(encoding, x)
    with pytest.raises(ConfigError, match="includes_coords"):
        anisotropy(encoding, torch.tensor([0.1]))


def is_circulant(matrix: Tensor, lattice: Lattice) -> float:
    """Largest change when both points go one step along an axis, around the torus."""
    numbers = torch.arange(lattice.num_points).reshape(*reversed(lattice.sizes))
    changes = []
    for axis in range(lattice.num_dims):
        moved = numbers.roll(1, axis).flatten()
        changes.append((matrix[moved][:, moved] - matrix).abs().max())
    return float(torch.stack(changes).max())


@by_family
def test_whole_cycles_make_it_circulant_on_a_torus(config: FourierConfig):
    lattice = Lattice((8, 6))
    encoding = on_torus(build(config))
    matrix = induced_kernel(encoding, lattice.coords()).to_dense()
    assert is_circulant(matrix, lattice) < PARITY_FLOAT64 * float(matrix[0, 0])


def test_broken_cycles_do_not():
    lattice = Lattice((8, 6))
    encoding = build(FourierConfig(num_frequencies=12, bandwidth_cycles=3.0))
    matrix = induced_kernel(encoding, lattice.coords()).to_dense()
    assert is_circulant(matrix, lattice) > 0.1 * float(matrix[0, 0])


def test_rounded_frequencies_stay_near():
    drawn = build(FourierConfig(num_frequencies=50, includes_coords=True))
    rounded = on_torus(drawn)
    assert (rounded.frequencies - drawn.frequencies).abs().max() <= 0.5
    assert torch.equal(rounded.frequencies, rounded.frequencies.round())
    assert torch.equal(rounded.amplitudes, drawn.amplitudes)
    assert rounded.includes_coords


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_many_gaussian_frequencies_make_a_gaussian(dims: int):
    count, bandwidth = 20_000, 3.0
    config = FourierConfig(num_frequencies=count, bandwidth_cycles=bandwidth)
    encoding = build(config, Site(num_dims=dims, num_channels=1))
    offsets = 0.4 * (points("offsets", 40, dims) - 0.5)
    found = induced_profile(encoding, offsets) / count
    expected = gaussian_profile(bandwidth, offsets.norm(dim=1))
    # The mean of `count` cosines, each of variance 1/2 at most; five deviations.
    assert (found - expected).abs().max() < 5 / math.sqrt(2 * count)


RADII = torch.linspace(0.01, 0.25, 25)


def share_of(seed: int = 0, num_dims: int = 2, **settings) -> float:
    config = FourierConfig(**settings)
    site = Site(num_dims=num_dims, num_channels=1)
    return anisotropy(config.build(site, generator(seed, "anisotropy")), RADII)


def test_chance_leaves_a_share_that_falls_with_the_number_of_frequencies():
    counts, seeds = (32, 128, 512), range(10)
    shares = [
        sum(share_of(seed, num_frequencies=m, bandwidth_cycles=4.0) for seed in seeds)
        for m in counts
    ]
    slope = math.log(shares[-1] / shares[0]) / math.log(counts[-1] / counts[0])
    assert slope == pytest.approx(-1, abs=0.15)


def test_only_gaussian_frequencies_become_isotropic():
    assert share_of(num_frequencies=4096, bandwidth_cycles=10.0) < 0.006
    for count in (32, 512):
        axes = share_of(family="posenc-new-linear", octaves=5.0, num_frequencies=count)
        assert axes > 0.3
    assert share_of(family="nerf", num_frequencies=8) > 0.1


def test_turning_the_frequencies_leaves_the_share():
    encoding = build(FourierConfig(family="nerf", num_frequencies=4))
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]])
    turned = FourierEncoding(encoding.frequencies @ turn, encoding.amplitudes)
    before, after = anisotropy(encoding, RADII), anisotropy(turned, RADII)
    assert before == pytest.approx(after, abs=1e-3)


def test_directions_in_space_are_given():
    site = Site(num_dims=3, num_channels=1)
    encoding = build(FourierConfig(num_frequencies=4096, bandwidth_cycles=4.0), site)
    with pytest.raises(ConfigError, match="directions"):
        anisotropy(encoding, RADII)
    drawn = torch.randn(100, 3, generator=generator(0, "directions"))
    directions = drawn / drawn.norm(dim=1, keepdim=True)
    assert anisotropy(encoding, RADII, directions) < 0.003
    axes = build(FourierConfig(family="nerf", num_frequencies=8), site)
    assert anisotropy(axes, RADII, directions) > 0.05


def test_bad_points():
    encoding = build(FourierConfig(num_frequencies=4))
    for wrong in (torch.rand(3, 1), torch.rand(3), torch.rand(0, 2)):
        with pytest.raises(ShapeError, match=r"expected shape \[n, 2\]"):
            induced_kernel(encoding, wrong)
    with pytest.raises(ShapeError, match="finite"):
        induced_kernel(encoding, torch.full((2, 2), math.nan))
    with pytest.raises(ShapeError, match="floating point"):
        induced_profile(encoding, torch.ones(2, 2, dtype=torch.int64))
