"""The path of ridges finds the least score, or says that it lies at the edge."""

import math

import pytest

from tangrid.linear.ridge_path import RidgeTrial, gcv, ridge_path


def bowl(bottom: float, asked: list[float]):
    def evaluate(ridge: float) -> RidgeTrial:
        asked.append(ridge)
        return RidgeTrial(ridge, math.log(ridge / bottom) ** 2, 0.0, 0.0)

    return evaluate


@pytest.mark.parametrize("bottom", [1e-5, 0.3, 2.0, 1e4])
def test_a_parabola_is_met_at_its_bottom(bottom: float):
    asked: list[float] = []
    path = ridge_path(bowl(bottom, asked), scale=1.0)
    assert path.is_inside
    assert path.ridge == pytest.approx(bottom)
    assert sorted(asked, reverse=True) == [trial.ridge for trial in path.trials]


@pytest.mark.parametrize("slope", [1.0, -1.0])
def test_a_score_without_a_bottom_ends_at_the_edge(slope: float):
    path = ridge_path(
        lambda ridge: RidgeTrial(ridge, slope * math.log(ridge), 0.0, 0.0), scale=1.0
    )
    assert not path.is_inside
    edge = path.trials[-1] if slope > 0 else path.trials[0]
    assert path.ridge == edge.ridge


def test_nothing_is_left_where_all_points_are_used_up():
    assert gcv(0.1, 100.0, 100) == math.inf
    assert gcv(0.1, 50.0, 100) == pytest.approx(0.4)
