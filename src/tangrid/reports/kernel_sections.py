"""Sections of figures on the page of tangent kernels, each with how to read it."""

from collections.abc import Sequence

from tangrid.reports.curves import Series, training_curve
from tangrid.reports.kernel_curves import (
    eigenvalue_decay,
    spectra,
    training_curves,
    training_limits,
)
from tangrid.reports.kernel_entries import (
    ALL,
    Analysis,
    Variant,
    kernel_name,
    number,
    numbers,
    section_of,
    text,
)
from tangrid.reports.kernel_numbers import Quantity, quantity_table, share_cell
from tangrid.reports.kernel_table import Block, Row, comparison_table
from tangrid.reports.kernel_theorems import drift_rows
from tangrid.reports.kernel_words import listed, over_seeds, percent, short_number
from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.measures import MISSING
from tangrid.reports.page import captioned, fold, section
from tangrid.reports.tables import legend

_SPECTRUM_LEAD = (
    "How strongly a kernel answers a wave of each frequency, as a share of its mean "
    "diagonal. What is high is learned fast; a line that falls steeply belongs to a "
    "model that learns smooth shapes first and detail late."
)
_EIGENVALUE_LEAD = (
    "One step of gradient descent shrinks the error along each eigenvector in "
    "proportion to its eigenvalue. A flat line learns everything at one speed; a steep "
    "one leaves its tail for last. What lies below the dotted line, where that is in "
    "sight, cannot be told from rounding."
)
_TRAINING_LEAD = (
    "Gradient descent on all points at once. The dashed line is computed from the "
    "kernel before the first step alone; the solid one is the model itself. They part "
    "where the kernel moves, and the drift says how far it moved."
)
_FIT_WORDS = (
    "What the runs logged on batches of their own. Their steps are not those of "
    "gradient descent: an optimiser that scales every gradient has another kernel."
)


def _names(variants: Sequence[Variant]) -> Html:
    return legend([(it.index, it.label) for it in variants])


def spectrum_section(analysis: Analysis) -> Html | None:
    """Return the Fourier spectra of all kernels.

    Args:
        analysis: What was found.

    Returns:
        The section, or nothing if there is none.
    """
    rows = [
        [tag("h3", kernel_name(kind)), figures]
        for kind in analysis.kinds
        if (figures := _spectrum_figures(analysis, kind)) is not None
    ]
    if not rows:
        return None
    table = quantity_table("Spectra in numbers", analysis, _quantities(analysis))
    return section(
        "Fourier spectrum",
        _names(analysis.variants),
        rows,
        [tag("h3", "In numbers"), table] if table else None,
        lead=[_SPECTRUM_LEAD, _lattice(analysis)],
    )


def _lattice(analysis: Analysis) -> str | None:
    side = number(analysis.kernel, "lattice", "side")
    if side is None:
        return None
    return f" Measured on a lattice of {side:g} points a side."


def _spectrum_figures(analysis: Analysis, kind: str) -> Html | None:
    variants = analysis.having(kind)
    channels = number(analysis.kernel, "signal", "num_channels")
    shown = []
    for title, solid, dashed, words in _SPECTRA:
        figure = spectra(variants, kind, solid, dashed, num_channels=int(channels or 1))
        if figure is not None:
            shown.append(captioned(title, figure, tag("p", words, class_="key")))
    return tag("div", shown, class_="figures few") if shown else None


_SPECTRA = (
    (
        "All directions",
        ("frequency", "rayleigh"),
        ("frequency", "rayleigh_hann"),
        (
            "Dashed: the same with waves that fade out at the border, where those cut "
            "off add a tail of their own."
        ),
    ),
    (
        "Along axes and diagonals",
        ("axis_frequency", "axis"),
        ("diagonal_frequency", "diagonal"),
        (
            "Solid: along the axes. Dashed: along the diagonals. Where they part, "
            "detail in one direction is learned sooner."
        ),
    ),
    (
        "A single row, as in the papers",
        ("frequency", "row"),
        ("frequency", "row_magnitude"),
        (
            "Solid: the row of the middle point. Dashed: mean over many rows. For a "
            "grid, a row depends on where in its cell the point lies."
        ),
    ),
)
"""Title, solid line, dashed line and how to read it."""


def _quantities(analysis: Analysis) -> list[Quantity]:
    highs = {
        number(it.first.kernel(kind), "spectrum", "high")
        for it in analysis.variants
        for kind in analysis.kinds
    } - {None}
    above = f"{highs.pop():g} cycles a side" if len(highs) == 1 else "half the highest"
    return [
        Quantity(
            path=("spectrum", "high_share"),
            label="Share of high frequencies",
            words=f"energy of waves at or above {above}",
            show=share_cell,
        ),
        Quantity(
            path=("spectrum", "nonstationarity"),
            label="Non-stationarity",
            words="0: every wave is an eigenvector, as for a filter; 1: none is",
        ),
    ]


