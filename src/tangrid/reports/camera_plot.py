"""Draw where the cameras of a scene stand, from above and from the side."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

_COLOURS = {"train": "#3b6ea8", "val": "#8a6fb0", "test": "#c2571a"}
_BOX, _WORDS, _GRID = "#2f7d4f", "#444444", "#dddddd"
_LENGTH = 0.06
"""Length of a frustum's edges, as a share of the picture."""
_MARGIN = 0.05
_DPI = 120


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraPlot:
    """Hold what is drawn, as plain arrays in the frame of the data set."""

    title: str
    """Words above the drawing."""
    positions: np.ndarray
    """Where the cameras stand, [v, 3]."""
    corners: np.ndarray
    """Unit directions at the corners of their pictures, [v, 4, 3]."""
    splits: Sequence[str]
    """What each view is for."""
    boxes: Sequence[tuple[np.ndarray, np.ndarray]]
    """Lower and upper corners of the boxes, the inner one first; none for NDC."""
    up: int
    """Axis that goes up: 0 for x, 1 for y, 2 for z."""


def up_axis(ups: np.ndarray) -> int:
    """Return the axis that is nearest to the mean of what cameras take for up.

    Args:
        ups: Their up vectors, [v, 3].

    Example:
        >>> up_axis(np.array([[0.1, 0.2, 0.9], [-0.3, 0.1, 0.8]]))
        2
    """
    return int(np.argmax(np.abs(ups.mean(0))))


def draw_cameras(plot: CameraPlot) -> bytes:
    """Draw the cameras and the boxes.

    Args:
        plot: What to draw.

    Returns:
        A PNG file.
    """
    figure = Figure(figsize=(10, 5.4), facecolor="white")
    canvas = FigureCanvasAgg(figure)
    level = [axis for axis in range(3) if axis != plot.up]
    panels = (("from above", level), ("from the side", [level[0], plot.up]))
    low, high = _limits(plot)
    length = _LENGTH * float((high - low).max())
    for number, (name, axes) in enumerate(panels, start=1):
        panel = figure.add_subplot(1, 2, number)
        _draw_panel(panel, plot, axes, length)
        panel.set_xlim(low[axes[0]], high[axes[0]])
        panel.set_ylim(low[axes[1]], high[axes[1]])
        panel.set_title(name, fontsize=9, color=_WORDS)
    figure.suptitle(plot.title, fontsize=10, color=_WORDS)
    figure.legend(
        handles=_legend(plot), loc="lower center", ncols=5, frameon=False, fontsize=8
    )
    figure.subplots_adjust(left=0.07, right=0.97, bottom=0.17, top=0.86, wspace=0.2)
    file = io.BytesIO()
    canvas.print_png(file)
    return file.getvalue()


def _limits(plot: CameraPlot) -> tuple[np.ndarray, np.ndarray]:
    """Return a cube that holds all cameras and the inner box."""
    inner = np.array(plot.boxes[:1]).reshape(-1, 3)
    every = np.concatenate((plot.positions, inner))
    low, high = every.min(0), every.max(0)
    half = max(float((high - low).max()) / 2, 1e-6) * (1 + 2 * _MARGIN + _LENGTH)
    middle = (low + high) / 2
    return middle - half, middle + half


def _draw_panel(
    panel: Axes, plot: CameraPlot, axes: Sequence[int], length: float
) -> None:
    for number, (low, high) in enumerate(plot.boxes):
        across, along = (high[axis] - low[axis] for axis in axes)
        panel.add_patch(
            Rectangle(
                (low[axes[0]], low[axes[1]]),
                across,
                along,
                fill=False,
                edgecolor=_BOX,
                linewidth=1.4 if number == 0 else 0.8,
                linestyle="-" if number == 0 else "--",
            )
        )
    ends = plot.positions[:, None] + length * plot.corners
    starts = np.broadcast_to(plot.positions[:, None], ends.shape)
    edges = np.stack((starts, ends), axis=2)
    rims = np.stack((ends, np.roll(ends, -1, axis=1)), axis=2)
    lines = np.concatenate((edges, rims), axis=1)[..., axes]
    for split in _ordered(plot.splits):
        chosen = lines[[name == split for name in plot.splits]]
        colour = _COLOURS.get(split, _WORDS)
        panel.add_collection(
            LineCollection(
                list(chosen.reshape(-1, 2, 2)), colors=colour, linewidths=0.6
            )
        )
    panel.set_aspect("equal")
    panel.grid(color=_GRID, linewidth=0.5)
    panel.set_axisbelow(True)
    panel.set_xlabel("xyz"[axes[0]], color=_WORDS)
    panel.set_ylabel("xyz"[axes[1]], color=_WORDS)
    panel.tick_params(labelsize=7, colors=_WORDS, length=0)
    for spine in panel.spines.values():
        spine.set_edgecolor(_GRID)


def _ordered(splits: Sequence[str]) -> list[str]:
    """Return the splits that there are, as they are usually named."""
    others = sorted(set(splits) - set(_COLOURS))
    return [split for split in (*_COLOURS, *others) if split in splits]


def _legend(plot: CameraPlot) -> list[Line2D]:
    handles = [
        Line2D([], [], color=_COLOURS.get(split, _WORDS), label=f"{split} ({count})")
        for split in _ordered(plot.splits)
        if (count := list(plot.splits).count(split))
    ]
    if plot.boxes:
        handles.append(Line2D([], [], color=_BOX, label="inner box"))
    if len(plot.boxes) > 1:
        handles.append(Line2D([], [], color=_BOX, linestyle="--", label="larger boxes"))
    return handles
