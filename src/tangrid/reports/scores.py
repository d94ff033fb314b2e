"""Numbers of a run with what each of them is, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tangrid.reports.markup import Html, tag
from tangrid.reports.measures import Measure
from tangrid.reports.tables import scrolling


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number and what it is."""

    measure: Measure
    words: str


Blocks = Mapping[str, Sequence[Score]]
"""Scores by the title above them."""


def score_table(metrics: Mapping[str, Any], blocks: Blocks) -> Html | None:
    """Return numbers with their definitions.

    Args:
        metrics: Entries of ``metrics.json``; what it has no entry for is left out.
        blocks: Which numbers, in which order.

    Returns:
        The table, or nothing if it has none of them.
    """
    shown = [
        _block(title, known, metrics)
        for title, scores in blocks.items()
        if (known := [score for score in scores if score.measure.key in metrics])
    ]
    if not shown:
        return None
    head = tag(
        "tr",
        tag("th", "Measure", scope="col"),
        tag("th", "Value", scope="col", class_="number"),
        tag("th", "What it is", scope="col"),
    )
    table = tag("table", tag("thead", head), shown, class_="quantities scores")
    return scrolling("Scores", table)


def _block(title: str, scores: Sequence[Score], metrics: Mapping[str, Any]) -> Html:
    head = tag("tr", tag("th", title, colspan=3, scope="rowgroup"), class_="block")
    rows = [_row(score, metrics) for score in scores]
    return tag("tbody", head, rows, class_="plain")


def _row(score: Score, metrics: Mapping[str, Any]) -> Html:
    measure = score.measure
    way = {1: "higher is better", -1: "lower is better"}.get(measure.better)
    unit = tag("small", f" {measure.unit}") if measure.unit else None
    return tag(
        "tr",
        tag("th", measure.label, tag("small", way) if way else None, scope="row"),
        tag("td", measure.text(metrics), unit, class_="number"),
        tag("td", score.words, class_="words"),
    )
