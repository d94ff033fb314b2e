"""A rectangle of pixels, written as `256`, `256x192` or `256x192+40+20`."""

import re
from dataclasses import dataclass

from tangrid.errors import ConfigError

_FORM = re.compile(r"([0-9]{1,9})(?:x([0-9]{1,9}))?(?:\+([0-9]{1,9})\+([0-9]{1,9}))?")


@dataclass(frozen=True, kw_only=True)
class Box:
    """Hold a rectangle that lies inside an image, in pixels."""

    x: int
    """First column."""
    y: int
    """First row."""
    width: int
    """Number of columns."""
    height: int
    """Number of rows."""


@dataclass(frozen=True, kw_only=True)
class Crop:
    """Hold a wish for a rectangle, before the size of the image is known."""

    width: int
    """Number of columns."""
    height: int
    """Number of rows."""
    corner: tuple[int, int] | None = None
    """First column and first row; None puts the rectangle in the centre."""

    def box(self, width: int, height: int) -> Box:
        """Place the rectangle on an image.

        Args:
            width: Columns of the image.
            height: Rows of the image.

        Returns:
            The rectangle; a centred one leaves the odd pixel to the right and below.

        Raises:
            ConfigError: If the rectangle does not lie inside the image.

        Example:
            >>> parse_crop("256x128").box(768, 512)
            Box(x=256, y=192, width=256, height=128)
        """
        centre = ((width - self.width) // 2, (height - self.height) // 2)
        x, y = centre if self.corner is None else self.corner
        fits = x + self.width <= width and y + self.height <= height
        if min(x, y) < 0 or not fits:
            place = "" if self.corner is None else f" at column {x}, row {y}"
            raise ConfigError(
                f"crop: expected a rectangle inside the image of {width} x {height} "
                f"pixels, got {self.width} x {self.height}{place}. Choose a smaller "
                "crop or another corner."
            )
        return Box(x=x, y=y, width=self.width, height=self.height)


def parse_crop(text: str) -> Crop:
    """Read a crop from text.

    Args:
        text: ``"256"`` is a centred square, ``"256x192"`` a centred rectangle of 256
            columns and 192 rows, ``"256x192+40+20"`` the same with its first pixel
            in column 40 and row 20.

    Returns:
        The crop, with at least 2 pixels on each side.

    Raises:
        ConfigError: If the text has another form or a side is shorter than 2 pixels.

    Example:
        >>> parse_crop("256x192+40+20").corner
        (40, 20)
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ConfigError(
            "crop: expected SIZE, WIDTHxHEIGHT or WIDTHxHEIGHT+X+Y in whole pixels, "
            f"got {text!r}. Write for example 256, 256x192 or 256x192+40+20."
        )
    width, height, x, y = match.groups()
    crop = Crop(
        width=int(width),
        height=int(height or width),
        corner=None if x is None else (int(x), int(y)),
    )
    if min(crop.width, crop.height) < 2:
        raise ConfigError(
            f"crop: expected at least 2 pixels on each side, got {text!r}. "
            "Choose a larger rectangle."
        )
    return crop
