import math

import pytest
import torch

from tangrid.training.gauss_newton_solver import damped_step, next_damping
from tests.tolerances import LINEAR_MODEL_BY_ITERATION, PREDICTED_FALL


def problem(rows: int = 40, columns: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(0)
    jacobian = torch.randn(rows, columns, generator=source, dtype=torch.float64)
    residuals = torch.randn(rows, generator=source, dtype=torch.float64)
    return jacobian * torch.logspace(0, -1, columns), residuals


@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_a_step_solves_the_damped_equations(damping: float):
    jacobian, residuals = problem()
    matrix, right = jacobian.T @ jacobian, jacobian.T @ residuals
    scales = matrix.diagonal()
    found = damped_step(matrix.mv, right, scales, damping, 100)
    expected = torch.linalg.solve(matrix + damping * scales.diag(), right)
    assert torch.allclose(found.step, expected, rtol=0, atol=LINEAR_MODEL_BY_ITERATION)
    assert found.iterations <= 2 * len(right)


@pytest.mark.parametrize("iterations", [1, 3, 100])
def test_the_expected_fall_is_that_of_the_quadratic_however_far_it_came(
    iterations: int,
):
    jacobian, residuals = problem()
    matrix, right = jacobian.T @ jacobian, jacobian.T @ residuals
    found = damped_step(matrix.mv, right, matrix.diagonal(), 0.1, iterations)
    left = residuals - jacobian @ found.step
    fall = residuals.square().sum() - left.square().sum()
    assert found.expected_fall == pytest.approx(fall.item(), rel=PREDICTED_FALL)


def test_more_iterations_fall_farther():
    jacobian, residuals = problem()
    matrix, right = jacobian.T @ jacobian, jacobian.T @ residuals
    falls = [
        damped_step(matrix.mv, right, torch.ones(12).double(), 0.0, n).expected_fall
        for n in (1, 2, 4, 8)
    ]
    assert falls == sorted(falls)
    assert len(set(falls)) == len(falls)


def test_nothing_moves_where_nothing_is_to_gain():
    found = damped_step(lambda v: v, torch.zeros(3), torch.ones(3), 1.0, 10)
    assert not found.step.any()
    assert found.iterations == 0
    assert found.expected_fall == 0


@pytest.mark.parametrize(
    ("gain", "factor"),
    [(-1.0, 8), (math.nan, 8), (0.0, 8), (0.1, 4), (0.5, 1), (0.9, 1 / 3), (2, 1 / 3)],
)
def test_damping_follows_the_gain_ratio(gain: float, factor: float):
    assert next_damping(0.6, gain) == pytest.approx(0.6 * factor)


def test_damping_has_bounds():
    assert next_damping(1e-8, 1.0) == 1e-8
    assert next_damping(1e8, -1.0) == 1e8
