"""Which part of a model carries its tangent kernel: shares of the trace."""

import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from tangrid.reports.kernel_curves import level_shares
from tangrid.reports.kernel_entries import ALL, Analysis, Variant, section_of
from tangrid.reports.kernel_table import Block, Row, comparison_table
from tangrid.reports.kernel_words import over_seeds, percent
from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.measures import is_number
from tangrid.reports.page import captioned, fold, section
from tangrid.reports.tables import swatch

_LEVEL = re.compile(r"\blevel (\d+)$")

_FAMILIES = {
    "levels": ("levels of the grid, coarse to fine", 0),
    "encoding": ("other parameters of the encoding", 3),
    "layers": ("layers of the network, first to last", 1),
}
"""What each family of parts is called, and its colour."""

_SHOWN = 1e-4
"""Shares below this are no wider than the gap between two pieces."""

_LEAD = (
    "The trace of the kernel is the sum of squared gradients, and every parameter adds "
    "its own. So the shares say which part of a model does the learning: what has no "
    "share does not move, and could as well be frozen."
)


def share_section(analysis: Analysis) -> Html | None:
    """Return which part of each model carries its kernel.

    Args:
        analysis: What was found.

    Returns:
        The section, or nothing if no shares are known.
    """
    shares = {it.index: _mean_shares(it) for it in analysis.variants}
    shown = [it for it in analysis.variants if shares[it.index]]
    if not shown:
        return None
    families = {_family(name) for it in shown for name in shares[it.index]}
    levels = level_shares({it.index: _levels(it) for it in shown})
    return section(
        "Which part carries the kernel",
        tag(
            "ul",
            [_family_key(family) for family in _FAMILIES if family in families],
            class_="legend",
        ),
        tag(
            "div",
            tag("div", [_bar(it, shares[it.index]) for it in shown], class_="bars"),
            tag("div", captioned("Level by level", levels), class_="figures")
            if levels
            else None,
            class_="beside" if levels else None,
        ),
        fold("All shares", _table(shown, shares)),
        lead=_LEAD,
    )


def _mean_shares(variant: Variant) -> dict[str, float]:
    """Return the mean share of every part over seeds, in the order of the families."""
    names = dict.fromkeys(
        name
        for entry in variant.entries
        for name, share in section_of(entry.kernel(ALL), "shares").items()
        if is_number(share)
    )
    ordered = sorted(names, key=lambda name: list(_FAMILIES).index(_family(name)))
    return {
        name: fmean(variant.numbers("kernels", ALL, "shares", name)) for name in ordered
    }


def _family(name: str) -> str:
    if _LEVEL.search(name):
        return "levels"
    return "encoding" if name.startswith("encoding.") else "layers"


def _levels(variant: Variant) -> list[dict[int, float]]:
    """Return the share by level of every seed that has levels."""
    found = []
    for entry in variant.entries:
        shares: Mapping[str, Any] = section_of(entry.kernel(ALL), "shares")
        levels: dict[int, float] = {}
        for name, share in shares.items():
            match = _LEVEL.search(name)
            if match and is_number(share):
                level = int(match.group(1))
                levels[level] = levels.get(level, 0.0) + share
        if levels:
            found.append(levels)
    return found


def _shade(family: str, place: float) -> str:
    """Return a colour of a family: pale for its first part, full for its last."""
    colour = _FAMILIES[family][1]
    return f"color-mix(in oklab, var(--c{colour}) {30 + 70 * place:.0f}%, var(--card))"


def _family_key(family: str) -> Html:
    words, _ = _FAMILIES[family]
    ends = f"linear-gradient(90deg,{_shade(family, 0)},{_shade(family, 1)})"
    ramp = tag(
        "span", class_="swatch long", style=f"background:{ends}", aria_hidden="true"
    )
    return tag("li", ramp, words)


def _bar(variant: Variant, shares: Mapping[str, float]) -> Html:
    pieces = []
    for family in _FAMILIES:
        members = [name for name in shares if _family(name) == family]
        last = max(len(members) - 1, 1)
        for place, name in enumerate(members):
            if shares[name] > _SHOWN:
                pieces.append(_piece(name, shares[name], _shade(family, place / last)))
    words = ", ".join(_sums(shares))
    name = tag("span", swatch(variant.index), variant.label, class_="of")
    bar = tag("span", pieces, class_="bar", role="img", aria_label=words)
    return tag("div", name, bar, tag("span", words, class_="key"))


def _piece(name: str, share: float, colour: str) -> Html:
    style = f"flex-grow:{share:.6f};background:{colour}"
    return tag("i", title=f"{name}: {percent(share)}", style=style)


def _sums(shares: Mapping[str, float]) -> Iterable[str]:
    """Yield what each family carries, in words."""
    for family, short in (
        ("levels", "grid"),
        ("encoding", "rest of the encoding"),
        ("layers", "network"),
    ):
        found = [share for name, share in shares.items() if _family(name) == family]
        if found:
            yield f"{short} {percent(sum(found))}"


def _table(
    variants: Sequence[Variant], shares: Mapping[int, Mapping[str, float]]
) -> Html | None:
    names = dict.fromkeys(name for it in variants for name in shares[it.index])
    ordered = sorted(names, key=lambda name: list(_FAMILIES).index(_family(name)))
    rows = [
        Row(label=name, cells=[_share_cell(it, name) for it in variants])
        for name in ordered
    ]
    return comparison_table("Shares of the trace", variants, [Block(rows=rows)])


def _share_cell(variant: Variant, name: str) -> Child:
    found = variant.numbers("kernels", ALL, "shares", name)
    return over_seeds([100 * share for share in found]) + ([" %"] if found else [])
