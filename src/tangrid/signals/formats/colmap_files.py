"""The three files of a COLMAP model, cameras, images and points3D, as .bin or .txt."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from tangrid.errors import DataError
from tangrid.runs.writing import unreadable

_MODELS = {
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
    5: ("OPENCV_FISHEYE", 8),
    6: ("FULL_OPENCV", 12),
    7: ("FOV", 5),
    8: ("SIMPLE_RADIAL_FISHEYE", 4),
    9: ("RADIAL_FISHEYE", 5),
    10: ("THIN_PRISM_FISHEYE", 12),
}
"""Numbers of camera models in binary files, and how many parameters they have."""


@dataclass(frozen=True, kw_only=True)
class ColmapCamera:
    """Hold the inside of a camera."""

    model: str
    """Name of the model."""
    width: int
    """Pixels along x."""
    height: int
    """Pixels along y."""
    parameters: tuple[float, ...]
    """Focal lengths, principal point, coefficients, as the model orders them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ColmapImage:
    """Hold a registered photograph."""

    name: str
    """Path relative to the folder of photographs."""
    camera: int
    """Number of its camera."""
    quaternion: Float[np.ndarray, " 4"]
    """World to camera, w first."""
    translation: Float[np.ndarray, " 3"]
    """World to camera."""
    seen: Int64[np.ndarray, " s"]
    """Numbers of the points that it sees."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ColmapModel:
    """Hold a model."""

    cameras: Mapping[int, ColmapCamera]
    """Cameras by number."""
    images: tuple[ColmapImage, ...]
    """Photographs, sorted by name."""
    numbers: Int64[np.ndarray, " p"]
    """Numbers of the points, ascending."""
    points: Float[np.ndarray, "p 3"]
    """Where they are; none if the file is missing."""


class _UnknownModelError(Exception):
    """The number of a model of cameras of which it is not known how long it is."""


def has_model(folder: Path) -> bool:
    """Return whether a folder holds a model.

    Args:
        folder: Where the files are.
    """
    return any(
        (folder / f"cameras{ending}").is_file()
        and (folder / f"images{ending}").is_file()
        for ending in (".bin", ".txt")
    )


def read_model(folder: Path) -> ColmapModel:
    """Read a model; binary files are preferred.

    Args:
        folder: Where the files are.

    Returns:
        The model.

    Raises:
        DataError: If a file is damaged.
    """
    ending = ".bin" if (folder / "cameras.bin").is_file() else ".txt"
    parsers = _BINARY if ending == ".bin" else _TEXT
    parts = []
    for name, parse in parsers.items():
        path = folder / f"{name}{ending}"
        if name == "points3D" and not path.is_file():
            parts.append([])
            continue
        parts.append(_parsed(path, parse))
    cameras, images, points = parts
    numbers = np.array([number for number, _ in points], dtype=np.int64)
    places = np.array([place for _, place in points], dtype=np.float64).reshape(-1, 3)
    order = np.argsort(numbers, kind="stable")
    return ColmapModel(
        cameras=dict(cameras),
        images=tuple(sorted(images, key=lambda image: image.name)),
        numbers=numbers[order],
        points=places[order],
    )


def _parsed(path: Path, parse: Any) -> list[Any]:  # noqa: ANN401
    try:
        return list(parse(path.read_bytes()))
    except OSError as error:
        raise unreadable(path, error) from error
    except _UnknownModelError as error:
        raise DataError(
            f"{path}: expected camera models with numbers from 0 to {max(_MODELS)}, "
            f"got {error}. Undistort the photographs with `colmap image_undistorter`, "
            "or export the model again."
        ) from error
    except (struct.error, ValueError, IndexError, KeyError, OverflowError) as error:
        raise DataError(
            f"{path}: expected a file of a COLMAP model, got one that breaks off or is "
            f"damaged ({type(error).__name__}: {error}). Export the model again."
        ) from error


class _Cursor:
    """Reads numbers one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def take(self, form: str) -> tuple[Any, ...]:
        """Return some numbers in the byte order of COLMAP."""
        values = struct.unpack_from(f"<{form}", self._data, self._place)
        self._place += struct.calcsize(f"<{form}")
        return values

    def word(self) -> str:
        """Return text that ends with a zero byte."""
        end = self._data.index(b"\0", self._place)
        text = self._data[self._place : end].decode("utf-8", "surrogateescape")
        self._place = end + 1
        return text

    def rows(self, kind: np.dtype, count: int) -> np.ndarray:
        """Return some records."""
        found = np.frombuffer(self._data, kind, count, self._place)
        self._place += count * kind.itemsize
        return found


