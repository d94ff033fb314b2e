"""Spectra of tangent kernels on lattices: laws, and brute force with waves."""

import math

import pytest
import torch
from torch import Tensor

from tangrid.errors import ConfigError, ShapeError
from tangrid.tangent.kernels.kernel import DenseKernel
from tangrid.tangent.spectra.fourier_spectrum import (
    border_taper,
    fourier_rayleigh,
    rayleigh_at,
    row_spectrum,
    shell_spectrum,
)
from tangrid.tangent.spectra.lattice import Lattice
from tangrid.tangent.spectra.spectrum_record import shell_numbers, time_constants
from tests.tolerances import PARITY_FLOAT64

LATTICES = (Lattice((12,)), Lattice((6, 5)), Lattice((5, 6)), Lattice((4, 3, 5)))


def name_of(lattice: Lattice) -> str:
    return "x".join(map(str, lattice.sizes))


def random_kernel(lattice: Lattice, source: torch.Generator, channels: int = 1):
    rows = lattice.num_points * channels
    factor = torch.randn(rows, 9, generator=source, dtype=torch.float64)
    return DenseKernel(factor @ factor.T, num_outputs=channels)


def stationary_kernel(lattice: Lattice, source: torch.Generator) -> DenseKernel:
    """A kernel whose eigenvectors are waves, of random energies alike at k and -k."""
    noise = torch.randn(lattice.num_points, 1, generator=source, dtype=torch.float64)
    energies = lattice.transform(noise).abs().square()
    row = lattice.inverse(energies).real.reshape(*reversed(lattice.sizes))
    rows = [
        row.roll(shifts, dims=tuple(range(lattice.num_dims))).flatten()
        for shifts in torch
        .cartesian_prod(*(torch.arange(n) for n in reversed(lattice.sizes)))
        .view(-1, lattice.num_dims)
        .tolist()
    ]
    return DenseKernel(torch.stack(rows))


def unit_waves(lattice: Lattice) -> Tensor:
    """Every wave as a column, from its formula."""
    phases = 2 * math.pi * lattice.coords() @ lattice.frequencies.T
    return torch.polar(torch.ones_like(phases), phases) / lattice.num_points**0.5


def close(found: Tensor, expected: Tensor, tolerance: float = PARITY_FLOAT64) -> bool:
    return bool((found - expected).abs().max() <= tolerance * expected.abs().max())


def test_a_lattice_is_numbered_like_the_pixels_of_an_image():
    lattice = Lattice((3, 2))
    x, y = lattice.coords().T
    assert torch.allclose(x, torch.tensor([1, 3, 5, 1, 3, 5]).double() / 6)
    assert torch.allclose(y, torch.tensor([1, 1, 1, 3, 3, 3]).double() / 4)
    assert lattice.frequencies[1].tolist() == [1.0, 0.0]
    assert Lattice((4, 6)).coords()[Lattice((4, 6)).middle].tolist() == [0.625, 7 / 12]


@pytest.mark.parametrize("lattice", LATTICES, ids=name_of)
def test_waves_are_those_of_the_formula(lattice: Lattice):
    waves = unit_waves(lattice)
    values = torch.arange(lattice.num_points * 2.0).double().view(-1, 2).sin()
    found, expected = lattice.transform(values), waves.conj().T @ values.to(waves)
    # A wave's own phase is free: points begin at half a spacing and not at 0.
    assert close(found.abs(), expected.abs())
    assert close(lattice.inverse(found).real, values)


