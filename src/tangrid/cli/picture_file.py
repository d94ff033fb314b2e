"""Write pictures row by row, so that they need not fit into memory."""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import tifffile

from tangrid.errors import ConfigError
from tangrid.runs.writing import atomic_path, unwritable
from tangrid.signals.colour import Colour, srgb_from_linear
from tangrid.signals.pixels import num_colours

_PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}
_SUFFIXES = {".png": "png", ".npy": "npy", ".tif": "tiff", ".tiff": "tiff"}

Strips = Iterator[np.ndarray]
"""Rows of float32 values from the top, a few at a time."""


@dataclass(frozen=True, kw_only=True)
class PictureFile:
    """What a picture will be, before anything is computed."""

    path: Path
    """Its file; the ending says the format."""
    width: int
    """Pixels along x."""
    height: int
    """Pixels along y."""
    num_channels: int
    """Values per pixel."""
    colour: Colour
    """Colour space of the values; pictures are sRGB-coded, arrays keep it."""
    bits: int = 8
    """Bits per channel of a picture."""

    def __post_init__(self) -> None:
        """Refuse what cannot be written.

        Raises:
            ConfigError: If the ending is unknown or the format lacks such pixels.
        """
        if self.path.suffix.lower() not in _SUFFIXES:
            raise ConfigError(
                f"{self.path}: expected a name that ends with .png, .tiff or .npy, got "
                f"'{self.path.suffix or self.path.name}'. Choose one with --out."
            )
        if self.format != "npy" and self.num_channels not in _PNG_COLOURS:
            raise ConfigError(
                f"{self.path}: expected a field of 1 to 4 channels, got "
                f"{self.num_channels}. Write an array that ends with .npy."
            )

    @property
    def format(self) -> str:
        """The format that the ending says: png, tiff or npy."""
        return _SUFFIXES[self.path.suffix.lower()]

    def write(self, strips: Strips) -> None:
        """Write the file, whole or not at all.

        Args:
            strips: Values of all rows; arrays keep them as they are.
        """
        writers: dict[str, Callable[[Path, Strips], None]] = {
            "png": self._write_png,
            "tiff": self._write_tiff,
            "npy": self._write_npy,
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self.path, error) from error
        with atomic_path(self.path) as temporary:
            writers[self.format](temporary, strips)

    def _write_npy(self, path: Path, strips: Strips) -> None:
        shape = (self.height, self.width, self.num_channels)
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for strip in strips:
                file.write(np.ascontiguousarray(strip, dtype="<f4").data)

    def _write_tiff(self, path: Path, strips: Strips) -> None:
        shape = (self.height, self.width, self.num_channels)
        colours = num_colours(self.num_channels)
        tifffile.imwrite(
            path,
            self._single_rows(strips),
            shape=shape if self.num_channels > 1 else shape[:2],
            dtype=np.uint8 if self.bits == 8 else np.uint16,
            photometric="rgb" if colours == 3 else "minisblack",
            planarconfig="contig" if self.num_channels > 1 else None,
            extrasamples=["unassalpha"] if colours < self.num_channels else None,
            rowsperstrip=1,
            metadata=None,
        )

    def _single_rows(self, strips: Strips) -> Strips:
        for strip in strips:
            pixels = self._pixels(strip)
            if self.num_channels == 1:
                pixels = pixels[..., 0]
            yield from pixels[:, None]

    def _write_png(self, path: Path, strips: Strips) -> None:
        with path.open("wb") as file:
            file.write(b"\x89PNG\r\n\x1a\n")
            kind = _PNG_COLOURS[self.num_channels]
            size = struct.pack(">IIBB3x", self.width, self.height, self.bits, kind)
            _write_chunk(file, b"IHDR", size)
            _write_chunk(file, b"sRGB", b"\0")
            packer = zlib.compressobj(6)
            bytes_per_row = self.width * self.num_channels * self.bits // 8
            above = np.zeros((1, bytes_per_row), np.uint8)
            for strip in strips:
                pixels = self._pixels(strip).astype(f">u{self.bits // 8}")
                rows = np.frombuffer(pixels.tobytes(), np.uint8)
                rows = rows.reshape(len(strip), bytes_per_row)
                # Filter 2: what is left after the row above is taken away.
                filtered = rows - np.concatenate((above, rows[:-1]))
                lines = np.insert(filtered, 0, 2, axis=1)
                _write_chunk(file, b"IDAT", packer.compress(lines.tobytes()))
                above = rows[-1:]
            _write_chunk(file, b"IDAT", packer.flush())
            _write_chunk(file, b"IEND", b"")

    def _pixels(self, values: np.ndarray) -> np.ndarray:
        """Return values as the integers of a picture."""
        shown = values.clip(0.0, 1.0)
        if self.colour == "linear":
            colours = num_colours(self.num_channels)
            shown[..., :colours] = srgb_from_linear(shown[..., :colours])
        largest = 2**self.bits - 1
        dtype = np.uint8 if self.bits == 8 else np.uint16
        return np.round(shown * largest).astype(dtype)


def _write_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    check = zlib.crc32(kind + data)
    file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check))
