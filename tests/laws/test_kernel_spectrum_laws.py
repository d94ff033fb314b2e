"""What the kernels of real encodings must look like in frequency, in closed form."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from tangrid.decoders import LinearConfig
from tangrid.encodings import (
    DenseGridConfig,
    EncodingConfig,
    FourierConfig,
    HashGridConfig,
    MulfaGridConfig,
)
from tangrid.encodings.table_grid import TableGrid
from tangrid.fields import EncodedField, EncodedFieldConfig
from tangrid.ops.grid_lookup.layout import (
    INTERPOLATIONS,
    Convention,
    Interpolation,
)
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent import DenseKernel, tangent_kernel
from tangrid.tangent.generalisation.bound_map import map_difference, two_point_map
from tangrid.tangent.spectra.fourier_spectrum import (
    fourier_rayleigh,
    rayleigh_at,
    row_spectrum,
)
from tangrid.tangent.spectra.grid_spectrum import (
    collision_deviation,
    collision_mean,
    level_spectrum,
    mean_square_weight,
    node_transform,
    pyramid_spectrum,
)
from tangrid.tangent.spectra.lattice import Lattice
from tangrid.tangent.spectra.spectrum_record import FourierSpectrum
from tests.tolerances import PARITY_FLOAT64


def summed(encoding: EncodingConfig, dims: int, seed: int = 0) -> EncodedField:
    """A field whose value is the sum of its features, so that every gain is 1."""
    config = EncodedFieldConfig(encoding=encoding, decoder=LinearConfig(bias=False))
    site = Site(num_dims=dims, num_channels=1)
    field = config.build(site, generator(seed, "spectra")).double()
    torch.nn.init.ones_(field.decoder.output.weight)
    return field


def one_level(resolution: int, interpolation: Interpolation) -> DenseGridConfig:
    return DenseGridConfig(
        num_levels=1,
        channels_per_level=1,
        base_resolution=resolution,
        convention="tiny-cuda-nn",
        interpolation=interpolation,
    )


def mean_over_one_cell(
    resolution: int, interpolation: Interpolation, dims: int, p: int
):
    """The row spectrum averaged over a cell's p^d points, far from the border.

    The lattice has a point on every node where p is odd, and no row reaches the border,
    so that nothing but the lattice's own aliases parts it from the closed form.
    """
    lattice = Lattice((p * (resolution - 1),) * dims)
    node = resolution // 2
    inside = torch.arange(p) + (p * (2 * node - 1) - 1) // 2
    places = (inside.double() + 0.5) / lattice.sizes[0]
    centres = torch.cartesian_prod(*[places] * dims).view(-1, dims)
    field = summed(one_level(resolution, interpolation), dims)
    kernel = tangent_kernel(field, lattice.coords(), centres, parameters="grid")
    return lattice, row_spectrum(
        kernel, lattice, centres=centres, window="none", average="aligned"
    )


def aliased(cycles: Tensor, interpolation: Interpolation, p: int) -> Tensor:
    """Transform of a node's weight that is sampled p times per cell."""
    if interpolation in ("nearest", "linear"):
        turns = math.pi * cycles
        ring = torch.where(cycles == 0, 1.0, turns.sin() / (p * (turns / p).sin()))
        return ring if interpolation == "nearest" else ring.square()
    copies = p * torch.arange(-60.0, 61.0, dtype=torch.float64)
    return node_transform(cycles[..., None] + copies, interpolation).sum(-1)


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_level_has_the_closed_form_and_its_aliases(interpolation, dims):
    resolution, p = 7, 5
    lattice, found = mean_over_one_cell(resolution, interpolation, dims, p)
    spacing = 1 / (resolution - 1)
    factors = aliased(lattice.frequencies * spacing, interpolation, p).square()
    expected = spacing**dims * factors.prod(dim=1)
    # Copies beyond the sixtieth fall as 1 / 300^3 and hold 1e-8 of the whole.
    exact = interpolation in ("nearest", "linear")
    tolerance = PARITY_FLOAT64 if exact else 1e-7
    assert (found.energy - expected).abs().max() < tolerance * expected.max()


