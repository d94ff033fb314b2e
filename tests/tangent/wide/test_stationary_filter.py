import pytest
import torch

from tangrid.encodings import FourierConfig
from tangrid.encodings.fourier import FourierEncoding
from tangrid.errors import ConfigError, ShapeError
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent.spectra.lattice import Lattice
from tangrid.tangent.wide.fourier_kernel import induced_profile, on_torus
from tangrid.tangent.wide.infinite_width import ReluNetwork, infinite_width
from tangrid.tangent.wide.stationary_filter import composed_profile, stationary_filter
from tests.tolerances import PARITY_FLOAT64


def gaussian(bandwidth: float, num_dims: int = 1, count: int = 64) -> FourierEncoding:
    config = FourierConfig(num_frequencies=count, bandwidth_cycles=bandwidth)
    site = Site(num_dims=num_dims, num_channels=1)
    return config.build(site, generator(0, "filter"))


@pytest.mark.parametrize("kind", ["ntk", "nngp"])
@pytest.mark.parametrize("num_dims", [1, 2])
def test_the_composed_kernel_depends_on_the_difference_alone(kind: str, num_dims: int):
    encoding = gaussian(3.0, num_dims)
    network = ReluNetwork(num_hidden=3, bias_variance=0.1)
    drawn = generator(0, "points")
    x = torch.rand(20, num_dims, dtype=torch.float64, generator=drawn)
    kernel = getattr(infinite_width(x, network=network, features=encoding), kind)
    offsets = (x[:, None] - x).flatten(0, 1)
    found = composed_profile(encoding, offsets, network=network, kind=kind)
    largest = float(kernel.max())
    assert (found.reshape(20, 20) - kernel).abs().max() < PARITY_FLOAT64 * largest


@pytest.mark.parametrize("sizes", [(64,), (12, 10)])
@pytest.mark.parametrize("num_hidden", [1, 3])
def test_its_matrix_on_a_torus_is_circulant(sizes: tuple[int, ...], num_hidden: int):
    lattice = Lattice(sizes)
    encoding = on_torus(gaussian(4.0, lattice.num_dims))
    network = ReluNetwork(num_hidden=num_hidden)
    kernel = stationary_filter(encoding, lattice, network=network)
    dense = infinite_width(lattice.coords(), network=network, features=encoding).ntk
    largest = float(dense.max())
    assert (kernel.to_dense() - dense).abs().max() < PARITY_FLOAT64 * largest
    eigenvalues = torch.linalg.eigvalsh(dense).flip(0)
    found = kernel.transfer.sort(descending=True).values
    assert (found - eigenvalues).abs().max() < PARITY_FLOAT64 * eigenvalues[0]


def test_without_a_network_only_the_frequencies_themselves_remain():
    lattice = Lattice((32,))
    encoding = FourierEncoding(torch.tensor([[3.0], [5.0]]), torch.tensor([2.0, 1.0]))
    kernel = stationary_filter(encoding, lattice, kind=None)
    expected = torch.zeros(32, dtype=torch.float64)
    # a^2 cos has half of a^2 at each of two frequencies, of 32 points.
    expected[[3, -3]], expected[[5, -5]] = 4 * 16.0, 16.0
    assert torch.allclose(kernel.transfer, expected, atol=1e-11)
    # The network mixes them, and reaches all sums and differences.
    composed = stationary_filter(encoding, lattice)
    assert composed.transfer.min() > 1e-3


def test_the_spectrum_widens_with_the_bandwidth():
    """The mean frequency grows in proportion, once it is well above a cycle."""
    lattice = Lattice((512,))
    means = []
    for bandwidth in (4.0, 8.0, 16.0):
        encoding = on_torus(gaussian(bandwidth, count=512))
        spectrum = stationary_filter(encoding, lattice).spectrum
        waves = lattice.radii
        alternating = torch.where(waves > 0, spectrum.energy, 0.0)
        means.append(float((waves * alternating).sum() / alternating.sum()))
    assert 1.7 < means[1] / means[0] < 2.2
    assert 1.7 < means[2] / means[1] < 2.2


def test_depth_spreads_the_spectrum_over_more_frequencies():
    lattice = Lattice((256,))
    encoding = on_torus(gaussian(4.0, count=256))
    shares = [
        stationary_filter(
            encoding, lattice, network=ReluNetwork(num_hidden=depth)
        ).spectrum.share_above(16.0)
        for depth in (1, 2, 4, 8)
    ]
    assert shares == sorted(shares)
    assert shares[-1] > 2 * shares[0]


def test_bad_input():
    lattice = Lattice((16,))
    with pytest.raises(ConfigError, match="on_torus"):
        stationary_filter(gaussian(3.0), lattice)
    with pytest.raises(ConfigError, match="axes"):
        stationary_filter(on_torus(gaussian(3.0)), Lattice((4, 4)))
    frequencies, amplitudes = torch.ones(1, 1), torch.ones(1)
    with_coords = FourierEncoding(frequencies, amplitudes, includes_coords=True)
    with pytest.raises(ConfigError, match="includes_coords"):
        stationary_filter(with_coords, lattice)
    with pytest.raises(ShapeError, match="offsets"):
        composed_profile(gaussian(3.0), torch.zeros(3, 2))
    profile = induced_profile(gaussian(3.0), torch.zeros(1, 1))
    assert float(profile) == pytest.approx(64)


@pytest.mark.usefixtures("unchecked")
def test_a_kind_that_is_none_is_refused():
    encoding = on_torus(gaussian(2.0))
    with pytest.raises(ConfigError, match="one of 'ntk', 'nngp', got 'gp'"):
        stationary_filter(encoding, Lattice((8,)), kind="gp")
    with pytest.raises(ConfigError, match="one of 'ntk', 'nngp', got None"):
        composed_profile(encoding, torch.zeros(1, 1), kind=None)
