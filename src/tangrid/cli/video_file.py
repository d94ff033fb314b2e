"""Write pictures one after the other as an MP4 file."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tangrid.errors import ConfigError
from tangrid.runs.writing import atomic_path, unwritable

_PAPER = 250


def check_video() -> None:
    """Refuse to write a video where the library for it is missing.

    Raises:
        ConfigError: If PyAV is not installed.
    """
    try:
        import av  # noqa: F401, PLC0415
    except ImportError as error:
        raise ConfigError(
            "MP4: expected the package 'av', which writes it, got none installed. "
            "Install it with `pip install 'tangrid[video]'`, or leave --out out for "
            "PNG files."
        ) from error


def write_video(path: Path, frames: Iterable[np.ndarray], *, rate: int = 30) -> None:
    """Write an H.264 video, whole or not at all.

    Args:
        path: The file, which ends with ``.mp4``.
        frames: Pictures of one size, [h, w, 4], with even sides; what is transparent
            becomes nearly white.
        rate: Pictures per second.

    Raises:
        DataError: If the file cannot be written.
    """
    import av  # noqa: PLC0415

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    with atomic_path(path) as temporary, av.open(str(temporary), "w") as container:
        stream = container.add_stream("h264", rate=rate)
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "18"}
        for number, pixels in enumerate(frames):
            opacity = pixels[..., 3:].astype(np.float32) / 255
            shown = pixels[..., :3] * opacity + _PAPER * (1 - opacity)
            if number == 0:
                stream.height, stream.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.round(shown).astype(np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
