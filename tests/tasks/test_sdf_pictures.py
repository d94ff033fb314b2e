import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.rendering.slices import slice_picture, slice_points
from tangrid.signals.mesh import MeshSignal
from tangrid.tasks.sdf_evaluation import FittedShape
from tangrid.tasks.sdf_pictures import (
    ERROR_SCALES,
    SLICES,
    VIEWS,
    PictureSizes,
    ShapeFraming,
    camera_of,
    describe_shape,
    draw_field,
    draw_shape,
    frame_shape,
)
from tests.training.small_shapes import (
    BALL,
    BLOCK,
    ball_signal,
    block_signal,
    exact_shape,
    level_shape,
    sheet_signal,
)

SIZES = PictureSizes(view=24, slice=16)
FRAMING = ShapeFraming(error_scale=0.02)


@pytest.fixture(scope="module")
def ball() -> MeshSignal:
    return ball_signal(4)


@pytest.fixture(scope="module")
def exact_pictures(ball: MeshSignal) -> dict[str, np.ndarray]:
    return pictures_of(ball, exact_shape(ball, BALL))


def pictures_of(
    signal: MeshSignal, shape: FittedShape, *, has_surface: bool = True
) -> dict[str, np.ndarray]:
    drawn = draw_shape(signal, shape, FRAMING if has_surface else None, SIZES)
    return {name: np.asarray(Image.open(io.BytesIO(data))) for name, data in drawn}


def named_in(described: dict[str, Any]) -> set[str]:
    return {
        file
        for part in ("views", "slices")
        for entry in described[part]
        for kind, file in entry.items()
        if kind != "name"
    }


@pytest.mark.parametrize("has_surface", [True, False])
def test_what_is_described_is_drawn(
    ball: MeshSignal, exact_pictures: dict[str, np.ndarray], has_surface: bool
):
    drawn = exact_pictures
    if not has_surface:
        drawn = pictures_of(ball, level_shape(0.3), has_surface=False)
    described = describe_shape(FRAMING if has_surface else None)
    assert named_in(described) == set(drawn)
    assert described["error_scale"] == (0.02 if has_surface else None)
    assert [view["name"] for view in described["views"]] == list(VIEWS)
    assert len(described["slices"]) == len(SLICES)
    for name, picture in drawn.items():
        size = (24, 24, 4) if name.startswith("view") else (16, 16, 3)
        assert picture.shape == size, name


def test_a_field_without_a_surface_shows_the_target(ball: MeshSignal):
    drawn = pictures_of(ball, level_shape(0.3), has_surface=False)
    assert {name for name in drawn if "target" in name} == {
        *(f"view_{n}_target.png" for n in range(3)),
        *(f"slice_{n}_target.png" for n in range(2)),
    }
    assert drawn["view_0_target.png"][12, 12, 3] == 255
    for n in range(2):
        fit = drawn[f"slice_{n}_fit.png"]
        assert (fit == fit[0, 0]).all()


def test_views_of_the_exact_distance_are_those_of_the_mesh(
    exact_pictures: dict[str, np.ndarray],
):
    drawn = exact_pictures
    for n in range(3):
        target, fit = (drawn[f"view_{n}_{kind}.png"] for kind in ("target", "fit"))
        both = (target[..., 3] == 255) & (fit[..., 3] == 255)
        assert 0.3 < both.mean() < 0.6
        difference = np.abs(target[both].astype(int) - fit[both]).max()
        assert difference <= 6
        alpha = np.abs(target[..., 3].astype(int) - fit[..., 3])
        assert (alpha > 64).mean() < 0.02


def test_colours_of_the_error_are_its_distance(
    ball: MeshSignal, exact_pictures: dict[str, np.ndarray]
):
    """A ball too large by half the scale has one colour, that of the middle."""
    drawn = pictures_of(ball, exact_shape(ball, BALL, grown=0.01))
    for n in range(3):
        centre = drawn[f"view_{n}_error.png"][12, 12].astype(int)
        none = exact_pictures[f"view_{n}_error.png"][12, 12].astype(int)
        # Reddish where inferno is in the middle, nearly black where nothing is wrong.
        assert centre[0] > centre[2] + 40
        assert none[:3].max() < 40
        assert centre[3] == none[3] == 255


def test_slices_show_the_distance(
    ball: MeshSignal, exact_pictures: dict[str, np.ndarray]
):
    drawn = exact_pictures
    for n, (axis, place) in enumerate(SLICES):
        points = slice_points(axis, place, 16)
        values = exact_shape(ball, BALL).values(points).numpy().reshape(16, 16)
        expected = slice_picture(values, spacing=0.05)
        assert np.array_equal(drawn[f"slice_{n}_fit.png"], expected)
        target = drawn[f"slice_{n}_target.png"].astype(int)
        assert np.abs(target - expected).max() <= 12


def test_the_scale_covers_nearly_all_errors(monkeypatch: pytest.MonkeyPatch):
    block = block_signal()

    def scale(grown: float) -> float:
        shape = exact_shape(block, BLOCK, grown=grown)
        return frame_shape(block, shape).error_scale

    monkeypatch.setattr("tangrid.tasks.sdf_pictures.VIEWS", {"front": VIEWS["front"]})
    # A block has no chords: only where rays end is there an error.
    assert scale(0.0) == ERROR_SCALES[0]
    assert scale(-0.015) == 2e-2


def test_a_surface_that_no_ray_meets_is_drawn(ball: MeshSignal):
    speck = FittedShape(
        values=lambda coords: (coords - 0.503).norm(dim=1) - 1e-3,
        gradients=lambda coords: coords - 0.503,
    )
    framing = frame_shape(ball, speck)
    assert framing.error_scale == ERROR_SCALES[-1]
    drawn = pictures_of(ball, speck)
    assert len(drawn) == 13
    assert not drawn["view_0_error.png"][..., 3].any()


def test_a_sheet_is_drawn_from_both_sides():
    sheet = sheet_signal()

    def height(coords: Tensor) -> Tensor:
        return coords[:, 2] - 0.5

    up = torch.tensor([[0.0, 0.0, 1.0]])
    shape = FittedShape(height, lambda coords: up.expand(len(coords), 3))
    drawn = pictures_of(sheet, shape)
    front, side = (drawn[f"view_{n}_target.png"][12, 12].astype(int) for n in (0, 1))
    assert front[3] == side[3] == 255
    # The back is blue.
    assert front[0] > front[2]
    assert side[2] > side[0]


def test_views_of_one_size_share_their_camera(ball: MeshSignal):
    camera = camera_of("side", 20)
    assert (camera.width, camera.height) == (20, 20)
    clay, red = draw_field(
        exact_shape(ball, BALL),
        camera,
        (None, lambda points: torch.tensor([[1.0, 0.0, 0.0]]).expand(len(points), 3)),
    )
    assert np.array_equal(clay[..., 3], red[..., 3])
    seen = red[10, 10].astype(int)
    assert seen[0] > 60
    assert seen[1] == seen[2] == 0


@pytest.mark.parametrize(
    ("sizes", "words"),
    [({"view": 0}, r"pictures\.view: .*got 0"), ({"slice": 1}, r"pictures\.slice: ")],
)
def test_pictures_of_no_size_are_refused(sizes: dict[str, int], words: str):
    with pytest.raises(ConfigError, match=words):
        PictureSizes(**sizes)
