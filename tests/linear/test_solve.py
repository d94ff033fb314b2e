"""Exact solutions are those of dense linear algebra, and say how exact they are."""

import math
import warnings
from functools import partial
from itertools import pairwise

import pytest
import torch

from tangrid.errors import ConfigError, NumericalError, NumericalWarning, ShapeError
from tangrid.linear import solve, sparse_design
from tangrid.linear.solve import TOLERANCE, RidgeRule, Stage
from tests.linear.small_problems import (
    CONFIGS,
    NUM_POINTS,
    all_trained,
    least_loss,
    small_data,
    small_field,
    small_system,
)
from tests.tolerances import EXACT_SOLUTION, STORED_SOLUTION

GRIDS = ("dense", "hashed")

least_squares = partial(solve.least_squares, threads=1)
"""Systems are so small that several threads would wait for each other most of the time;
one test below is about two."""


COARSE = {"iterated": 0, "split": 30, "direct": 2**15}
"""How many columns of a grid are solved for directly: none, the first level, all."""
CASES = [
    *(f"dense-{way}" for way in COARSE),
    "hashed-split",
    *(name for name in CONFIGS if name not in GRIDS),
]


@pytest.fixture(params=CASES)
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A field, a grid's with every share of its columns solved for directly."""
    name, _, way = request.param.rpartition("-")
    if way not in COARSE:
        return request.param
    monkeypatch.setattr(sparse_design, "_LARGEST_COARSE", {2: COARSE[way]})
    return name


@pytest.mark.parametrize("ridge", [0.1, 3.0])
def test_weights_are_those_of_the_dense_system(name: str, ridge: float):
    field, (coords, values) = small_field(name), small_data()
    matrix, targets = small_system(name)
    gram = matrix.T @ matrix + ridge * torch.eye(matrix.shape[1]).double()
    wanted = torch.linalg.solve(gram, matrix.T @ targets)
    # Rows that no point reads keep nothing: a ridge draws them to 0.
    solution = least_squares(field, coords, values, ridge=ridge, tolerance=1e-9)
    error = (all_trained(field) - wanted).norm() / wanted.norm()
    assert float(error) < EXACT_SOLUTION
    mse = float((targets - matrix @ wanted).square().mean())
    assert solution.mse == pytest.approx(mse, rel=EXACT_SOLUTION)
    assert solution.rule == "given"
    assert not solution.path


def test_without_noise_of_a_ridge_it_is_least_squares(name: str):
    field, (coords, values) = small_field(name), small_data()
    matrix, targets = small_system(name)
    # Far below the squares of what counts, far above those of float32's rounding.
    solution = least_squares(field, coords, values, ridge=1e-7, tolerance=1e-10)
    assert solution.mse == pytest.approx(least_loss(matrix, targets), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        *((case, "gcv") for case in CASES),
        *((case, "holdout") for case in CASES if case != "frozen-decoder"),
        # No small ridge does worse at held-out points, and each takes longer.
        pytest.param("frozen-decoder", "holdout", marks=pytest.mark.slow),
    ],
    indirect=["name"],
)
def test_the_gradient_is_what_it_says(name: str, rule: RidgeRule):
    field, (coords, values) = small_field(name), small_data()
    matrix, targets = small_system(name)
    solution = least_squares(field, coords, values, ridge=rule)
    assert solution.normal_residual <= TOLERANCE
    kept = all_trained(field)
    pulled = matrix.T @ targets
    gradient = matrix.T @ (targets - matrix @ kept) - solution.ridge * kept
    found = float(gradient.norm() / pulled.norm())
    assert abs(found - solution.stored_residual) < STORED_SOLUTION
    if name in GRIDS:
        assert solution.stored_residual <= TOLERANCE
    # All that rounding to float32 can add.
    rounding = 2.0**-24 * kept.norm() * torch.linalg.matrix_norm(matrix, 2) ** 2
    most = solution.normal_residual + float(rounding / pulled.norm())
    assert solution.stored_residual <= most
    with torch.no_grad():
        mse = float((field(coords) - values).square().mean())
    assert solution.mse == pytest.approx(mse, rel=1e-4)


def test_scores_are_those_of_the_whole_smoother(name: str):
    field, (coords, values) = small_field(name), small_data()
    matrix, targets = small_system(name)
    solution = least_squares(field, coords, values)
    # Of coupled channels the points are values, else every channel has the same share.
    channels = 1 if name == "frozen-decoder" else 3
    count = len(targets) / channels
    is_exact = name.startswith("features")
    for trial in solution.path[::3]:
        values_of = torch.linalg.svdvals(matrix).square()
        trace = float((values_of / (values_of + trial.ridge)).sum()) / channels
        gram = matrix.T @ matrix + trial.ridge * torch.eye(matrix.shape[1]).double()
        left = targets - matrix @ torch.linalg.solve(gram, matrix.T @ targets)
        mse = float(left.square().mean())
        # Signs at a few hundred points; more points are more exact.
        slack = 1e-6 * trace if is_exact else 4 * math.sqrt(2 * trace)
        assert abs(trial.effective_parameters - trace) < slack
        assert trial.mse == pytest.approx(mse, rel=1e-3)
        score = trial.mse / (1 - trial.effective_parameters / count) ** 2
        assert trial.score == pytest.approx(score)