@pytest.mark.parametrize("window", ["none", "hann"])
@pytest.mark.parametrize("lattice", LATTICES, ids=name_of)
def test_spectrum_and_index_are_those_of_the_definition(lattice, window, seeded):
    kernel = random_kernel(lattice, seeded)
    waves = border_taper(lattice, window)[:, None] * unit_waves(lattice)
    whole = waves.conj().T @ kernel.matrix.to(waves) @ waves
    found = fourier_rayleigh(kernel, lattice, window=window)
    assert close(found.energy, whole.diagonal().real / lattice.num_points)
    assert (found.energy >= 0).all()
    if window == "none":
        outside = whole - whole.diagonal().diag()
        index = float(outside.abs().square().sum().sqrt() / kernel.matrix.norm())
        assert found.non_stationarity == pytest.approx(index, rel=1e-12)
        assert found.total == pytest.approx(float(kernel.matrix.trace()) / len(waves))


@pytest.mark.parametrize("lattice", LATTICES, ids=name_of)
def test_waves_are_eigenvectors_of_a_stationary_kernel(lattice: Lattice, seeded):
    kernel = stationary_kernel(lattice, seeded)
    found = fourier_rayleigh(kernel, lattice)
    assert found.non_stationarity < 1e-13
    eigenvalues = found.energy.sort(descending=True).values * lattice.num_points
    assert close(eigenvalues, kernel.eigensystem.values)
    for point in (0, lattice.middle):
        row = row_spectrum(kernel, lattice, points=torch.tensor([point]), window="none")
        assert close(row.energy, found.energy)


@pytest.mark.parametrize("lattice", LATTICES, ids=name_of)
def test_the_spectrum_is_the_mean_over_all_rows(lattice: Lattice, seeded):
    kernel = random_kernel(lattice, seeded)
    rows = row_spectrum(
        kernel,
        lattice,
        points=torch.arange(lattice.num_points),
        window="none",
        average="aligned",
    )
    assert close(rows.energy, fourier_rayleigh(kernel, lattice).energy)


def test_rows_may_have_their_centres_anywhere(seeded):
    lattice = Lattice((6, 5))
    kernel = random_kernel(lattice, seeded)
    points = torch.tensor([3, 17])
    rectangle = DenseKernel(kernel.columns(points), is_symmetric=False)
    centres = lattice.coords()[points]
    for average in ("magnitudes", "aligned"):
        found = row_spectrum(rectangle, lattice, centres=centres, average=average)
        expected = row_spectrum(kernel, lattice, points=points, average=average)
        assert close(found.energy, expected.energy)


def test_a_window_falls_from_the_centre_to_half_a_side():
    lattice = Lattice((16,))
    kernel = DenseKernel(torch.ones(16, 1).double(), is_symmetric=False)
    centres = torch.tensor([[0.25]]).double()
    found = row_spectrum(kernel, lattice, centres=centres, window="hann")
    weights = torch.zeros(16).double()
    offsets = lattice.coords()[:, 0] - 0.25
    weights[:12] = (math.pi * offsets[:12]).cos().square()
    assert close(found.energy, torch.fft.fft(weights).abs() / 16)


def test_tapered_waves_keep_their_mean_square():
    taper = border_taper(Lattice((64, 48)), "hann")
    assert float(taper.square().mean()) == pytest.approx(1.0, abs=1e-12)
    assert float(taper.max()) == pytest.approx(8 / 3, rel=2e-3)


def moved(kernel: DenseKernel, order: Tensor) -> DenseKernel:
    return DenseKernel(kernel.matrix[order][:, order])


def test_shifts_leave_everything_and_mirrors_move_frequencies(seeded):
    lattice = Lattice((6, 6))
    kernel = random_kernel(lattice, seeded)
    before = fourier_rayleigh(kernel, lattice)
    numbers = torch.arange(36).view(6, 6)
    shifted = fourier_rayleigh(
        moved(kernel, numbers.roll((2, 5), (0, 1)).flatten()), lattice
    )
    assert close(shifted.energy, before.energy)
    swapped = fourier_rayleigh(moved(kernel, numbers.T.flatten()), lattice)
    assert close(swapped.energy.view(6, 6), before.energy.view(6, 6).T)
    mirrored = fourier_rayleigh(moved(kernel, numbers.flip(1).flatten()), lattice)
    negative = (-torch.arange(6)) % 6
    assert close(mirrored.energy.view(6, 6), before.energy.view(6, 6)[:, negative])
    for found in (shifted, swapped, mirrored):
        assert found.non_stationarity == pytest.approx(before.non_stationarity)


