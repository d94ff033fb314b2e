import numpy as np
import pytest
import torch

from tangrid.errors import ConfigError, ShapeError
from tangrid.rendering.camera_paths import orbit
from tangrid.rendering.shading import compose, draw, shade
from tangrid.rendering.sphere_tracing import Hits, trace
from tests.rendering.shapes import sphere

CAMERA = orbit(0.0, 0.0, distance=2.4, width=24, height=20)


def hits_of(origins, directions) -> Hits:
    return trace(sphere, origins, directions)


def normals_of(points):
    return points - 0.5


def lit(*normal: float) -> torch.Tensor:
    forward = torch.tensor([[0.0, 0.0, -1.0]])
    return shade(CAMERA, torch.tensor([normal]), forward)[0]


def test_the_key_light_is_up_on_the_left():
    assert lit(-0.5, 0.5, 0.7).sum() > lit(0.0, 0.0, 1.0).sum()
    assert lit(0.0, 0.0, 1.0).sum() > lit(0.5, -0.5, 0.7).sum()


def test_lights_turn_with_the_camera():
    turned = orbit(70.0, 40.0, distance=2.4, width=24, height=20)
    axes = torch.tensor(turned.pose[:3, :3]).float()
    local = torch.tensor([[-0.3, 0.2, 0.9], [0.5, 0.1, 0.4]])
    forward = torch.tensor([[0.0, 0.0, -1.0]]).expand(2, 3)
    rgb = shade(turned, local @ axes.T, forward @ axes.T)
    torch.testing.assert_close(rgb, shade(CAMERA, local, forward))


def test_length_of_normals_does_not_matter():
    torch.testing.assert_close(lit(0.1, 0.2, 0.8), lit(1.0, 2.0, 8.0))


def test_the_back_is_darker_and_bluer():
    front, back = lit(0.0, 0.0, 1.0), lit(0.0, 0.0, -1.0)
    assert back.sum() < 0.8 * front.sum()
    assert back[2] / back[0] > 1.2 * front[2] / front[0]


def test_colours_carry_through():
    normals = torch.tensor([[0.0, 0.0, 1.0]]).expand(3, 3)
    rgb = shade(CAMERA, normals, -normals, torch.eye(3))
    assert torch.equal(rgb > 0.5, torch.eye(3).bool())
    assert 0 <= float(rgb.min()) <= float(rgb.max()) <= 1


def test_a_ball_is_a_disc_in_the_middle():
    (picture,) = draw(CAMERA, hits_of, normals_of)
    assert picture.shape == (20, 24, 4)
    assert picture.dtype == np.uint8
    opacity = picture[..., 3] / 255
    assert opacity[0, 0] == 0
    assert opacity[10, 12] == 1
    # The cone around a ball has sin = radius / distance.
    radius = CAMERA.focal[0] * 0.4 / (2.4**2 - 0.4**2) ** 0.5
    assert opacity.sum() == pytest.approx(np.pi * radius**2, rel=0.02)
    np.testing.assert_allclose(opacity, opacity[::-1], atol=1e-6)
    np.testing.assert_allclose(opacity, opacity[:, ::-1], atol=1e-6)


def test_edges_are_not_darkened_by_the_background():
    (white,) = draw(
        CAMERA,
        hits_of,
        lambda points: torch.tensor([[0.0, 0.0, 1.0]]).expand_as(points),
    )
    partly = (white[..., 3] > 0) & (white[..., 3] < 255)
    assert partly.any()
    middle = white[10, 12, :3].astype(int)
    assert np.abs(white[partly][:, :3] - middle).max() <= 8


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch):
    whole = draw(CAMERA, hits_of, normals_of, [lambda points: points])
    monkeypatch.setattr("tangrid.rendering.shading._RAYS_AT_ONCE", 100)
    assert np.array_equal(
        draw(CAMERA, hits_of, normals_of, [lambda points: points]), whole
    )


def test_nothing_hit_is_transparent():
    (picture,) = draw(
        CAMERA, lambda o, d: trace(lambda p: p[:, 0] + 1, o, d), normals_of
    )
    assert not picture.any()


def test_compose_puts_colours_where_rays_hit():
    is_hit = torch.tensor([[False, True]])
    picture = compose(is_hit, torch.tensor([[1.0, 0.5, 0.0]]))
    assert picture.tolist() == [[[0, 0, 0, 0], [255, 128, 0, 255]]]
    with pytest.raises(ShapeError, match="1 colours, got 1 x 2 rays and 2 colours"):
        compose(is_hit, torch.zeros(2, 3))
    with pytest.raises(ShapeError, match="1 x 2 rays"):
        compose(is_hit, torch.zeros(1, 3), supersampling=2)


def test_bands_of_rows_make_the_same_picture(monkeypatch):
    paints = (None, lambda points: points)
    whole = draw(CAMERA, hits_of, normals_of, paints)
    asked = []

    def hits_of_some(origins, directions) -> Hits:
        asked.append(len(origins))
        return hits_of(origins, directions)

    monkeypatch.setattr("tangrid.rendering.shading._RAYS_AT_ONCE", 600)
    banded = draw(CAMERA, hits_of_some, normals_of, paints)
    assert len(asked) == 4
    assert max(asked) <= 600
    for one, other in zip(whole, banded, strict=True):
        assert (one == other).all()


def test_wrong_supersampling_is_refused():
    with pytest.raises(ConfigError, match="supersampling"):
        draw(CAMERA, hits_of, normals_of, supersampling=0)
