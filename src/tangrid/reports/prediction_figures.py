"""Figures of a prediction: the ranking, curves, spectra, and what came true."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from tangrid.reports.kernel_curves import DASHES
from tangrid.reports.kernel_entries import number, section_of
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
from tangrid.reports.prediction_entries import Candidate, Prediction, curve_line
from tangrid.reports.style import MUTED, SERIES, new_axes, to_svg

_WIDTH = 5.2
_HEIGHT_OF_ROW = 0.24
_LONGEST = 40

Line = list[tuple[float, float]]


def ranking_chart(prediction: Prediction) -> Html | None:
    """Draw what is predicted of every candidate, the best on top, with its error.

    Args:
        prediction: What is predicted.

    Returns:
        The figure, or nothing if no candidate has a place.
    """
    ranked = prediction.ranked
    if not ranked:
        return None
    figure, axes = new_axes()
    figure.set_size_inches(_WIDTH, 0.75 + _HEIGHT_OF_ROW * max(len(ranked), 3))
    every: list[float] = []
    for place, candidate in enumerate(ranked):
        value = prediction.value(candidate, "predicted")
        spread = prediction.spread(candidate) or 0.0
        if not is_drawable(value):
            continue
        low, high = value - spread, value + spread
        if not prediction.is_psnr:
            low = max(low, value / 10)
        colour = SERIES[candidate.index % len(SERIES)]
        axes.plot([low, high], [place, place], color=colour, linewidth=1.6)
        axes.plot([value], [place], "o", color=colour, markersize=5)
        every += [low, high]
        alone = prediction.value(candidate, "initial")
        if is_drawable(alone) and (prediction.is_psnr or alone > 0):
            look = {"color": colour, "markersize": 4, "markerfacecolor": "none"}
            axes.plot([alone], [place], "D", **look)
            every.append(alone)
    names = [_short(candidate.label) for candidate in ranked]
    axes.set_ylim(len(ranked) - 0.4, -0.6)
    axes.yaxis.set_major_locator(FixedLocator(range(len(ranked))))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: names[round(y)]))
    axes.set_xlabel(f"{prediction.name}, {prediction.unit}")
    if prediction.is_psnr:
        _plain(axes, "x")
    else:
        scale_log(axes, every, side="x")
    room = 0.42 / figure.get_figheight()
    figure.subplots_adjust(bottom=room, top=0.97)
    return to_svg(figure, f"Candidates by {prediction.name}: {', '.join(names)}")


def predicted_curves(prediction: Prediction) -> Html | None:
    """Draw the predicted training curves of the best candidates.

    Solid is the error elsewhere by cross-validation, dashed that of the points.

    Args:
        prediction: What is predicted.

    Returns:
        The figure, or nothing if no curve is known.
    """
    figure, axes = new_axes()
    every: Line = []
    for candidate in prediction.drawn:
        for name, look in (
            ("test_mse", {}),
            ("train_mse", {"linestyle": DASHES, "linewidth": 1.0}),
        ):
            line = curve_line(candidate, prediction, name)
            if line:
                draw_line(axes, line, candidate.index, **look)
                every += line
    if not every:
        return None
    _scale(axes, prediction, every)
    return to_svg(figure, "Predicted training of the best candidates, by step")


def both_curves(prediction: Prediction, candidate: Candidate) -> Html | None:
    """Draw the training that was predicted, dashed, and that of a fit, solid.

    Args:
        prediction: What is predicted.
        candidate: Whose.

    Returns:
        The figure, or nothing if the fit logged no PSNR.
    """
    curve = section_of(candidate.measured, "curve")
    steps, values = curve.get("steps"), curve.get("psnr")
    if not isinstance(steps, list) or not isinstance(values, list):
        return None
    pairs = zip(steps, values, strict=False)
    measured = [(x, y) for x, y in pairs if is_positive(x) and is_drawable(y)]
    if not measured or not prediction.is_psnr:
        return None
    figure, axes = new_axes()
    expected = curve_line(candidate, prediction, "train_mse")
    expected = [point for point in expected if point[0] <= measured[-1][0]]
    draw_line(axes, thinned(measured), candidate.index)
    every = [*measured, *expected]
    if expected:
        look = {"linestyle": DASHES, "linewidth": 1.2}
        draw_line(axes, expected, candidate.index, **look)
    _scale(axes, prediction, every)
    return to_svg(figure, f"Training of {candidate.label}: predicted and measured")


def scatter(prediction: Prediction) -> Html | None:
    """Draw what fits reached over what was predicted of them.

    Args:
        prediction: What is predicted.

    Returns:
        The figure, or nothing if no candidate was trained.
    """
    points = [
        (candidate, prediction.value(candidate, "predicted"), measured)
        for candidate in prediction.ranked
        if is_drawable(measured := number(candidate.measured, "score"))
    ]
    drawn = [(it, x, y) for it, x, y in points if is_drawable(x)]
    if not drawn:
        return None
    figure, axes = new_axes()
    for candidate, x, y in drawn:
        colour = SERIES[candidate.index % len(SERIES)]
        marker = "os^D"[candidate.index // len(SERIES) % 4]
        axes.plot([x], [y], marker, color=colour, markersize=5.5)
    axes.set_xlabel(f"{prediction.name}, {prediction.unit}")
    if prediction.is_psnr:
        axes.set_ylabel("measured PSNR, dB")
        low = min(min(x, y) for _, x, y in drawn) - 0.5
        high = max(max(x, y) for _, x, y in drawn) + 0.5
        axes.plot([low, high], [low, high], color=MUTED, linewidth=0.8)
        axes.set(xlim=(low, high), ylim=(low, high))
        _plain(axes, "x")
        _plain(axes, "y")
    else:
        axes.set_ylabel("mean error of the fit, box sides")
        scale_log(axes, [x for _, x, _ in drawn], side="x")
        scale_log(axes, [y for _, _, y in drawn])
    return to_svg(figure, "What fits reached over what was predicted of them")


def spectra(prediction: Prediction) -> Html | None:
    """Draw how strongly the untouched kernels pass each frequency.

    Args:
        prediction: What is predicted.

    Returns:
        The figure, or nothing if no spectrum is known.
    """
    drawn: list[tuple[int, Line]] = []
    for candidate in prediction.drawn:
        spectrum = section_of(candidate.row, "diagnostics", "spectrum")
        energies = spectrum.get("rayleigh", ())
        pairs = list(zip(spectrum.get("frequency", ()), energies, strict=False))
        whole = sum(y for _, y in pairs if is_positive(y))
        line = [(x, y / whole) for x, y in pairs if is_positive(x) and is_positive(y)]
        if line:
            drawn.append((candidate.index, line))
    if not drawn:
        return None
    figure, axes = new_axes()
    for index, line in drawn:
        draw_line(axes, line, index)
    axes.set_xlabel("cycles per side of the box")
    axes.set_ylabel("share of a wave")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    scale_log(axes, [y for _, line in drawn for _, y in line])
    return to_svg(figure, "Energy of the untouched kernels by frequency")


def ridge_paths(prediction: Prediction) -> Html | None:
    """Draw leave-one-out errors, solid, and generalised ones, dashed, over ridges.

    Args:
        prediction: What is predicted.

    Returns:
        The figure, or nothing if no path is known.
    """
    figure, axes = new_axes()
    every: Line = []
    for candidate in prediction.drawn:
        ridges = section_of(candidate.row, "diagnostics", "ridges")
        for name, look in (
            ("leave_one_out_mse", {}),
            ("cross_validation_mse", {"linestyle": DASHES, "linewidth": 1.0}),
        ):
            line = _path(prediction, ridges.get("share"), ridges.get(name))
            if line:
                draw_line(axes, line, candidate.index, **look)
                every += line
    if not every:
        return None
    scale_log(axes, [x for x, _ in every], side="x")
    axes.set_xlabel("ridge, in mean eigenvalues")
    _scale_errors(axes, prediction, every)
    return to_svg(figure, "Cross-validated errors of the untouched kernels by ridge")


def _path(prediction: Prediction, shares: object, errors: object) -> Line:
    if not isinstance(shares, Sequence) or not isinstance(errors, Sequence):
        return []
    shown = [(x, prediction.of_mse(y)) for x, y in zip(shares, errors, strict=False)]
    return [(x, y) for x, y in shown if y is not None and is_positive(x)]


def _scale(axes: Axes, prediction: Prediction, every: Line) -> None:
    """Scale a figure of training: steps by powers of ten."""
    last = max(x for x, _ in every)
    axes.set_xscale("log")
    ticks = [10**power for power in range(len(str(int(last)))) if 10**power <= last]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
    axes.set_xlim(1, last * 1.1)
    axes.set_xlabel("step")
    _scale_errors(axes, prediction, every)


def _scale_errors(axes: Axes, prediction: Prediction, every: Line) -> None:
    if prediction.is_psnr:
        axes.set_ylabel("PSNR, dB")
        _plain(axes, "y")
    else:
        axes.set_ylabel("error, box sides")
        scale_log(axes, [y for _, y in every])


def _plain(axes: Axes, side: str) -> None:
    axis = axes.yaxis if side == "y" else axes.xaxis
    axis.set_major_locator(MaxNLocator(6, steps=TICK_STEPS))
    axis.set_major_formatter(FuncFormatter(plain_number))


def _short(label: str) -> str:
    return label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…"