def test_spectra_of_parts_add_up_and_scale(seeded):
    lattice = Lattice((5, 6))
    one, two = random_kernel(lattice, seeded), random_kernel(lattice, seeded)
    both = fourier_rayleigh(DenseKernel(3 * one.matrix + two.matrix), lattice)
    parts = [fourier_rayleigh(kernel, lattice) for kernel in (one, two)]
    assert close(both.energy, 3 * parts[0].energy + parts[1].energy)
    scaled = fourier_rayleigh(DenseKernel(3 * one.matrix), lattice)
    assert scaled.non_stationarity == pytest.approx(parts[0].non_stationarity)


def test_channels_are_traced(seeded):
    lattice = Lattice((4, 5))
    kernel = random_kernel(lattice, seeded, channels=3)
    blocks = kernel.matrix.view(20, 3, 20, 3)
    traced = DenseKernel(sum(blocks[:, a, :, a] for a in range(3)))
    expected = fourier_rayleigh(traced, lattice)
    assert close(fourier_rayleigh(kernel, lattice).energy, expected.energy)
    found = rayleigh_at(kernel, lattice, lattice.frequencies)
    assert close(found.energy, expected.energy)
    rows = row_spectrum(kernel, lattice, points=torch.tensor([7, 2]))
    assert close(
        rows.energy, row_spectrum(traced, lattice, points=torch.tensor([7, 2])).energy
    )


@pytest.mark.parametrize("window", ["none", "hann"])
def test_products_alone_give_the_same_spectrum(window, seeded):
    lattice = Lattice((6, 5))
    kernel = random_kernel(lattice, seeded)
    exact = fourier_rayleigh(kernel, lattice, window=window)
    found = rayleigh_at(kernel, lattice, lattice.frequencies, window=window, batch=7)
    assert close(found.energy, exact.energy)


def test_leakage_is_0_for_eigenvectors_and_the_index_is_its_mean(seeded):
    lattice = Lattice((6, 5))
    still = rayleigh_at(
        stationary_kernel(lattice, seeded), lattice, lattice.frequencies
    )
    assert still.leakage.max() < 1e-7
    kernel = random_kernel(lattice, seeded)
    found = rayleigh_at(kernel, lattice, lattice.frequencies)
    lengths = (found.energy * 30).square() / (1 - found.leakage.square())
    outside = (found.leakage.square() * lengths).sum() / lengths.sum()
    index = fourier_rayleigh(kernel, lattice).non_stationarity
    assert float(outside.sqrt()) == pytest.approx(index)


def test_one_probe_is_exact_for_a_stationary_kernel(seeded):
    lattice = Lattice((8, 6))
    kernel = stationary_kernel(lattice, seeded)
    edges = lattice.unit_edges()
    found = shell_spectrum(kernel, lattice, seeded, edges=edges, probes=2)
    expected = fourier_rayleigh(kernel, lattice).radial(edges)
    assert close(found.energy, expected.energy)
    assert found.standard_error.max() < 1e-12 * expected.energy.max()
    assert found.non_stationarity < 1e-6
    assert found.frequency.tolist() == expected.frequency.tolist()
    assert found.count.tolist() == expected.count.tolist()


