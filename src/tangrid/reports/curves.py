"""Figures of runs: training curves and the error by spatial frequency."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from tangrid.reports.lines import (
    TICK_STEPS,
    draw_line,
    is_drawable,
    is_positive,
    plain_number,
    scale_log,
    thinned,
)
from tangrid.reports.markup import Html
from tangrid.reports.style import MUTED, new_axes, to_svg


@dataclass(frozen=True, kw_only=True)
class Series:
    """What one run logged, and the colour it has in the comparison."""

    name: str
    lines: Sequence[Mapping[str, Any]]
    index: int = 0
    final_psnr: float | None = None
    """PSNR of all test views at the end; none where nothing is measured in between."""


def training_curve(series: Sequence[Series], *, against: str) -> Html | None:
    """Draw the PSNR of training batches, or the loss where no PSNR was logged.

    Where test views were looked at in between, they are dots on a pale line.

    Args:
        series: What the runs logged.
        against: The horizontal axis: ``step`` or ``seconds``.

    Returns:
        The figure, or nothing if nothing was logged.
    """
    quantity = "psnr"
    drawn = [(run, _points(run.lines, against, quantity)) for run in series]
    if not any(points for _, points in drawn):
        quantity = "loss"
        drawn = [(run, _points(run.lines, against, quantity)) for run in series]
    drawn = [(run, points) for run, points in drawn if points]
    if not drawn:
        return None
    figure, axes = new_axes()
    has_tests = False
    for run, points in drawn:
        tests = _points(run.lines, against, "test_psnr") if quantity == "psnr" else []
        draw_line(axes, points, run.index, alpha=0.4 if tests else 1.0)
        _draw_tests(axes, run, tests, points[-1][0])
        has_tests |= bool(tests)
    is_time = against == "seconds"
    axes.set_xlabel("seconds of training" if is_time else "step")
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=TICK_STEPS, integer=not is_time))
    axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
    if quantity == "psnr":
        axes.set_ylabel("PSNR, dB" if has_tests else "PSNR of the batch, dB")
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=TICK_STEPS))
        axes.yaxis.set_major_formatter(FuncFormatter(plain_number))
    else:
        axes.set_ylabel("training loss")
        scale_log(axes, [y for _, points in drawn for _, y in points])
    names = ", ".join(dict.fromkeys(run.name for run, _ in drawn))
    words = "PSNR of training batches" if quantity == "psnr" else "Training loss"
    return to_svg(figure, f"{words} against {against}: {names}")


def frequency_error(
    frequencies: Sequence[tuple[str, int, Mapping[str, Any]]],
) -> Html | None:
    """Draw the power of the signal and of the error over spatial frequency.

    Args:
        frequencies: Name, colour index and the ``frequency`` entry of every run. The
            signal is taken from the first one.

    Returns:
        The figure, or nothing if no run has frequencies.
    """
    drawn = [
        (name, index, _spectrum(entry, "error_power"))
        for name, index, entry in frequencies
    ]
    drawn = [(name, index, points) for name, index, points in drawn if points]
    if not drawn:
        return None
    target = _spectrum(frequencies[0][2], "target_power")
    figure, axes = new_axes()
    if target:
        xs, ys = zip(*target, strict=True)
        axes.plot(xs, ys, color=MUTED, linewidth=1.2, linestyle=(0, (4, 2)))
    for _, index, points in drawn:
        draw_line(axes, points, index)
    every = [*target, *(point for _, _, points in drawn for point in points)]
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([0.002, 0.005, 0.02, 0.05, 0.2, 0.5]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
    low = min(x for x, _ in every)
    axes.set_xlim(low, max(0.5, *(x for x, _ in every)))
    axes.set_xlabel("cycles per pixel")
    axes.set_ylabel("power")
    scale_log(axes, [y for _, y in every])
    names = ", ".join(dict.fromkeys(name for name, _, _ in drawn))
    return to_svg(figure, f"Power of the signal and of the error by frequency: {names}")


def _draw_tests(
    axes: Axes, run: Series, tests: list[tuple[float, float]], end: float
) -> None:
    """Draw what test views gave while training went on, and all of them at the end."""
    if not tests:
        return
    draw_line(axes, tests, run.index, linewidth=1.0, marker="o", markersize=4)
    if is_drawable(run.final_psnr):
        draw_line(axes, [(end, run.final_psnr)], run.index, marker="D", markersize=5)


def _points(
    lines: Sequence[Mapping[str, Any]], against: str, quantity: str
) -> list[tuple[float, float]]:
    is_fine = is_positive if quantity == "loss" else is_drawable
    points = [
        (line[against], line[quantity])
        for line in lines
        if is_drawable(line.get(against)) and is_fine(line.get(quantity))
    ]
    return thinned(points)


def _spectrum(entry: Mapping[str, Any], quantity: str) -> list[tuple[float, float]]:
    pairs = zip(
        entry.get("cycles_per_pixel", ()), entry.get(quantity, ()), strict=False
    )
    return [(x, y) for x, y in pairs if is_positive(x) and is_positive(y)]