_SEEN = np.dtype([("x", "<f8"), ("y", "<f8"), ("point", "<i8")])
_TRACK_BYTES = 8


def _binary_cameras(data: bytes) -> Iterator[tuple[int, ColmapCamera]]:
    cursor = _Cursor(data)
    (count,) = cursor.take("Q")
    for _ in range(count):
        number, model, width, height = cursor.take("iiQQ")
        if model not in _MODELS:
            raise _UnknownModelError(model)
        name, num_parameters = _MODELS[model]
        yield (
            number,
            ColmapCamera(
                model=name,
                width=width,
                height=height,
                parameters=cursor.take(f"{num_parameters}d"),
            ),
        )


def _binary_images(data: bytes) -> Iterator[ColmapImage]:
    cursor = _Cursor(data)
    (count,) = cursor.take("Q")
    for _ in range(count):
        _, *numbers, camera = cursor.take("i7di")
        name = cursor.word()
        (num_seen,) = cursor.take("Q")
        points = cursor.rows(_SEEN, num_seen)["point"]
        yield ColmapImage(
            name=name,
            camera=camera,
            quaternion=np.array(numbers[:4]),
            translation=np.array(numbers[4:]),
            seen=points[points >= 0].astype(np.int64),
        )


def _binary_points(data: bytes) -> Iterator[tuple[int, tuple[float, ...]]]:
    cursor = _Cursor(data)
    (count,) = cursor.take("Q")
    for _ in range(count):
        number, x, y, z, *_, length = cursor.take("q3d3BdQ")
        # Tracks are repeated in the images.
        cursor.rows(np.dtype(f"V{_TRACK_BYTES}"), length)
        yield number, (x, y, z)


def _lines(data: bytes) -> Iterator[str]:
    for line in data.decode("utf-8", "surrogateescape").splitlines():
        if not line.startswith("#"):
            yield line.strip()


def _text_cameras(data: bytes) -> Iterator[tuple[int, ColmapCamera]]:
    for line in filter(None, _lines(data)):
        number, model, width, height, *parameters = line.split()
        yield (
            int(number),
            ColmapCamera(
                model=model,
                width=int(width),
                height=int(height),
                parameters=tuple(map(float, parameters)),
            ),
        )


def _text_images(data: bytes) -> Iterator[ColmapImage]:
    lines = _lines(data)
    for line in lines:
        if not line:
            continue
        _, *numbers, camera, name = line.split(maxsplit=9)
        # The line of points may be empty, or lack at the end of the file.
        points = np.array(next(lines, "").split()[2::3], dtype=np.int64)
        values = np.array(numbers, dtype=np.float64)
        if len(values) != 7:
            raise ValueError(f"a line of {len(values) + 3} words")
        yield ColmapImage(
            name=name,
            camera=int(camera),
            quaternion=values[:4],
            translation=values[4:],
            seen=points[points >= 0],
        )


def _text_points(data: bytes) -> Iterator[tuple[int, tuple[float, ...]]]:
    for line in filter(None, _lines(data)):
        number, x, y, z, _ = line.split(maxsplit=4)
        if int(number) >= 2**63:
            raise ValueError(f"a point of number {number}")
        yield int(number), (float(x), float(y), float(z))


_BINARY = {
    "cameras": _binary_cameras,
    "images": _binary_images,
    "points3D": _binary_points,
}
_TEXT = {"cameras": _text_cameras, "images": _text_images, "points3D": _text_points}
