"""Pictures inside a page: embedded files, smaller copies, crops and the colour bar."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.colors import to_hex
from PIL import Image, features

from tangrid.reports.markup import Html, tag
from tangrid.reports.measures import is_number

THUMBNAIL = 480
"""Longer side of a smaller copy, in pixels: twice its size on the page."""

HEAVY = 2**19
"""Bytes from which a file is too heavy for a page with many pictures."""

# JPEG knows no transparency, and PNG takes ten times the room of WebP.
_TRANSPARENT = "WEBP" if features.check("webp") else "PNG"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A part of a signal, in its pixels."""

    left: int
    top: int
    width: int
    height: int
    signal_size: tuple[int, int]
    """Width and height of the whole."""
    error: float | None
    """Mean absolute error within it."""

    def overlaps(self, other: "Place") -> bool:
        """Return whether two places share a pixel.

        Args:
            other: Another place of the same signal.
        """
        return (
            self.left < other.left + other.width
            and other.left < self.left + self.width
            and self.top < other.top + other.height
            and other.top < self.top + self.height
        )


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture as it stands inside a page."""

    uri: str
    width: int
    height: int

    def img(self, words: str, **attributes: str | int | bool | None) -> Html:
        """Return the element that shows it.

        Args:
            words: What it shows, for those who do not see it.
            attributes: Further attributes of the element.
        """
        name = attributes.pop("class_", None)
        # What is enlarged shows its pixels, what is reduced is smoothed.
        names = [str(name)] if name else []
        if max(self.width, self.height) < 200:
            names.append("pixelated")
        return tag(
            "img",
            src=self.uri,
            alt=words,
            width=self.width,
            height=self.height,
            decoding="async",
            class_=" ".join(names) or None,
            **attributes,
        )


def embed(path: Path) -> Picture | None:
    """Return a picture as it is.

    Args:
        path: A PNG or JPEG file.

    Returns:
        The picture, or nothing if there is none that can be read.
    """
    image = _open(path)
    if image is None:
        return None
    data = path.read_bytes()
    return _picture(
        data, Image.MIME.get(image.format or "PNG", "image/png"), image.size
    )


def embed_small(path: Path) -> Picture | None:
    """Return a smaller copy, for pages with many pictures.

    Args:
        path: A PNG or JPEG file.

    Returns:
        The copy, or nothing if there is no picture that can be read.
    """
    image = _open(path)
    if image is None:
        return None
    if max(image.size) <= THUMBNAIL // 2:
        return embed(path)
    is_transparent = image.has_transparency_data
    copy = image.convert("RGBA" if is_transparent else "RGB")
    copy.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    kind = _TRANSPARENT if is_transparent else "JPEG"
    copy.save(buffer, kind, quality=90)
    return _picture(buffer.getvalue(), f"image/{kind.lower()}", copy.size)


def embed_light(path: Path) -> Picture | None:
    """Return a picture at its full size; a heavy one as a JPEG copy.

    Args:
        path: A PNG or JPEG file.

    Returns:
        The picture, or nothing if there is none that can be read.
    """
    image = _open(path)
    if image is None or path.stat().st_size <= HEAVY:
        return embed(path)
    buffer = io.BytesIO()
    # Colours at full resolution: the copy is there to be compared with.
    image.convert("RGB").save(buffer, "JPEG", quality=92, subsampling=0)
    return _picture(buffer.getvalue(), "image/jpeg", image.size)


def embed_crop(path: Path, place: Place) -> Picture | None:
    """Return a part of a picture, pixel by pixel.

    Args:
        path: A PNG or JPEG file, which may show the signal at a smaller size.
        place: The part.

    Returns:
        The part, or nothing if there is no picture that can be read.
    """
    image = _open(path)
    if image is None:
        return None
    across = image.width / place.signal_size[0]
    down = image.height / place.signal_size[1]
    left, top = round(place.left * across), round(place.top * down)
    corners = (
        left,
        top,
        max(round((place.left + place.width) * across), left + 1),
        max(round((place.top + place.height) * down), top + 1),
    )
    part = image.convert("RGB").crop(corners)
    buffer = io.BytesIO()
    part.save(buffer, "PNG", optimize=True)
    return _picture(buffer.getvalue(), "image/png", part.size)


def _open(path: Path) -> Image.Image | None:
    try:
        return _load(path, path.stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=16)
def _load(path: Path, _: int) -> Image.Image | None:
    """Return a picture; many crops are taken from the same one in a row."""
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _picture(data: bytes, mime: str, size: tuple[int, int]) -> Picture:
    text = base64.b64encode(data).decode("ascii")
    return Picture(uri=f"data:{mime};base64,{text}", width=size[0], height=size[1])


def colour_bar(pictures: Mapping[str, Any]) -> Html | None:
    """Return the scale of an error map, if it is known.

    Args:
        pictures: What ``pictures.json`` says; ``error_colormap`` names the colours.
    """
    scale = pictures.get("error_scale")
    if not is_number(scale):
        return None
    words = f"Colours of the error from 0 to {scale:g}"
    ends = ("0", f"≥ {scale:g}")
    return colour_ramp(str(pictures.get("error_colormap")), "inferno", ends, words)


def colour_ramp(name: str, usual: str, ends: tuple[str, str], words: str) -> Html:
    """Return the colours of a map between the words for its ends.

    Args:
        name: What they are called.
        usual: What they are called where that is unknown.
        ends: What the first and the last colour stand for.
        words: What it shows, for those who do not see it.
    """
    colours = mpl.colormaps[name if name in mpl.colormaps else usual]
    stops = ", ".join(to_hex(colours(index / 16)) for index in range(17))
    return tag(
        "div",
        tag("span", ends[0]),
        tag("span", class_="ramp", style=f"background:linear-gradient(90deg,{stops})"),
        tag("span", ends[1]),
        class_="scale",
        role="img",
        aria_label=words,
    )


def signal_size(pictures: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return width and height of the signal, if it has any.

    Args:
        pictures: What ``pictures.json`` says.
    """
    width, height = pictures.get("width"), pictures.get("height")
    return (width, height) if width and height else None


def worst_places(pictures: Mapping[str, Any]) -> list[Place]:
    """Return where a reconstruction errs most, worst first.

    Args:
        pictures: What ``pictures.json`` says.
    """
    size = signal_size(pictures)
    if size is None:
        return []
    return [
        Place(
            left=crop["x"],
            top=crop["y"],
            width=crop["width"],
            height=crop["height"],
            signal_size=size,
            error=crop.get("mae"),
        )
        for crop in pictures.get("crops", ())
    ]


def place_mark(place: Place, label: str) -> Html:
    """Return the frame of a place, to lie over a picture.

    Args:
        place: The part of the signal.
        label: What it is called.
    """
    across, down = place.signal_size
    shares = {
        "left": place.left / across,
        "top": place.top / down,
        "width": place.width / across,
        "height": place.height / down,
    }
    style = ";".join(f"{side}:{share:.3%}" for side, share in shares.items())
    name = "place inside" if shares["top"] < 0.08 else "place"
    return tag("span", tag("span", label), class_=name, style=style, aria_hidden="true")
