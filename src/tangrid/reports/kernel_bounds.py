"""The map of the GTK slides: Theorem 3 for two points, for every pair of labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from tangrid.reports.kernel_entries import (
    ALL,
    Analysis,
    Variant,
    kernel_name,
    number,
    numbers,
)
from tangrid.reports.kernel_maps import (
    Scale,
    border,
    diverging_scale,
    framed_map,
    positive_scale,
    strip_of,
)
from tangrid.reports.kernel_table import Block, Row, comparison_table
from tangrid.reports.kernel_words import percent, short_number
from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.page import section
from tangrid.reports.tables import swatch

_FORMS = {
    "bound_map": (
        "Raw, as published",
        (
            "√(2Δ/n). It shrinks when a kernel is scaled up, so it cannot tell a "
            "better kernel from a larger one."
        ),
    ),
    "bound_map_trace": (
        "Trace-normalised",
        (
            "Every kernel is divided by its mean diagonal first. Only this form may be "
            "compared across models."
        ),
    ),
}
"""Names of the arrays, what they are called, and what they are."""

_LEAD = (
    "The smallest data set that has a bound: two points with labels Y₁ and Y₂. A pixel "
    "is the complexity term of Theorem 3 for one pair of labels: dark where the kernel "
    "expects such labels, bright where it does not. Labels that agree lie on the "
    "rising diagonal, labels that differ on the falling one."
)

_DIFFERENCE = (
    "Difference of two models: blue where the first is lower, red where the second is. "
    "On the line both are equal."
)

_MOST_BESIDE = 3
"""So many models leave room for both forms side by side."""
_MOST_PAIRS = 6
"""Differences of all pairs are shown for so many pairs, else those with the first."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How the maps of two models differ."""

    first: Variant
    second: Variant
    values: np.ndarray
    """First minus second, rows from the top."""

    @property
    def shares(self) -> tuple[float, float] | None:
        """Shares of label pairs where the first and where the second is lower."""
        lower, higher = int((self.values < 0).sum()), int((self.values > 0).sum())
        decided = lower + higher
        return (lower / decided, higher / decided) if decided else None


def differences(maps: Mapping[int, tuple[Variant, np.ndarray]]) -> list[Difference]:
    """Return the differences of all pairs of maps of the same labels.

    Args:
        maps: Map of each of the things compared.
    """
    found = []
    for (first, one), (second, other) in combinations(maps.values(), 2):
        if one.shape == other.shape:
            # Where neither can fit the labels, both are infinite and nothing is lower.
            with np.errstate(invalid="ignore"):
                found.append(Difference(first=first, second=second, values=one - other))
    return found


def bound_section(analysis: Analysis) -> Html | None:
    """Return the two-point maps of all models and how they differ.

    Args:
        analysis: What was found.

    Returns:
        The section, or nothing if there are no maps.
    """
    axes = _axes(numbers(analysis.kernel, "pair", "labels"))
    parts = []
    for kind in analysis.kinds:
        blocks = [
            _form_block(maps, form, axes)
            for form in _FORMS
            if (maps := _maps(analysis.having(kind), kind, form))
        ]
        if blocks:
            is_narrow = len(analysis.having(kind)) <= _MOST_BESIDE
            columns = tag("div", blocks, class_="columns" if is_narrow else None)
            parts.append([tag("h3", kernel_name(kind)), columns])
    if not parts:
        return None
    note = (
        "With two points the term of chance alone is above 1, so as bounds on a loss "
        "all of them are vacuous. They rank models; they promise nothing."
    )
    return section(
        "Bound of two points",
        parts,
        tag("p", note, class_="note"),
        lead=[_LEAD, _where(analysis)],
    )


def _where(analysis: Analysis) -> str | None:
    pixels = number(analysis.kernel, "pair", "distance_in_pixels")
    distance = number(analysis.kernel, "pair", "distance")
    if pixels is not None:
        return f" The points are {short_number(pixels)} pixels apart."
    if distance is not None:
        return f" The points are {short_number(distance)} sides of the box apart."
    return None


