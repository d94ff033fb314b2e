"""Draw views of a fitted scene: those held out, a way of a camera, or any others."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import UInt8

from tangrid.cli.picture_folder import (
    LARGEST_SIDE,
    check_free,
    check_sides,
    counted,
    remove_others,
    write_picture,
)
from tangrid.cli.render import RenderRequest, SceneRenderFlags
from tangrid.cli.video_file import check_video, write_video
from tangrid.errors import ConfigError, DataError
from tangrid.experiments import FittedRun
from tangrid.experiments.scene_cameras import (
    CAMERAS_FILE,
    NamedCamera,
    SceneCameras,
    read_cameras,
)
from tangrid.experiments.scene_output import (
    USUAL_FRAMES,
    cameras_of,
    tour_of_scene,
    usual_tour,
    views_of_scene,
)
from tangrid.progress import bar
from tangrid.rendering.camera_tours import at_size
from tangrid.rendering.views import RenderedView
from tangrid.signals.camera import Camera
from tangrid.tasks.view_pictures import as_bytes, as_png, depth_picture

_MOST_FRAMES = 10_000
_OTHER_ENDINGS = (
    ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".gif", ".exr", ".npy", ".mov", ".webm",
)  # fmt: skip
_DEPTH = "_depth"
_DIGIT = "[0-9]"
_COLOURS = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0)}


@dataclass(frozen=True, kw_only=True)
class _Pictures:
    """What will be drawn."""

    cameras: list[Camera]
    """Where from."""
    names: list[str]
    """Name of each picture in a folder, without its ending."""
    patterns: list[str]
    """Names of files that are ours to replace in a folder."""
    ending: str
    """What a folder is called that nobody has named, after the run."""


def render_scene(request: RenderRequest, folder: Path, run: FittedRun) -> None:
    """Draw the scene and print where the pictures are.

    Args:
        request: What was asked for.
        folder: The run.
        run: The fitted scene.

    Raises:
        ConfigError: If what would be written is there already, or cannot be.
    """
    _check_flags(request)
    wants_video = Path(request.out or "").suffix.lower() == ".mp4"
    pictures = _planned(request, run, wants_video=wants_video)
    path = Path(request.out or f"{folder}-{pictures.ending}").expanduser()
    is_file = path.suffix.lower() == ".png"
    if is_file and len(pictures.cameras) != 1:
        raise ConfigError(
            f"{path}: expected a folder or a name that ends with .mp4 for "
            f"{len(pictures.cameras)} pictures, got one of a single picture. Choose "
            "another with --out."
        )
    files = [path, _beside(path)] if is_file and request.scene.depth else [path]
    for file in files:
        check_free(file, pictures.patterns, is_replaced=request.overwrite)
    background = _background(request.scene, run)
    with bar("drawing") as show:
        views = views_of_scene(run, pictures.cameras, threads=request.threads)
        drawn = counted(views, len(pictures.cameras), show)
        if wants_video:
            write_video(path, (_opaque(_pixels(v, background)) for v in drawn))
        elif is_file:
            _write(path, next(drawn), background, request.scene)
        else:
            written = []
            for name, view in zip(pictures.names, drawn, strict=True):
                written += _write(path / f"{name}.png", view, background, request.scene)
            remove_others(path, pictures.patterns, written)
    print(_summary(pictures.cameras))
    print(path)


def _check_flags(request: RenderRequest) -> None:
    """Refuse flags that cannot be meant together.

    Raises:
        ConfigError: If some are, or one is out of range.
    """
    flags = request.scene
    check_sides(request.width, request.height, "those of each camera")
    if flags.frames is not None and not 1 <= flags.frames <= _MOST_FRAMES:
        raise ConfigError(
            f"--frames: expected 1 to {_MOST_FRAMES} pictures, got {flags.frames}. "
            "Some 60 make a smooth way."
        )
    for name, is_given in (
        ("path", flags.path != "views"),
        ("frames", flags.frames is not None),
    ):
        if flags.camera is not None and is_given:
            raise ConfigError(
                f"--camera and --{name}: expected one of them, got both. A file of "
                f"cameras says where all pictures are seen from; leave --{name} out."
            )
    suffix = Path(request.out or "").suffix.lower()
    if suffix in _OTHER_ENDINGS:
        raise ConfigError(
            f"{request.out}: expected a folder, or a name that ends with .png or .mp4, "
            f"got '{suffix}'. Choose another with --out."
        )
    if suffix == ".mp4":
        check_video()
        if flags.depth:
            raise ConfigError(
                "--depth: expected pictures in a folder, got a video, in which each "
                "distance would change its colour from picture to picture. Name a "
                "folder with --out."
            )


def _planned(request: RenderRequest, run: FittedRun, *, wants_video: bool) -> _Pictures:
    """Return which views are drawn."""
    flags = request.scene
    if flags.camera is not None:
        path = Path(flags.camera).expanduser()
        views = read_cameras(path, usual_size=_usual_size(run))
        return _of_views(request, views, path.stem, needs_even_sides=wants_video)
    try:
        kept = cameras_of(run)
    except DataError as error:
        raise DataError(
            f"{error} Or give cameras of your own with --camera."
        ) from error
    if flags.path == "views" and flags.frames is None and not wants_video:
        return _of_views(request, kept.heldout, "views", needs_even_sides=False)
    kind = usual_tour(kept) if flags.path == "views" else flags.path
    cameras = tour_of_scene(run, kind, flags.frames or USUAL_FRAMES)
    return _Pictures(
        cameras=_sized(request, cameras, needs_even_sides=wants_video),
        names=[f"frame_{number:04d}" for number in range(len(cameras))],
        patterns=[f"frame_{4 * _DIGIT}{end}.png" for end in ("", _DEPTH)],
        ending=kind,
    )


def _of_views(
    request: RenderRequest,
    views: Sequence[NamedCamera],
    ending: str,
    *,
    needs_even_sides: bool,
) -> _Pictures:
    names = picture_names([view.name for view in views])
    cameras = [view.camera for view in views]
    own = [glob.escape(name) for name in names]
    return _Pictures(
        cameras=_sized(request, cameras, needs_even_sides=needs_even_sides),
        names=names,
        patterns=[f"{name}{end}.png" for name in own for end in ("", _DEPTH)],
        ending=ending,
    )


def picture_names(names: Sequence[str]) -> list[str]:
    """Return what pictures of views are called, no two the same.

    Args:
        names: Paths of their photographs.

    Example:
        >>> picture_names(["./test/r_0.png", "./test/r_1.png"])
        ['r_0', 'r_1']
        >>> picture_names(["left/0.png", "right/0.png"])
        ['left-0', 'right-0']
    """
    paths = [PurePosixPath(name.replace("\\", "/")) for name in names]
    whole = ["-".join(path.with_suffix("").parts) for path in paths]
    numbered = [f"{number:04d}_{path.stem}" for number, path in enumerate(paths)]
    for found in ([path.stem for path in paths], whole, numbered):
        files = [f"{name}{end}".lower() for name in found for end in ("", _DEPTH)]
        if len(set(files)) == len(files) and all(map(_is_plain, found)):
            return found
    return [f"view_{number:04d}" for number in range(len(names))]


def _is_plain(name: str) -> bool:
    """Return whether a file of that name would lie in its folder, for all to see."""
    return bool(name) and not name.startswith(".") and not set(name) & set("/\\\0")


def _usual_size(run: FittedRun) -> tuple[int, int] | None:
    kept = _kept(run)
    if kept is None:
        return None
    camera = (kept.heldout or kept.views)[0].camera
    return camera.width, camera.height


def _kept(run: FittedRun) -> SceneCameras | None:
    """Return the cameras of the scene; None for a run of before they were kept."""
    is_there = run.folder is not None and run.folder.has(CAMERAS_FILE)
    return cameras_of(run) if is_there else None


def _sized(
    request: RenderRequest, cameras: Sequence[Camera], *, needs_even_sides: bool
) -> list[Camera]:
    """Return cameras with the pixels that are asked for."""
    sized = [at_size(camera, request.width, request.height) for camera in cameras]
    if needs_even_sides:
        # The video's colours have half its resolution.
        sized = [
            at_size(one, one.width + one.width % 2, one.height + one.height % 2)
            for one in sized
        ]
    sizes = {(camera.width, camera.height) for camera in sized}
    largest = max(max(size) for size in sizes)
    if largest > LARGEST_SIDE:
        raise ConfigError(
            f"--camera: expected pictures of at most {LARGEST_SIDE} pixels along each "
            f"side, got {largest}. Say --width."
        )
    if needs_even_sides and len(sizes) > 1:
        raise ConfigError(
            f"{request.out}: expected pictures of one size for a video, got "
            f"{len(sizes)} sizes. Say --width and --height."
        )
    return sized


def _background(flags: SceneRenderFlags, run: FittedRun) -> str:
    if flags.background != "auto":
        return flags.background
    kept = _kept(run)
    return "transparent" if kept is not None and kept.has_alpha else "black"


def _pixels(view: RenderedView, background: str) -> UInt8[np.ndarray, "h w c"]:
    """Return red, green and blue, and opacity where the background is transparent."""
    if background == "transparent":
        return as_bytes(view.straight().numpy())
    return as_bytes(view.over(_COLOURS[background]).numpy())


def _opaque(pixels: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 4"]:
    if pixels.shape[2] == 4:
        return pixels
    return np.dstack((pixels, np.full(pixels.shape[:2], 255, np.uint8)))


def _write(
    path: Path, view: RenderedView, background: str, flags: SceneRenderFlags
) -> list[str]:
    """Return the names of a picture and of that of its depth, having written them."""
    write_picture(path, as_png(_pixels(view, background)))
    if not flags.depth:
        return [path.name]
    beside = _beside(path)
    depth = depth_picture(view.depth.numpy(), view.opacity.numpy())
    write_picture(beside, as_png(depth))
    return [path.name, beside.name]


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}{_DEPTH}{path.suffix}")


def _summary(cameras: Sequence[Camera]) -> str:
    sizes = sorted({(camera.width, camera.height) for camera in cameras})
    size = f"{sizes[0][0]} x {sizes[0][1]} pixels"
    if len(sizes) > 1:
        size = f"{len(sizes)} sizes"
    return f"{len(cameras)} pictures of {size}" if len(cameras) > 1 else size
