"""Scenes of a comparison: the same views of all models, and where they differ."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from tangrid.reports.entries import Entry
from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.page import captioned, fold
from tangrid.reports.per_view import MEASURES, PSNR, scores_of
from tangrid.reports.side_by_side import SideBySide
from tangrid.reports.tables import anchor, scrolling, swatch
from tangrid.reports.view_curves import Dots, view_plot

_SHOWN = tuple(measure for measure in MEASURES if measure.key != "psnr_8bit")
"""What stands below the name of a model."""

_LEAD = (
    "Below each render: its absolute error, the mean over the colour channels. What "
    "stands between the two is the PSNR of that view; the best of each row is bold."
)

_OPEN = 3
"""Views that are shown before the reader asks for more."""

Views = Mapping[str, float]
"""PSNR by name of the view."""


def view_pictures(entries: Sequence[Entry]) -> Child:
    """Return the test views of one scene, a column per model.

    Args:
        entries: The models that were fitted to it.

    Returns:
        The pictures, or nothing if there are none.
    """
    # The pictures are those of the first run, so these scores are too.
    own = {entry.index: _psnrs(entry, first_only=True) for entry in entries}

    def note(entry: Entry, name: str) -> Html | None:
        value = own[entry.index].get(name)
        if value is None:
            return None
        texts = [PSNR.format(it[name]) for it in own.values() if name in it]
        best = max(texts, key=float)
        text = PSNR.format(value)
        is_best = text == best and len(texts) > 1
        shown = tag("strong", text) if is_best else text
        return tag("span", shown, f" {PSNR.unit}", class_="under score")

    views = SideBySide(
        entries=entries,
        truth="Photograph",
        fit="Render",
        error="absolute error",
        measures=_SHOWN,
        note=note,
    )
    table = views.table("Test views side by side", slice(_OPEN))
    rest = views.table("More test views side by side", slice(_OPEN, None))
    depths = views.extra("Depths side by side", "depth", "Depth")
    if table is None:
        return None
    told = "Each picture goes from its nearest, bright, to its farthest thing."
    return [
        tag("p", _LEAD, class_="lead"),
        table,
        fold(f"More views: {len(views.names) - _OPEN}", rest) if rest else None,
        fold("Depth maps", tag("p", told, class_="lead"), depths) if depths else None,
    ]


def view_differences(entries: Sequence[Entry]) -> Child:
    """Return how models differ view by view.

    Args:
        entries: The models that were fitted to one scene.

    Returns:
        Plots and a table, or nothing if fewer than two models were judged by the same
        views.
    """
    psnrs = {entry.index: _psnrs(entry) for entry in entries}
    known = [entry for entry in entries if psnrs[entry.index]]
    if len(known) < 2:
        return None
    best = max(known, key=lambda entry: fmean(psnrs[entry.index].values()))
    names = list(psnrs[best.index])
    gaps = {
        entry.index: {
            name: value - psnrs[best.index][name]
            for name, value in psnrs[entry.index].items()
            if name in psnrs[best.index]
        }
        for entry in known
        if entry is not best
    }
    others = [entry for entry in known if gaps.get(entry.index)]
    if not others:
        return None
    return [
        _plots(psnrs, gaps, names, best.group.model) if len(names) > 1 else None,
        _gap_table(others, gaps, best.group.model),
    ]


def _psnrs(entry: Entry, *, first_only: bool = False) -> dict[str, float]:
    """Return the PSNR of every view, the mean over seeds unless only one is wanted."""
    runs = [run.metrics for run in entry.runs] or list(entry.group.rows)
    found: dict[str, list[float]] = {}
    for metrics in runs[:1] if first_only else runs:
        for view in scores_of(metrics):
            if (value := view.value(PSNR)) is not None:
                found.setdefault(view.name, []).append(value)
    return {name: fmean(values) for name, values in found.items()}


def _plots(
    psnrs: Mapping[int, Views],
    gaps: Mapping[int, Views],
    names: Sequence[str],
    best: str,
) -> Html:
    whole = view_plot(_dots(psnrs, names), "PSNR, dB", "PSNR of every test view")
    parts = view_plot(
        _dots(gaps, names),
        "difference, dB",
        f"PSNR of every test view minus that of {best}",
        level=0.0,
    )
    return tag(
        "div",
        captioned("PSNR of every test view", whole),
        captioned(f"The same, minus that of {best}", parts),
        class_="figures",
    )


def _dots(values: Mapping[int, Views], names: Sequence[str]) -> list[Dots]:
    places = {name: float(number) for number, name in enumerate(names, start=1)}
    return [
        Dots(
            points=[(places[name], it[name]) for name in places if name in it],
            index=index,
        )
        for index, it in values.items()
    ]


def _gap_table(
    entries: Sequence[Entry], gaps: Mapping[int, Views], best: str
) -> list[Html]:
    heads = ("Mean", "Smallest", "Largest", f"Views better than {best}")
    head = tag(
        "tr",
        tag("th", "Model", scope="col"),
        (tag("th", words, scope="col", class_="number") for words in heads),
    )
    rows = [_gap_row(entry, gaps[entry.index]) for entry in entries]
    body = tag("tbody", rows, class_="plain")
    words = f"PSNR minus that of {best}, whose mean is the highest, in dB."
    return [
        tag("p", words, class_="note"),
        scrolling("Differences", tag("table", tag("thead", head), body)),
    ]


def _gap_row(entry: Entry, gaps: Views) -> Html:
    worst, largest = (pick(gaps, key=lambda name: gaps[name]) for pick in (min, max))
    ahead = sum(gap > 0 for gap in gaps.values())
    name = anchor(entry.group.model, entry.link)
    return tag(
        "tr",
        tag("th", swatch(entry.index), name, scope="row", class_="name"),
        tag("td", _signed(fmean(gaps.values())), class_="number"),
        tag("td", _gap(gaps, worst), class_="number"),
        tag("td", _gap(gaps, largest), class_="number"),
        tag("td", f"{ahead} of {len(gaps)}", class_="number"),
    )


def _gap(gaps: Views, name: str) -> list[Child]:
    return [_signed(gaps[name]), tag("small", f" {name}")]


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")
