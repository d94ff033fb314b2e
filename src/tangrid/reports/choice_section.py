"""The section of a fit whose settings were chosen by prediction: from what, and why."""

from collections.abc import Mapping, Sequence
from typing import Any

from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.measures import MISSING, is_number
from tangrid.reports.page import fold, section
from tangrid.reports.tables import scrolling

_LEAD = (
    "Before the fit these candidates were looked at in windows of the signal: what "
    "their tangent kernels leave at points they have not seen, and what a short lesson "
    "leaves there. The fit took the first one, or stayed as it was where nothing was "
    "better by more than its standard error. Predicted is the error on new points, not "
    "on those that are trained on."
)


def choice_section(prediction: Mapping[str, Any]) -> Html | None:
    """Return what the settings of a fit were chosen from.

    Args:
        prediction: What was predicted, as in ``prediction.json``; empty if nothing was.

    Returns:
        The section, or nothing if the settings were given.
    """
    chosen, table = prediction.get("chosen"), prediction.get("table")
    if not isinstance(chosen, Mapping) or not isinstance(table, Mapping):
        return None
    rows = sorted(table.get("rows", ()), key=_place)
    is_distance = table.get("quantity") == "distance"
    return section(
        "How the settings were chosen",
        scrolling("Candidates", _table(rows, chosen, is_distance=is_distance)),
        _impossible(prediction.get("impossible", ())),
        lead=_LEAD,
    )


def _place(row: Mapping[str, Any]) -> float:
    return row["rank"] if is_number(row.get("rank")) else float("inf")


def _table(
    rows: Sequence[Mapping[str, Any]], chosen: Mapping[str, Any], *, is_distance: bool
) -> Html:
    quantity = "Predicted error" if is_distance else "Predicted PSNR"
    head = ("Candidate", quantity, "Behind", "Settings")
    lines = []
    for row in rows:
        role = _role(row, chosen)
        name: list[Child] = [str(row.get("label", MISSING))]
        if role:
            name += [" ", tag("small", role)]
        cells = (_predicted(row, is_distance=is_distance), _behind(row), _settings(row))
        found = [tag("td", cell) for cell in cells]
        lines.append(tag("tr", tag("th", name, scope="row"), found))
    titles = [tag("th", title, scope="col") for title in head]
    return tag("table", tag("thead", tag("tr", titles)), tag("tbody", lines))


def _role(row: Mapping[str, Any], chosen: Mapping[str, Any]) -> str:
    label = row.get("label")
    roles = {"chosen": chosen.get("label"), "as it is": chosen.get("default")}
    return ", ".join(role for role, own in roles.items() if own == label)


def _predicted(row: Mapping[str, Any], *, is_distance: bool) -> str:
    if is_distance:
        return _with_error(row, "predicted_error", ".3g", "")
    return _with_error(row, "predicted_psnr", ".2f", " dB")


def _behind(row: Mapping[str, Any]) -> str:
    if row.get("behind") == 0:
        return "best"
    return _with_error(row, "behind", ".2f", " dB")


def _with_error(row: Mapping[str, Any], name: str, form: str, unit: str) -> str:
    value, error = row.get(name), row.get(f"{name}_error")
    if not is_number(value):
        return MISSING
    spread = f" ± {error:{form}}" if is_number(error) else ""
    return f"{value:{form}}{spread}{unit}"


def _settings(row: Mapping[str, Any]) -> str:
    settings = row.get("settings") or {}
    return ", ".join(f"{path}={text}" for path, text in settings.items()) or "its own"


def _impossible(found: Sequence[Mapping[str, Any]]) -> Html | None:
    if not found:
        return None
    items = [tag("li", f"{each['label']}: {each['why']}") for each in found]
    return fold("Candidates that are not possible here", tag("ul", items))
