"""Estimates from random probes lie within the errors that they state."""

import math

import pytest
import torch

from tangrid.errors import ConfigError
from tangrid.seeding import generator
from tangrid.tangent.algebra.nystrom import pivoted_cholesky
from tangrid.tangent.algebra.spectral_density import spectral_density
from tangrid.tangent.kernels.kernel import DenseKernel
from tests.tangent.known_spectra import SPECTRA, float64, kernel_of

N = 100
REPEATS = 16


def scores(name: str, rank: int) -> torch.Tensor:
    """Return errors of repeated estimates, over what they state as theirs."""
    draw = generator(0, name, rank)
    values = SPECTRA[name](N)
    kernel, ridge = kernel_of(values, draw), 0.1 * float(values.mean())
    exact = {
        "effective_dimension": float((values / (values + ridge)).sum()),
        "log_determinant": float(torch.log(values + ridge).sum()),
    }
    found = []
    for _ in range(REPEATS):
        control = pivoted_cholesky(kernel, rank, generator=draw) if rank else None
        density = spectral_density(
            kernel, generator=draw, num_steps=25, approximation=control
        )
        for quantity, truth in exact.items():
            estimate = getattr(density, quantity)(ridge)
            error = estimate.standard_error + estimate.truncation
            found.append((estimate.value - truth) / error)
    return torch.tensor(found).reshape(REPEATS, len(exact))


@pytest.mark.parametrize("rank", [0, 20])
@pytest.mark.parametrize("name", ["polynomial", "flat"])
def test_stated_errors_are_those_that_occur(name: str, rank: int):
    found = scores(name, rank)
    # With ten probes the ratio follows Student's t: a mean square of 9/7, and heavier
    # tails than a normal distribution's.
    for ratios in found.T:
        assert 0.5 < float(ratios.square().mean().sqrt()) < 2.0
        assert float(ratios.abs().median()) < 1.2


def test_control_makes_errors_small_where_few_eigenvalues_count(
    seeded: torch.Generator,
):
    values = SPECTRA["exponential"](N)
    kernel, ridge = kernel_of(values, seeded), 1e-3
    exact = float((values / (values + ridge)).sum())
    control = pivoted_cholesky(kernel, 60, generator=seeded)
    plain = spectral_density(kernel, generator=seeded)
    better = spectral_density(kernel, generator=seeded, approximation=control)
    rough, fine = (d.effective_dimension(ridge) for d in (plain, better))
    assert fine.standard_error < rough.standard_error / 30.0
    assert fine.value == pytest.approx(exact, abs=8.0 * fine.standard_error + 1e-6)


@pytest.mark.parametrize("name", SPECTRA)
def test_truncation_encloses_each_probe(name: str, seeded: torch.Generator):
    values = SPECTRA[name](N)
    kernel, ridge = kernel_of(values, seeded), 1e-2 * float(values.mean())
    state = seeded.get_state()
    density = spectral_density(kernel, generator=seeded, num_steps=8, num_probes=4)
    seeded.set_state(state)
    probes = 2.0 * torch.randint(0, 2, (N, 4), generator=seeded).double() - 1.0
    inverse = torch.linalg.inv(kernel.matrix + ridge * torch.eye(N).double())
    exact = (probes * (kernel.matrix @ inverse @ probes)).sum(0)
    above, below = (
        rules.sums(lambda v: v / (v + ridge))
        for rules in (density.gauss, density.radau)
    )
    slack = 1e-9 * N
    assert (below - slack <= exact).all()
    assert (exact <= above + slack).all()


def test_traces_of_powers(seeded: torch.Generator):
    values = SPECTRA["flat"](N)
    density = spectral_density(
        kernel_of(values, seeded), generator=seeded, num_probes=60
    )
    for power in (1, 2, 3):
        found = density.trace(lambda v, power=power: v**power)
        exact = float((values**power).sum())
        assert found.value == pytest.approx(exact, abs=5.0 * found.standard_error)
        assert found.standard_error < 0.02 * exact
    assert density.trace(torch.ones_like).value == pytest.approx(N)


