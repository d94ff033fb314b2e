"""Maps of numbers as small pictures: one colour scale for all, and marks on top."""

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex
from PIL import Image
from skimage.measure import find_contours

from tangrid.reports.kernel_words import short_number
from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.page import captioned
from tangrid.reports.pictures import Picture

_LEVELS = 255
"""Colours of a map; the last of the 256 that a palette has is for what is missing."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Say which colour stands for which number."""

    low: float
    """Number of the first colour; what is below looks alike."""
    high: float
    """Number of the last colour."""
    colours: str
    """A colour map of matplotlib."""
    is_cut: bool = False
    """Whether numbers beyond the ends occur."""

    @cached_property
    def _palette(self) -> np.ndarray:
        shades = mpl.colormaps[self.colours](np.linspace(0, 1, _LEVELS))
        return (shades[:, :3] * 255).round().astype(np.uint8)

    def picture(self, values: np.ndarray) -> Picture:
        """Return a map as a picture, a pixel per number.

        Args:
            values: Rows from the top; what is not finite stays empty.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            shares = (values - self.low) / ((self.high - self.low) or 1.0)
            is_known = np.isfinite(values) & np.isfinite(shares)
            shares = np.where(is_known, shares, 0.0).clip(0, 1)
        pixels = (shares * (_LEVELS - 1)).round().astype(np.uint8)
        pixels[~is_known] = _LEVELS
        image = Image.fromarray(pixels)
        image.putpalette(self._palette.tobytes() + b"\x80\x80\x80")
        buffer = io.BytesIO()
        extra = {} if is_known.all() else {"transparency": _LEVELS}
        image.save(buffer, "PNG", optimize=True, **extra)
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        return Picture(
            uri=f"data:image/png;base64,{data}",
            width=values.shape[1],
            height=values.shape[0],
        )

    def bar(self, label: str, *, low: Child = None, high: Child = None) -> Html:
        """Return the colours with the numbers at their ends, and at 0 within.

        Args:
            label: What the colours show.
            low: Words for the first colour instead of its number.
            high: Words for the last colour.
        """
        stops = ", ".join(
            to_hex(shade / 255) for shade in self._palette[:: _LEVELS // 16]
        )
        ends = [short_number(end) for end in (self.low, self.high)]
        cut = ("≤ ", "≥ ") if self.is_cut else ("", "")
        zero = None
        if self.low < 0 < self.high:
            share = -self.low / (self.high - self.low)
            style = f"left:{share:.1%}"
            zero = tag("span", tag("span", "0"), class_="zero", style=style)
        ramp = tag(
            "span",
            zero,
            class_="ramp",
            style=f"background:linear-gradient(90deg,{stops})",
        )
        return tag(
            "div",
            tag("span", low or cut[0] + ends[0]),
            ramp,
            tag("span", high or cut[1] + ends[1]),
            class_="scale marked" if zero else "scale",
            role="img",
            aria_label=f"{label}: colours from {ends[0]} to {ends[1]}",
        )


def positive_scale(maps: Sequence[np.ndarray]) -> Scale:
    """Return a scale from 0 to the largest number of several maps.

    Args:
        maps: Maps that share the scale.
    """
    return Scale(low=0.0, high=_largest(maps), colours="viridis")


def diverging_scale(maps: Sequence[np.ndarray]) -> Scale:
    """Return a scale with 0 in its middle that holds several maps.

    Args:
        maps: Maps that share the scale.
    """
    high = _largest(maps)
    return Scale(low=-high, high=high, colours="RdBu_r")


def _largest(maps: Sequence[np.ndarray]) -> float:
    finite = [np.abs(values[np.isfinite(values)]) for values in maps]
    return max((float(size.max()) for size in finite if size.size), default=0.0) or 1.0


def framed_map(
    caption: Child,
    picture: Picture,
    words: str,
    *marks: Child,
    across: Sequence[str] = (),
    up: Sequence[str] = (),
    below: Child = None,
) -> Html:
    """Return a map with its caption, and with axes if they are named.

    Args:
        caption: What stands above it.
        picture: The map.
        words: What it shows, for those who do not see it.
        marks: What lies over it.
        across: Name of the horizontal axis, then the numbers at its ends and between.
        up: The same of the vertical axis, from the bottom.
        below: What stands below it.
    """
    frame = tag("div", picture.img(words), *marks, class_="framed")
    if across and up:
        frame = tag(
            "div",
            tag("span", up[0], class_="up"),
            tag("span", (tag("i", tick) for tick in up[:0:-1]), class_="ticks up"),
            frame,
            tag("span", (tag("i", tick) for tick in across[1:]), class_="ticks"),
            tag("span", across[0], class_="across"),
            class_="plot",
        )
    return captioned(caption, frame, below)


def border(values: np.ndarray, level: float = 0.0) -> Html | None:
    """Return the line where a map passes a level, to lie over its picture.

    Args:
        values: Rows from the top.
        level: The level.

    Returns:
        The line, or nothing if the map does not pass it.
    """
    height, width = values.shape
    if min(height, width) < 2:
        return None
    lines = find_contours(np.where(np.isfinite(values), values, np.nan), level)
    # Pixel centres lie half a pixel inside the picture.
    path = "".join(_path(line + 0.5) for line in lines if len(line) > 1)
    if not path:
        return None
    stroke = tag("path", d=path, vector_effect="non-scaling-stroke")
    return tag(
        "svg",
        stroke,
        viewBox=f"0 0 {width} {height}",
        preserveAspectRatio="none",
        class_="border",
        role="img",
        aria_label=f"The line where the map is {short_number(level)}",
    )


def _path(line: np.ndarray) -> str:
    points = (f"{x:.2f} {y:.2f}" for y, x in line)
    return "M" + "L".join(points)


def point_mark(x: float, y: float) -> Html:
    """Return a ring around a point, to lie over a map.

    Args:
        x: Place from the left, from 0 to 1.
        y: Place from the top.
    """
    style = f"left:{x:.2%};top:{y:.2%}"
    return tag("span", class_="ring", style=style, aria_hidden="true")


def strip_of(figures: Iterable[Child], *, is_wide: bool = False) -> Html:
    """Return maps side by side where there is room.

    Args:
        figures: The maps.
        is_wide: Whether they need room for words.
    """
    return tag("div", *figures, class_="maps wide" if is_wide else "maps")