def test_estimates_of_shells_are_right_on_average(seeded):
    lattice = Lattice((8, 8))
    kernel = random_kernel(lattice, seeded)
    exact = fourier_rayleigh(kernel, lattice)
    for window in ("none", "hann"):
        expected = fourier_rayleigh(kernel, lattice, window=window)
        expected = expected.radial(lattice.octave_edges())
        found = shell_spectrum(kernel, lattice, seeded, probes=400, window=window)
        distance = (found.energy - expected.energy).abs() / found.standard_error
        # Shells of one or two waves have no noise but rounding.
        noisy = found.standard_error > 1e-10 * found.energy
        assert noisy.sum() >= 4
        assert distance[noisy].max() < 5
        assert close(found.energy[~noisy], expected.energy[~noisy], 1e-9)
    plain = shell_spectrum(kernel, lattice, seeded, probes=400)
    assert plain.non_stationarity == pytest.approx(exact.non_stationarity, abs=0.02)


def test_few_probes_do_not_make_a_kernel_look_more_stationary(seeded):
    lattice = Lattice((4, 4))
    kernel = random_kernel(lattice, seeded)
    found = [
        shell_spectrum(kernel, lattice, seeded, probes=2).non_stationarity
        for _ in range(100)
    ]
    exact = fourier_rayleigh(kernel, lattice).non_stationarity
    squares = torch.tensor(found).square()
    error = float(squares.std()) / 10
    assert error < 0.02
    assert abs(float(squares.mean()) - exact**2) < 4 * error


def test_shells_hold_every_wave_once():
    lattice = Lattice((9, 14))
    for edges in (lattice.unit_edges(), lattice.octave_edges()):
        numbers = shell_numbers(lattice.radii, edges)
        assert (numbers >= 0).all()
        assert (numbers == 0).sum() == 1
    unit = shell_numbers(lattice.radii, lattice.unit_edges())
    assert torch.equal(unit, (lattice.radii + 0.5).floor().long())


def test_averages_over_shells_and_cones(seeded):
    lattice = Lattice((8, 8))
    spectrum = fourier_rayleigh(random_kernel(lattice, seeded), lattice)
    radial = spectrum.radial()
    assert radial.total == pytest.approx(spectrum.total)
    ring = (lattice.radii - 2).abs() < 0.5
    assert float(radial.energy[2]) == pytest.approx(float(spectrum.energy[ring].mean()))
    box = spectrum.energy.view(8, 8)
    axis = spectrum.along("axis", half_angle_degrees=0.0)
    expected = (box[0, 2] + box[0, 6] + box[2, 0] + box[6, 0]) / 4
    assert float(axis.energy[2]) == pytest.approx(float(expected))
    diagonal = spectrum.along("diagonal", half_angle_degrees=0.0)
    expected = (box[2, 2] + box[2, 6] + box[6, 2] + box[6, 6]) / 4
    place = int((diagonal.frequency - 2 * math.sqrt(2)).abs().argmin())
    assert float(diagonal.energy[place]) == pytest.approx(float(expected))
    # (2, 1) points 26.6 degrees away from an axis.
    counts = [
        int(spectrum.along("axis", half_angle_degrees=angle).count[2])
        for angle in (0.0, 26.0, 27.0)
    ]
    assert counts == [4, 4, 12]
    assert spectrum.box()[4, 4] == spectrum.energy[0]


def test_share_above_leaves_the_constant_out():
    lattice = Lattice((4,))
    matrix = torch.full((4, 4), 7.0).double() + torch.eye(4).double()
    spectrum = fourier_rayleigh(DenseKernel(matrix), lattice)
    assert spectrum.share_above(2.0) == pytest.approx(1 / 3)
    assert spectrum.radial().share_above(2.0) == pytest.approx(1 / 3)


def test_no_wave_falls_faster_than_its_time_constant_says(seeded):
    lattice, rate = Lattice((6, 5)), 1e-2
    waves = unit_waves(lattice)
    for kernel in (random_kernel(lattice, seeded), stationary_kernel(lattice, seeded)):
        spectrum = fourier_rayleigh(kernel, lattice)
        constants = spectrum.time_constants(rate, lattice.num_points)
        still = spectrum.non_stationarity < 1e-12
        for time in (0.1, 3.0, 100.0):
            flow = torch.matrix_exp(-rate * time * kernel.matrix).to(waves)
            left = (waves.conj() * (flow @ waves)).sum(0).real
            slowest = (-time / constants).exp()
            assert (left >= slowest - 1e-12).all()
            assert not still or close(left, slowest, 1e-9)


