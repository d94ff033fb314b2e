"""Scores of single test views: plots and a table that stay short however many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.measures import QUALITY, Measure, is_number
from tangrid.reports.page import captioned, fold, section
from tangrid.reports.tables import scrolling
from tangrid.reports.view_curves import Dots, view_plot

FEW = 12
"""Views that are all shown; of more, the worst, the middle and the best."""

MEASURES = tuple(
    measure
    for measure in QUALITY
    if measure.key in ("psnr", "psnr_8bit", "ssim", "lpips")
)
"""What single views are judged by."""

PSNR = MEASURES[0]

_NUM_WORST, _NUM_BEST = 5, 3


@dataclass(frozen=True, kw_only=True)
class ViewScores:
    """The scores of one test view."""

    number: int
    """Its place among all test views, from 1."""
    name: str
    scores: Mapping[str, Any]

    def value(self, measure: Measure) -> float | None:
        """Return one of its scores, if it is known.

        Args:
            measure: Which score.
        """
        value = self.scores.get(measure.key)
        return value if is_number(value) else None


def scores_of(metrics: Mapping[str, Any]) -> list[ViewScores]:
    """Return the scores of all test views.

    Args:
        metrics: Entries of ``metrics.json``; ``per_view`` has a row per view.
    """
    return [
        ViewScores(number=number, name=str(row.get("view") or number), scores=row)
        for number, row in enumerate(metrics.get("per_view") or (), start=1)
    ]


def known_measures(views: Sequence[ViewScores]) -> list[Measure]:
    """Return the measures that any view has.

    Args:
        views: Scores of views.
    """
    return [it for it in MEASURES if any(view.value(it) is not None for view in views)]


def score_words(scores: Mapping[str, Any]) -> list[str]:
    """Return the main scores of one view in words.

    Args:
        scores: Its row of ``per_view``, or its entry in ``pictures.json``.

    Example:
        >>> score_words({"psnr": 31.5, "psnr_8bit": 31.4, "ssim": 0.97})
        ['31.50 dB', 'SSIM 0.9700']
    """
    known = [it for it in MEASURES if is_number(scores.get(it.key))]
    return [
        f"{it.text(scores)} {it.unit}" if it.unit else f"{it.label} {it.text(scores)}"
        for it in known
        if it.key != "psnr_8bit"
    ]


def view_score_section(metrics: Mapping[str, Any]) -> Html | None:
    """Return the scores of every test view.

    Args:
        metrics: Entries of ``metrics.json``.

    Returns:
        The section, or nothing if no view was judged.
    """
    views = scores_of(metrics)
    if not views:
        return None
    shown = [it for it in known_measures(views) if it.key != "psnr_8bit"]
    plots = [
        captioned(f"{measure.label} of every test view", plot)
        for measure in shown
        if (plot := _plot(views, measure)) is not None
    ]
    lead = "Dashed: the mean. Views are numbered in the order of the data set."
    return section(
        "View by view",
        tag("div", plots, class_="figures") if plots else None,
        _tables(views),
        lead=lead if plots else None,
    )


def _plot(views: Sequence[ViewScores], measure: Measure) -> Html | None:
    points = [
        (float(view.number), value)
        for view in views
        if (value := view.value(measure)) is not None
    ]
    # One dot says nothing that the tile does not say.
    if len(points) < 2:
        return None
    mean = fmean(value for _, value in points)
    words = f"{measure.label} of every test view"
    label = f"{measure.label}, {measure.unit}" if measure.unit else measure.label
    return view_plot([Dots(points=points)], label, words, level=mean, has_stems=True)


def _tables(views: Sequence[ViewScores]) -> Child:
    if len(views) <= FEW:
        return _table(views, {None: views})
    ranked = sorted(views, key=lambda view: view.value(PSNR) or 0.0)
    middle = ranked[len(ranked) // 2]
    blocks: dict[str | None, Sequence[ViewScores]] = {
        "The worst": ranked[:_NUM_WORST],
        "In the middle": [middle],
        "The best": ranked[-_NUM_BEST:],
    }
    return [
        _table(views, blocks),
        fold(f"All {len(views)} views", _table(views, {None: views})),
    ]


def _table(
    views: Sequence[ViewScores], blocks: Mapping[str | None, Sequence[ViewScores]]
) -> Html:
    measures = known_measures(views)
    labels = [f"{it.label}, {it.unit}" if it.unit else it.label for it in measures]
    head = tag(
        "tr",
        tag("th", "No.", scope="col", class_="number"),
        tag("th", "View", scope="col"),
        (tag("th", label, scope="col", class_="number") for label in labels),
    )
    columns = len(measures) + 2
    bodies = []
    for title, members in blocks.items():
        name = tag("th", title, colspan=columns, scope="rowgroup") if title else None
        block = tag("tr", name, class_="block") if name else None
        rows = [_row(view, measures) for view in members]
        bodies.append(tag("tbody", block, rows, class_="plain"))
    table = tag("table", tag("thead", head), bodies, class_="per-view")
    return scrolling("Scores of test views", table)


def _row(view: ViewScores, measures: Sequence[Measure]) -> Html:
    return tag(
        "tr",
        tag("td", str(view.number), class_="number"),
        tag("th", view.name, scope="row"),
        (tag("td", it.text(view.scores), class_="number") for it in measures),
    )
