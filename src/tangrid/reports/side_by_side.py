"""Views of several models side by side: a column per model, a row per picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tangrid.reports.drawn_views import VIEWS, views_of
from tangrid.reports.entries import Entry
from tangrid.reports.markup import Child, Html, join, tag
from tangrid.reports.measures import MISSING, Measure
from tangrid.reports.pictures import Picture, colour_bar, embed_small
from tangrid.reports.results import best_of
from tangrid.reports.tables import anchor, breakable, scrolling, swatch

_SHORT = 8
"""Letters of a name that fits into a narrow column."""


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """The views of one signal as several models show it."""

    entries: Sequence[Entry]
    part: str = VIEWS
    """`VIEWS` or `SLICES`."""
    truth: str = "Truth"
    """What the first column is called."""
    fit: str = "Fit"
    """What the others show."""
    error: str = ""
    """What the colours of an error are."""
    measures: Sequence[Measure] = ()
    """What stands below the name of a model."""
    note: Callable[[Entry, str], Child] | None = None
    """What stands below a fit, given the model and the name of the view."""

    def table(self, label: str, which: slice = slice(None)) -> Html | None:
        """Return views: fits beside the truth, their errors below them.

        Args:
            label: What the table holds.
            which: Which of the views.

        Returns:
            The table, or nothing if there are no pictures of them.
        """
        rows = [row for name in self.names[which] for row in self._rows(name)]
        return self._table(label, self._truth_head, rows) if rows else None

    def extra(self, title: str, kind: str, caption: str) -> Html | None:
        """Return one more kind of picture of all views, without a truth beside it.

        Args:
            title: What the table holds.
            kind: The kind of picture.
            caption: What one of them is.

        Returns:
            The table, or nothing if there are no such pictures.
        """
        rows = []
        for name in self.names:
            found = self._pictures(name, kind)
            if any(found):
                cells = self._cells(found, f"{caption} of {{}}, {name}")
                rows.append(
                    tag("tr", tag("th", breakable(name, "/"), scope="row"), cells)
                )
        return self._table(title, None, rows) if rows else None

    @property
    def names(self) -> list[str]:
        """Names of all views, in the order of the runs."""
        found = [
            view.name
            for entry in self.entries
            for view in views_of(entry.pictures, self.part)
        ]
        return list(dict.fromkeys(found))

    @property
    def _classes(self) -> str:
        # Names of files need more room than those of directions.
        is_long = any(len(name) > _SHORT for name in self.names)
        return "crops models shapes scene" if is_long else "crops models shapes"

    @property
    def _truth_head(self) -> Html:
        return tag("th", tag("b", self.truth), scope="col")

    def _table(self, label: str, truth: Html | None, rows: Sequence[Html]) -> Html:
        models = [
            tag(
                "th",
                tag("b", swatch(entry.index), anchor(entry.group.model, entry.link)),
                self._quality(entry),
                scope="col",
            )
            for entry in self.entries
        ]
        head = tag("thead", tag("tr", tag("th"), truth, models))
        columns = f"--columns:{len(models) + (truth is not None)}"
        body = tag("tbody", rows)
        table = tag("table", head, body, class_=self._classes, style=columns)
        return scrolling(label, table)

    def _quality(self, entry: Entry) -> Html | None:
        words = [
            tag("span", self._number(entry, measure), class_="whole")
            for measure in self.measures
            if entry.group.mean(measure) is not None
        ]
        separated = [child for word in words for child in (" · ", word)][1:]
        return tag("span", separated, class_="under") if words else None

    def _number(self, entry: Entry, measure: Measure) -> Html:
        text = measure.format(entry.group.mean(measure))
        is_best = text == best_of([other.group for other in self.entries], measure)
        shown = tag("strong", text) if is_best else text
        unit = measure.unit if measure.unit == "°" else f" {measure.unit}"
        return join([shown, unit] if measure.unit else [f"{measure.label} ", shown])

    def _rows(self, name: str) -> list[Html]:
        fits, errors = self._pictures(name, "fit"), self._pictures(name, "error")
        truth = next((it for it in self._pictures(name, "target") if it), None)
        if truth is None and not any(fits):
            return []
        notes = [self.note(entry, name) for entry in self.entries] if self.note else []
        cells = self._cells(fits, f"{self.fit} of {{}}, {name}", notes)
        label = tag("th", breakable(name, "/"), scope="row")
        shown = [_cell(truth, f"{self.truth}, {name}"), *cells]
        # Errors stand right below their fit, so the next view begins with a gap.
        kind = "new-group" if any(errors) else None
        rows = [tag("tr", label, shown, class_=kind)]
        return [*rows, self._error_row(errors, name)] if any(errors) else rows

    def _error_row(self, errors: Sequence[Picture | None], name: str) -> Html:
        drawn = [it.pictures for it in self.entries if it.pictures.get(self.part)]
        is_shared = len({pictures.get("error_scale") for pictures in drawn}) == 1
        bar = colour_bar(drawn[0]) if is_shared else None
        key = tag("p", self.error, class_="key") if bar else None
        bars = [None if is_shared else colour_bar(it.pictures) for it in self.entries]
        cells = self._cells(errors, f"Error of {{}}, {name}", bars)
        return tag("tr", tag("th", "error", scope="row"), tag("td", bar, key), cells)

    def _pictures(self, name: str, kind: str) -> list[Picture | None]:
        return [self._picture(entry, name, kind) for entry in self.entries]

    def _picture(self, entry: Entry, name: str, kind: str) -> Picture | None:
        views = views_of(entry.pictures, self.part)
        view = next((view for view in views if view.name == name), None)
        path = view.path(entry.runs[0].folder, kind) if view else None
        return embed_small(path) if path is not None else None

    def _cells(
        self,
        pictures: Sequence[Picture | None],
        words: str,
        below: Sequence[Child] = (),
    ) -> list[Html]:
        under = below or [None] * len(pictures)
        return [
            _cell(picture, words.replace("{}", entry.group.model, 1), child)
            for entry, picture, child in zip(self.entries, pictures, under, strict=True)
        ]


def _cell(picture: Picture | None, words: str, below: Child = None) -> Html:
    if picture is None:
        return tag("td", tag("span", MISSING, class_="missing"))
    return tag("td", picture.img(words), below)
