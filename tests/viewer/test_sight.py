"""What a browser sees: the picture of its camera, in strips that may be given up."""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tangrid.fields.workers import Workers
from tangrid.rendering.scene_space import SceneSpace
from tangrid.rendering.views import RadianceScene, RenderedView
from tangrid.signals.camera import Camera
from tangrid.signals.ndc import NDC_HIGH, NDC_LOW, NdcFrame
from tangrid.viewer.browser_camera import BrowserCamera
from tangrid.viewer.sight import (
    Sight,
    Style,
    picture,
    render_while_wanted,
    unclipped,
)
from tests.rendering.media import COLOUR
from tests.tolerances import STRIPS
from tests.viewer.small_sights import (
    SPACE,
    brick_scene,
    camera_around,
    tilted,
    truth,
)


def seen_by(
    scene: RadianceScene, camera: Camera, rays_at_once: float = 100.0
) -> RenderedView:
    with Workers(1) as workers:
        view = render_while_wanted(
            scene,
            camera,
            workers,
            rays_at_once=rays_at_once,
            is_stale=lambda: False,
        )
    assert view is not None
    return view


def assert_same_view(found: RenderedView, wanted: RenderedView) -> None:
    for name in ("colour", "opacity", "depth"):
        difference = getattr(found, name) - getattr(wanted, name)
        assert float(difference.abs().max()) < STRIPS, name


@pytest.mark.parametrize("rays_at_once", [1.0, 100.0, 1e6])
@pytest.mark.parametrize("turn", [0.0, 50.0])
def test_a_known_view_gives_the_picture_of_its_camera(rays_at_once: float, turn: float):
    scene, camera = brick_scene(), tilted(camera_around(), turn)
    wanted = truth(scene, camera)
    window = BrowserCamera.of(camera)
    found = seen_by(scene, window.camera(camera.height), rays_at_once)
    assert_same_view(found, wanted)
    # Turned or mirrored, it would be another one.
    assert 0.03 < float((wanted.opacity > 0.5).float().mean()) < 0.5
    for axes in ([0], [1], [0, 1]):
        mirrored = (wanted.opacity.flip(axes) - wanted.opacity).abs()
        assert float(mirrored.max()) > 0.5


def test_nobody_waits_for_what_is_not_wanted():
    asked = []

    def is_stale() -> bool:
        asked.append(True)
        return len(asked) > 2

    camera = camera_around()
    with Workers(1) as workers:
        found = render_while_wanted(
            brick_scene(),
            camera,
            workers,
            rays_at_once=6 * camera.width,
            is_stale=is_stale,
        )
    assert found is None
    assert len(asked) == 3


@given(
    height=st.integers(1, 2000),
    aspect=st.floats(0.2, 5.0),
    most_rays=st.floats(1.0, 1e6),
)
def test_pictures_become_finer(height: int, aspect: float, most_rays: float):
    window = dataclasses.replace(BrowserCamera.of(camera_around()), aspect=aspect)
    sight = Sight(camera=window, style=Style(height=height))
    heights = sight.heights(most_rays)
    assert heights[-1] == height
    assert all(fine // 2 == coarse for coarse, fine in pairwise(heights))
    first = heights[0]
    assert first**2 * aspect <= most_rays or first < 32
    assert len(heights) == 1 or heights[1] ** 2 * aspect > most_rays


def thin_view() -> RenderedView:
    opacity = torch.tensor([[0.0, 0.6, 1.0]])
    return RenderedView(
        colour=opacity[..., None] * torch.tensor(COLOUR),
        opacity=opacity,
        depth=torch.tensor([[0.0, 3.0, 2.0]]),
    )


def test_colours_stand_before_the_background():
    white, black = (
        picture(thin_view(), Style(background=name)) for name in ("white", "black")
    )
    full = np.round(np.array(COLOUR) * 255)
    assert (white[0, 0] == 255).all()
    assert (black[0, 0] == 0).all()
    np.testing.assert_array_equal(white[0, 2], full)
    np.testing.assert_array_equal(black[0, 2], full)
    np.testing.assert_array_equal(white[0, 1] - black[0, 1], 102)


def test_opacity_and_depth_are_pictures():
    opacity = picture(thin_view(), Style(mode="opacity"))
    np.testing.assert_array_equal(opacity[0, :, 1], [0, 153, 255])
    depth = picture(thin_view(), Style(mode="depth"))
    assert depth.shape == (1, 3, 3)
    assert (depth[0, 0] == 255).all()
    assert depth[0, 2].sum() > depth[0, 1].sum(), "what is near is bright"


def test_a_scene_is_seen_from_where_no_camera_was():
    far = Camera(pose=camera_around().pose, width=9, height=9, focal=(9.0, 9.0))
    pose = far.pose.copy()
    pose[:3, 3] += 20 * pose[:3, 2]
    far = dataclasses.replace(far, pose=pose, focal=(60.0, 60.0))
    near = dataclasses.replace(far, pose=camera_near_the_brick())
    scene = brick_scene()
    assert not truth(scene, far).opacity.any()
    for camera in (far, near):
        assert float(truth(unclipped(scene), camera).opacity.max()) > 0.9
    space = unclipped(scene).space
    assert (space.near, space.low, space.high) == (0.0, SPACE.low, SPACE.high)


def camera_near_the_brick() -> np.ndarray:
    """Before its front, by less than the scene's least distance."""
    pose = np.eye(4)
    pose[:3, 3] = np.array(SPACE.low) + 2 * np.array([0.6, 0.55, 0.9])
    return pose


def test_near_a_camera_of_a_large_scene_is_still_nothing():
    space = dataclasses.replace(SPACE, cascades=2, near=0.4)
    assert unclipped(brick_scene(space)).space.near == 0.4


def window_scene() -> RadianceScene:
    frame = NdcFrame(x_scale=2.0, y_scale=2.0, near=1.0)
    return brick_scene(
        SceneSpace(low=NDC_LOW, high=NDC_HIGH, near=0.0, far=1.0, ndc=frame)
    )


@pytest.mark.parametrize("degrees", [0, 90, 180])
def test_behind_a_window_is_nothing(degrees: int):
    angle = math.radians(degrees)
    pose = np.eye(4)
    pose[0, 0] = pose[2, 2] = math.cos(angle)
    pose[0, 2] = math.sin(angle)
    pose[2, 0] = -pose[0, 2]
    camera = Camera(pose=pose, width=33, height=33, focal=(30.0, 30.0))
    scene = window_scene()
    found = seen_by(unclipped(scene), camera)
    if degrees == 0:
        assert_same_view(found, truth(scene, camera))
        assert float(found.opacity.max()) > 0.9
    else:
        is_behind = (camera.rays()[1][:, 2] >= 0).view(33, 33)
        assert bool(is_behind.any())
        assert not found.opacity[is_behind].any()
        assert not found.colour[is_behind].any()