def test_a_linear_level_has_sinc_to_the_fourth_as_far_as_the_lattice_can_tell():
    resolution, p = 9, 15
    lattice, found = mean_over_one_cell(resolution, "linear", 1, p)
    spacing = 1 / (resolution - 1)
    cycles = lattice.radii * spacing
    expected = level_spectrum(lattice.frequencies, spacing)
    assert float(expected[3]) == pytest.approx(
        spacing * (math.sin(3 * math.pi / 8) / (3 * math.pi / 8)) ** 4
    )
    # Sampling multiplies it by (u / sin u)^4, with u = pi k h / p.
    turns = math.pi * cycles / p
    most = torch.where(cycles == 0, 1.0, turns / turns.sin()) ** 4
    inside = (cycles < 2) & (expected > 1e-12)
    ratio = found.energy[inside] / expected[inside]
    assert (ratio >= 1 - 1e-9).all()
    assert (ratio <= most[inside] + 1e-9).all()
    assert inside.sum() > 25
    assert most[inside].max() < 1.12


@pytest.mark.parametrize("convention", ["tiny-cuda-nn", "align-corners"])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_every_level_of_a_pyramid_has_it_between_random_points(
    dims: int, interpolation: Interpolation, convention: Convention, seeded
):
    config = DenseGridConfig(
        num_levels=3,
        base_resolution=8,
        growth=1.6,
        convention=convention,
        interpolation=interpolation,
    )
    grid = config.build(Site(num_dims=dims, num_channels=1), seeded).double()
    cycles = torch.tensor([0.0, 0.3, 0.6]).double()
    for index, level in enumerate(grid.layout.levels):
        spacing = 1 / level.scale
        frequencies = cycles[:, None].expand(-1, dims) / spacing
        samples = transform_samples(grid, index, frequencies, seeded)
        error = samples.std(0) / math.sqrt(len(samples))
        expected = level_spectrum(frequencies, spacing, interpolation)
        # 72 settings of 3 frequencies: five deviations are one chance in 8000.
        assert ((samples.mean(0) - expected).abs() < 5 * error).all()
        assert error[0] < 0.05 * expected[0]


def transform_samples(
    grid: TableGrid, index: int, frequencies: Tensor, source: torch.Generator
) -> Tensor:
    """Samples whose mean is the Fourier transform of a level's averaged kernel.

    Points x fill whole cells, so that every translation is as likely, and y lies as far
    from x as the kernel reaches.
    """
    level, dims, count = grid.layout.levels[index], grid.num_dims, 40_000
    spacing = 1 / level.scale

    def uniform() -> Tensor:
        return torch.rand(count, dims, generator=source, dtype=torch.float64)

    cells = math.floor(level.scale - 4)
    first = uniform() * cells * spacing + 2 * spacing
    offset = (4 * uniform() - 2) * spacing
    volume = (4 * spacing) ** dims
    values = kernel_of_pairs(grid, index, first, first + offset)
    waves = (2 * math.pi * offset @ frequencies.T).cos()
    return volume * values[:, None] * waves


def kernel_of_pairs(grid: TableGrid, index: int, x: Tensor, y: Tensor) -> Tensor:
    """Tangent kernel of one level between points one by one, from what they read."""
    one = grid.lookups(x, grid.select(x))[index]
    two = grid.lookups(y, grid.select(y))[index]
    same = (one.rows[:, :, None] == two.rows[:, None, :]).double()
    return torch.einsum("nij,ni,nj->n", same, one.weights, two.weights)


