import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangrid.reports.lines import MAX_POINTS, draw_line, scale_log, thinned
from tangrid.reports.style import new_axes


@given(st.integers(0, 5 * MAX_POINTS))
def test_thinning_keeps_the_end(count: int):
    points = [(float(index), 0.0) for index in range(count)]
    kept = thinned(points)
    assert len(kept) <= MAX_POINTS
    assert kept[-1:] == points[-1:]
    assert set(kept) <= set(points)


@pytest.mark.parametrize("side", ["x", "y"])
@pytest.mark.parametrize("values", [[3.0], [1e-30, 1e30], [0.02, 0.03], [1.0, 600.0]])
def test_axes_of_powers_hold_the_numbers_and_have_labels(
    side: str, values: list[float]
):
    _, axes = new_axes()
    draw_line(axes, [(value, value) for value in values], 0)
    scale_log(axes, values, side=side)
    low, high = axes.get_xlim() if side == "x" else axes.get_ylim()
    assert low <= min(values)
    assert high >= max(values)
    axis = axes.xaxis if side == "x" else axes.yaxis
    assert 1 <= sum(low <= tick <= high for tick in axis.get_majorticklocs()) <= 6
