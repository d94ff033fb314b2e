"""Lines of figures: how they are drawn, thinned, and scaled by powers of ten."""

from collections.abc import Sequence
from math import ceil, floor, log10
from typing import Any, TypeGuard

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from tangrid.reports.measures import is_number
from tangrid.reports.style import power_label, series_look

MAX_POINTS = 600
"""Points of one line; more cannot be told apart and make the page heavy."""

TICK_STEPS = [1, 2, 2.5, 5, 10]
"""What labels of an axis may be apart, times a power of ten."""

_LARGEST = 1e100
"""Numbers of a run that exploded; axes cannot be stretched to them."""

Points = Sequence[tuple[float, float]]


def is_drawable(value: object) -> TypeGuard[float]:
    """Return whether a number fits on an axis.

    Args:
        value: Any plain value.
    """
    return is_number(value) and abs(value) < _LARGEST


def is_positive(value: object) -> TypeGuard[float]:
    """Return whether a number fits on an axis of powers of ten.

    Args:
        value: Any plain value.
    """
    return is_number(value) and 1 / _LARGEST < value < _LARGEST


def thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return some of the points of a line, evenly, with the last one.

    Args:
        points: All points.
    """
    stride = max(1, ceil(len(points) / MAX_POINTS))
    # The last point is where the run ended, so the thinning counts from there.
    return points[::-1][::stride][::-1]


def draw_line(axes: Axes, points: Points, index: int, **look: Any) -> None:  # noqa: ANN401
    """Draw the line of one of the things compared; a single point becomes a dot.

    Args:
        axes: Where.
        points: The line.
        index: Place in the comparison, which gives the colour.
        look: What differs from the usual look.
    """
    xs, ys = zip(*points, strict=True)
    drawn = series_look(index) | look
    if len(points) == 1:
        drawn = {"marker": "o", "markersize": 4} | drawn
    axes.plot(xs, ys, **drawn)


def scale_log(axes: Axes, values: Sequence[float], *, side: str = "y") -> None:
    """Scale an axis by powers of ten, with few labels and at least one.

    Args:
        axes: Where.
        values: All numbers along that axis.
        side: ``x`` or ``y``.
    """
    slack = 1.6 if side == "y" else 1.06
    bottom, top = min(values) / slack, max(values) * slack
    low, high = ceil(log10(bottom)), floor(log10(top))
    # Less than a power of ten needs the one below, or there is no label at all.
    if high < low:
        low, bottom = high, 10.0**high
    stride = max(1, ceil((high - low + 1) / 6))
    ticks = [10.0**power for power in range(low, high + 1, stride)]
    if len(ticks) == 1:
        ticks = sorted({*ticks, *_between(bottom, top)})
    axis = axes.yaxis if side == "y" else axes.xaxis
    axes.set(**{f"{side}scale": "log", f"{side}lim": (bottom, top)})
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(_power_text))


def _between(bottom: float, top: float) -> list[float]:
    """Return twice and five times a power of ten between two numbers."""
    powers = range(floor(log10(bottom)), ceil(log10(top)))
    found = [digit * 10.0**power for power in powers for digit in (2, 5)]
    return [value for value in found if bottom <= value <= top]


def _power_text(value: float, _: int) -> str:
    exponent = floor(log10(value) + 1e-9)
    digit = round(value / 10.0**exponent)
    power = power_label(exponent)
    if digit == 1:
        return power
    return str(digit) if exponent == 0 else f"{digit}·{power}"


def plain_number(value: float, _: int | None = None) -> str:
    """Return a number of an axis.

    Args:
        value: The number.

    Example:
        >>> plain_number(0.5), plain_number(20_000.0)
        ('0.5', '20k')
    """
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:g}k"
    return f"{value:g}"