@pytest.mark.parametrize("rule", ["gcv", "holdout"])
def test_the_ridge_is_better_than_those_beside_it_on_new_points(rule: RidgeRule):
    coords, values = small_data(4000)
    field = small_field("dense")
    chosen = least_squares(field, coords[:NUM_POINTS], values[:NUM_POINTS], ridge=rule)
    assert chosen.is_inside

    def new_error(ridge: float) -> float:
        least_squares(field, coords[:NUM_POINTS], values[:NUM_POINTS], ridge=ridge)
        with torch.no_grad():
            found = field(coords[NUM_POINTS:])
        return float((found - values[NUM_POINTS:]).square().mean())

    best = new_error(chosen.ridge)
    assert best < new_error(chosen.ridge / 100)
    assert best < new_error(chosen.ridge * 100)


@pytest.mark.parametrize("name", ["dense", "hashed", "frozen-decoder"])
def test_more_iterations_never_leave_a_larger_loss(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sparse_design, "_LARGEST_COARSE", {2: 0})
    coords, values = small_data()
    matrix, targets = small_system(name)
    losses = []
    for most in range(12):
        field = small_field(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NumericalWarning)
            least_squares(field, coords, values, ridge=0.01, max_iterations=most)
        kept = all_trained(field)
        left = targets - matrix @ kept
        losses.append(float(left.square().sum() + 0.01 * kept.square().sum()))
    assert losses[0] == pytest.approx(float(targets.square().sum()))
    for before, after in pairwise(losses):
        assert after <= before * (1 + EXACT_SOLUTION)
    assert losses[-1] < 0.1 * losses[0]


def test_a_solution_that_stops_early_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sparse_design, "_LARGEST_COARSE", {2: 0})
    with pytest.warns(NumericalWarning, match="after 2 iterations with the ridge"):
        found = least_squares(
            small_field("dense"), *small_data(), ridge=0.01, max_iterations=2
        )
    assert not found.converged
    assert least_squares(small_field("dense"), *small_data(), ridge=0.01).converged


def test_every_ridge_is_solved_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sparse_design, "_LARGEST_COARSE", {2: 0})
    coords, values = small_data()
    smooth = values.mean(0).expand_as(values).contiguous()
    path = least_squares(small_field("hashed"), coords, smooth).path
    assert min(trial.iterations for trial in path) > 0
    assert all(a.mse > b.mse for a, b in pairwise(path))


@pytest.mark.parametrize("name", ["dense", "features"])
def test_nothing_to_fit_leaves_no_gradient(name: str):
    coords, values = small_data()
    found = least_squares(small_field(name), coords, 0 * values, ridge=0.1)
    assert found.normal_residual == 0


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_numbers_that_are_not_finite_are_refused(bad: float):
    coords, values = small_data()
    spoilt = values.clone()
    spoilt[3, 1] = bad
    with pytest.raises(NumericalError, match=r"values=...\): expected finite"):
        least_squares(small_field("dense"), coords, spoilt)
    spoilt = coords.clone()
    spoilt[3, 1] = bad
    with pytest.raises(NumericalError, match=r"coords=...\): expected finite"):
        least_squares(small_field("dense"), spoilt, values)


def test_gradient_descent_ends_where_the_solution_is():
    coords, values = small_data()
    field, ridge = small_field("dense"), 0.3
    matrix, targets = small_system("dense")
    gram = matrix.T @ matrix + ridge * torch.eye(matrix.shape[1]).double()
    rate = 1 / float(torch.linalg.eigvalsh(gram)[-1])
    weights = torch.zeros(matrix.shape[1]).double()
    for _ in range(3000):
        weights += rate * (matrix.T @ targets - gram @ weights)
    least_squares(field, coords, values, ridge=ridge, tolerance=1e-9)
    error = (all_trained(field) - weights).norm() / weights.norm()
    assert float(error) < EXACT_SOLUTION


def test_it_tells_how_it_goes_and_ends_when_told():
    coords, values = small_data()
    stages: list[Stage] = []
    least_squares(small_field("dense"), coords, values, watch=stages.append)
    steps = [stage.iterations for stage in stages]
    assert steps == sorted(steps)
    fractions = [stage.fraction for stage in stages]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0

    def stop(stage: Stage) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        least_squares(small_field("dense"), coords, values, watch=stop)


def test_the_same_seed_gives_the_same_field():
    coords, values = small_data()
    fields = [small_field("hashed") for _ in range(2)]
    for field in fields:
        least_squares(field, coords, values, seed=3, threads=2)
    assert torch.equal(all_trained(fields[0]), all_trained(fields[1]))


@pytest.mark.parametrize("ridge", [0.0, -1.0, math.inf, math.nan, "loocv"])
def test_a_ridge_is_a_number_above_0_or_a_rule(ridge: float | str):
    coords, values = small_data()
    with pytest.raises(ConfigError, match="expected a number above 0, 'gcv'"):
        least_squares(small_field("dense"), coords, values, ridge=ridge)  # pyright: ignore[reportArgumentType]


def test_points_and_values_belong_together():
    coords, values = small_data()
    field = small_field("dense")
    with pytest.raises(ShapeError, match=r"coords=...\): expected shape \[n, 2\]"):
        least_squares(field, coords[:, :1], values)
    with pytest.raises(ShapeError, match=r"values=...\): expected shape \[300, 3\]"):
        least_squares(field, coords, values[:, :1])


def test_a_field_without_parameters_is_refused():
    coords, values = small_data()
    field = small_field("dense").requires_grad_(False)
    with pytest.raises(ConfigError, match="of which none is trained"):
        least_squares(field, coords, values)
