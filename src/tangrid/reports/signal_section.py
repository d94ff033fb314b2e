"""One signal of a comparison: pictures, details and curves of all models."""

from collections.abc import Sequence

from tangrid.reports.curves import Series, frequency_error, training_curve
from tangrid.reports.entries import Entry
from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.measures import MISSING, QUALITY
from tangrid.reports.page import captioned, curve_row, section
from tangrid.reports.pictures import (
    Place,
    colour_bar,
    embed_crop,
    embed_small,
    place_mark,
    signal_size,
    worst_places,
)
from tangrid.reports.results import best_of
from tangrid.reports.shape_comparison import shape_pictures
from tangrid.reports.shape_words import is_shape
from tangrid.reports.tables import anchor, legend, scrolling, swatch
from tangrid.reports.view_comparison import view_differences, view_pictures
from tangrid.reports.view_curves import scene_figures
from tangrid.reports.view_protocol import is_scene

NUM_PLACES = 3
"""Places per signal that are shown enlarged."""


def signal_section(signal: str, entries: Sequence[Entry], anchor_name: str) -> Html:
    """Return all that a comparison shows of one signal.

    Args:
        signal: Name of the signal.
        entries: The models that were fitted to it.
        anchor_name: Name that links lead to.
    """
    names = legend([(entry.index, entry.group.model) for entry in entries])
    gaps = view_differences(entries) if _is_scene(entries) else None
    curves = _curves(entries)
    return tag(
        "div",
        section(
            signal,
            _pictures(entries) or tag("p", "There are no pictures.", class_="missing"),
            [tag("h3", "View by view"), names, gaps] if gaps else None,
            [tag("h3", "Curves"), names, curves] if curves else None,
            lead=_lead(entries),
        ),
        id=anchor_name,
    )


def _lead(entries: Sequence[Entry]) -> str | None:
    several = max((len(entry.runs) for entry in entries), default=0) > 1
    if not several:
        return None
    seed = entries[0].group.rows[0].get("seed", 0)
    return f"Pictures are those of seed {seed}; curves are those of every seed."


def _is_scene(entries: Sequence[Entry]) -> bool:
    return any(is_scene(run) for entry in entries for run in entry.runs)


def _pictures(entries: Sequence[Entry]) -> Child:
    if any(is_shape(entry.pictures) for entry in entries):
        return shape_pictures(entries)
    if _is_scene(entries):
        return view_pictures(entries)
    strip = _strip(entries)
    return [strip, _details(entries)] if strip else None


def _strip(entries: Sequence[Entry]) -> Html | None:
    first = next((entry for entry in entries if entry.pictures), None)
    target = embed_small(first.runs[0].folder / "target.png") if first else None
    if first is None or target is None:
        return None
    marks = [
        place_mark(place, str(number))
        for number, place in enumerate(_places(entries), start=1)
    ]
    size = signal_size(first.pictures) or (target.width, target.height)
    sides = " \N{MULTIPLICATION SIGN} ".join(str(side) for side in size)
    scales = {entry.pictures.get("error_scale") for entry in entries if entry.pictures}
    is_shared = len(scales) == 1
    original = captioned(
        [tag("b", "Original"), tag("span", sides, class_="under")],
        tag("div", target.img("The original"), marks, class_="framed"),
        [colour_bar(first.pictures), tag("p", "absolute error", class_="key")]
        if is_shared
        else None,
    )
    cells = [_strip_cell(entry, entries, with_scale=not is_shared) for entry in entries]
    return tag("div", original, cells, class_="strip")