def test_a_wave_that_nothing_learns_takes_for_ever():
    constants = time_constants(torch.tensor([0.25, 0.0, -1e-20]).double(), 0.5, 4)
    assert constants.tolist() == [2.0, math.inf, math.inf]
    with pytest.raises(ConfigError, match="rate and num_points above 0"):
        time_constants(constants, 0.0, 4)


def test_wrong_input_is_refused_in_words(seeded):
    lattice = Lattice((6, 5))
    kernel = random_kernel(lattice, seeded)
    rectangle = DenseKernel(kernel.matrix[:, :4], is_symmetric=False)
    with pytest.raises(ShapeError, match="lattice of 6 x 6, got one over 30"):
        fourier_rayleigh(kernel, Lattice((6, 6)))
    with pytest.raises(ShapeError, match="kernel of one set of points"):
        shell_spectrum(rectangle, lattice, seeded)
    with pytest.raises(ShapeError, match=r"expected shape \[m, 2\]"):
        rayleigh_at(kernel, lattice, torch.zeros(3, 1))
    with pytest.raises(ShapeError, match="kernel of one set of points"):
        row_spectrum(rectangle, lattice)
    with pytest.raises(ShapeError, match=r"coordinates of the kernel's second side"):
        row_spectrum(rectangle, lattice, centres=torch.zeros(3, 2))
    with pytest.raises(ConfigError, match="at least 2, got 1"):
        shell_spectrum(kernel, lattice, seeded, probes=1)
    with pytest.raises(ShapeError, match="ascending order"):
        fourier_rayleigh(kernel, lattice).radial(torch.tensor([2.0, 1.0]))
    with pytest.raises(ConfigError, match="at least one point"):
        Lattice((4, 0))
    with pytest.raises(ConfigError, match="at least two shells"):
        fourier_rayleigh(kernel, lattice).radial().slope(100.0, 200.0)


def test_a_lattice_too_large_to_be_dense_is_refused_before_it_is(seeded):
    lattice = Lattice((100, 100))

    class Huge(DenseKernel):
        def to_dense(self):
            raise AssertionError

    kernel = Huge(torch.zeros(1, 1).double().expand(10_000, 10_000))
    with pytest.raises(ShapeError, match="at most 8192 points, got 10000"):
        fourier_rayleigh(kernel, lattice)


@pytest.mark.usefixtures("unchecked")
def test_misspelt_choices_are_refused(seeded: torch.Generator):
    lattice = Lattice((6,))
    kernel = random_kernel(lattice, seeded)
    windows = "one of 'none', 'hann', got 'Hann'"
    with pytest.raises(ConfigError, match=windows):
        border_taper(lattice, "Hann")
    with pytest.raises(ConfigError, match=windows):
        row_spectrum(kernel, lattice, window="Hann")
    with pytest.raises(ConfigError, match="'magnitudes', 'aligned', got 'mean'"):
        row_spectrum(kernel, lattice, average="mean")
    with pytest.raises(ConfigError, match="'axis', 'diagonal', got 'x'"):
        fourier_rayleigh(kernel, lattice).along("x")


@pytest.mark.parametrize(("points", "got"), [([0, 6], "6"), ([-1], "-1"), ([], "none")])
def test_points_of_rows_are_the_lattices(
    points: list[int], got: str, seeded: torch.Generator
):
    lattice = Lattice((6,))
    kernel = random_kernel(lattice, seeded)
    with pytest.raises(ShapeError, match=f"numbers from 0 to 5, got {got}"):
        row_spectrum(kernel, lattice, points=torch.tensor(points, dtype=torch.int64))
