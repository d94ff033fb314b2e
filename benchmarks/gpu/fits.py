"""Run whole fits on a GPU, as a user types them, and read what they scored."""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tangrid.errors import DataError

_KEYS = ("psnr", "psnr_8bit", "steps", "seconds", "params_trainable", "device")


def photo_arguments(data: Path) -> list[str]:
    """Return the fit of a photograph of 14 megapixels in a minute.

    Args:
        data: Folder with images and scenes.
    """
    path = data / "images" / "large" / "albert_3250x4333.jpg"
    return ["fit", "image", str(path), "--minutes", "1", "--batch-size", "262144"]


def lego_arguments(data: Path) -> list[str]:
    """Return the fit of the lego scene at full size in two minutes.

    Args:
        data: Folder with images and scenes.
    """
    path = data / "nerf" / "lego_400"
    return ["fit", "scene", str(path), "--minutes", "2", "--batch-size", "262144"]


def run_fit(arguments: list[str], device: str) -> dict[str, Any]:
    """Return what a fit scored.

    Args:
        arguments: Of ``tangrid``.
        device: Name for ``--device``.

    Raises:
        DataError: If the fit failed.
    """
    program = Path(sys.executable).parent / "tangrid"
    with TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [str(program), *arguments, "--device", device, "--out", str(out)]
        ended = subprocess.run(command, check=False)
        if ended.returncode:
            raise DataError(
                f"benchmarks.gpu: expected '{' '.join(arguments)}' to end well, got "
                f"code {ended.returncode}. What it said stands above."
            )
        scores = json.loads((out / "metrics.json").read_text())
    return {key: scores[key] for key in _KEYS if key in scores}
