"""One door for every picture format, told apart by a file's first bytes."""

import struct
import zlib
from pathlib import Path

from PIL import UnidentifiedImageError

from tangrid.errors import DataError
from tangrid.signals.formats.exr import read_exr
from tangrid.signals.formats.picture import Picture
from tangrid.signals.formats.raster import read_raster
from tangrid.signals.formats.tiff import read_tiff

_EXR = b"\x76\x2f\x31\x01"
_TIFFS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")

_DECODER_FAILURES = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    struct.error,
    zlib.error,
)


def _first_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise DataError(
            f"{path}: expected a picture file, got a folder. Name one file inside it."
        )
    if not path.exists():
        raise DataError(
            f"{path}: expected a picture file, got a path where there is none. "
            "Check the spelling and the folder that the path starts from."
        )
    if not path.is_file():
        raise DataError(
            f"{path}: expected a picture file, got a device or a pipe. "
            "Copy it into a file first."
        )
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise DataError(
            f"{path}: expected a readable picture file, got: {error.strerror}. "
            "Check its permissions."
        ) from error
    if not start:
        raise DataError(
            f"{path}: expected a picture file, got an empty file. Fetch it again."
        )
    return start


def _read(path: Path, start: bytes, *, upright: bool) -> Picture:
    if start.startswith(_EXR):
        return read_exr(path)
    if start.startswith(_TIFFS):
        return read_tiff(path, upright=upright)
    return read_raster(path, upright=upright)


def read_picture(path: Path, *, upright: bool = True) -> Picture:
    """Read a picture file of any supported format.

    Args:
        path: The file; its ending does not matter.
        upright: Whether to turn it as its EXIF orientation says.

    Returns:
        Its pixels, coded as they are stored.

    Raises:
        DataError: If there is no such file, it is not a picture, it is damaged, or it
            is of a kind that is not supported; the message says which.
    """
    start = _first_bytes(path)
    try:
        return _read(path, start, upright=upright)
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(
            f"{path}: expected PNG, JPEG, TIFF, WebP, EXR or another common picture "
            f"format, got a file that starts with {start!r}. Convert it to PNG."
        ) from error
    except MemoryError as error:
        raise DataError(
            f"{path}: expected a picture that fits into memory, got one that does "
            "not. Cut it into smaller files."
        ) from error
    except _DECODER_FAILURES as error:
        raise DataError(
            f"{path}: expected a whole picture, got one that cannot be decoded "
            f"({error}). The file may be cut short or damaged; fetch or save it again."
        ) from error
