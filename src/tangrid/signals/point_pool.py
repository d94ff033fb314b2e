"""Points with their signed distances, drawn once and kept on disk.

An exact distance costs a hundred times what a field needs to learn from it, so a pool
is drawn before training, and drawn again only for another mesh or other settings.
"""

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from tangrid.choices import check_choice
from tangrid.errors import ConfigError, TangridError
from tangrid.runs.writing import atomic_path
from tangrid.seeding import generator
from tangrid.signals.mesh import MeshSignal
from tangrid.signals.triangle_mesh import Points

SamplingRule = Literal["instant-ngp", "neurbf"]

_SHARES = {"surface": 4, "near": 3, "uniform": 1}
_LOGISTIC = 3**0.5 / 2 / 1024
_GAUSSIAN = 0.01 / 2
_POINTS_PER_PART = 2**19
_FORMAT = 1
_CACHE = "TANGRID_CACHE"
_LARGEST_CACHE = 4 * 2**30


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """Which points a field of a shape is trained on.

    Of eight points, four lie on the surface, three near it and one anywhere in the box.

    Example:
        >>> PoolSettings(size=16).counts
        {'surface': 8, 'near': 6, 'uniform': 2}
    """

    size: int = 2**22
    """Number of points."""
    rule: SamplingRule = "instant-ngp"
    """How far near points are moved: by logistic noise of scale 0.00085 along each axis
    (instant-ngp), or by Gaussian noise of deviation 0.005 (neurbf); in box sides."""

    def __post_init__(self) -> None:
        """Refuse a pool without points.

        Raises:
            ConfigError: If the size or the rule is out of range.
        """
        check_choice("PoolSettings.rule", self.rule, SamplingRule)
        if self.size < 8:
            raise ConfigError(
                f"pool.size: expected at least 8 points, got {self.size}. Say --points "
                "with more; thousands are few."
            )

    @property
    def counts(self) -> dict[str, int]:
        """Points of each kind; what eight does not divide goes to the surface."""
        counts = {kind: self.size * n // 8 for kind, n in _SHARES.items()}
        counts["surface"] += self.size - sum(counts.values())
        return counts

    def moved(self, points: Points, rng: np.random.Generator) -> Points:
        """Return points of a surface moved by the rule's noise, inside the box.

        Args:
            points: Where they were.
            rng: Source of random numbers.
        """
        if self.rule == "instant-ngp":
            noise = _LOGISTIC * rng.logistic(size=points.shape)
        else:
            noise = _GAUSSIAN * rng.standard_normal(points.shape)
        return (points + noise).clip(0, 1)


@dataclass(frozen=True, eq=False)
class PointPool:
    """Hold points of the unit box with what a field should be there.

    Attributes:
        points: Where; neighbours in memory are neighbours in the box.
        distances: Signed distance to the surface, 0 on it.
        normals: Unit normals of points on the surface, 0 elsewhere.
        seconds: Wall time it took to draw them, or to find them on disk.
        is_from_disk: Whether they were there already.
    """

    points: Float[np.ndarray, "n 3"]
    distances: Float[np.ndarray, " n"]
    normals: Float[np.ndarray, "n 3"]
    seconds: float = 0.0
    is_from_disk: bool = False

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.points)


def point_pool(
    signal: MeshSignal,
    settings: PoolSettings,
    seed: int = 0,
    *,
    on_part: Callable[[int, int], None] | None = None,
) -> PointPool:
    """Return the points of a mesh, from disk if the same were drawn before.

    They are kept below ``~/.cache/tangrid``, or where the environment variable
    ``TANGRID_CACHE`` says; the oldest go when all take more than 4 GB. Where nothing
    can be written they are drawn anew each time.

    Args:
        signal: The mesh.
        settings: How many points and which.
        seed: Source of all randomness.
        on_part: Called now and then with the points done and all points.

    Returns:
        The pool, the same bits for the same mesh, settings and seed.

    Example:
        >>> pool = draw_pool(MeshSignal.open("sphere"), PoolSettings(size=64))
        >>> pool.points.shape, int((pool.distances == 0).sum())
        ((64, 3), 32)
    """
    start = time.monotonic()
    path = cache_folder() / "pools" / f"{_digest(signal, settings, seed)}.safetensors"
    kept = _read(path, settings.size)
    if kept is not None:
        return replace(kept, seconds=time.monotonic() - start, is_from_disk=True)
    pool = draw_pool(signal, settings, seed, on_part=on_part)
    _keep(path, pool)
    return replace(pool, seconds=time.monotonic() - start)


