from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from tangrid.errors import ConfigError, ShapeError
from tangrid.signals.camera import Camera
from tangrid.signals.lens import Lens
from tests.signals.views import LENSES, pixels_of, random_camera, random_pose
from tests.tolerances import RAY_PIXELS


def plain(width: int = 4, height: int = 2, **settings) -> Camera:
    return Camera(
        pose=np.eye(4), width=width, height=height, focal=(2.0, 2.0), **settings
    )


def test_rays_are_rows_from_the_top_left():
    origins, directions = plain().rays()
    assert origins.dtype == directions.dtype == torch.float32
    assert origins.shape == directions.shape == (8, 3)
    slopes = directions[:, :2] / -directions[:, 2:]
    wanted = torch.tensor([
        [x, y] for y in (0.25, -0.25) for x in (-0.75, -0.25, 0.25, 0.75)
    ])
    torch.testing.assert_close(slopes, wanted)
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(8))


@pytest.mark.parametrize("name", LENSES)
def test_what_a_ray_meets_is_seen_at_its_pixel(name: str):
    camera = random_camera(3, LENSES[name])
    origins, directions = (part.double().numpy() for part in camera.rays())
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    wanted = np.stack((x, y), -1).reshape(-1, 2)
    for distance in (0.5, 7.0):
        seen = pixels_of(camera, origins + distance * directions)
        np.testing.assert_allclose(seen, wanted, atol=RAY_PIXELS)


@pytest.mark.parametrize("name", LENSES)
def test_rows_are_a_part_of_all_rays(name: str):
    camera = random_camera(4, LENSES[name])
    whole = camera.rays()[1].reshape(camera.height, camera.width, 3)
    for rows in (range(0), range(2, 5), range(camera.height)):
        part = camera.rays(rows)[1].reshape(len(rows), camera.width, 3)
        assert torch.equal(part, whole[rows.start : rows.stop])


def test_finer_rays_average_to_the_coarse_ones():
    camera = random_camera(5)
    directions = camera.rays()[1].reshape(camera.height, camera.width, 3)
    fine = camera.finer(2).rays()[1]
    fine = fine.reshape(camera.height, 2, camera.width, 2, 3).mean((1, 3))
    fine /= fine.norm(dim=-1, keepdim=True)
    pixel = float(directions[0, 0].dist(directions[0, 1]))
    assert float((fine - directions).abs().max()) < 0.02 * pixel


@given(st.integers(0, 50), st.integers(1, 4), st.sampled_from(sorted(LENSES)))
def test_coarser_undoes_finer(number: int, factor: int, name: str):
    camera = random_camera(number, LENSES[name])
    back = camera.finer(factor).coarser(factor)
    assert (back.width, back.height) == (camera.width, camera.height)
    assert back.focal == pytest.approx(camera.focal)
    assert back.principal_point == pytest.approx(camera.principal_point)
    assert back.lens == camera.lens


@pytest.mark.parametrize("centre", [None, (2.9, 3.2)])
def test_coarser_drops_what_is_left_over(centre: tuple[float, float] | None):
    camera = plain(7, 8, centre=centre)
    coarse = camera.coarser(3)
    assert (coarse.width, coarse.height) == (2, 2)
    x, y = np.meshgrid([1.5, 4.5], [1.5, 4.5])
    middles = camera.directions(np.stack((x, y), -1).reshape(-1, 2))
    np.testing.assert_allclose(coarse.rays()[1], middles, atol=1e-7)


def test_corners_go_around_the_picture():
    slopes = plain().corners[:, :2] / -plain().corners[:, 2:]
    np.testing.assert_allclose(slopes, [[-1, 0.5], [1, 0.5], [1, -0.5], [-1, -0.5]])


def test_a_pose_cannot_be_changed():
    pose = np.eye(4)
    camera = Camera(pose=pose, width=1, height=1, focal=(1.0, 1.0))
    pose[0, 3] = 5
    assert camera.pose[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        camera.pose[0, 3] = 1


def test_lengths_are_plain_floats(unchecked: None):
    camera = replace(plain(centre=(np.float32(1.5), 1)), focal=(7, np.float32(7.5)))
    assert (camera.focal, camera.centre) == ((7.0, 7.5), (1.5, 1.0))
    numbers = (*camera.focal, *camera.principal_point)
    assert {type(number) for number in numbers} == {float}


def test_rounded_poses_are_kept_as_they_are():
    pose = random_pose(0)
    pose[:3, :3] += 3e-4 * np.array([[1, -1, 1], [1, 1, -1], [-1, 1, 1]])
    camera = Camera(pose=pose, width=1, height=1, focal=(1.0, 1.0))
    assert np.array_equal(camera.pose, pose)


def spoilt(row: int, column: int, value: float) -> np.ndarray:
    pose = np.eye(4)
    pose[row, column] = value
    return pose


@pytest.mark.parametrize(
    ("pose", "words"),
    [
        (spoilt(1, 3, np.nan), "got 1 of 16 that are not"),
        (np.diag([2.0, 2.0, 2.0, 1.0]), "axes of lengths 2, 2, 2"),
        (np.diag([1.0, 1.0, -1.0, 1.0]), "determinant -1"),
        (spoilt(0, 1, 0.01), "turns and moves only"),
        (spoilt(3, 3, 2.0), "last row 0 0 0 2"),
        (np.zeros((4, 4)), "determinant 0"),
    ],
)
def test_wrong_poses_are_refused(pose: np.ndarray, words: str):
    with pytest.raises(ConfigError, match=words):
        Camera(pose=pose, width=1, height=1, focal=(1.0, 1.0))


def test_other_wrong_cameras_are_refused():
    pose = np.eye(4)
    with pytest.raises((ShapeError, TypeCheckError), match="pose"):
        Camera(pose=np.eye(3), width=1, height=1, focal=(1.0, 1.0))
    for focal in ((0.0, 1.0), (1.0, -1.0), (np.inf, 1.0), (np.nan, 1.0)):
        with pytest.raises(ConfigError, match="focal"):
            Camera(pose=pose, width=1, height=1, focal=focal)
    with pytest.raises(ConfigError, match="at least one pixel"):
        plain(width=0)
    with pytest.raises(ConfigError, match="finite principal point"):
        plain(centre=(np.nan, 1.0))
    with pytest.raises(ConfigError, match="k1 inf"):
        plain(lens=Lens(k1=np.inf))
