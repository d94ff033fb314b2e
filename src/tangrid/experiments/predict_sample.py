"""What of a signal a prediction looks at: a few windows at the density of training.

How well a field fills in what lies between its training points depends on how densely
these lie. A thin sample of the whole signal would have asked another question; windows
hold all training points of a few small places.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.notation import Coords, Values
from tangrid.seeding import generator
from tangrid.signals.image import ImageSignal
from tangrid.signals.splits import Split
from tangrid.tangent.kernels.diagonal_blocks import grouped

_FEWEST = 8
"""Training points below which a window says nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """Hold all training points of a small place.

    Attributes:
        coords: The points.
        values: What is to be fitted there.
        is_judged: Points that no short training may see.
    """

    coords: Coords
    values: Values
    is_judged: Bool[Tensor, " n"]

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.coords)


def image_windows(
    signal: ImageSignal,
    split: Split | None,
    *,
    count: int,
    points: int,
    judged: float,
    seed: int,
) -> list[Window]:
    """Return square windows of an image with the training pixels in them.

    Args:
        signal: The image.
        split: Pixels that are trained on and those held out; None trains on all.
        count: How many windows.
        points: Training pixels that each should hold, about.
        judged: Share of them that no short training may see.
        seed: Source of places and of judged pixels.

    Raises:
        ConfigError: If the image has too few pixels.
    """
    available = signal.num_pixels if split is None else len(split.train_indices)
    density = available / signal.num_pixels
    side = max(round((points / density) ** 0.5), 1)
    width, height = min(side, signal.width), min(side, signal.height)
    if width * height * density < _FEWEST:
        raise ConfigError(
            f"predict: expected an image with at least {_FEWEST} pixels to train on, "
            f"got {available}. Take more of it."
        )
    source = generator(seed, "windows")
    trained = torch.ones(signal.num_pixels, dtype=torch.bool)
    if split is not None:
        trained[split.heldout_indices] = False
    places = []
    for column, row in _places(signal, width, height, count, source):
        rows = torch.arange(row, row + height)[:, None] * signal.width
        inside = (rows + torch.arange(column, column + width)).flatten()
        places.append(inside[trained[inside]])
    is_judged = _judged(signal.num_pixels, places, judged, source)
    return [
        Window(
            coords=signal.pixel_coords(inside),
            values=signal.pixel_values(inside),
            is_judged=is_judged[inside],
        )
        for inside in places
    ]


def _places(
    signal: ImageSignal, width: int, height: int, count: int, source: torch.Generator
) -> list[tuple[int, int]]:
    """Return left upper corners, one in each cell of a coarse lattice, jittered.

    Spread out they stand for the whole image better than independent draws would.
    """
    columns = max(round((count * signal.width / signal.height) ** 0.5), 1)
    rows = -(-count // columns)
    free_x, free_y = signal.width - width, signal.height - height
    order = torch.randperm(columns * rows, generator=source)[:count].tolist()
    jitter = torch.rand(count, 2, generator=source).tolist()
    return [
        (
            int((cell % columns + across) / columns * (free_x + 1)),
            int((cell // columns + down) / rows * (free_y + 1)),
        )
        for cell, (across, down) in zip(order, jitter, strict=True)
    ]


def nearest_windows(
    coords: Coords,
    values: Values,
    centres: Int64[Tensor, " k"],
    *,
    points: int,
    judged: float,
    seed: int,
) -> list[Window]:
    """Return the training points nearest to some of them.

    Args:
        coords: All training points.
        values: What is to be fitted there.
        centres: Numbers of the points in the middle of the windows.
        points: Points that each holds, if there are so many.
        judged: Share of them that no short training may see.
        seed: Source of the judged points.
    """
    source = generator(seed, "windows")
    points = min(points, len(coords))
    places = []
    for centre in centres.tolist():
        distance = (coords - coords[centre]).square().sum(1)
        places.append(distance.topk(points, largest=False).indices.sort().values)
    is_judged = _judged(len(coords), places, judged, source)
    return [
        Window(
            coords=coords[inside], values=values[inside], is_judged=is_judged[inside]
        )
        for inside in places
    ]


def _judged(
    count: int,
    places: Sequence[Int64[Tensor, " k"]],
    share: float,
    source: torch.Generator,
) -> Bool[Tensor, " n"]:
    """Return which of all points are judged: at least one of each window, not all.

    A point is judged in every window that holds it: where windows overlap, no short
    training may see through one what another judges.
    """
    drawn = torch.rand(count, generator=source)
    is_judged = drawn < share
    crowded = [inside for inside in places if bool(is_judged[inside].all())]
    for inside in crowded:
        is_judged[inside[drawn[inside].argmax()]] = False
    for inside in places:
        if not bool(is_judged[inside].any()):
            is_judged[inside[drawn[inside].argmin()]] = True
    return is_judged


def seen(windows: Sequence[Window]) -> tuple[Coords, Values]:
    """Return the points of all windows that a short training may see.

    Args:
        windows: The windows.
    """
    coords = torch.cat([window.coords[~window.is_judged] for window in windows])
    values = torch.cat([window.values[~window.is_judged] for window in windows])
    return coords, values


@dataclass(frozen=True, kw_only=True, eq=False)
class GroupedSample:
    """Hold the points of all windows for steps that do all windows at once.

    Attributes:
        coords: All points, window after window.
        sizes: Points of every window.
        values: What is to be fitted, by windows; 0 where a window has no more points.
        is_there: Whether a window has so many points.
        is_judged: Whether no short training may see the point.
    """

    coords: Coords
    sizes: tuple[int, ...]
    values: Float[Tensor, "b n c"]
    is_there: Bool[Tensor, "b n"]
    is_judged: Bool[Tensor, "b n"]

    @property
    def counts(self) -> Int64[Tensor, " b"]:
        """Points of every window."""
        return self.is_there.sum(1)

    def grouped(self, numbers: Values) -> Float[Tensor, "b n c"]:
        """Return what belongs to points by windows, with zeros.

        Args:
            numbers: Values of all points, window after window.
        """
        return grouped(numbers, self.sizes)


def grouped_sample(windows: Sequence[Window], device: torch.device) -> GroupedSample:
    """Return the points of all windows together.

    Args:
        windows: The windows.
        device: Where to put them.
    """
    sizes = tuple(len(window) for window in windows)
    coords = torch.cat([window.coords for window in windows])
    values = torch.cat([window.values for window in windows]).double()
    is_judged = torch.cat([window.is_judged for window in windows])
    return GroupedSample(
        coords=coords.to(device),
        sizes=sizes,
        values=grouped(values, sizes).to(device),
        is_there=grouped(torch.ones_like(is_judged), sizes).to(device),
        is_judged=grouped(is_judged, sizes).to(device),
    )
