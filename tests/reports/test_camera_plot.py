import io

import numpy as np
import pytest
from PIL import Image

from tangrid.reports.camera_plot import CameraPlot, draw_cameras, up_axis


def plot(**changes: object) -> CameraPlot:
    corners = np.array([[-1, 1, -2], [1, 1, -2], [1, -1, -2], [-1, -1, -2]]) / 6**0.5
    settings = {
        "title": "toy",
        "positions": np.array([[0.0, -1.0, 4.0], [1.0, 1.0, 3.0]]),
        "corners": np.stack([corners, corners]),
        "splits": ["train", "test"],
        "boxes": [(np.full(3, -1.0), np.full(3, 1.0))],
        "up": 1,
    }
    return CameraPlot(**(settings | changes))


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def count_of(image: np.ndarray, hue: str) -> int:
    """Pixels of a hue; thin lines are paler than their colour."""
    red, green, blue = np.moveaxis(image, -1, 0)
    found = {
        "train": (blue > red + 40) & (blue > green + 10),
        "test": (red > blue + 40) & (red > green + 30),
        "box": (green > red + 25) & (green > blue + 10),
    }
    return int(found[hue].sum())


def test_cameras_and_boxes_have_their_colours():
    image = pixels(draw_cameras(plot()))
    assert min(count_of(image, hue) for hue in ("train", "test", "box")) > 50
    alone = pixels(draw_cameras(plot(splits=["train", "train"], boxes=[])))
    assert count_of(alone, "test") == count_of(alone, "box") == 0
    larger = [(np.full(3, -s), np.full(3, s)) for s in (1.0, 2.0)]
    more = pixels(draw_cameras(plot(boxes=larger)))
    assert count_of(more, "box") > count_of(image, "box")


@pytest.mark.parametrize("up", [0, 1, 2])
def test_both_drawings_show_the_cameras_within_their_axes(up: int):
    turned = np.roll(np.arange(3), up - 1)
    whole = plot(
        positions=plot().positions[:, turned],
        corners=plot().corners[..., turned],
        up=up,
    )
    image = pixels(draw_cameras(whole))
    half = image.shape[1] // 2
    for part in (image[:-80, :half], image[:-80, half:]):
        assert count_of(part, "train") > 20
        assert count_of(part, "test") > 20


def test_a_single_place_can_be_drawn():
    places = np.zeros((2, 3))
    assert draw_cameras(plot(positions=places, boxes=[])).startswith(b"\x89PNG")


def test_up_is_the_axis_of_most_cameras():
    assert up_axis(np.array([[0.0, 0.9, 0.3], [0.0, 0.8, -0.3]])) == 1
    assert up_axis(np.array([[0.0, 0.1, -0.9], [0.0, -0.1, -0.8]])) == 2
