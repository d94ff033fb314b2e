"""Tables of a page: settings of one run, results of many."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.measures import COST, QUALITY, Measure
from tangrid.reports.results import Group, Results, best_of
from tangrid.reports.style import series_variable

Link = Callable[[Mapping[str, Any]], str | None]
"""Where the report of one row is; nothing if it has none."""


def scrolling(label: str, table: Html) -> Html:
    """Return a table that scrolls by itself where the page is too narrow.

    Args:
        label: What the table holds.
        table: The table.
    """
    return tag(
        "div", table, class_="scroll", tabindex="0", role="region", aria_label=label
    )


def settings_table(label: str, values: Mapping[str, Any]) -> Html:
    """Return a table of nested settings, one row per value.

    Args:
        label: What the table holds.
        values: Plain values, nested as they are in a JSON file.
    """
    rows = [
        tag("tr", tag("th", breakable(path, "."), scope="row"), tag("td", _say(value)))
        for path, value in flatten(values)
    ]
    table = tag("table", tag("tbody", rows, class_="plain"), class_="settings")
    return scrolling(label, table)


def flatten(values: Mapping[str, Any], where: str = "") -> Iterable[tuple[str, Any]]:
    """Yield every value with its dotted path.

    Args:
        values: Plain values, nested.
        where: Dotted path of what holds them.

    Yields:
        Path and value.
    """
    for name, value in values.items():
        path = f"{where}.{name}" if where else str(name)
        if isinstance(value, Mapping) and value:
            yield from flatten(value, path)
        else:
            yield path, value


def breakable(words: str, after: str) -> list[Child]:
    """Return words that break after a sign where they are too long.

    Args:
        words: A dotted path, or the name of a file.
        after: The sign.
    """
    *heads, last = words.split(after)
    return [*([head, after, Html("<wbr>")] for head in heads), last]


def _say(value: object) -> str:
    if value is None or value in ({}, []):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_say(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def swatch(index: int) -> Html:
    """Return the colour of one of the models compared.

    Args:
        index: Its place in the comparison.
    """
    style = f"background:{series_variable(index)}"
    return tag("span", class_="swatch", style=style, aria_hidden="true")


def legend(names: Sequence[tuple[int, Child]]) -> Html:
    """Return the names of what is compared with their colours.

    Args:
        names: Place in the comparison and name of each.
    """
    items = [tag("li", swatch(index), name) for index, name in names]
    return tag("ul", items, class_="legend")


def mean_table(results: Results) -> Html:
    """Return a row per model: the mean over signals and seeds, and how many they are.

    Args:
        results: All rows of a comparison.
    """
    measures = results.shown((*QUALITY, *COST))
    groups = results.of_models()
    best = {measure.key: best_of(groups, measure) for measure in measures}
    most = max((len(group.rows) for group in groups), default=0)
    rows = []
    for index, group in enumerate(groups):
        count = str(len(group.rows))
        if len(group.rows) < most:
            count += f" of {most}"
        cells = [_cell(group, measure, best, with_spread=False) for measure in measures]
        name = tag("th", swatch(index), group.model, scope="row", class_="name")
        rows.append(tag("tr", name, cells, tag("td", count, class_="number")))
    head = _head(("Model",), measures, ("Runs",))
    body = tag("tbody", rows, class_="plain")
    return scrolling("Mean of each model", tag("table", head, body))


def results_table(results: Results, link: Link) -> Html:
    """Return a row per signal and model, with links to the runs.

    Args:
        results: All rows of a comparison.
        link: Where the report of a row is.
    """
    measures = results.shown((*QUALITY, *COST))
    rows: list[Html] = []
    for signal in results.signals:
        groups = results.of_signal(signal)
        best = {measure.key: best_of(groups, measure) for measure in measures}
        for position, group in enumerate(groups):
            index = results.models.index(group.model)
            name = tag("th", signal if position == 0 else "", scope="row")
            model = tag("td", swatch(index), _linked(group, link), class_="name")
            cells = [_cell(group, measure, best) for measure in measures]
            kind = "same-group" if position else "new-group"
            rows.append(tag("tr", name, model, cells, class_=kind))
    head = _head(("Signal", "Model"), measures)
    body = tag("tbody", rows, class_="grouped")
    return scrolling("Results of every run", tag("table", head, body))


def _head(
    names: Sequence[str], measures: Sequence[Measure], after: Sequence[str] = ()
) -> Html:
    units = [
        f"{m.label}, {m.unit}" if m.unit in ("dB", "°") else m.label for m in measures
    ]
    cells = [
        *(tag("th", name, scope="col") for name in names),
        *(tag("th", text, scope="col", class_="number") for text in (*units, *after)),
    ]
    return tag("thead", tag("tr", cells))


def _cell(
    group: Group,
    measure: Measure,
    best: Mapping[str, str | None],
    *,
    with_spread: bool = True,
) -> Html:
    text = measure.format(group.mean(measure))
    shown: Child = tag("strong", text) if text == best[measure.key] else text
    spread = group.spread(measure) if with_spread and measure in QUALITY else None
    around = (
        tag("small", f" ± {measure.format(spread)}") if spread is not None else None
    )
    return tag("td", shown, around, class_="number")


def _linked(group: Group, link: Link) -> list[Child]:
    if len(group.rows) == 1:
        return [anchor(group.model, link(group.rows[0]))]
    seeds: list[Child] = [group.model, " "]
    for row in group.rows:
        seeds.extend([
            " ",
            tag("small", anchor(f"seed {row.get('seed', 0)}", link(row))),
        ])
    return seeds


def anchor(words: Child, target: str | None) -> Html:
    """Return a link, or the bare words if it would lead nowhere.

    Args:
        words: What can be clicked.
        target: Where it leads.
    """
    return tag("a", words, href=target) if target else tag("span", words)
