"""Shapes of a comparison: every view and slice with all models side by side."""

from collections.abc import Callable, Sequence

from tangrid.reports.entries import Entry
from tangrid.reports.markup import Child, Html, join, tag
from tangrid.reports.measures import MISSING, QUALITY, Measure
from tangrid.reports.pictures import Picture, colour_bar, embed_small
from tangrid.reports.results import best_of
from tangrid.reports.shape_views import (
    SLICES,
    VIEWS,
    how_to_read_slices,
    is_shape,
    unit_of_lengths,
    views_of,
)
from tangrid.reports.tables import anchor, scrolling, swatch

_SHOWN = tuple(measure for measure in QUALITY if measure.key in ("iou", "nae"))
"""What stands below the name of a model."""

Caption = Callable[[Entry], Child]


def shape_pictures(entries: Sequence[Entry]) -> Child:
    """Return the views and slices of one shape, a column per model.

    Args:
        entries: The models that were fitted to it.

    Returns:
        The pictures, or nothing if there are none.
    """
    views, slices = _view_rows(entries), _slice_rows(entries)
    metrics = next((run.metrics for entry in entries for run in entry.runs), {})
    shown: list[Child] = []
    if views:
        lead = "Below each fit: its distance to the true surface, in colours. "
        head = _head(entries, lambda entry: _quality(entry, entries))
        shown += [
            tag("p", lead, unit_of_lengths(metrics), class_="lead"),
            _table("Views side by side", entries, head, views),
        ]
    if slices:
        first = next(entry for entry in entries if is_shape(entry.pictures))
        shown += [
            tag("h3", "Distance field"),
            tag("p", how_to_read_slices(first.pictures), class_="lead"),
            _table(
                "Slices side by side", entries, _head(entries, lambda _: None), slices
            ),
        ]
    return shown or None


def _table(
    label: str, entries: Sequence[Entry], head: Html, rows: Sequence[Html]
) -> Html:
    columns = f"--columns:{len(entries) + 1}"
    table = tag(
        "table", head, tag("tbody", rows), class_="crops models shapes", style=columns
    )
    return scrolling(label, table)


def _head(entries: Sequence[Entry], caption: Caption) -> Html:
    models = [
        tag(
            "th",
            tag("b", swatch(entry.index), anchor(entry.group.model, entry.link)),
            caption(entry),
            scope="col",
        )
        for entry in entries
    ]
    truth = tag("th", tag("b", "Truth"), scope="col")
    return tag("thead", tag("tr", tag("th"), truth, models))


def _quality(entry: Entry, entries: Sequence[Entry]) -> Html | None:
    words = [
        tag("span", _number(entry, entries, measure), class_="whole")
        for measure in _SHOWN
        if entry.group.mean(measure) is not None
    ]
    separated = [child for word in words for child in (" · ", word)][1:]
    return tag("span", separated, class_="under") if words else None


def _number(entry: Entry, entries: Sequence[Entry], measure: Measure) -> Html:
    text = measure.format(entry.group.mean(measure))
    is_best = text == best_of([other.group for other in entries], measure)
    shown = tag("strong", text) if is_best else text
    return join([shown, measure.unit] if measure.unit else [f"{measure.label} ", shown])


def _view_rows(entries: Sequence[Entry]) -> list[Html]:
    scales = {
        entry.pictures.get("error_scale")
        for entry in entries
        if is_shape(entry.pictures)
    }
    is_shared = len(scales) == 1
    rows = []
    for name in _names(entries, VIEWS):
        fits = _cells(entries, VIEWS, name, "fit")
        truth = _truth(entries, VIEWS, name)
        if truth is None and not any(fits):
            continue
        errors = _cells(entries, VIEWS, name, "error")
        cells = [_cell(truth, f"Truth, {name}"), *_fit_cells(entries, fits, name)]
        label = tag("th", name, scope="row")
        rows.append(tag("tr", label, cells, class_="new-group"))
        if any(errors):
            rows.append(_error_row(entries, errors, name, is_shared=is_shared))
    return rows


def _error_row(
    entries: Sequence[Entry],
    errors: Sequence[Picture | None],
    name: str,
    *,
    is_shared: bool,
) -> Html:
    cells = [
        _cell(
            picture,
            f"Error of {entry.group.model}, {name}",
            None if is_shared else colour_bar(entry.pictures),
        )
        for entry, picture in zip(entries, errors, strict=True)
    ]
    pictures = next(it.pictures for it in entries if is_shape(it.pictures))
    bar = colour_bar(pictures) if is_shared else None
    key = tag("p", "distance to the true surface", class_="key") if bar else None
    return tag("tr", tag("th", "error", scope="row"), tag("td", bar, key), cells)


def _slice_rows(entries: Sequence[Entry]) -> list[Html]:
    rows = []
    for name in _names(entries, SLICES):
        fits = _cells(entries, SLICES, name, "fit")
        truth = _truth(entries, SLICES, name)
        if truth is None and not any(fits):
            continue
        cells = [_cell(truth, f"Truth, {name}"), *_fit_cells(entries, fits, name)]
        rows.append(tag("tr", tag("th", name, scope="row"), cells))
    return rows


def _names(entries: Sequence[Entry], part: str) -> list[str]:
    """Return the names of all views, in the order of the runs."""
    found = [view.name for it in entries for view in views_of(it.pictures, part)]
    return list(dict.fromkeys(found))


def _cells(
    entries: Sequence[Entry], part: str, name: str, kind: str
) -> list[Picture | None]:
    return [_picture(entry, part, name, kind) for entry in entries]


def _truth(entries: Sequence[Entry], part: str, name: str) -> Picture | None:
    """Return the true shape, as the first run shows it that has it."""
    found = (_picture(entry, part, name, "target") for entry in entries)
    return next((picture for picture in found if picture is not None), None)


def _picture(entry: Entry, part: str, name: str, kind: str) -> Picture | None:
    views = [view for view in views_of(entry.pictures, part) if view.name == name]
    path = views[0].path(entry.runs[0].folder, kind) if views else None
    return embed_small(path) if path is not None else None


def _fit_cells(
    entries: Sequence[Entry], fits: Sequence[Picture | None], name: str
) -> list[Html]:
    return [
        _cell(picture, f"Fit of {entry.group.model}, {name}")
        for entry, picture in zip(entries, fits, strict=True)
    ]


def _cell(picture: Picture | None, words: str, below: Child = None) -> Html:
    if picture is None:
        return tag("td", tag("span", MISSING, class_="missing"))
    return tag("td", picture.img(words), below)
