"""An image as a signal on the unit square.

Coordinate 0 is x, rightward; coordinate 1 is y, downward; [0, 1]^2 spans the pixel
edges, so the pixel in column i of w has its centre at x = (i + 1/2) / w. Pixels are
numbered row by row: index = row * w + column.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from tangrid.errors import ConfigError, DataError, NumericalWarning, ShapeError
from tangrid.notation import Coords, Values
from tangrid.signals.bundled import BUNDLED_IMAGES, bundled_path
from tangrid.signals.colour import Colour
from tangrid.signals.crop import parse_crop
from tangrid.signals.downscale import area_average
from tangrid.signals.formats.picture import Picture, check_finite
from tangrid.signals.formats.reading import read_picture
from tangrid.signals.pixels import values_of
from tangrid.signals.site import Site

MAX_PIXELS = 2**31
"""Largest image that a signal can hold."""


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) != 3 or shape[2] < 1:
        raise ShapeError(
            "ImageSignal: expected an array of height x width or height x width x "
            f"channels, got shape {shape}. Put the channels last."
        )
    if min(shape[:2]) < 2:
        raise ShapeError(
            f"ImageSignal: expected at least 2 pixels on each side, got {shape[1]} x "
            f"{shape[0]}. One row of pixels is not a signal on the plane."
        )
    if shape[0] * shape[1] > MAX_PIXELS:
        raise ShapeError(
            f"ImageSignal: expected at most 2^31 pixels, got {shape[1]} x {shape[0]}. "
            "Cut the image into parts."
        )


def _storable(array: Shaped[np.ndarray, "h w c"], colour: Colour) -> np.ndarray:
    """Return a copy of an array as one of the three kinds that a signal stores."""
    if array.dtype in (np.uint8, np.uint16):
        return np.array(array, order="C")
    if array.dtype.kind != "f":
        raise ShapeError(
            "ImageSignal.from_array: expected uint8, uint16 or floats, got "
            f"{array.dtype.name}. Convert the array first."
        )
    pixels = np.array(array, dtype=np.float32, order="C")
    check_finite(Path("ImageSignal.from_array"), pixels)
    low, high = float(pixels.min()), float(pixels.max())
    if colour == "srgb" and (low < 0.0 or high > 1.0):
        raise ShapeError(
            "ImageSignal.from_array: expected sRGB values in [0, 1], got values from "
            f"{low:g} to {high:g}. Divide by the largest value, clip, pass uint8, or "
            'say colour="linear" if these are linear values.'
        )
    return pixels


def _warn_of_clipping(where: Path, picture: Picture) -> None:
    outside = sum(int(((row < 0.0) | (row > 1.0)).sum()) for row in picture.pixels)
    if outside:
        warnings.warn(
            f"{where}: clipped {outside} of {picture.pixels.size} linear values to "
            '[0, 1] for sRGB. Use colour="linear" to keep them.',
            NumericalWarning,
            stacklevel=3,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSignal:
    """Hold an image as stored, and give its values as float32 where they are asked.

    Make one with `ImageSignal.open` or `ImageSignal.from_array`.

    Example:
        >>> image = ImageSignal.open("astronaut", crop="256x128")
        >>> image.name, image.width, image.height, image.num_channels
        ('astronaut', 256, 128, 3)
        >>> image.pixel_values(torch.tensor([0])).shape
        torch.Size([1, 3])
    """

    name: str
    """Name in tables: the file's, without its ending."""
    colour: Colour
    """Colour space of every value that the signal gives."""
    stored: Colour
    """Colour space of float pixels; integer pixels are sRGB-coded."""
    pixels: Shaped[np.ndarray, "h w c"]
    """uint8, uint16 or float32, read-only."""

    def __post_init__(self) -> None:
        _check_shape(self.pixels.shape)
        if self.colour not in get_args(Colour):
            raise ConfigError(
                f"colour: expected one of {list(get_args(Colour))}, got "
                f"{self.colour!r}. Most pictures are fitted in srgb."
            )
        view = self.pixels.view()
        view.flags.writeable = False
        object.__setattr__(self, "pixels", view)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        colour: Colour = "srgb",
        crop: str | None = None,
        downscale: int = 1,
    ) -> "ImageSignal":
        """Read an image from a file, or one that comes with scikit-image.

        Args:
            path: A picture file of any common format, or a name of
                `tangrid.signals.bundled.BUNDLED_IMAGES` where no file has that name.
            colour: Colour space of the values. Integers in files are taken as
                sRGB-coded, floats (EXR, TIFF) as linear; each is converted if need be.
            crop: ``"256"`` or ``"256x192"`` for the centre, ``"256x192+40+20"`` for a
                rectangle whose first pixel is in column 40 and row 20.
            downscale: Whole factor by which the crop is made smaller.

        Returns:
            The image.

        Raises:
            DataError: If the file cannot be read as an image.

        Example:
            >>> ImageSignal.open("coffee", downscale=2).site.resolution
            (300, 200)
        """
        if crop is not None:
            parse_crop(crop)  # a slip should not cost the reading of a large file
        file = Path(path).expanduser()
        if not file.exists():
            bundled = bundled_path(str(path))
            if bundled is None and str(path) == file.name and not file.suffix:
                raise DataError(
                    f"{file}: expected a picture file or one of the names "
                    f"{list(BUNDLED_IMAGES)}, got neither. Check the spelling."
                )
            file = bundled or file
        picture = read_picture(file)
        if picture.stored == "linear" and colour == "srgb":
            _warn_of_clipping(file, picture)
        whole = cls(
            name=file.stem, colour=colour, stored=picture.stored, pixels=picture.pixels
        )
        return whole.part(crop=crop, downscale=downscale)

    @classmethod
    def from_array(
        cls,
        array: Shaped[np.ndarray, "..."],
        *,
        name: str = "image",
        colour: Colour = "srgb",
        crop: str | None = None,
        downscale: int = 1,
    ) -> "ImageSignal":
        """Copy an image from an array of height x width, with or without channels.

        Args:
            array: uint8 or uint16, sRGB-coded; or floats, which are in `colour`
                already and are not converted.
            name: Name in tables.
            colour: Colour space of the values.
            crop: As in `ImageSignal.open`.
            downscale: As in `ImageSignal.open`.

        Returns:
            The image.

        Example:
            >>> ImageSignal.from_array(np.zeros((4, 6))).site.resolution
            (6, 4)
        """
        planes = array[..., None] if array.ndim == 2 else array
        _check_shape(planes.shape)
        pixels = _storable(planes, colour)
        whole = cls(name=name, colour=colour, stored=colour, pixels=pixels)
        return whole.part(crop=crop, downscale=downscale)

    def part(self, *, crop: str | None = None, downscale: int = 1) -> "ImageSignal":
        """Cut out a rectangle, then make it smaller.

        Args:
            crop: As in `ImageSignal.open`; None keeps the whole image.
            downscale: Whole factor; pixels are averaged in the image's `colour`.

        Returns:
            A new image of the same name; this one where nothing is asked.
        """
        pixels, stored = self.pixels, self.stored
        if crop is not None:
            box = parse_crop(crop).box(self.width, self.height)
            rows = slice(box.y, box.y + box.height)
            pixels = pixels[rows, box.x : box.x + box.width].copy()
        if downscale != 1:
            pixels = area_average(pixels, downscale, stored=stored, wanted=self.colour)
            stored = self.colour
        if pixels is self.pixels:
            return self
        return ImageSignal(
            name=self.name, colour=self.colour, stored=stored, pixels=pixels
        )

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.pixels.shape[0]

    @property
    def num_channels(self) -> int:
        """Number of values at each point, alpha counted."""
        return self.pixels.shape[2]

    @property
    def num_pixels(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    @property
    def site(self) -> Site:
        """What an encoding may know of the image."""
        return Site(
            num_dims=2,
            num_channels=self.num_channels,
            resolution=(self.width, self.height),
            sampler=self._draw,
        )

    def pixel_values(self, indices: Int64[Tensor, " n"]) -> Values:
        """Return the values of some pixels.

        Args:
            indices: Pixel numbers, row by row from the top left.

        Returns:
            float32 values on the CPU.
        """
        numbers = self._checked(indices)
        found = np.take(self.pixels.reshape(-1, self.num_channels), numbers, axis=0)
        return torch.from_numpy(self._values(found))

    def pixel_coords(self, indices: Int64[Tensor, " n"]) -> Coords:
        """Return the centres of some pixels.

        Args:
            indices: Pixel numbers, row by row from the top left.

        Returns:
            float32 coordinates on the CPU, x first.

        Example:
            >>> image = ImageSignal.from_array(np.zeros((2, 4)))
            >>> image.pixel_coords(torch.tensor([5])).tolist()
            [[0.375, 0.75]]
        """
        rows, columns = np.divmod(self._checked(indices), self.width)
        coords = np.empty((len(rows), 2), dtype=np.float32)
        coords[:, 0] = (columns + 0.5) / self.width
        coords[:, 1] = (rows + 0.5) / self.height
        return torch.from_numpy(coords)

    def sample(self, coords: Coords) -> Values:
        """Interpolate the image bilinearly between pixel centres.

        Args:
            coords: Points, x first; beyond the outermost centres the edge goes on.

        Returns:
            float32 values on the CPU; those of `pixel_values` at pixel centres.

        Raises:
            ShapeError: If a coordinate is not finite.

        Example:
            >>> ramp = ImageSignal.from_array(np.array([[0.0, 1.0], [0.0, 1.0]]))
            >>> ramp.sample(torch.tensor([[0.5, 0.3]])).tolist()
            [[0.5]]
        """
        # float32 would place points of a wide image by a few hundredths of a pixel.
        points = coords.detach().cpu().numpy().astype(np.float64)
        if not np.isfinite(points).all():
            bad = int((~np.isfinite(points)).sum())
            raise ShapeError(
                f"ImageSignal.sample: expected finite coordinates, got {bad} of "
                f"{points.size} that are not. Repair them first."
            )
        sides = np.array([self.width, self.height])
        places = np.clip(points * sides - 0.5, 0.0, sides - 1.0)
        first = np.minimum(places.astype(np.int64), sides - 2)
        right, down = np.hsplit((places - first).astype(np.float32), 2)
        columns, rows = first[:, 0], first[:, 1]
        above = self._at(rows, columns) * (1 - right)
        above += self._at(rows, columns + 1) * right
        below = self._at(rows + 1, columns) * (1 - right)
        below += self._at(rows + 1, columns + 1) * right
        return torch.from_numpy(above * (1 - down) + below * down)

    def rows(self, start: int, stop: int) -> Float[np.ndarray, "h w c"]:
        """Return the values of some whole rows.

        Args:
            start: First row.
            stop: Row after the last one.

        Returns:
            A new float32 array; an image is read in strips so that it is never
            copied whole.

        Raises:
            ShapeError: If the rows do not lie inside the image.
        """
        if not 0 <= start <= stop <= self.height:
            raise ShapeError(
                f"ImageSignal.rows: expected 0 <= start <= stop <= {self.height}, got "
                f"start {start} and stop {stop}. Ask for rows of the image."
            )
        return self._values(self.pixels[start:stop])

    def _values(self, pixels: Shaped[np.ndarray, "... c"]) -> np.ndarray:
        return values_of(pixels, stored=self.stored, wanted=self.colour)

    def _at(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return self._values(self.pixels[rows, columns])

    def _checked(self, indices: Int64[Tensor, " n"]) -> np.ndarray:
        numbers = indices.detach().cpu().numpy()
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < self.num_pixels:
            raise ShapeError(
                f"ImageSignal: expected pixel numbers from 0 to {self.num_pixels - 1}, "
                f"got {numbers.min()} to {numbers.max()}. Number pixels row by row."
            )
        return numbers

    def detail(self, indices: Int64[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Return how fast the image changes at some pixels, by Sobel's filter.

        It is the length of the gradient per pixel, the root mean square over channels;
        beyond the edge the outermost pixels go on.

        Args:
            indices: Pixel numbers, row by row from the top left.

        Returns:
            float32 on the CPU.

        Example:
            >>> ramp = ImageSignal.from_array(np.eye(4) * 0 + np.arange(4) / 4)
            >>> ramp.detail(torch.tensor([5])).tolist()
            [0.25]
        """
        rows, columns = np.divmod(self._checked(indices), self.width)
        around = {
            (down, right): self._at(
                np.clip(rows + down, 0, self.height - 1),
                np.clip(columns + right, 0, self.width - 1),
            )
            for down in (-1, 0, 1)
            for right in (-1, 0, 1)
        }
        slopes = np.zeros((2, len(rows), self.num_channels), dtype=np.float32)
        for step, weight in ((-1, 1 / 8), (0, 2 / 8), (1, 1 / 8)):
            # Differences first: those of equal pixels are 0 without any rounding.
            slopes[0] += weight * (around[step, 1] - around[step, -1])
            slopes[1] += weight * (around[1, step] - around[-1, step])
        return torch.from_numpy(np.sqrt(np.square(slopes).sum(0).mean(1)))

    def _draw(
        self, count: int, generator: torch.Generator
    ) -> tuple[Coords, Float[Tensor, " n"]]:
        indices = torch.arange(self.num_pixels)
        if count < self.num_pixels:
            # Each at most once: twice the same pixel would make two nodes of one place.
            indices = torch.randperm(self.num_pixels, generator=generator)[:count]
        return self.pixel_coords(indices), self.detail(indices)
