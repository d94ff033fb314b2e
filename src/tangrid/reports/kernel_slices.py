"""Maps of a tangent kernel around chosen points: what a step at one does elsewhere."""

from collections.abc import Sequence

import numpy as np

from tangrid.reports.kernel_entries import ALL, Analysis, Variant, kernel_name, number
from tangrid.reports.kernel_maps import Scale, point_mark
from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.measures import MISSING, is_number
from tangrid.reports.page import section
from tangrid.reports.tables import scrolling, swatch

_SCALE = Scale(low=-1.0, high=1.0, colours="RdBu_r", is_cut=True)

_LEAD = (
    "What a step of gradient descent at the ringed point does everywhere else: "
    "K(x, c) next to K(c, c). Red points move along, blue ones move the other way, "
    "pale ones do not notice. A narrow spot learns detail and shares little; a wide "
    "one fills gaps and blurs; stripes and far echoes come from waves and from hash "
    "collisions."
)


_MOST_BESIDE = 3
"""So many models leave room for two tables side by side."""


def slice_section(analysis: Analysis) -> Html | None:
    """Return maps of the kernels around the chosen points, model beside model.

    Args:
        analysis: What was found.

    Returns:
        The section, or nothing if there are no maps.
    """
    tables = [
        tag("div", tag("h3", kernel_name(kind)), table)
        for kind in analysis.kinds
        if (table := _table(analysis, kind)) is not None
    ]
    if not tables:
        return None
    is_narrow = len(analysis.variants) <= _MOST_BESIDE
    return section(
        "Kernel around a point",
        _SCALE.bar("Kernel next to its value at the ringed point"),
        tag("div", tables, class_="columns" if is_narrow else None),
        lead=[_LEAD, _plane(analysis)],
    )


def _plane(analysis: Analysis) -> str | None:
    dims = number(analysis.kernel, "signal", "num_dims")
    if dims is None or dims <= 2:
        return None
    return " Shown is the plane of the first two coordinates, mid of the others."


def _table(analysis: Analysis, kind: str) -> Html | None:
    name = "slice_map" if kind == ALL else f"slice_map_{kind}"
    maps = {
        variant.index: values
        for variant in analysis.having(kind)
        if (values := variant.first.array(name, 3)) is not None
    }
    if not maps:
        return None
    shown = [variant for variant in analysis.variants if variant.index in maps]
    centres = _centres(analysis)
    count = max(len(values) for values in maps.values())
    heads = [
        tag("th", swatch(variant.index), variant.label, scope="col")
        for variant in shown
    ]
    rows = [_row(position, centres, shown, maps) for position in range(count)]
    head = tag("thead", tag("tr", tag("td"), heads))
    columns = f"--columns:{len(shown)};--all:{len(analysis.variants)}"
    body = tag("tbody", rows)
    table = tag("table", head, body, class_="crops slices", style=columns)
    return scrolling(f"Maps of the kernel. {kernel_name(kind)}", table)


def _centres(analysis: Analysis) -> list[Sequence[float]]:
    found = analysis.kernel.get("slice")
    centres = found.get("centres") if isinstance(found, dict) else None
    return [
        centre
        for centre in centres or ()
        if isinstance(centre, list) and centre and all(map(is_number, centre))
    ]


def _row(
    position: int,
    centres: Sequence[Sequence[float]],
    variants: Sequence[Variant],
    maps: dict[int, np.ndarray],
) -> Html:
    centre = centres[position] if position < len(centres) else None
    where = f"({', '.join(f'{x:.2f}' for x in centre)})" if centre else ""
    label = tag("th", where or f"Point {position + 1}", scope="row")
    cells = [
        _cell(variant, maps[variant.index], position, centre) for variant in variants
    ]
    return tag("tr", label, cells)


def _cell(
    variant: Variant,
    maps: np.ndarray,
    position: int,
    centre: Sequence[float] | None,
) -> Html:
    if position >= len(maps):
        return tag("td", MISSING)
    values = relative_to_centre(maps[position], centre)
    marks: Child = None
    if centre:
        marks = point_mark(*_place(centre))
    picture = _SCALE.picture(values)
    words = f"Kernel of {variant.label} around point {position + 1}"
    return tag("td", tag("div", picture.img(words), marks, class_="framed"))


def _place(centre: Sequence[float]) -> tuple[float, float]:
    """Return where a centre lies in a map of the first two coordinates."""
    return centre[0], centre[1] if len(centre) > 1 else 0.5


def relative_to_centre(
    values: np.ndarray, centre: Sequence[float] | None
) -> np.ndarray:
    """Return a map divided by its value at the centre.

    Args:
        values: Rows from the top, columns from the left, over the unit square.
        centre: Coordinates of the centre, from the left and from the top; None, or a
            value of 0 there, divides by the largest value.
    """
    height, width = values.shape
    size = 0.0
    if centre:
        across, down = _place(centre)
        column = min(int(across * width), width - 1)
        row = min(int(down * height), height - 1)
        size = float(values[row, column])
    if not size > 0:
        finite = np.abs(values[np.isfinite(values)])
        size = float(finite.max()) if finite.size else 1.0
    return values / (size or 1.0)
