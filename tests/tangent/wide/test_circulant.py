import math

import pytest
import torch
from torch import Tensor

from tangrid.encodings.fourier import FourierEncoding
from tangrid.errors import ConfigError, NumericalError, ShapeError
from tangrid.seeding import generator
from tangrid.tangent.dynamics.descent import GradientDescent, GradientFlow
from tangrid.tangent.spectra.fourier_spectrum import fourier_rayleigh
from tangrid.tangent.spectra.lattice import Lattice
from tangrid.tangent.wide.circulant import CirculantKernel, every, filtered
from tangrid.tangent.wide.stationary_filter import stationary_filter
from tests.tolerances import FILTER_IS_REGRESSION, PARITY_FLOAT64

LATTICES = (Lattice((12,)), Lattice((7,)), Lattice((8, 6)), Lattice((4, 3, 2)))
in_all_dimensions = pytest.mark.parametrize(
    "lattice", LATTICES, ids=lambda lattice: "x".join(map(str, lattice.sizes))
)


def encoding_of(num_dims: int, count: int = 12) -> FourierEncoding:
    drawn = generator(0, "frequencies", num_dims)
    frequencies = (2 * torch.randn(count, num_dims, generator=drawn)).round()
    return FourierEncoding(frequencies, torch.rand(count, generator=drawn) + 0.5)


def kernel_on(lattice: Lattice) -> CirculantKernel:
    return stationary_filter(encoding_of(lattice.num_dims), lattice)


def values_on(lattice: Lattice, channels: int = 2) -> Tensor:
    drawn = generator(0, "values")
    count = lattice.num_points
    return torch.randn(count, channels, dtype=torch.float64, generator=drawn)


@in_all_dimensions
def test_it_is_the_matrix_it_stands_for(lattice: Lattice):
    kernel = kernel_on(lattice)
    dense = kernel.to_dense()
    assert torch.allclose(dense, dense.T, rtol=0, atol=1e-12)
    assert torch.allclose(kernel.diagonal(), dense.diagonal())
    chosen = torch.tensor([3, 0, 5])
    assert torch.equal(kernel.columns(chosen), dense[:, chosen])
    values = values_on(lattice)
    assert torch.allclose(kernel @ values, dense @ values, rtol=0, atol=1e-11)
    assert torch.allclose(kernel @ values[:, 0], dense @ values[:, 0], atol=1e-11)


@in_all_dimensions
def test_eigenvalues_are_the_transform_of_a_row(lattice: Lattice):
    kernel = kernel_on(lattice)
    found = kernel.eigenvalues()
    assert torch.equal(kernel.eigenvalues(3, largest=False), found.flip(0)[:3])
    expected = torch.linalg.eigvalsh(kernel.to_dense()).flip(0)
    assert (found - expected).abs().max() < PARITY_FLOAT64 * expected[0]
    box = kernel.response.reshape(*reversed(lattice.sizes))
    transformed = torch.fft.fftn(box).flatten()
    assert torch.allclose(kernel.transfer, transformed.real, atol=1e-11)
    assert transformed.imag.abs().max() < 1e-11


@in_all_dimensions
def test_parseval_and_positivity(lattice: Lattice):
    kernel = kernel_on(lattice)
    assert kernel.transfer.min() >= 0
    squares = float(kernel.transfer.square().mean())
    assert float(kernel.response.square().sum()) == pytest.approx(squares, rel=1e-12)
    trace = float(kernel.transfer.sum())
    assert float(kernel.diagonal().sum()) == pytest.approx(trace, rel=1e-12)


@in_all_dimensions
def test_its_spectrum_is_the_fourier_rayleigh_spectrum(lattice: Lattice):
    kernel = kernel_on(lattice)
    measured = fourier_rayleigh(kernel, lattice)
    assert torch.allclose(kernel.spectrum.energy, measured.energy, atol=1e-12)
    assert measured.non_stationarity < 1e-6


@pytest.mark.parametrize("sizes", [(12,), (8, 4)])
def test_aliased_spectrum_adds_up_what_cannot_be_told_apart(sizes: tuple[int, ...]):
    lattice, stride = Lattice(sizes), 2
    kernel = kernel_on(lattice)
    coarse = kernel.aliased(stride)
    chosen = every(lattice, stride)
    assert torch.equal(coarse.to_dense(), kernel.to_dense()[chosen][:, chosen])
    sides = torch.tensor(coarse.lattice.sizes)
    for number, wave in enumerate(coarse.lattice.frequencies):
        same = ((lattice.frequencies - wave) % sides == 0).all(1)
        total = kernel.transfer[same].sum() / stride**lattice.num_dims
        assert coarse.transfer[number] == pytest.approx(float(total), rel=1e-12)


