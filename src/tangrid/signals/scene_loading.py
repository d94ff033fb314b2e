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


@dataclass(frozen=True, kw_only=True)
class _Made:
    view: View
    is_turned: bool
    """Whether its file says to turn it, which was not done."""


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
    turned: list[str] = []
    with ThreadPoolExecutor(threads) as pool:
        made = pool.map(lambda frame: _view(frame, shrinking), frames)
        for number, found in enumerate(made, start=1):
            if isinstance(found, _Failure):
                findings.add_error(found.kind, found.message)
            else:
                views.append(found.view)
                turned += [found.view.name] * found.is_turned
            if on_image is not None:
                on_image(number, len(frames))
    _tell_of_emptiness(views, findings)
    if turned:
        findings.add_note(
            f"{len(turned)} of {len(views)} photographs have an EXIF tag that says to "
            f"turn them, the first {turned[0]}. They were left as they are stored, for "
            "that is what cameras describe."
        )
    return tuple(views)


def _plan_memory(
    frames: Sequence[Frame], shrinking: int, threads: int, folder: Path
) -> None:
    """Refuse a scene that would not fit, judged by its first photograph."""
    try:
        whole = read_picture(frames[0].file, upright=False).pixels
    except DataError:
        return  # it is told of when its turn comes
    height, width, channels = whole.shape
    bytes_per_pixel = 4 if channels in (2, 4) else 3
    num_bytes = (height // shrinking) * (width // shrinking) * bytes_per_pixel
    num_training = sum(frame.split == "train" for frame in frames)
    # Training copies its pixels into one array, and the views keep theirs.
    require_memory(
        (len(frames) + num_training) * num_bytes + threads * 2 * whole.nbytes,
        f"{folder}: pixels of {len(frames)} photographs, those for training twice",
        "Make them smaller with downscale.",
    )


def _view(frame: Frame, shrinking: int) -> _Made | _Failure:
    """Return a view, or what is wrong with it."""
    try:
        picture = read_picture(frame.file, upright=False)
    except DataError as error:
        return _Failure(kind="unreadable", message=str(error))
    height, width = picture.pixels.shape[:2]
    try:
        camera = frame.optics.camera(frame.pose, width, height)
    except DataError as error:
        message = f"{frame.file}: {error}"
        if picture.is_turned:
            message += " Its EXIF tag that says to turn it is not followed."
        return _Failure(kind="camera", message=message)
    try:
        pixels = _coloured(picture, shrinking)
    except ConfigError as error:
        return _Failure(kind="downscale", message=f"{frame.file}: {error}")
    assert frame.split is not None
    view = View(
        name=frame.name,
        camera=camera if shrinking == 1 else camera.coarser(shrinking),
        pixels=pixels,
        split=frame.split,
    )
    return _Made(view=view, is_turned=picture.is_turned)


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