def _maps(
    variants: Sequence[Variant], kind: str, form: str
) -> dict[int, tuple[Variant, np.ndarray]]:
    """Return maps by place in the comparison, Y1 to the right and Y2 upwards."""
    name = form if kind == ALL else f"{form}_{kind}"
    found = ((variant, variant.first.array(name, 2)) for variant in variants)
    return {
        variant.index: (variant, values.T[::-1])
        for variant, values in found
        if values is not None
    }


def _axes(labels: Sequence[float | None]) -> dict[str, tuple[str, ...]]:
    low = short_number(labels[0]) if labels else "\N{MINUS SIGN}1"
    high = short_number(labels[-1]) if labels else "1"
    ticks = (low, "0", high)
    return {
        "across": ("Y₁", *ticks),
        "up": ("Y₂", *ticks),
    }


def _form_block(
    maps: Mapping[int, tuple[Variant, np.ndarray]],
    form: str,
    axes: Mapping[str, Sequence[str]],
) -> Html:
    name, words = _FORMS[form]
    scale = positive_scale([values for _, values in maps.values()])
    figures = [
        framed_map(
            tag("b", swatch(variant.index), variant.label),
            scale.picture(values),
            f"{name} bound of {variant.label}",
            **axes,
            below=_largest(values),
        )
        for variant, values in maps.values()
    ]
    pairs = differences(maps)
    return tag(
        "div",
        tag("p", tag("b", name), ". ", words, class_="form"),
        scale.bar(f"{name} bound"),
        strip_of(figures),
        _difference_block(pairs, name, axes) if pairs else None,
    )


def _largest(values: np.ndarray) -> Html:
    finite = values[np.isfinite(values)]
    words: list[Child] = ["no labels can be fitted"]
    if finite.size:
        words = [f"largest {short_number(float(finite.max()))}"]
    if 0 < finite.size < values.size:
        words.append("; grey: infinite, such labels cannot be fitted")
    return tag("p", words, class_="key")


def _difference_block(
    pairs: Sequence[Difference], name: str, axes: Mapping[str, Sequence[str]]
) -> list[Child]:
    shown = pairs
    if len(pairs) > _MOST_PAIRS:
        first = pairs[0].first.index
        shown = [pair for pair in pairs if pair.first.index == first]
    scale = diverging_scale([pair.values for pair in shown])
    return [
        tag("p", _DIFFERENCE, class_="form"),
        scale.bar(f"Difference of {name.lower()} bounds"),
        strip_of(_difference(pair, scale, name, axes) for pair in shown),
        _share_table(pairs) if len(pairs) > _MOST_PAIRS else None,
    ]


def _difference(
    pair: Difference, scale: Scale, name: str, axes: Mapping[str, Sequence[str]]
) -> Html:
    first, second = pair.first, pair.second
    caption = tag(
        "b",
        tag("span", swatch(first.index), first.label, class_="under"),
        tag(
            "span",
            "\N{MINUS SIGN} ",
            swatch(second.index),
            second.label,
            class_="under",
        ),
    )
    words: Child = "equal everywhere"
    if pair.shares is not None:
        one, other = (percent(share) for share in pair.shares)
        words = [
            "lower for ",
            tag("span", swatch(first.index), one, class_="whole"),
            " and ",
            tag("span", swatch(second.index), other, class_="whole"),
            " of labels",
        ]
    return framed_map(
        caption,
        scale.picture(pair.values),
        f"{name} bound of {first.label} minus that of {second.label}",
        border(pair.values),
        **axes,
        below=tag("p", words, class_="key"),
    )


def _share_table(pairs: Sequence[Difference]) -> Html | None:
    members = {it.index: it for pair in pairs for it in (pair.first, pair.second)}
    shares: dict[tuple[int, int], str] = {}
    for pair in pairs:
        if pair.shares is not None:
            one, other = pair.shares
            shares[pair.first.index, pair.second.index] = percent(one)
            shares[pair.second.index, pair.first.index] = percent(other)
    rows = [
        Row(
            label=[swatch(row.index), row.label],
            cells=[shares.get((row.index, column), "") for column in members],
        )
        for row in members.values()
    ]
    title = (
        "Share of labels where the model of the row is lower than that of the column"
    )
    return comparison_table(
        title, list(members.values()), [Block(title=title, rows=rows)]
    )