def draw_pool(
    signal: MeshSignal,
    settings: PoolSettings,
    seed: int = 0,
    *,
    on_part: Callable[[int, int], None] | None = None,
) -> PointPool:
    """Return points of a mesh, drawn anew.

    Args:
        signal: The mesh.
        settings: How many points and which.
        seed: Source of all randomness.
        on_part: Called now and then with the points done and all points.
    """
    rng = np.random.default_rng(generator(seed, "pool").initial_seed())
    counts, mesh = settings.counts, signal.mesh
    surface = mesh.sample(counts["surface"], rng)
    near = settings.moved(mesh.sample(counts["near"], rng).points, rng)
    uniform = rng.random((counts["uniform"], 3))
    points = np.concatenate((surface.points.clip(0, 1), near, uniform))
    distances = np.zeros(len(points), np.float32)
    normals = np.zeros(points.shape, np.float32)
    # As they are kept on disk: eleven bits are enough for a direction, and half a file.
    normals[: len(surface.points)] = surface.normals.astype(np.float16)
    # Rounded first: the distance belongs to the point that training sees.
    points = points.astype(np.float32)
    for start in range(counts["surface"], len(points), _POINTS_PER_PART):
        if on_part is not None:
            on_part(start, len(points))
        part = slice(start, start + _POINTS_PER_PART)
        distances[part] = mesh.signed_distance(points[part].astype(np.float64))
    if on_part is not None:
        on_part(len(points), len(points))
    order = np.argsort(_morton(points), kind="stable")
    return PointPool(points[order], distances[order], normals[order])


def _morton(points: Float[np.ndarray, "n 3"]) -> np.ndarray:
    """Return places along a curve on which neighbours are neighbours in the box."""
    cells = (points * 1023.999).astype(np.uint64)
    for shift, mask in (
        (16, 0x30000FF),
        (8, 0x300F00F),
        (4, 0x30C30C3),
        (2, 0x9249249),
    ):
        cells = (cells | (cells << np.uint64(shift))) & np.uint64(mask)
    return cells[:, 0] | (cells[:, 1] << np.uint64(1)) | (cells[:, 2] << np.uint64(2))


def cache_folder() -> Path:
    """Return where drawn points are kept between runs."""
    named = os.environ.get(_CACHE)
    if named:
        return Path(named).expanduser()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path("~/.cache").expanduser()) / "tangrid"


def _digest(signal: MeshSignal, settings: PoolSettings, seed: int) -> str:
    words = f"{_FORMAT} {signal.digest} {asdict(settings)} {seed}"
    return hashlib.sha256(words.encode()).hexdigest()[:32]


def _read(path: Path, size: int) -> PointPool | None:
    try:
        arrays = load_file(path)
        normals = arrays["normals"].astype(np.float32)
        points, distances = arrays["points"], arrays["distances"]
    except (OSError, KeyError, SafetensorError):
        # Not there or damaged: it is drawn again.
        return None
    shapes = [array.shape for array in (points, distances, normals)]
    if shapes != [(size, 3), (size,), (size, 3)]:
        return None
    with suppress(OSError):
        path.touch()
    return PointPool(points, distances, normals)


def _keep(path: Path, pool: PointPool) -> None:
    arrays = {
        "points": pool.points,
        "distances": pool.distances,
        "normals": pool.normals.astype(np.float16),
    }
    with suppress(OSError, TangridError):
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_room(path.parent, sum(array.nbytes for array in arrays.values()))
        with atomic_path(path) as temporary:
            save_file(arrays, temporary)


def _make_room(folder: Path, needed: int) -> None:
    # What has another name is somebody else's.
    names = f"{'[0-9a-f]' * 32}.safetensors"
    files = sorted(folder.glob(names), key=lambda file: -file.stat().st_mtime)
    total = needed
    for file in files:
        total += file.stat().st_size
        if total > _LARGEST_CACHE:
            file.unlink(missing_ok=True)
