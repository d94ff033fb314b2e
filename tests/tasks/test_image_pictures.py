import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tangrid.signals.colour import Colour
from tangrid.signals.image import ImageSignal
from tangrid.tasks.image_evaluation import evaluate_image
from tangrid.tasks.image_pictures import (
    ERROR_SCALES,
    CropBox,
    Framing,
    describe,
    draw,
    frame,
)


def grey(
    height: int, width: int, channels: int = 3, colour: Colour = "srgb"
) -> ImageSignal:
    pixels = np.full((height, width, channels), 0.5, np.float32)
    return ImageSignal.from_array(pixels, colour=colour)


def wrong_at(x: float, y: float, by: float):
    """A field that is wrong in a square around one point."""

    def predict(coords: Tensor) -> Tensor:
        near = (coords - torch.tensor([x, y])).abs().amax(1) < 0.05
        return 0.5 + by * near[:, None].float().expand(-1, 3)

    return predict


def pictures_of(signal: ImageSignal, predict, framing: Framing | None = None):
    evaluation = evaluate_image(signal, predict)
    framing = framing or frame(evaluation)
    files = dict(draw(signal, evaluation, framing))
    opened = {name: Image.open(io.BytesIO(data)) for name, data in files.items()}
    return opened, describe(signal, evaluation, framing), framing


def test_the_first_crop_holds_the_largest_error():
    signal = grey(256, 256)
    evaluation = evaluate_image(signal, wrong_at(0.7, 0.2, 0.3))
    first = frame(evaluation).crops[0]
    assert first.x <= 0.7 * 256 < first.x + first.width
    assert first.y <= 0.2 * 256 < first.y + first.height


def test_worst_crops_come_first_and_do_not_overlap():
    _, description, framing = pictures_of(grey(120, 200), wrong_at(0.3, 0.5, 0.3))
    errors = [crop["mae"] for crop in description["crops"]]
    assert errors == sorted(errors, reverse=True)
    corners = {(box.x, box.y) for box in framing.crops}
    assert len(corners) == 3


@pytest.mark.parametrize(
    ("by", "scale"), [(0.004, 0.01), (0.03, 0.05), (0.15, 0.2), (0.5, 1.0)]
)
def test_the_error_scale_covers_the_error(by: float, scale: float):
    signal = grey(64, 64)
    found = frame(evaluate_image(signal, lambda x: signal.sample(x) - by))
    assert found.error_scale in ERROR_SCALES
    assert found.error_scale == scale or (by == 0.5 and found.error_scale == 0.5)


def test_pictures_have_their_sizes_and_names():
    files, description, framing = pictures_of(grey(40, 60), wrong_at(0.5, 0.5, 0.2))
    assert files["target.png"].size == (60, 40)
    assert (description["width"], description["height"]) == (60, 40)
    kinds = ("target", "reconstruction", "error")
    crops = {f"crop_{k}_{kind}.png" for k in range(3) for kind in kinds}
    count = len(framing.crops)
    expected = {name for name in crops if int(name[5]) < count}
    assert set(files) == {f"{kind}.png" for kind in kinds} | expected
    for number, box in enumerate(framing.crops):
        assert files[f"crop_{number}_error.png"].size == (box.width, box.height)
        for side in ("x", "y", "width", "height"):
            assert description["crops"][number][side] == getattr(box, side)


def test_the_target_is_drawn_as_it_is():
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    signal = ImageSignal.from_array(pixels)
    files, _, _ = pictures_of(signal, signal.sample)
    assert np.array_equal(np.asarray(files["target.png"]), pixels)
    assert np.array_equal(np.asarray(files["reconstruction.png"]), pixels)


def test_linear_values_are_coded_for_the_screen():
    signal = grey(32, 32, colour="linear")
    files, _, _ = pictures_of(signal, signal.sample)
    # 0.5 linear is 0.735 in sRGB; the values are held in 8 bits before.
    assert abs(int(np.asarray(files["target.png"])[0, 0, 0]) - 188) <= 1


def test_a_framing_makes_errors_comparable():
    signal = grey(64, 64)
    framing = Framing(0.1, (CropBox(x=8, y=4, width=16, height=12),))
    files, description, _ = pictures_of(signal, wrong_at(0.5, 0.5, 0.1), framing)
    assert description["error_scale"] == 0.1
    assert files["crop_0_target.png"].size == (16, 12)
    # The top of the colour map where the error is the scale, its bottom where it is 0.
    error = np.asarray(files["error.png"])
    assert error[32, 32].astype(int).sum() > 600
    assert error[0, 0].astype(int).sum() < 30


@pytest.mark.parametrize("colour", ["srgb", "linear"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_any_number_of_channels_can_be_drawn(channels: int, colour: Colour):
    signal = grey(20, 20, channels, colour)
    files, _, _ = pictures_of(signal, signal.sample)
    modes = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA", 5: "RGB"}
    assert files["target.png"].mode == modes[channels]
    assert files["error.png"].mode == "RGB"
    if channels in {2, 4}:
        alpha = np.asarray(files["target.png"].getchannel("A"))
        assert (alpha == 128).all()


@pytest.mark.parametrize(("height", "width"), [(2, 2), (3, 500), (25, 24)])
def test_small_and_narrow_images_can_be_drawn(height: int, width: int):
    signal = grey(height, width)
    files, description, framing = pictures_of(signal, signal.sample)
    assert files["target.png"].size == (width, height)
    assert 1 <= len(framing.crops) <= 3
    for box in framing.crops:
        assert box.x + box.width <= width
        assert box.y + box.height <= height
    assert ("frequency" in description) == (min(height, width) >= 8)


def test_large_images_are_shown_smaller():
    signal = ImageSignal.from_array(np.zeros((10, 3200), np.uint8))
    files, description, _ = pictures_of(signal, signal.sample)
    assert files["target.png"].size == (1600, 5)
    assert (description["shown_width"], description["shown_height"]) == (1600, 5)
    assert description["width"] == 3200
