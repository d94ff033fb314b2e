import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangrid.errors import ConfigError
from tangrid.tangent.generalisation.norm_rules import FixedNorm, NormGrid

MOVES = st.floats(min_value=0, max_value=1e30)


def test_fixed_ball_holds_or_says_nothing():
    rule = FixedNorm(2.0)
    assert rule.ball(1.5, 0.1) == (2.0, 0.1)
    assert rule.ball(2.0, 0.1) == (2.0, 0.1)
    assert rule.ball(2.1, 0.1) == (math.inf, 0.1)


@given(MOVES)
def test_ball_of_the_row_holds_the_parameters(moved: float):
    rule = NormGrid(smallest=0.5, ratio=1.25)
    radius, share = rule.ball(moved, 0.1)
    assert moved <= radius
    assert radius <= max(0.5, moved * 1.25 * (1 + 1e-9))
    assert 0 < share <= 0.05


@pytest.mark.parametrize("index", [0, 1, 2, 10, 100])
def test_edges_belong_to_the_smaller_ball(index: int):
    rule = NormGrid(smallest=1.0, ratio=2.0)
    assert rule.ball(2.0**index, 0.1)[0] == 2.0**index


def test_shares_add_up_to_no_more_than_delta():
    rule = NormGrid(smallest=1.0, ratio=2.0)
    shares = [rule.ball(2.0**index, 0.1)[1] for index in range(1000)]
    assert 0.099 < sum(shares) <= 0.1


@pytest.mark.parametrize("moved", [math.inf, math.nan])
def test_parameters_without_bounds_have_no_ball(moved: float):
    assert NormGrid().ball(moved, 0.1)[0] == math.inf
    assert FixedNorm(1.0).ball(moved, 0.1)[0] == math.inf


def test_bad_rules_are_refused():
    for radius in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ConfigError, match="above 0"):
            FixedNorm(radius)
    for smallest, ratio in ((0.0, 2.0), (1.0, 1.0), (1.0, math.inf)):
        with pytest.raises(ConfigError, match="ratio above 1"):
            NormGrid(smallest=smallest, ratio=ratio)