def _strip_cell(
    entry: Entry, entries: Sequence[Entry], *, with_scale: bool
) -> Html | None:
    fitted_file, error_file = entry.file("reconstruction.png"), entry.file("error.png")
    fitted = embed_small(fitted_file) if fitted_file else None
    error = embed_small(error_file) if error_file else None
    model = entry.group.model
    name = tag("b", swatch(entry.index), anchor(model, entry.link))
    caption = [name, tag("span", _quality(entry, entries), class_="under")]
    if fitted is None:
        return captioned(caption, tag("p", "no picture", class_="missing"))
    frames = [tag("div", fitted.img(f"Reconstruction by {model}"), class_="framed")]
    if error is not None:
        frames.append(tag("div", error.img(f"Error of {model}"), class_="framed"))
    return captioned(
        caption, frames, colour_bar(entry.pictures) if with_scale else None
    )


def _quality(entry: Entry, entries: Sequence[Entry]) -> Child:
    measure = next((m for m in QUALITY if entry.group.mean(m) is not None), None)
    if measure is None:
        return None
    text = measure.format(entry.group.mean(measure))
    is_best = text == best_of([other.group for other in entries], measure)
    shown = tag("strong", text) if is_best else text
    return [shown, f" {measure.unit}" if measure.unit else f" {measure.label}"]


def _places(entries: Sequence[Entry]) -> list[Place]:
    """Return where any model is worst, without showing a place twice."""
    found = [place for entry in entries for place in worst_places(entry.pictures)]
    chosen: list[Place] = []
    for place in sorted(found, key=lambda place: -(place.error or 0.0)):
        if not any(place.overlaps(other) for other in chosen):
            chosen.append(place)
    return chosen[:NUM_PLACES]


def _details(entries: Sequence[Entry]) -> Child:
    places = _places(entries)
    shown = [entry for entry in entries if entry.pictures]
    if not places:
        return None
    heads = [
        tag("th", "Original", scope="col"),
        *(
            tag("th", swatch(entry.index), entry.group.model, scope="col")
            for entry in shown
        ),
    ]
    rows = []
    for number, place in enumerate(places, start=1):
        rows.extend(_detail_rows(number, place, shown))
    head = tag("thead", tag("tr", tag("th"), heads))
    body = tag("tbody", rows)
    # Columns of one width, whatever their names: pictures fill them.
    columns = f"--columns:{len(shown) + 1}"
    table = tag("table", head, body, class_="crops models", style=columns)
    return [
        tag("h3", "The same places side by side"),
        tag("p", "Chosen where any of the models errs most.", class_="lead"),
        scrolling("Details side by side", table),
    ]


def _detail_rows(number: int, place: Place, entries: Sequence[Entry]) -> list[Html]:
    original = _detail(entries[0], "target", number, place)
    fitted = [_detail(entry, "reconstruction", number, place) for entry in entries]
    errors = [_detail(entry, "error", number, place) for entry in entries]
    name = tag("th", f"Place {number}", scope="row")
    return [
        tag("tr", name, original, fitted, class_="new-group"),
        tag("tr", tag("th", "Error", scope="row"), tag("td"), errors),
    ]


def _detail(entry: Entry, kind: str, number: int, place: Place) -> Html:
    file = entry.file(f"{kind}.png")
    picture = embed_crop(file, place) if file else None
    if picture is None:
        return tag("td", MISSING)
    whose = "" if kind == "target" else f" of {entry.group.model}"
    words = f"{kind.capitalize()}{whose} at place {number}"
    return tag("td", picture.img(words, class_="pixelated"))


def _curves(entries: Sequence[Entry]) -> Html | None:
    series = [
        Series(
            name=entry.group.model,
            lines=run.curve,
            index=entry.index,
            final_psnr=run.metrics.get("psnr") if is_scene(run) else None,
        )
        for entry in entries
        for run in entry.runs
    ]
    if _is_scene(entries):
        figures = scene_figures(series)
        return tag("div", figures, class_="figures") if figures else None
    frequencies = [
        (entry.group.model, entry.index, entry.pictures["frequency"])
        for entry in entries
        if entry.pictures.get("frequency")
    ]
    steps = training_curve(series, against="step")
    frequency = frequency_error(frequencies) if frequencies else None
    if steps is None and frequency is None:
        return None
    return curve_row(steps, training_curve(series, against="seconds"), frequency)
