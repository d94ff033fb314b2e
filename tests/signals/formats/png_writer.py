"""Writes PNG files that Pillow cannot write: 16-bit colour, any filter, interlaced."""

import struct
import zlib
from pathlib import Path

import numpy as np

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
ADAM7 = [
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def _paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    return min((left, above, corner), key=lambda value: abs(guess - value))


def _filtered(row: bytes, previous: bytes, kind: int, step: int) -> bytes:
    out = bytearray([kind])
    for i, value in enumerate(row):
        left = row[i - step] if i >= step else 0
        corner = previous[i - step] if i >= step else 0
        above = previous[i]
        guess = [0, left, above, (left + above) // 2, _paeth(left, above, corner)][kind]
        out.append((value - guess) % 256)
    return bytes(out)


def _image_data(pixels: np.ndarray, filters: list[int]) -> bytes:
    step = pixels.shape[2] * pixels.dtype.itemsize
    previous = bytes(pixels.shape[1] * step)
    out = b""
    for number, values in enumerate(pixels):
        row = values.astype(values.dtype.newbyteorder(">")).tobytes()
        out += _filtered(row, previous, filters[number % len(filters)], step)
        previous = row
    return out


def write_png(
    path: Path,
    pixels: np.ndarray,
    *,
    filters: tuple[int, ...] = (0, 1, 2, 3, 4),
    interlaced: bool = False,
    orientation: int | None = None,
) -> None:
    """Write pixels of height x width x channels; each row takes the next filter."""
    height, width, channels = pixels.shape
    header = struct.pack(
        ">IIBBBBB",
        width,
        height,
        8 * pixels.dtype.itemsize,
        COLOUR_TYPES[channels],
        0,
        0,
        int(interlaced),
    )
    parts = [pixels[y::dy, x::dx] for y, x, dy, dx in ADAM7] if interlaced else [pixels]
    data = b"".join(_image_data(part, list(filters)) for part in parts if part.size)
    exif = b""
    if orientation is not None:
        entry = struct.pack(
            "<2sHIHHHIHHI", b"II", 42, 8, 1, 274, 3, 1, orientation, 0, 0
        )
        exif = png_chunk(b"eXIf", entry)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + exif
        + png_chunk(b"IDAT", zlib.compress(data))
        + png_chunk(b"IEND", b"")
    )


def header_only_png(path: Path, width: int, height: int) -> None:
    """Write a grey PNG that states a size and holds no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"")
    )
