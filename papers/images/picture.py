"""Draw models side by side: their errors on one image, and the same part of it.

All with one scale of errors and one part, those of the first model that was fitted.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from papers.images.fill import fit_cell, run_folder
from papers.images.plan import Cell
from tangrid.runs.store import RunFolder

_COLUMNS = 5
_SIDE = 2.1
"""Of one small picture, in inches."""


def draw_models(
    folder: Path, cells: Sequence[Cell], target: Path, score: str = "psnr"
) -> None:
    """Draw a picture of one image's fits; what is missing in the folder is fitted.

    Args:
        folder: The folder of the table's runs.
        cells: Fits of one image.
        target: The picture.
        score: Name of the score that stands above each.
    """
    for cell in cells:
        if not (run_folder(folder, cell) / "metrics.json").is_file():
            print(f"fitting {cell.row.name} to {cell.image}", flush=True)
            fit_cell(folder, cell)
    runs = [RunFolder.open(run_folder(folder, cell)) for cell in cells]
    lines = math.ceil((len(runs) + 1) / _COLUMNS)
    size = _COLUMNS * _SIDE, lines * (2 * _SIDE + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(2 * lines, _COLUMNS, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    pairs = [
        (axes[2 * line, column], axes[2 * line + 1, column])
        for line in range(lines)
        for column in range(_COLUMNS)
    ]
    _show(runs[0], pairs[0], ("target.png", "crop_0_target.png"), "original")
    for cell, run, pair in zip(cells, runs, pairs[1:], strict=False):
        reached = run.read_json("metrics.json")[score]
        names = "error.png", "crop_0_reconstruction.png"
        _show(run, pair, names, f"{cell.row.title}\n{reached:.1f} dB")
    scale = float(runs[0].read_json("pictures.json")["error_scale"])
    colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, scale), "inferno")
    label = "mean absolute error"
    figure.colorbar(colours, ax=axes, label=label, shrink=0.4, aspect=40)
    figure.savefig(target, dpi=130)


def _show(
    run: RunFolder, pair: tuple[Axes, Axes], names: tuple[str, str], title: str
) -> None:
    for axis, name in zip(pair, names, strict=True):
        with Image.open(run.path / name) as picture:
            axis.imshow(picture.convert("RGB"))
    pair[0].set_title(title, fontsize=8)
