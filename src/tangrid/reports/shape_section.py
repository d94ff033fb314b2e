"""What the page of one run shows of a shape: views, slices and scores."""

from collections.abc import Mapping
from typing import Any

from tangrid.reports.drawn_views import SLICES, VIEWS, View, views_of
from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.page import banner, captioned, section
from tangrid.reports.pictures import Picture, colour_bar
from tangrid.reports.scores import score_table
from tangrid.reports.shape_scores import SHAPE_SCORES
from tangrid.reports.shape_words import how_to_read_slices, unit_of_lengths
from tangrid.reports.slider import FIT, TARGET, slider
from tangrid.runs import RunRecord

_IDENTIFIERS = {"target": TARGET, "fit": FIT}


def missing_surface(metrics: Mapping[str, Any]) -> Html | None:
    """Return the note of a fit that has no surface, if it has none.

    Args:
        metrics: Entries of ``metrics.json``; ``surface_missing`` says why.
    """
    words = metrics.get("surface_missing")
    return banner(str(words)) if words else None


def shape_sections(run: RunRecord) -> Child:
    """Return the sections of a page that only a shape has.

    Args:
        run: What the run left behind.
    """
    return [_view_section(run), _slice_section(run), _score_section(run.metrics)]


def _view_section(run: RunRecord) -> Html:
    drawn = views_of(run.pictures, VIEWS)
    views = [(view, view.pictures(run.folder)) for view in drawn]
    views = [(view, pictures) for view, pictures in views if pictures]
    if not views:
        missing = tag("p", "This run left no views.", class_="missing")
        return section("Views", missing)
    # The slider shows pictures again that have an identifier on the page.
    slid = next((it for _, it in views if {"target", "fit"} <= it.keys()), None)
    has_error = any("error" in pictures for _, pictures in views)
    lead = "Colours of the error are the distance to the true surface. "
    return section(
        "Views",
        [
            [
                tag("h3", _title(view.name)),
                _trio(run, view, pictures, with_identifiers=pictures is slid),
            ]
            for view, pictures in views
        ],
        _slider(slid) if slid else None,
        lead=(lead if has_error else "") + unit_of_lengths(run.metrics),
    )


def _trio(
    run: RunRecord,
    view: View,
    pictures: Mapping[str, Picture],
    *,
    with_identifiers: bool,
) -> Html:
    figures = []
    for kind, caption in (("target", "Truth"), ("fit", "Fit")):
        if kind not in pictures:
            missing = tag("p", "no picture", class_="missing")
            figures.append(captioned(caption, missing))
            continue
        words = f"{caption}, {view.name}"
        identifier = _IDENTIFIERS[kind] if with_identifiers else None
        image = pictures[kind].img(words, id=identifier)
        figures.append(captioned(caption, _framed(image)))
    if "error" in pictures:
        image = pictures["error"].img(f"Fit coloured by its error, {view.name}")
        bar = colour_bar(run.pictures)
        figures.append(captioned("Error of the fit", _framed(image), bar))
    return tag("div", figures, class_="views")


def _framed(*content: Child) -> Html:
    return tag("div", *content, class_="framed")


def _slider(pictures: Mapping[str, Picture]) -> list[Child]:
    shown = slider(pictures["target"], pictures["fit"], ("truth", "fit"))
    return [tag("h3", "Truth against fit"), tag("div", shown, class_="narrow")]


def _slice_section(run: RunRecord) -> Html | None:
    rows = []
    for cut in views_of(run.pictures, SLICES):
        pictures = cut.pictures(run.folder)
        figures = [
            captioned(
                f"{label}, {cut.name}", _framed(picture.img(f"{label}, {cut.name}"))
            )
            for kind, label in (("target", "Truth"), ("fit", "Fit"))
            if (picture := pictures.get(kind)) is not None
        ]
        if figures:
            rows.append(tag("div", figures, class_="pair"))
    if not rows:
        return None
    return section("Distance field", rows, lead=how_to_read_slices(run.pictures))


def _score_section(metrics: Mapping[str, Any]) -> Html | None:
    table = score_table(metrics, SHAPE_SCORES)
    return section("Scores", table, lead=unit_of_lengths(metrics)) if table else None


def _title(name: str) -> str:
    return name[:1].upper() + name[1:]
