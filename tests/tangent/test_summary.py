"""The numbers of a kernel are those of its eigenvalues."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tangrid.errors import ConfigError, ResourceError, ShapeError
from tangrid.seeding import generator
from tangrid.tangent import summary as module
from tangrid.tangent.dynamics.descent import GradientDescent
from tangrid.tangent.kernels.kernel import DenseKernel
from tangrid.tangent.summary import summarise
from tests.tangent.known_spectra import SPECTRA, columns, float64, kernel_of
from tests.tolerances import LINEAR_ALGEBRA

N = 60


def test_known_spectrum(seeded: torch.Generator):
    kernel = kernel_of(float64([4.0, 2.0, 1.0, 1.0]), seeded, num_outputs=2)
    found = summarise(kernel, relative_ridges=(0.5,))
    assert (found.num_points, found.num_outputs, found.rank) == (2, 2, 4)
    assert found.mean_diagonal == pytest.approx(2.0)
    assert found.trace_per_point == pytest.approx(4.0)
    assert found.condition == pytest.approx(4.0)
    assert found.smallest_is_resolved
    # Shares 1/2, 1/4, 1/8, 1/8 have an entropy of 7/4 bits.
    assert found.effective_rank == pytest.approx(2.0**1.75)
    assert found.participation_ratio == pytest.approx(64.0 / 22.0)
    (dimension,) = found.effective_dimensions
    assert dimension.ridge == pytest.approx(1.0)
    assert dimension.value == pytest.approx(4 / 5 + 2 / 3 + 1 / 2 + 1 / 2)
    assert found.max_rate == pytest.approx(0.5)
    assert found.learning is None


def test_singular_kernel_says_so(seeded: torch.Generator):
    found = summarise(kernel_of(SPECTRA["rank five"](N), seeded))
    assert (found.rank, found.condition) == (5, math.inf)
    assert not found.smallest_is_resolved
    assert abs(found.smallest) < found.resolution
    assert found.to_plain()["condition"] is None


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.5])
def test_power_laws_are_found(exponent: float, seeded: torch.Generator):
    values = torch.arange(1, N + 1).double() ** -exponent
    found = summarise(kernel_of(values, seeded)).decay
    assert found is not None
    assert found.exponent == pytest.approx(exponent, abs=1e-9)
    assert found.r_squared == pytest.approx(1.0)
    assert (found.first, found.last) == (2, 30)


def test_other_laws_are_not_called_power_laws(seeded: torch.Generator):
    found = summarise(kernel_of(SPECTRA["exponential"](N), seeded), ranks=(1, N)).decay
    assert found is not None
    assert (found.first, found.last) == (1, N)
    assert found.r_squared < 0.9
    flat = summarise(kernel_of(SPECTRA["identity"](N), seeded)).decay
    assert flat is not None
    assert flat.exponent == pytest.approx(0.0, abs=LINEAR_ALGEBRA)
    assert summarise(kernel_of(SPECTRA["rank five"](N), seeded)).decay is None


def centred(matrix: torch.Tensor, points: int, channels: int) -> torch.Tensor:
    """Return the matrix that takes means over points out of every channel."""
    means = torch.full((points, points), 1.0 / points).double()
    return matrix - torch.kron(means, torch.eye(channels).double()) @ matrix


@pytest.mark.parametrize(("outputs", "channels"), [("full", 3), ("trace", 1)])
def test_alignment_is_its_definition(
    outputs: str, channels: int, seeded: torch.Generator
):
    points = 12
    features = columns(points * channels, 50, seeded) + 1.0
    matrix = features @ features.T
    kernel = DenseKernel(matrix, num_outputs=channels, outputs=outputs)
    targets = columns(points, 3, seeded).abs()
    found = summarise(kernel, targets).learning
    assert found is not None
    r = kernel.stacked(targets)
    outer = r @ r.T
    plain = (matrix * outer).sum() / (matrix.norm() * outer.norm())
    assert found.alignment == pytest.approx(float(plain))
    inner = centred(centred(matrix, points, channels).T, points, channels)
    r = centred(r, points, channels)
    outer = r @ r.T
    expected = (inner * outer).sum() / (inner.norm() * outer.norm())
    assert found.centred_alignment == pytest.approx(float(expected))


def test_alignment_ends_at_one(seeded: torch.Generator):
    targets = columns(N, 1, seeded)
    found = summarise(DenseKernel(targets @ targets.T), targets).learning
    assert found is not None
    assert found.alignment == pytest.approx(1.0)
    assert found.centred_alignment == pytest.approx(1.0)
    assert found.cumulative_power[0].power == pytest.approx(1.0)
    nothing = summarise(DenseKernel(torch.ones(N, N).double()), targets).learning
    assert nothing is not None
    assert math.isnan(nothing.centred_alignment)
    assert nothing.outside_range == pytest.approx(
        float((targets - targets.mean()).norm() / targets.norm())
    )


def test_cumulative_power_is_of_the_leading_eigenvectors(seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["flat"](N), seeded)
    vectors = kernel.eigensystem.vectors
    targets = 3.0 * vectors[:, :1] + 4.0 * vectors[:, 20:21]
    found = summarise(kernel, targets, fractions=(1 / N, 0.2, 21 / N, 1.0)).learning
    assert found is not None
    powers = [item.power for item in found.cumulative_power]
    assert powers == pytest.approx([0.36, 0.36, 1.0, 1.0])
    assert [item.count for item in found.cumulative_power] == [1, 12, 21, 60]


def test_steps_are_those_of_simulated_descent(seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["flat"](N), seeded)
    targets, start = columns(N, 1, seeded), columns(N, 1, seeded)
    found = summarise(kernel, targets, start, psnr_levels=(0.0, 20.0, 40.0)).learning
    assert found is not None
    left, when = targets - start, []
    levels, step = [0.0, 20.0, 40.0], 0
    while len(when) < len(levels):
        psnr = -10.0 * math.log10(float(left.square().mean()))
        if psnr >= levels[len(when)]:
            when.append(step)
            continue
        left, step = left - found.rate * (kernel @ left), step + 1
    assert [item.steps for item in found.steps] == when
    assert found.limit_psnr == 300.0


def test_steps_are_infinite_where_the_range_ends(seeded: torch.Generator):
    kernel, targets = kernel_of(SPECTRA["rank five"](N), seeded), columns(N, 1, seeded)
    found = summarise(kernel, targets, psnr_levels=(-5.0, 30.0)).learning
    assert found is not None
    assert found.limit_psnr < 30.0
    assert found.steps[0].steps == 0.0
    assert found.steps[1].steps == math.inf
    assert found.limit_psnr > found.initial_psnr
    rest = kernel.eigensystem.vectors[:, 5:].T @ targets
    assert found.outside_range == pytest.approx(float(rest.norm() / targets.norm()))


def test_rate_is_the_one_given(seeded: torch.Generator):
    kernel, targets = kernel_of(SPECTRA["flat"](N), seeded), columns(N, 1, seeded)
    fast = summarise(kernel, targets, descent=GradientDescent(0.5, momentum=0.5))
    assert fast.learning is not None
    assert fast.learning.rate == 0.5
    assert fast.max_rate == pytest.approx(1.5)


@settings(max_examples=20)
@given(
    values=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=10),
    scale=st.floats(1e-3, 1e3),
    seed=st.integers(0, 50),
)
def test_scale_changes_what_has_units_and_nothing_else(
    values: list[float], scale: float, seed: int
):
    draw = generator(seed)
    kernel = kernel_of(float64(sorted(values, reverse=True)), draw)
    targets = columns(len(values), 1, draw)
    one = summarise(kernel, targets, psnr_levels=())
    other = summarise(DenseKernel(scale * kernel.matrix), targets, psnr_levels=())
    count = len(values)
    for found in (one, other):
        assert 1.0 - 1e-9 <= found.participation_ratio <= found.effective_rank + 1e-9
        assert found.effective_rank <= count + 1e-9
    assert other.effective_rank == pytest.approx(one.effective_rank)
    assert other.condition == pytest.approx(one.condition, rel=1e-6)
    assert other.max_rate * scale == pytest.approx(one.max_rate)
    assert one.learning is not None
    assert other.learning is not None
    assert other.learning.alignment == pytest.approx(one.learning.alignment)


def test_plain_values_are_json(seeded: torch.Generator):
    kernel, targets = kernel_of(SPECTRA["rank five"](N), seeded), columns(N, 1, seeded)
    plain = summarise(kernel, targets).to_plain()
    text = json.dumps(plain, allow_nan=False)
    assert json.loads(text) == plain
    assert plain["learning"]["steps"][1] == {"psnr": 30.0, "steps": None}


def test_degenerate_kernels():
    zero = summarise(DenseKernel(torch.zeros(3, 3).double()), torch.ones(3, 1).double())
    assert (zero.rank, zero.effective_rank, zero.max_rate) == (0, 0.0, math.inf)
    assert zero.learning is not None
    assert math.isnan(zero.learning.alignment)
    assert zero.learning.outside_range == 1.0
    single = summarise(DenseKernel(torch.full((1, 1), 2.0)), torch.ones(1, 1))
    assert (single.rank, single.condition) == (1, 1.0)
    assert single.learning is not None
    assert single.learning.alignment == pytest.approx(1.0)
    nothing = summarise(DenseKernel(torch.eye(2).double()), torch.zeros(2, 1).double())
    assert nothing.learning is not None
    assert nothing.learning.steps[0].steps == 0.0


def test_wrong_input_is_refused(
    seeded: torch.Generator, monkeypatch: pytest.MonkeyPatch
):
    kernel = kernel_of(SPECTRA["flat"](10), seeded)
    with pytest.raises(ConfigError, match="expected two ranks from 1 to 10"):
        summarise(kernel, ranks=(5, 11))
    with pytest.raises(ConfigError, match="expected numbers > 0, got -1"):
        summarise(kernel, relative_ridges=(-1.0,))
    with pytest.raises(ShapeError, match="expected shape"):
        summarise(kernel, torch.ones(9, 1).double())
    with pytest.raises(ShapeError, match="at least one point"):
        summarise(DenseKernel(torch.zeros(0, 0)))
    monkeypatch.setattr(module, "DENSE_LIMIT", 5)
    with pytest.raises(ResourceError, match="expected at most 5 rows, got 8"):
        summarise(kernel_of(SPECTRA["flat"](8), seeded))


@pytest.mark.parametrize("channels", [1, 3])
def test_targets_do_not_change_the_largest_rate(channels: int, seeded: torch.Generator):
    matrix = kernel_of(SPECTRA["flat"](N), seeded).matrix
    kernel = DenseKernel(matrix, outputs="trace")
    alone, taught = summarise(kernel), summarise(kernel, columns(N, channels, seeded))
    assert alone.max_rate == taught.max_rate == pytest.approx(1.0)
    # What is learned is predicted with the mean over channels.
    assert taught.learning is not None
    assert taught.learning.rate == pytest.approx(0.5 * channels)
