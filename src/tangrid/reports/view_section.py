"""What the page of one run shows of a scene: views, scores, curves and cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tangrid.reports.curves import Series
from tangrid.reports.drawn_views import VIEWS, View, views_of
from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.measures import MISSING
from tangrid.reports.page import section
from tangrid.reports.per_view import score_words, scores_of, view_score_section
from tangrid.reports.pictures import (
    Picture,
    colour_bar,
    colour_ramp,
    embed_light,
    embed_small,
)
from tangrid.reports.slider import Choice, chooser
from tangrid.reports.tables import breakable, scrolling
from tangrid.reports.view_curves import scene_figures
from tangrid.reports.view_training import cost_section, training_section
from tangrid.runs import RunRecord

_HEADS = {
    "target": "Photograph",
    "fit": "Render",
    "error": "Absolute error",
    "depth": "Depth",
}
_CHOSEN = ("target", "fit")
"""Pictures that are shown large too."""


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """A test view with its pictures."""

    number: int
    view: View
    pictures: Mapping[str, Picture]
    words: Sequence[str]
    """Its scores."""

    def identifier(self, kind: str) -> str | None:
        """Return the name of the element of a picture that is shown large too."""
        return f"view-{self.number}-{kind}" if kind in _CHOSEN else None


def view_sections(run: RunRecord, model: str) -> Child:
    """Return the sections of a page that only a scene has.

    Args:
        run: What the run left behind.
        model: Its public name.
    """
    return [
        _picture_section(run),
        view_score_section(run.metrics),
        _curve_section(run, model),
        training_section(run),
        cost_section(run.metrics),
    ]


def _picture_section(run: RunRecord) -> Html:
    drawn = _drawn(run)
    if not drawn:
        missing = tag("p", "This run left no pictures.", class_="missing")
        return section("Test views", missing)
    choices = [
        Choice(
            label=" · ".join([it.view.name, *it.words[:1]]),
            target=it.pictures["target"],
            fitted=it.pictures["fit"],
            sources=(f"view-{it.number}-target", f"view-{it.number}-fit"),
        )
        for it in drawn
        if set(_CHOSEN) <= it.pictures.keys()
    ]
    large = chooser(choices, ("photograph", "render"))
    return section(
        "Test views",
        large,
        tag("h3", "Photograph, render, error and depth") if large else None,
        _table(run, drawn),
        lead=_lead(run, drawn),
    )


def _drawn(run: RunRecord) -> list[_Drawn]:
    scores = {view.name: view.scores for view in scores_of(run.metrics)}
    found = []
    for number, view in enumerate(views_of(run.pictures, VIEWS), start=1):
        pictures = view.pictures(run.folder, embed_small)
        whole = view.pictures(run.folder, embed_light)
        pictures |= {kind: it for kind, it in whole.items() if kind in _CHOSEN}
        if pictures:
            words = score_words(scores.get(view.name, {}))
            found.append(
                _Drawn(number=number, view=view, pictures=pictures, words=words)
            )
    return found


def _lead(run: RunRecord, drawn: Sequence[_Drawn]) -> str:
    every, shown = len(scores_of(run.metrics)), len(drawn)
    if shown < every:
        how_many = f"{shown} of {every} test views, evenly over all of them. "
    elif shown == 1:
        how_many = "The only test view. "
    else:
        how_many = f"All {shown} test views. " if every else f"{shown} test views. "
    words = "The model has seen none of them. "
    if any("error" in it.pictures for it in drawn):
        words += "Errors are absolute, means over the colour channels, at one scale. "
    if any("depth" in it.pictures for it in drawn):
        words += (
            "Depths go from the nearest to the farthest thing of each view by itself, "
            "and are white where there is nothing."
        )
    return (how_many + words).strip()


def _table(run: RunRecord, drawn: Sequence[_Drawn]) -> Html:
    kinds = [kind for kind in _HEADS if any(kind in it.pictures for it in drawn)]
    heads = [
        tag("th", tag("b", _HEADS[kind]), _scale(run, kind), scope="col")
        for kind in kinds
    ]
    rows = [
        tag("tr", _row_head(it), [_cell(it, kind) for kind in kinds]) for it in drawn
    ]
    table = tag(
        "table",
        tag("thead", tag("tr", tag("th"), heads)),
        tag("tbody", rows),
        class_="crops models shapes scene",
        style=f"--columns:{len(kinds)}",
    )
    return scrolling("Test views", table)


def _scale(run: RunRecord, kind: str) -> Html | None:
    if kind == "error":
        return colour_bar(run.pictures)
    if kind == "depth":
        name = str(run.pictures.get("depth_colormap"))
        words = "Colours of the depth, the nearest bright"
        return colour_ramp(name, "viridis", ("far", "near"), words)
    return None


def _row_head(drawn: _Drawn) -> Html:
    words = [tag("span", word, class_="under") for word in drawn.words]
    return tag("th", tag("b", breakable(drawn.view.name, "/")), words, scope="row")


def _cell(drawn: _Drawn, kind: str) -> Html:
    picture = drawn.pictures.get(kind)
    if picture is None:
        return tag("td", tag("span", MISSING, class_="missing"))
    words = f"{_HEADS[kind]}, {drawn.view.name}"
    return tag("td", picture.img(words, id=drawn.identifier(kind)))


def _curve_section(run: RunRecord, model: str) -> Html:
    final = run.metrics.get("psnr")
    series = [Series(name=model, lines=run.curve, final_psnr=final)]
    shown = scene_figures(series)
    if not shown:
        return section("Curves", tag("p", "This run logged nothing.", class_="missing"))
    return section("Curves", tag("div", shown, class_="figures"))
