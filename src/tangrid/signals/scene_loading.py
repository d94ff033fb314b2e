"""Read the photographs of a scene, a few at a time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt8

from tangrid.devices import available_threads, require_memory
from tangrid.errors import ConfigError, DataError
from tangrid.signals.downscale import shrunk_bytes
from tangrid.signals.formats.picture import Picture
from tangrid.signals.formats.reading import read_picture
from tangrid.signals.formats.scene_draft import Frame
from tangrid.signals.scene_findings import SceneFindings
from tangrid.signals.view import View

OnImage = Callable[[int, int], None]
"""Is told how many photographs are read, and of how many."""

_MOST_THREADS = 8


@dataclass(frozen=True, kw_only=True)
class _Failure:
    kind: str
    message: str


def load_views(
    frames: Sequence[Frame],
    shrinking: int,
    findings: SceneFindings,
    on_image: OnImage | None = None,
) -> tuple[View, ...]:
    """Read photographs and make views of them.

    Args:
        frames: Which; each has a split.
        shrinking: Factor by which they are made smaller.
        findings: Where those are noted that cannot be used.
        on_image: Is told of every photograph.

    Returns:
        The views that could be made, in the order of the frames.

    Raises:
        ResourceError: If the pixels would not fit into memory.
    """
    if not frames:
        return ()
    threads = min(available_threads(), _MOST_THREADS)
    _plan_memory(frames, shrinking, threads, findings.folder)
    views: list[View] = []
    with ThreadPoolExecutor(threads) as pool:
        made = pool.map(lambda frame: _view(frame, shrinking), frames)
        for number, view in enumerate(made, start=1):
            if isinstance(view, _Failure):
                findings.add_error(view.kind, view.message)
            else:
                views.append(view)
            if on_image is not None:
                on_image(number, len(frames))
    _tell_of_emptiness(views, findings)
    return tuple(views)


def _plan_memory(
    frames: Sequence[Frame], shrinking: int, threads: int, folder: Path
) -> None:
    """Refuse a scene that would not fit, judged by its first photograph."""
    try:
        whole = read_picture(frames[0].file).pixels
    except DataError:
        return  # it is told of when its turn comes
    num_kept = len(frames) * (whole.size // shrinking**2)
    require_memory(
        num_kept + threads * 2 * whole.nbytes,
        f"{folder}: pixels of {len(frames)} photographs",
        "Make them smaller with downscale.",
    )


def _view(frame: Frame, shrinking: int) -> View | _Failure:
    """Return a view, or what is wrong with it."""
    try:
        picture = read_picture(frame.file)
    except DataError as error:
        return _Failure(kind="unreadable", message=str(error))
    height, width = picture.pixels.shape[:2]
    try:
        camera = frame.optics.camera(frame.pose, width, height)
    except DataError as error:
        return _Failure(kind="camera", message=f"{frame.file}: {error}")
    try:
        pixels = _coloured(picture, shrinking)
    except ConfigError as error:
        return _Failure(kind="downscale", message=f"{frame.file}: {error}")
    assert frame.split is not None
    return View(
        name=frame.name,
        camera=camera if shrinking == 1 else camera.coarser(shrinking),
        pixels=pixels,
        split=frame.split,
    )


def _coloured(picture: Picture, shrinking: int) -> UInt8[np.ndarray, "h w c"]:
    """Return 8 bits of red, green and blue, and of alpha if there is one."""
    pixels = shrunk_bytes(picture.pixels, shrinking, stored=picture.stored)
    return _with_three_colours(pixels)


def _with_three_colours(
    pixels: Shaped[np.ndarray, "h w k"],
) -> Shaped[np.ndarray, "h w c"]:
    if pixels.shape[2] > 2:
        return np.ascontiguousarray(pixels)
    return np.ascontiguousarray(pixels[..., [0, 0, 0, *range(1, pixels.shape[2])]])


def _tell_of_emptiness(views: Sequence[View], findings: SceneFindings) -> None:
    empty = [view.name for view in views if view.is_transparent]
    if empty and len(empty) == len(views):
        findings.add_error(
            "transparent",
            f"{findings.folder}: expected photographs that show something, got "
            f"{len(empty)} that are wholly transparent. Their alpha channel is 0 "
            "everywhere; write them again.",
        )
    elif empty:
        findings.add_note(
            f"{len(empty)} of {len(views)} photographs are wholly transparent, the "
            f"first {empty[0]}."
        )