def eigenvalue_section(analysis: Analysis) -> Html | None:
    """Return how the eigenvalues of all kernels decay.

    Args:
        analysis: What was found.

    Returns:
        The section, or nothing if there are none.
    """
    plans = [(kind, kernel_name(kind), False) for kind in analysis.kinds]
    plans.insert(1, (ALL, "NTK, next to the largest: slopes compare", True))
    figures = [
        captioned(title, figure)
        for kind, title, is_relative in plans
        if (
            figure := eigenvalue_decay(
                analysis.having(kind), kind, is_relative=is_relative
            )
        )
        is not None
    ]
    if not figures:
        return None
    return section(
        "Eigenvalues",
        _names(analysis.variants),
        tag("div", figures, class_="figures few"),
        lead=_EIGENVALUE_LEAD,
    )


def training_section(analysis: Analysis) -> Html | None:
    """Return training as the kernels predict it and as it went, with the drift.

    Args:
        analysis: What was found.

    Returns:
        The section, or nothing if there is no curve.
    """
    limits = training_limits(analysis.variants)
    if limits is None:
        return None
    figures = [
        captioned(
            tag("b", it.label), figure, tag("p", _training_words(it), class_="key")
        )
        for it in analysis.variants
        if (figure := training_curves(it, limits)) is not None
    ]
    return section(
        "Training: predicted and measured",
        tag("div", figures, class_="figures few"),
        fold("Rates, ends and drift", _training_table(analysis.variants)),
        _fit_figure(analysis.variants),
        lead=_TRAINING_LEAD,
    )


def _fit_figure(variants: Sequence[Variant]) -> Child:
    """Return how the fits went that left the models as they are."""
    series = []
    for it in variants:
        for entry in it.entries:
            logged = section_of(entry.values, "fit", "curve")
            pairs = zip(numbers(logged, "step"), numbers(logged, "psnr"), strict=False)
            lines = [{"step": step, "psnr": psnr} for step, psnr in pairs]
            series.append(Series(name=it.label, lines=lines, index=it.index))
    figure = training_curve(series, against="step")
    if figure is None:
        return None
    fitted = [it for it in variants if section_of(it.first.values, "fit")]
    methods = dict.fromkeys(text(it.first.values, "fit", "optimizer") for it in fitted)
    by = f"by {listed(list(methods))}" if all(methods) else "of the runs"
    return [
        tag("h3", f"The fits themselves, {by}"),
        tag("p", _FIT_WORDS, class_="lead"),
        _names(fitted),
        tag("div", captioned("Training by step", figure), class_="figures few"),
    ]


def _training_words(variant: Variant) -> list[Child]:
    curve = section_of(variant.first.values, "curve")
    rate = number(curve, "rate")
    words = [f"Rate {short_number(rate)}"] if rate is not None else []
    said = text(curve, "rate_words")
    if said and words:
        words = [f"{words[0]}, {said}"]
    gap = number(curve, "largest_gap_db")
    if gap is not None:
        words.append(f"largest gap {short_number(gap, 2)} dB")
    drift = number(curve, "drift", "relative")
    if drift is not None:
        is_small = drift < 1
        moved = percent(drift) if is_small else f"{short_number(drift)} times its norm"
        words.append(f"the kernel moved by {moved}")
    measured = numbers(curve, "measured_psnr")
    if not measured:
        words.append("nothing was measured")
    elif measured[-1] is None:
        words.append("descent diverged")
    return ["; ".join(words), "." if words else None]


def _ends(variant: Variant, name: str) -> list[float]:
    """Return the last number of a curve of every seed."""
    found = (section_of(entry.values, "curve").get(name) for entry in variant.entries)
    ends = (curve[-1] for curve in found if isinstance(curve, list) and curve)
    return [end for end in ends if isinstance(end, (int, float))]


def _training_table(variants: Sequence[Variant]) -> Html | None:
    quantities = (
        (("curve", "rate"), "Learning rate", "of half the sum of squares"),
        (("curve", "largest_gap_db"), "Largest gap, dB", "of the two curves"),
    )
    ends = [
        Row(
            label=f"Last {name}, dB",
            words=None,
            cells=[over_seeds(_ends(it, f"{name}_psnr"), 4) for it in variants],
        )
        for name in ("predicted", "measured")
    ]
    rows = [
        Row(
            label=label,
            words=words,
            cells=[over_seeds(it.numbers(*path)) for it in variants],
        )
        for path, label, words in quantities
    ]
    every = [rows[0], *ends, *rows[1:], *drift_rows(variants, ("curve", "drift"))]
    known = [row for row in every if any(cell != [MISSING] for cell in row.cells)]
    return comparison_table("Training in numbers", variants, [Block(rows=known)])