def test_levels_add_up_with_their_gains():
    """A whole grid under a linear decoder, and what a window is there for."""
    lattice = Lattice((512,))
    encoding = DenseGridConfig(
        num_levels=6, base_resolution=5, growth=1.7, channels_per_level=3
    )
    config = EncodedFieldConfig(encoding=encoding, decoder=LinearConfig())
    field = config.build(Site(num_dims=1, num_channels=2), generator(1, "gains"))
    weights = field.decoder.output.weight.detach().double().view(2, 6, 3)
    gains = weights.square().sum((0, 2)).tolist()
    expected = FourierSpectrum(
        lattice, pyramid_spectrum(lattice.frequencies, field.encoding.layout, gains)
    )
    kernel = tangent_kernel(field, lattice.coords(), parameters="grid")
    shells = expected.radial()
    # Below 4 cycles a Hann window smooths too much; beyond 70, where the finest level
    # has its first zero, aliases are seen.
    band = (shells.frequency >= 4) & (shells.frequency <= 70)
    ratios = {}
    for window in ("none", "hann"):
        found = fourier_rayleigh(kernel, lattice, window=window)
        ratios[window] = (found.radial().energy / shells.energy)[band]
    # The coarsest level has 4 cells: too few for its mean over translations to be
    # better than a per cent, of which it is a part.
    assert (ratios["hann"] - 1).abs().max() < 0.03
    assert ratios["none"].max() > 2
    parts = [fourier_rayleigh(part, lattice).energy for part in kernel.parts.values()]
    whole = fourier_rayleigh(kernel, lattice).energy
    assert (sum(parts) - whole).abs().max() < PARITY_FLOAT64 * whole.max()


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_collisions_of_hashes_add_one_in_t(interpolation: Interpolation, dims: int):
    """Means and deviations of entries between points that share no node.

    Every resolution gives hashes of its own, so that the standard error over them
    counts everything: entries of one kernel are far from independent.
    """
    log2_size = 8
    means, deviations = [], []
    for resolution in range(400, 424, 2) if dims == 2 else range(60, 84, 2):
        config = HashGridConfig(
            num_levels=1,
            base_resolution=resolution,
            log2_table_size=log2_size,
            interpolation=interpolation,
            channels_per_level=1,
        )
        source = generator(resolution, "collisions")
        x = torch.rand(800, dims, generator=source, dtype=torch.float64)
        field = summed(config, dims, seed=resolution)
        kernel = tangent_kernel(field, x, parameters="grid").to_dense()
        far = ((x[:, None] - x) * resolution).abs().amax(-1) > 2.5
        means.append(float(kernel[far].mean()) / collision_mean(2**log2_size))
        deviations.append(
            float(kernel[far].std())
            / collision_deviation(2**log2_size, dims, interpolation)
        )
    assert is_mean_of(means, 1.0)
    assert is_mean_of(deviations, structure_of_the_hash(interpolation))


def is_mean_of(samples: list[float], expected: float) -> bool:
    values = torch.tensor(samples)
    error = float(values.std()) / math.sqrt(len(samples))
    return error < 0.015 and abs(float(values.mean()) - expected) < 4.5 * error


def structure_of_the_hash(interpolation: Interpolation) -> float:
    """How much wider collisions spread than those of a hash without structure.

    The first factor of the hash is 1: a step from node a to a + 1 along x flips the
    trailing ones of a and one bit more, whatever y is. Where two nodes collide, their
    neighbours along x do so too if both a end in the same number of ones, which has
    the probability 1/4 + 1/16 + ... = 1/3. With q the mean of the sum of squared
    weights along an axis and e = (1 - q) / 2 that of the product of both, the variance
    is larger by 1 + (4/3) (e / q)^2: 13/12 for linear weights.
    """
    square = mean_square_weight(interpolation)
    product = (1 - square) / 2
    return math.sqrt(1 + 4 / 3 * (product / square) ** 2)


def test_hashing_keeps_the_mean_spectrum_and_mixes_frequencies():
    lattice = Lattice((48, 48))
    dense = one_level(41, "linear")
    hashed = HashGridConfig(
        num_levels=1, base_resolution=41, log2_table_size=9, channels_per_level=1
    )
    found = [
        fourier_rayleigh(
            tangent_kernel(summed(config, 2), lattice.coords(), parameters="grid"),
            lattice,
        )
        for config in (dense, hashed)
    ]
    ratio = found[1].energy / found[0].energy
    middle = (lattice.radii > 0) & (lattice.radii < 20)
    # Over a thousand frequencies, whose ratios vary by 0.3 and not independently.
    assert float(ratio[middle].mean()) == pytest.approx(1.0, abs=0.03)
    assert float(ratio[middle].std()) > 0.1
    assert found[1].non_stationarity > 2 * found[0].non_stationarity
    added = float(found[1].energy[0] - found[0].energy[0])
    # Close nodes of one row never collide: a part of the constant is missing.
    assert 0.75 < added / collision_mean(2**9) < 1.0


