"""The section of a fit that was solved exactly: how exactly, and with which ridge."""

from collections.abc import Mapping
from typing import Any

from matplotlib.ticker import LogLocator, NullLocator

from tangrid.reports.lines import draw_line, is_positive, scale_log
from tangrid.reports.markup import Html, tag
from tangrid.reports.measures import MISSING, is_number
from tangrid.reports.page import captioned, section
from tangrid.reports.style import MUTED, new_axes, to_svg

_RULES = {
    "gcv": "chosen by generalised cross-validation",
    "holdout": "chosen by a tenth of the points, held out for that",
    "given": "given",
}
_SCORES = {"gcv": "GCV", "holdout": "held-out squared error"}


def exact_section(metrics: Mapping[str, Any]) -> Html | None:
    """Return how the parameters of a field were solved for.

    Args:
        metrics: The numbers of the run.

    Returns:
        The section, or nothing if the field was trained step by step.
    """
    record = metrics.get("exact")
    if not isinstance(record, Mapping):
        return None
    figure = _figure(record)
    drawn = [captioned(_caption(record), figure)] if figure else []
    return section(
        "Exact solution",
        tag("div", _table(record), drawn, class_="columns"),
        lead=f"The model is linear in what is trained: {_claim(record)} What is left "
        "of the gradient is given as a share of that at parameters of 0, in float64 "
        "and as the field stores them.",
    )


def _claim(record: Mapping[str, Any]) -> str:
    if record.get("converged") is False:
        return (
            "the optimum of the squared error with a ridge was looked for, but the "
            "solver stopped before the gradient was as small as asked for."
        )
    return (
        "these parameters are the optimum of the squared error with a ridge, not the "
        "end of a descent."
    )


def _table(record: Mapping[str, Any]) -> Html:
    rule = _RULES.get(str(record.get("rule")), MISSING)
    rows = (
        ("Ridge", f"{_number(record, 'ridge', '.3g')}, {rule}"),
        ("Gradient that is left", _number(record, "normal_residual", ".1e")),
        ("The same as stored", _number(record, "stored_residual", ".1e")),
        ("Effective parameters", _number(record, "effective_parameters", ",.0f")),
        ("Iterations", _number(record, "iterations", ",d")),
        ("Iterations for all ridges", _number(record, "all_iterations", ",d")),
        ("Seconds", _number(record, "seconds", ".1f")),
    )
    body = [tag("tr", tag("th", name, scope="row"), tag("td", it)) for name, it in rows]
    return tag("table", tag("tbody", body))


def _number(record: Mapping[str, Any], key: str, form: str) -> str:
    value = record.get(key)
    return format(value, form) if is_number(value) else MISSING


def _caption(record: Mapping[str, Any]) -> str:
    words = (
        "Score of the ridges that were tried; the line is the one that was taken. The "
        "curves above pass them from right to left and end at the line, which is for "
        "new points and not for the fitted ones."
    )
    if record.get("is_inside") is False:
        words += " The least lies at the edge: the points ask for none, or for more."
    return words


def _figure(record: Mapping[str, Any]) -> Html | None:
    path = record.get("path")
    trials = path if isinstance(path, list) else []
    points = [
        (trial["ridge"], trial["score"])
        for trial in trials
        if is_positive(trial.get("ridge")) and is_positive(trial.get("score"))
    ]
    if len(points) < 2:
        return None
    figure, axes = new_axes()
    draw_line(axes, points, 0, marker="o", markersize=3)
    score = _SCORES.get(str(record.get("rule")), "score")
    axes.set(xscale="log", xlabel="ridge", ylabel=score)
    axes.xaxis.set_major_locator(LogLocator(10, numticks=7))
    axes.xaxis.set_minor_locator(NullLocator())
    scale_log(axes, [y for _, y in points])
    if is_positive(record.get("ridge")):
        axes.axvline(record["ridge"], color=MUTED, linewidth=1)
    return to_svg(figure, f"{score} over the ridge")
