"""Figures of tangent kernels: eigenvalues, Fourier spectra, levels, and training."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from tangrid.reports.kernel_entries import Variant, number, numbers, section_of
from tangrid.reports.lines import (
    draw_line,
    is_drawable,
    is_positive,
    plain_number,
    scale_log,
    thinned,
)
from tangrid.reports.markup import Html
from tangrid.reports.style import new_axes, series_look, to_svg

DASHES = (0, (4, 2))
"""The second line of the same colour."""
DOTS = (0, (1, 2))
"""A line that marks a limit."""

_DIVERGED_DB = 5.0
"""So far below its beginning, training counts as lost."""
_PERFECT_DB = 80.0
"""Beyond this, a prediction says that nothing is left."""

_STEPS = [1, 2, 2.5, 5, 10]

Line = list[tuple[float, float]]


def eigenvalue_decay(
    variants: Sequence[Variant], kind: str, *, is_relative: bool = False
) -> Html | None:
    """Draw eigenvalues by their number, and what rounding leaves of small ones.

    Args:
        variants: What is compared.
        kind: Name of the kernel.
        is_relative: Whether each is divided by the largest of its kernel.

    Returns:
        The figure, or nothing if no eigenvalues are known.
    """
    drawn = []
    for variant in variants:
        for entry in variant.entries:
            kernel = entry.kernel(kind)
            line = _log_line(kernel, "eigenvalue_index", "eigenvalues")
            resolution = number(kernel, "summary", "resolution") or 0.0
            largest = max((y for _, y in line), default=1.0) if is_relative else 1.0
            line = [(x, y / largest) for x, y in line if is_positive(y / largest)]
            if line:
                drawn.append((variant.index, line, resolution / largest))
    if not drawn:
        return None
    figure, axes = new_axes()
    every = [point for _, line, _ in drawn for point in line]
    values = [y for _, y in every]
    last = max(x for x, _ in every)
    for index, line, resolution in drawn:
        draw_line(axes, thinned(line), index)
        # A limit that is far below would press the lines flat.
        if is_positive(resolution) and min(y for _, y in line) < 1e3 * resolution:
            values.append(resolution)
        if is_positive(resolution):
            look = {"linestyle": DOTS, "linewidth": 1.1}
            draw_line(axes, [(1, resolution), (last, resolution)], index, **look)
    _scale_numbers(axes, [x for x, _ in every])
    axes.set_xlabel("number of the eigenvalue")
    axes.set_ylabel("next to the largest" if is_relative else "eigenvalue")
    scale_log(axes, values)
    return to_svg(figure, f"Eigenvalues by their number: {_names(variants)}")


def spectra(
    variants: Sequence[Variant],
    kind: str,
    solid: tuple[str, str],
    dashed: tuple[str, str],
    *,
    num_channels: int = 1,
) -> Html | None:
    """Draw how strongly kernels pass each frequency, next to their mean diagonal.

    Args:
        variants: What is compared.
        kind: Name of the kernel.
        solid: Names of the frequencies and of the energies of the solid lines.
        dashed: The same of the dashed lines.
        num_channels: Channels of the signal; spectra are means over them.

    Returns:
        The figure, or nothing if nothing is known.
    """
    drawn: list[tuple[int, Line, Mapping[str, Any]]] = []
    for variant in variants:
        for entry in variant.entries:
            kernel = entry.kernel(kind)
            trace = number(kernel, "summary", "trace_per_point")
            scale = (trace or num_channels) / num_channels
            for names, look in ((solid, {}), (dashed, {"linestyle": DASHES})):
                line = _log_line(section_of(kernel, "spectrum"), *names)
                line = [(x, y / scale) for x, y in line if is_positive(y / scale)]
                if line:
                    thin = {"linewidth": 1.0} if look else {}
                    drawn.append((variant.index, line, {**look, **thin}))
    if not drawn:
        return None
    figure, axes = new_axes()
    for index, line, look in drawn:
        draw_line(axes, thinned(line), index, **look)
    _scale_numbers(axes, [x for _, line, _ in drawn for x, _ in line])
    axes.set_xlabel("cycles per side of the box")
    axes.set_ylabel("energy of a wave")
    scale_log(axes, [y for _, line, _ in drawn for _, y in line])
    return to_svg(figure, f"Energy of the kernel by frequency: {_names(variants)}")


def training_limits(variants: Iterable[Variant]) -> tuple[float, float] | None:
    """Return the PSNRs between which all curves lie, for figures side by side.

    Args:
        variants: What is compared.
    """
    entries = [entry for variant in variants for entry in variant.entries]

    def values(name: str) -> list[float]:
        return [y for entry in entries for _, y in _curve(entry["curve"], name)]

    expected = values("predicted_psnr")
    every = [*expected, *values("measured_psnr")]
    if not every:
        return None
    # Descent that diverges leaves the figure, or nothing else could be seen.
    lowest = min(expected or every[:1]) - _DIVERGED_DB
    low, high = max(min(every), lowest), min(max(every), _PERFECT_DB)
    slack = 0.04 * abs(high - low) or 1.0
    return low - slack, high + slack


def training_curves(variant: Variant, limits: tuple[float, float]) -> Html | None:
    """Draw training as the kernel predicts it, dashed, and as it went, solid.

    Args:
        variant: Whose training.
        limits: Ends of the vertical axis.

    Returns:
        The figure, or nothing if there is no curve.
    """
    figure, axes = new_axes()
    looks: list[tuple[str, dict[str, Any]]] = [
        ("measured_psnr", {}),
        ("predicted_psnr", {"linestyle": DASHES, "linewidth": 1.2}),
    ]
    is_empty = True
    for entry in variant.entries:
        for name, look in looks:
            line = _curve(entry["curve"], name)
            if line:
                is_empty = False
                draw_line(axes, thinned(line), variant.index, **look)
    if is_empty:
        return None
    axes.set_ylim(*limits)
    axes.set_xlabel("steps of gradient descent")
    axes.set_ylabel("PSNR of the points, dB")
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=_STEPS, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=_STEPS))
    axes.yaxis.set_major_formatter(FuncFormatter(plain_number))
    return to_svg(figure, f"Training of {variant.label}: predicted and measured PSNR")


def level_shares(levels: Mapping[int, Sequence[Mapping[int, float]]]) -> Html | None:
    """Draw the share of a kernel's trace that each level of a grid carries.

    Args:
        levels: For each place in the comparison, a share by level for every seed.

    Returns:
        The figure, or nothing if no grid has two levels.
    """
    drawn = [
        (index, sorted(shares.items()))
        for index, seeds in levels.items()
        for shares in seeds
        if len(shares) > 1
    ]
    if not drawn:
        return None
    figure, axes = new_axes()
    for index, line in drawn:
        look = series_look(index) | {"marker": "o", "markersize": 3}
        axes.plot(*zip(*line, strict=True), **look)
    axes.set_xlabel("level, from coarse to fine")
    axes.set_ylabel("share of the trace")
    axes.set_ylim(0, 1.08 * max(share for _, line in drawn for _, share in line) or 1)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    shown: Callable[[float, int], str] = lambda y, _: f"{100 * y:g} %"  # noqa: E731
    axes.yaxis.set_major_formatter(FuncFormatter(shown))
    return to_svg(figure, "Share of the kernel's trace by level of the grid")


def _names(variants: Iterable[Variant]) -> str:
    return ", ".join(variant.label for variant in variants)


def _log_line(values: Mapping[str, Any], across: str, up: str) -> Line:
    pairs = zip(numbers(values, across), numbers(values, up), strict=False)
    return [(x, y) for x, y in pairs if is_positive(x) and is_positive(y)]


def _curve(values: object, name: str) -> Line:
    if not isinstance(values, Mapping):
        return []
    pairs = zip(numbers(values, "step"), numbers(values, name), strict=False)
    return [(x, y) for x, y in pairs if is_drawable(x) and is_drawable(y)]


def _scale_numbers(axes: Axes, values: Sequence[float]) -> None:
    """Scale the horizontal axis by powers of ten, with numbers people say."""
    scale_log(axes, values, side="x")
    low, high = min(values), max(values)
    ticks = [
        digit * 10.0**power
        for power in range(-3, 7)
        for digit in (1, 2, 5)
        if low <= digit * 10.0**power <= high
    ]
    if len(ticks) > 7:
        ticks = [tick for tick in ticks if f"{tick:g}".strip("0.") == "1"]
    if ticks:
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