def test_whole_frequencies_make_a_stationary_kernel_of_known_energies():
    config = FourierConfig(family="posenc-new", num_frequencies=4, octaves=3.0)
    field = summed(config, dims=2)
    lattice = Lattice((16, 16))
    kernel = tangent_kernel(field, lattice.coords(), parameters="decoder")
    found = fourier_rayleigh(kernel, lattice)
    # Frequencies 0, 1, 3, 7 along each axis; a wave's energy is halved between +-k.
    expected = torch.zeros(16, 16).double()
    expected[0, 0] = 2.0
    for frequency in (1, 3, 7, -1, -3, -7):
        expected[0, frequency] = expected[frequency, 0] = 0.5
    assert (found.energy.view(16, 16) - expected).abs().max() < PARITY_FLOAT64
    assert found.non_stationarity < PARITY_FLOAT64


def test_products_of_a_field_too_large_to_be_dense_give_the_same():
    config = HashGridConfig(num_levels=4, base_resolution=4, log2_table_size=6)
    field = EncodedFieldConfig(encoding=config).build(
        Site(num_dims=2, num_channels=3), generator(0, "products")
    )
    lattice = Lattice((9, 8))
    chosen = lattice.frequencies[[0, 3, 20, 71]]
    coords = lattice.coords()
    free = tangent_kernel(field, coords, implementation="matrix-free")
    found = rayleigh_at(free, lattice, chosen)
    exact = fourier_rayleigh(tangent_kernel(field, coords), lattice).energy
    expected = exact[[0, 3, 20, 71]]
    assert (found.energy - expected).abs().max() < PARITY_FLOAT64 * expected.max()


def test_mulfagrid_without_a_kernel_of_its_own_is_the_plain_grid():
    plain = HashGridConfig(num_levels=4, base_resolution=4, log2_table_size=8)
    still = MulfaGridConfig(
        num_levels=4, base_resolution=4, log2_table_size=8, output_scale=0.0
    )
    moving = dataclasses.replace(still, output_scale=0.3)
    lattice = Lattice((12, 12))
    found = [
        fourier_rayleigh(
            tangent_kernel(summed(config, 2), lattice.coords(), parameters="grid"),
            lattice,
        ).energy
        for config in (plain, still, moving)
    ]
    assert (found[1] - found[0]).abs().max() < PARITY_FLOAT64 * found[0].max()
    assert (found[2] - found[0]).abs().max() > 1e-3 * found[0].max()


@pytest.mark.parametrize(("first", "second"), [(0.0, 0.5), (0.73, 0.91), (0.2, 0.99)])
def test_less_correlated_gradients_lower_the_bound_for_more_than_half_of_labels(
    first: float, second: float
):
    """What a claim about two points says: two gradients of equal length, and an angle.

    With correlation r the bound is (u^2 / (1 + r) + v^2 / (1 - r)) in the sum u and the
    difference v of the labels. The smaller r wins where v^2 > q u^2, and the share of
    such labels in the square is 1 / (1 + sqrt q), never below a half.
    """
    maps = [
        two_point_map(
            DenseKernel(torch.tensor([[1.0, r], [r, 1.0]]).double()), num_labels=401
        )
        for r in (first, second)
    ]
    q = (1 - first) * (1 - second) / ((1 + first) * (1 + second))
    found = map_difference(*maps)
    expected = 1 / (1 + math.sqrt(q))
    # Labels on a lattice of 401 a side, whose border counts in full.
    assert found.share_lower_normalised == pytest.approx(expected, abs=5e-3)
    assert expected > 0.5
