"""Figures of scenes: samples along rays while training, scores of single views."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from tangrid.reports.curves import Series, training_curve
from tangrid.reports.lines import (
    TICK_STEPS,
    Points,
    draw_line,
    is_drawable,
    is_positive,
    plain_number,
    scale_log,
    thinned,
)
from tangrid.reports.markup import Html, tag
from tangrid.reports.page import captioned
from tangrid.reports.style import MUTED, new_axes, series_look, to_svg

_MANY = 40
"""Dots from which they are drawn smaller."""


@dataclass(frozen=True, kw_only=True)
class Dots:
    """One number per test view, and the colour of the model that they are of."""

    points: Points
    """Number of the view, and the value."""
    index: int = 0


def scene_figures(series: Sequence[Series]) -> list[Html]:
    """Return the curves of scenes: PSNR by step and by time, samples per ray.

    Args:
        series: What the runs logged.
    """
    has_tests = any("test_psnr" in line for run in series for line in run.lines)
    words = "Faint: rays of training."
    words += " Dots: some test views meanwhile." if has_tests else ""
    if has_tests and any(run.final_psnr is not None for run in series):
        words += " Diamond: all test views at the end."
    key = tag("p", words, class_="key") if has_tests else None
    fall = "Falls as empty space becomes known: samples are taken elsewhere only."
    figures = (
        ("Training by step", training_curve(series, against="step"), key),
        ("Training by time", training_curve(series, against="seconds"), key),
        ("Samples per ray", samples_curve(series), tag("p", fall, class_="key")),
    )
    return [captioned(words, it, below) for words, it, below in figures if it]


def samples_curve(series: Sequence[Series]) -> Html | None:
    """Draw how many samples a ray takes while training goes on.

    Args:
        series: What the runs logged.

    Returns:
        The figure, or nothing if none of them logged it.
    """
    drawn = [
        (run, points)
        for run in series
        if (
            points := thinned([
                (line["step"], line["samples_per_ray"])
                for line in run.lines
                if is_drawable(line.get("step"))
                and is_positive(line.get("samples_per_ray"))
            ])
        )
    ]
    if not drawn:
        return None
    figure, axes = new_axes()
    for run, points in drawn:
        draw_line(axes, points, run.index)
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=TICK_STEPS, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
    axes.set_ylabel("samples per ray")
    scale_log(axes, [count for _, points in drawn for _, count in points])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(plain_number))
    names = ", ".join(dict.fromkeys(run.name for run, _ in drawn))
    return to_svg(figure, f"Samples per ray against step: {names}")


def view_plot(
    series: Sequence[Dots],
    label: str,
    words: str,
    *,
    level: float | None = None,
    has_stems: bool = False,
) -> Html:
    """Return a figure with a dot per test view.

    Args:
        series: The dots of every model; at least one has some.
        label: Name of the vertical axis.
        words: What it shows, for those who do not see it.
        level: Where a dashed line is drawn.
        has_stems: Whether dots hang on that line, unless they are many.
    """
    figure, axes = new_axes()
    most = max(len(dots.points) for dots in series)
    size = 4.5 if most <= _MANY else 2.6
    if level is not None:
        axes.axhline(level, color=MUTED, linewidth=1.0, linestyle=(0, (4, 2)))
    for dots in series:
        if not dots.points:
            continue
        colour = series_look(dots.index)["color"]
        xs, ys = zip(*dots.points, strict=True)
        # Stems of many dots would melt into one patch.
        if has_stems and level is not None and most <= _MANY:
            axes.vlines(xs, level, ys, color=colour, linewidth=1.0, alpha=0.5)
        axes.plot(xs, ys, color=colour, linestyle="none", marker="o", markersize=size)
    numbers = [x for dots in series for x, _ in dots.points]
    axes.set_xlim(min(numbers) - 0.6, max(numbers) + 0.6)
    axes.set_xlabel("test view")
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=TICK_STEPS, integer=True))
    axes.set_ylabel(label)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=TICK_STEPS))
    axes.yaxis.set_major_formatter(FuncFormatter(plain_number))
    return to_svg(figure, words)
