"""What `tangrid check data` prints and writes of a scene."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

import numpy as np

from tangrid.signals.camera import Camera
from tangrid.signals.scene import Scene, SplitName
from tangrid.signals.scene_check import SceneCheck, looked_at

_WIDTH = 12
_MOST_KINDS = 3


def check_lines(check: SceneCheck) -> Iterator[str]:
    """Yield lines that say what was found.

    Args:
        check: What was found.
    """
    errors = check.findings.num_errors
    verdict = "usable" if check.scene else f"not usable, errors: {errors}"
    yield f"{check.folder.resolve().name}: {check.source_format}, {verdict}"
    for name, words in _facts(check):
        yield f"  {name:<{_WIDTH}}{words}"
    for title, lines in (
        ("notes", check.findings.notes),
        ("errors", check.findings.error_lines()),
    ):
        if lines:
            yield f"{title}:"
            yield from (f"  {line}" for line in lines)


def _facts(check: SceneCheck) -> Iterator[tuple[str, str]]:
    views, scene = check.views, check.scene
    if not views:
        return
    cameras = [view.camera for view in views]
    splits = Counter(view.split for view in views)
    counts = [f"{name} {splits[name]}" for name in get_args(SplitName) if splits[name]]
    yield "views", ", ".join(counts)
    if scene:
        yield "splits", scene.split_rule
    yield "size", _kinds([f"{camera.width} x {camera.height}" for camera in cameras])
    yield "focal", _kinds([_pair(camera.focal) for camera in cameras])
    yield "centre", _kinds([_centre(camera) for camera in cameras])
    yield "lens", _kinds([camera.lens.as_words() for camera in cameras])
    with_alpha = sum(view.has_alpha for view in views)
    yield "alpha", f"{with_alpha} of {len(views)} photographs"
    if scene:
        yield from _bounds(scene)
    yield from _cameras(cameras)
    total = sum(view.num_bytes for view in views)
    yield "memory", f"{total / 1e6:.3g} MB of pixels"


def _kinds(words: Sequence[str]) -> str:
    """Return the most frequent of some words, and how many others there are."""
    counts = Counter(words).most_common()
    if len(counts) == 1:
        return counts[0][0]
    told = [f"{word} ({count})" for word, count in counts[:_MOST_KINDS]]
    more = len(counts) - _MOST_KINDS
    return ", ".join(told) + (f" and {more} others" if more > 0 else "")


def _pair(numbers: tuple[float, float]) -> str:
    x, y = (f"{number:.6g}" for number in numbers)
    return x if x == y else f"{x}, {y}"


def _centre(camera: Camera) -> str:
    if camera.principal_point == (camera.width / 2, camera.height / 2):
        return "the middle"
    x, y = camera.principal_point
    return f"{x:.6g}, {y:.6g}"


def _triple(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:.4g}" for number in numbers)


def _bounds(scene: Scene) -> Iterator[tuple[str, str]]:
    yield "scope", scene.scope
    where = " in device coordinates" if scene.ndc else ""
    yield "box", f"{_triple(scene.low)} to {_triple(scene.high)}{where}"
    if scene.cascades > 1:
        factor = 2 ** (scene.cascades - 1)
        yield "boxes", f"{scene.cascades}, the outermost {factor} times the inner one"
    words = f"{scene.near:.4g}, {scene.far:.4g}"
    if scene.ndc:
        words += f" of the way from {scene.ndc.near:g} before the cameras to infinity"
    yield "near, far", words


def _cameras(cameras: Sequence[Camera]) -> Iterator[tuple[str, str]]:
    positions = np.stack([camera.position for camera in cameras])
    yield "cameras", f"{_triple(positions.min(0))} to {_triple(positions.max(0))}"
    ball = looked_at(cameras)
    if ball is None:
        yield "look at", "no place that all of them see"
        return
    centre, radius = ball
    away = np.linalg.norm(positions - centre, axis=1)
    nearest, farthest = float(away.min()), float(away.max())
    # What is left of zero by rounding would be the longest number of all.
    centre = np.where(np.abs(centre) < 1e-4 * nearest, 0.0, centre)
    yield "look at", f"{_triple(centre)}, from {nearest:.4g} to {farthest:.4g} away"
    box = f"{_triple(centre - radius)} to {_triple(centre + radius)}"
    words = f"a ball of radius {radius:.4g} there, in the box {box}"
    if nearest > radius:
        words += f", near {nearest - radius:.4g}, far {farthest + radius:.4g}"
    yield "all see", words


def scene_record(check: SceneCheck) -> dict[str, Any]:
    """Return what was found as plain values.

    Args:
        check: What was found.

    Returns:
        Facts, findings, and each view's camera.
    """
    scene = check.scene
    bounds = None
    if scene is not None:
        bounds = {
            "scope": scene.scope,
            "low": scene.low,
            "high": scene.high,
            "near": scene.near,
            "far": scene.far,
            "cascades": scene.cascades,
            "ndc": vars(scene.ndc) if scene.ndc else None,
        }
    return {
        "name": check.folder.resolve().name,
        "format": check.source_format,
        "usable": scene is not None,
        "split_rule": scene.split_rule if scene else None,
        "digest": scene.digest if scene else None,
        "bounds": bounds,
        "num_bytes": sum(view.num_bytes for view in check.views),
        "notes": check.findings.notes,
        "errors": check.findings.errors,
        "views": [
            {
                "name": view.name,
                "split": view.split,
                "channels": view.pixels.shape[2],
                "width": view.camera.width,
                "height": view.camera.height,
                "focal": view.camera.focal,
                "centre": view.camera.principal_point,
                "lens": vars(view.camera.lens),
                "pose": view.camera.pose,
            }
            for view in check.views
        ],
    }