def test_curve_counts_all_eigenvalues(seeded: torch.Generator):
    values = torch.cat([
        torch.full((30,), 10.0),
        torch.full((50,), 0.1),
        torch.zeros(20),
    ]).double()
    kernel = kernel_of(values, seeded)
    density = spectral_density(kernel, generator=seeded, num_probes=40)
    places = torch.logspace(-3, 3, 301, dtype=torch.float64)
    curve = density.curve(places, width=0.1)
    step = math.log10(float(places[1] / places[0]))
    right = places > 1.0
    assert float(curve.per_decade[right].sum()) * step == pytest.approx(30, abs=4)
    assert float(curve.per_decade[~right].sum()) * step == pytest.approx(50, abs=4)
    assert curve.unresolved.value == pytest.approx(20, abs=4)
    assert float(curve.per_decade.max()) > 5 * float(curve.standard_errors.max())


@pytest.mark.parametrize("steps", [3, 8, 20])
@pytest.mark.parametrize("name", SPECTRA)
def test_counts_are_within_bounds_for_each_probe(
    name: str, steps: int, seeded: torch.Generator
):
    values = SPECTRA[name](N)
    kernel = kernel_of(values, seeded)
    state = seeded.get_state()
    density = spectral_density(kernel, generator=seeded, num_steps=steps, num_probes=3)
    seeded.set_state(state)
    probes = 2.0 * torch.randint(0, 2, (N, 3), generator=seeded).double() - 1.0
    shares = kernel.eigensystem.coefficients(probes).square()
    places = float(values[0]) * torch.logspace(-3.01, 0.1, 41, dtype=torch.float64)
    found = density.counts_above(places)
    exact = torch.stack([shares[values > place].sum(0).mean() for place in places])
    assert (found.lower <= exact + 1e-6).all()
    assert (exact <= found.upper + 1e-6).all()
    if name != "identity":  # a single node has nothing on either side
        assert float((found.upper - found.lower).min()) < N / 2


def test_counts_close_in_on_the_ranks(seeded: torch.Generator):
    values = SPECTRA["polynomial"](N)
    density = spectral_density(
        kernel_of(values, seeded), generator=seeded, num_probes=40
    )
    place = float(values[9] + values[10]) / 2.0
    found = density.counts_above(float64([place, 0.0, 2e3]))
    middle = float(found.lower[0] + found.upper[0]) / 2.0
    assert middle == pytest.approx(10, abs=4 * float(found.standard_errors[0]) + 1)
    assert found.upper[1] == pytest.approx(N)
    assert found.upper[2] <= float(density.gauss.weights[:, -1].mean()) + N / 10
    assert found.lower[2] == 0.0


def test_single_row(seeded: torch.Generator):
    kernel = DenseKernel(torch.full((1, 1), 3.0).double())
    density = spectral_density(kernel, generator=seeded)
    assert density.effective_dimension(1.0).value == pytest.approx(0.75)
    assert density.num_steps == 1


def test_wrong_settings_are_refused(seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["flat"](10), seeded)
    with pytest.raises(ConfigError, match="at least 2 probes"):
        spectral_density(kernel, generator=seeded, num_probes=1)
    density = spectral_density(kernel, generator=seeded)
    with pytest.raises(ConfigError, match="expected a positive number, got 0"):
        density.log_determinant(0.0)
    with pytest.raises(ConfigError, match="expected positive numbers"):
        density.curve(torch.zeros(1))


def test_two_probes_leave_no_error_beside_a_fitted_approximation(
    seeded: torch.Generator,
):
    kernel = kernel_of(SPECTRA["flat"](N), seeded)
    control = pivoted_cholesky(kernel, 5, generator=seeded)
    with pytest.raises(ConfigError, match="at least 3 probes"):
        spectral_density(kernel, generator=seeded, num_probes=2, approximation=control)
    found = spectral_density(
        kernel, generator=seeded, num_probes=3, approximation=control
    )
    assert found.log_determinant(1.0).standard_error > 1e-4
