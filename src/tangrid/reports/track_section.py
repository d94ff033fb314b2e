"""The section of a fit whose tangent kernel was tracked while it was trained."""

from collections.abc import Callable

from tangrid.reports.kernel_words import listed, percent, short_number
from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.measures import MISSING
from tangrid.reports.page import captioned, fold, section
from tangrid.reports.tables import legend, scrolling
from tangrid.reports.track_curves import (
    CURVES,
    KINDS,
    beside_the_fit,
    group_shares,
    leading_angle,
    relative_change,
    share_groups,
)
from tangrid.runs.kernel_track import CurveName, KernelLook, KernelNumbers, KernelTrack

_NAMES = {"all": "NTK, of all parameters", "grid": "GTK, of the grid alone"}
_OPTIMIZERS = {"adam": "Adam", "gauss-newton": "Gauss-Newton"}
_COLUMNS: tuple[tuple[str, Callable[[KernelNumbers], object]], ...] = (
    ("Relative change", lambda it: it.relative),
    ("Best rescaling", lambda it: it.scale),
    ("Rest beside it", lambda it: it.rest),
    ("Alignment", lambda it: it.alignment),
    ("Trace ratio", lambda it: it.trace_ratio),
    ("Angle, °", lambda it: it.leading_degrees),
    ("of vectors", lambda it: it.num_leading or None),
    ("Largest eigenvalue", lambda it: it.largest),
    ("Largest stable rate", lambda it: it.largest_stable_rate),
    ("Effective rank", lambda it: it.effective_rank),
    ("Alignment with the residual", lambda it: it.residual_alignment),
)
_CHANGE_WORDS = (
    "Solid: norm of the change over the norm at the start. Dashed: 1 minus the cosine "
    "between both, which a mere rescaling leaves at 0."
)
_ANGLE_WORDS = (
    "Between the leading eigenvectors now and at the start: 0° is the same space, at "
    "90° one direction of it is wholly new."
)
_SHARE_WORDS = "What each group of parameters adds to the mean diagonal of the NTK."


def track_section(track: KernelTrack | None) -> Html | None:
    """Return how the tangent kernel of a fit moved.

    Args:
        track: What was seen; None if nothing was tracked.

    Returns:
        The section, or nothing if there was no look.
    """
    if track is None or not track.looks:
        return None
    return section(
        "How the tangent kernel moved",
        legend([(KINDS.get(it, 0), _NAMES.get(it, it)) for it in track.kinds]),
        tag("div", *_drift_figures(track), class_="figures few"),
        _beside(track),
        [
            fold(f"{_short(kind)} in numbers", _table(track, kind))
            for kind in track.kinds
        ],
        lead=_lead(track),
    )


def _lead(track: KernelTrack) -> str:
    where = f"{track.points:,} {track.how}"
    channels = ", mean over channels" if track.num_channels > 1 else ""
    return (
        f"The kernel of {track.values} at {where} (seed {track.seed}{channels}), "
        "compared with the same kernel before training. Were it to stay as it was, "
        "training would be that of a linear model. "
        f"Looking took {short_number(track.seconds)} s, which are no part of the time "
        "of training."
    )


def _drift_figures(track: KernelTrack) -> list[Html]:
    groups = share_groups(track)
    names = legend(list(enumerate(groups))) if len(groups) > 1 else None
    figures: tuple[tuple[str, Html | None, str, Child], ...] = (
        ("Change since the start", relative_change(track), _CHANGE_WORDS, None),
        ("Leading eigenspace", leading_angle(track), _ANGLE_WORDS, None),
        ("Who moves the values", group_shares(track), _SHARE_WORDS, names),
    )
    return [
        captioned(title, figure, tag("p", words, class_="key"), more)
        for title, figure, words, more in figures
        if figure is not None
    ]


def _beside(track: KernelTrack) -> Child:
    """Return the fit beside what the kernel at the start predicted."""
    figure = beside_the_fit(track)
    if figure is None:
        return None
    drawn: list[CurveName] = [name for name in CURVES if track.curve(name) is not None]
    names: list[tuple[int, Child]] = [(0, "the fit, measured (trained on all points)")]
    names += [(CURVES[name][0], _curve_name(track, name)) for name in drawn]
    refused = [
        tag(
            "p",
            f"No curve of {_curve_name(track, it.name)}: {it.refused}",
            class_="key",
        )
        for it in track.curves
        if it.refused
    ]
    return [
        tag("h3", "Predicted by the kernel at the start, and measured"),
        tag("p", _beside_words(track), class_="lead") if drawn else None,
        legend(names),
        tag(
            "div",
            captioned("Error at the tracked points", figure),
            class_="figures few",
        ),
        refused,
    ]


def _curve_name(track: KernelTrack, name: CurveName) -> str:
    optimizer = _OPTIMIZERS.get(track.optimizer, track.optimizer)
    if name == "linearised":
        return f"kernel held as at the start, {optimizer} on these points alone"
    if name == "alone":
        return f"the field itself, {optimizer} on these points alone"
    curve = track.curve(name)
    rate = "" if curve is None else f" (rate {short_number(curve.rate)})"
    return f"kernel held as at the start, plain gradient descent on these points{rate}"


def _beside_words(track: KernelTrack) -> str:
    ending = "on all its points; every other curve is of a training on "
    return (
        f"All curves are errors at the same {track.points:,} points. The fit itself is "
        f"trained {ending}these alone. Dashed: the field to first order in its "
        "parameters at the start, whose kernel never moves, trained by the recipe of "
        "the fit. Between it and the field itself on the same points lies what the "
        "motion of the kernel does; between that and the fit, what its other points "
        "do. Dotted: gradient descent at half the largest stable rate, in closed form."
    )


def _short(kind: str) -> str:
    return _NAMES.get(kind, kind).split(",", maxsplit=1)[0]


def _table(track: KernelTrack, kind: str) -> Html:
    head = [tag("th", "Step", scope="col")]
    head += [tag("th", name, scope="col", class_="number") for name, _ in _COLUMNS]
    if kind == "all":
        groups = share_groups(track)
        head += [tag("th", f"Share of {it}", scope="col") for it in groups]
    body = [_row(look, kind, share_groups(track)) for look in track.looks]
    table = tag("table", tag("thead", tag("tr", head)), tag("tbody", body))
    return scrolling(f"{listed([_short(kind)])} by step", table)


def _row(look: KernelLook, kind: str, groups: list[str]) -> Html:
    numbers = look.kernels[kind]
    cells = [_cell(value(numbers)) for _, value in _COLUMNS]
    if kind == "all":
        shares = [percent(look.shares.get(group, 0.0)) for group in groups]
        cells += [tag("td", share, class_="number") for share in shares]
    return tag("tr", tag("th", f"{look.step:,}", scope="row"), cells)


def _cell(value: object) -> Html:
    shown = MISSING if value is None else short_number(value)
    return tag("td", shown, class_="number")
