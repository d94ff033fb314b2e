"""Figures of a tangent kernel that moves: its drift, its shares, the curves beside."""

from collections.abc import Callable, Iterable
from math import log10

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from tangrid.reports.kernel_curves import DASHES, DOTS
from tangrid.reports.lines import (
    TICK_STEPS,
    draw_line,
    is_drawable,
    is_positive,
    plain_number,
    scale_log,
)
from tangrid.reports.markup import Html
from tangrid.reports.style import new_axes, to_svg
from tangrid.runs.kernel_track import CurveName, KernelNumbers, KernelTrack

_MOST_TICKS = 7
_PERFECT_DB = 80.0
"""Beyond this, a curve says that nothing is left."""

Line = list[tuple[float, float]]
Number = Callable[[KernelNumbers], float | None]

KINDS = {"all": 0, "grid": 1}
"""Colour of each kernel."""
CURVES: dict[CurveName, tuple[int, dict[str, object]]] = {
    "linearised": (1, {"linestyle": DASHES}),
    "alone": (2, {}),
    "gradient-descent": (3, {"linestyle": DOTS}),
}
"""Colour and look of each curve beside the fit, which has the first colour."""


def relative_change(track: KernelTrack) -> Html | None:
    """Draw how far each kernel has moved, solid, and turned, dashed.

    Args:
        track: What was seen.

    Returns:
        The figure, or nothing if the kernels did not move.
    """
    looks: tuple[tuple[Number, dict[str, object]], ...] = (
        (lambda it: it.relative, {}),
        (lambda it: _turned(it.alignment), {"linestyle": DASHES, "linewidth": 1.2}),
    )
    figure, axes = new_axes()
    every: Line = []
    for kind in track.kinds:
        for value, look in looks:
            # What rounding leaves of a change of nothing is no change.
            line = [point for point in _line(track, kind, value) if point[1] > 1e-12]
            if line:
                draw_line(axes, line, KINDS.get(kind, 0), **look)
                every += line
    if not every:
        return None
    _scale_steps(axes, track)
    axes.set_ylabel("change")
    scale_log(axes, [y for _, y in every])
    return to_svg(figure, "Change of the tangent kernels since the start, by step")


def leading_angle(track: KernelTrack) -> Html | None:
    """Draw the angle between leading eigenspaces now and at the start.

    Args:
        track: What was seen.

    Returns:
        The figure, or nothing if no eigenspace is known.
    """
    figure, axes = new_axes()
    is_empty = True
    for kind in track.kinds:
        line = _line(track, kind, lambda it: it.leading_degrees)
        if line:
            is_empty = False
            draw_line(axes, line, KINDS.get(kind, 0))
    if is_empty:
        return None
    _scale_steps(axes, track)
    axes.set_ylim(0, 94)
    axes.yaxis.set_major_locator(FixedLocator([0, 30, 60, 90]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}°"))
    axes.set_ylabel("largest angle")
    return to_svg(figure, "Angle between the leading eigenspaces, by step")


def group_shares(track: KernelTrack) -> Html | None:
    """Draw the share of each group of parameters in the trace of the NTK.

    Args:
        track: What was seen.

    Returns:
        The figure, or nothing if there is only one group.
    """
    groups = share_groups(track)
    if len(groups) < 2:
        return None
    figure, axes = new_axes()
    for index, group in enumerate(groups):
        line = [(look.step, look.shares.get(group, 0.0)) for look in track.looks]
        draw_line(axes, line, index)
    _scale_steps(axes, track)
    axes.set_ylim(0, 1.04)
    axes.yaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
    axes.set_ylabel("share of the trace")
    return to_svg(figure, "Share of each group in the tangent kernel, by step")


def share_groups(track: KernelTrack) -> list[str]:
    """Return the groups that the kernel has parts of, in the order of the field.

    Args:
        track: What was seen.
    """
    return list(dict.fromkeys(group for look in track.looks for group in look.shares))


def beside_the_fit(track: KernelTrack) -> Html | None:
    """Draw the fit's error at the points beside the trainings at those points alone.

    Args:
        track: What was seen.

    Returns:
        The figure, or nothing if no error is known.
    """
    shown = _decibels if track.has_psnr else _positive
    measured = [(look.step, shown(look.mse)) for look in track.looks]
    figure, axes = new_axes()
    every: Line = []
    for name, (index, look) in CURVES.items():
        curve = track.curve(name)
        if curve is None:
            continue
        pairs = zip(curve.step, map(shown, curve.mse), strict=True)
        line = _kept(pairs)
        if line:
            draw_line(axes, line, index, **look)
            every += line
    line = _kept(measured)
    if not line:
        return None
    draw_line(axes, line, 0, marker="o", markersize=4)
    every += line
    _scale_steps(axes, track)
    if track.has_psnr:
        axes.set_ylabel("PSNR of the points, dB")
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=TICK_STEPS))
        axes.yaxis.set_major_formatter(FuncFormatter(plain_number))
    else:
        axes.set_ylabel("mean squared error")
        scale_log(axes, [y for _, y in every])
    return to_svg(figure, "The fit at the tracked points beside what was predicted")


def _turned(alignment: float | None) -> float | None:
    return None if alignment is None else 1 - alignment


def _decibels(mse: float | None) -> float | None:
    if mse is None or mse <= 0:
        return None
    return min(-10 * log10(mse), _PERFECT_DB)


def _positive(mse: float | None) -> float | None:
    return mse if is_positive(mse) else None


def _line(track: KernelTrack, kind: str, value: Number) -> Line:
    numbers = [(look.step, value(look.kernels[kind])) for look in track.looks]
    return _kept(numbers)


def _kept(points: Iterable[tuple[int, float | None]]) -> Line:
    return [(x, y) for x, y in points if y is not None and is_drawable(y)]


def _scale_steps(axes: Axes, track: KernelTrack) -> None:
    """Scale the horizontal axis by powers of ten from 1 on, with a place for 0."""
    last = max(look.step for look in track.looks)
    last = max(last, *(step for it in track.curves for step in it.step), 1)
    axes.set_xscale("symlog", linthresh=1, linscale=0.4)
    ticks = [0, *(10**power for power in range(len(str(last))) if 10**power <= last)]
    axes.xaxis.set_major_locator(FixedLocator(ticks[:_MOST_TICKS]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
    axes.set_xlim(-0.15, 1.15 * last)
    axes.set_xlabel("step")