def regression(
    kernel: CirculantKernel, targets: Tensor, rate: float, steps: int, stride: int
) -> Tensor:
    """Outputs of gradient descent on the coefficients of a kernel's expansion."""
    chosen = every(kernel.lattice, stride)
    everywhere = kernel.to_dense()[:, chosen]
    trained = everywhere[chosen]
    weights = torch.zeros_like(targets)
    for _ in range(steps):
        weights = weights + rate * (targets - trained @ weights)
    return everywhere @ weights


@pytest.mark.parametrize(
    ("sizes", "stride"), [((24,), 1), ((24,), 3), ((12, 8), 1), ((12, 8), 2)]
)
def test_kernel_regression_is_filtering(sizes: tuple[int, ...], stride: int):
    lattice = Lattice(sizes)
    kernel = kernel_on(lattice)
    targets = values_on(lattice)[every(lattice, stride)]
    rate = 1 / float(kernel.aliased(stride).transfer.max())
    for steps in (0, 1, 30):
        times = [float(steps)]
        found = filtered(kernel, targets, GradientDescent(rate), times, stride=stride)
        expected = regression(kernel, targets, rate, steps, stride)
        assert (found[0] - expected).abs().max() < FILTER_IS_REGRESSION


def test_on_the_trained_points_each_wave_is_learned_for_itself():
    lattice = Lattice((16,))
    kernel = kernel_on(lattice)
    targets = values_on(lattice)
    rate, steps = 0.01 / float(kernel.transfer.max()), 40
    found = filtered(kernel, targets, GradientDescent(rate), float(steps))[0]
    learned = 1 - (1 - rate * kernel.transfer) ** steps
    expected = learned[:, None] * lattice.transform(targets)
    difference = lattice.transform(found) - expected
    assert difference.abs().max() < FILTER_IS_REGRESSION


def test_in_the_limit_the_targets_are_met_and_between_them_interpolated():
    lattice = Lattice((30,))
    kernel = kernel_on(lattice)
    wave = torch.cos(2 * math.pi * 2 * lattice.coords())
    chosen = every(lattice, 2)
    found = filtered(kernel, wave[chosen], GradientFlow(0.1), math.inf, stride=2)[0]
    assert torch.allclose(found[chosen], wave[chosen], atol=1e-9)
    # The kernel knows all frequencies, so that the wave between is met nearly alone.
    assert (found - wave).abs().max() < 0.2


def test_the_limit_of_a_kernel_without_some_waves_is_refused():
    lattice = Lattice((16,))
    encoding = FourierEncoding(torch.tensor([[1.0]]), torch.tensor([1.0]))
    kernel = stationary_filter(encoding, lattice, kind=None)
    with pytest.raises(NumericalError, match="vanishing"):
        filtered(kernel, values_on(lattice), GradientFlow(1.0), math.inf)


def test_bad_input():
    lattice = Lattice((4,))
    exact = torch.float64
    with pytest.raises(ShapeError, match="lattice"):
        CirculantKernel(lattice, torch.ones(5))
    with pytest.raises(NumericalError, match="symmetric"):
        CirculantKernel(lattice, torch.tensor([2.0, 1.0, 0.0, 0.0], dtype=exact))
    with pytest.raises(NumericalError, match="positive"):
        CirculantKernel(lattice, torch.tensor([1.0, 1.0, 1.0, 1.0], dtype=exact) * -1)
    kernel = kernel_on(lattice)
    with pytest.raises(ConfigError, match="from 1 to 4"):
        kernel.eigenvalues(5)
    with pytest.raises(ConfigError, match="divides"):
        kernel.aliased(3)
    with pytest.raises(ShapeError, match="values"):
        filtered(kernel, torch.ones(3, 1), GradientDescent(0.1), 1.0)


def test_small_negative_eigenvalues_are_not_taken_for_rounding():
    lattice = Lattice((4096,))
    energies = torch.ones(4096, 1, dtype=torch.complex128)
    # Well above what a transform of 4096 numbers rounds, and below 4096 roundings.
    energies[7] = energies[-7] = -1e-13
    row = lattice.inverse(energies).real[:, 0] / 64
    with pytest.raises(NumericalError, match="positive"):
        CirculantKernel(lattice, row)
    energies[7] = energies[-7] = 0.0
    assert CirculantKernel(lattice, lattice.inverse(energies).real[:, 0] / 64)


@pytest.mark.usefixtures("unchecked")
def test_responses_are_finite_floating_point_numbers():
    with pytest.raises(ShapeError, match="int64"):
        CirculantKernel(Lattice((4,)), torch.tensor([2, 1, 0, 1]))
    with pytest.raises(ShapeError, match="finite numbers"):
        CirculantKernel(Lattice((4,)), torch.tensor([2.0, math.nan, 0.0, 1.0]))
