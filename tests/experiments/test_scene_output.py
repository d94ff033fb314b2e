"""Views and points of fitted scenes, held against a scene that is known exactly."""

import math
import signal as signals
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tangrid.errors import (
    ConfigError,
    DataError,
    InterruptedRunError,
    NumericalError,
)
from tangrid.experiments.fit_image import run_fit
from tangrid.experiments.fit_scene import FittedScene, radiance_of, run_scene_fit
from tangrid.experiments.loading import load
from tangrid.experiments.scene_output import (
    cameras_of,
    points_of_scene,
    tour_of_scene,
    views_of_scene,
)
from tangrid.metrics.psnr import psnr
from tangrid.rendering.analytic_scene import distances
from tangrid.rendering.camera_tours import at_size
from tangrid.rendering.scene_space import SceneSpace
from tangrid.runs.store import OWN_FILES, RunFolder
from tangrid.signals.camera import Camera
from tangrid.training import Moment
from tests.experiments.media_scenes import NDC_SPACE, medium, wall, window
from tests.experiments.small_experiments import image, plan
from tests.experiments.small_scenes import (
    as_fitted,
    closed_form,
    fit_scene,
    plan_scene,
    tiny_scene,
)
from tests.rendering.media import COLOUR, RADIUS, in_ball

SHELL = 0.002
"""Width of the closed form's surface, in sides of the box."""
CAMERAS = [view.camera for view in tiny_scene().views]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> FittedScene:
    return fit_scene(tmp_path_factory.mktemp("scene") / "run")


def in_box(points: np.ndarray) -> torch.Tensor:
    return torch.from_numpy((points + 1.5) / 3).float()


def test_views_are_the_photographs_by_cameras_that_were_kept(fitted: FittedScene):
    kept = cameras_of(fitted)
    run = as_fitted(closed_form())
    cameras = [view.camera for view in kept.views]
    for view, photograph in zip(
        views_of_scene(run, cameras), tiny_scene().views, strict=True
    ):
        assert psnr(view.straight().numpy(), photograph.pixels / np.float32(255)) > 40


def test_all_that_a_fit_leaves_behind_can_be_replaced(fitted: FittedScene):
    assert fitted.folder is not None
    names = [path.name for path in fitted.folder.path.iterdir()]
    assert {"cameras.json", "occupancy.safetensors"} < set(names)
    for name in names:
        assert any(fnmatchcase(name, pattern) for pattern in OWN_FILES), name


def test_a_loaded_run_gives_the_same_views_as_a_fresh_one(fitted: FittedScene):
    assert fitted.folder is not None
    again = load(fitted.folder.path)
    cameras = [view.camera for view in cameras_of(again).heldout]
    for fresh, loaded in zip(
        views_of_scene(fitted, cameras, threads=1),
        views_of_scene(again, cameras, threads=2),
        strict=True,
    ):
        assert torch.equal(fresh.colour, loaded.colour)
        assert torch.equal(fresh.depth, loaded.depth)


@pytest.fixture
def stopped(tmp_path: Path) -> RunFolder:
    """The folder of a fit that was stopped after seven of its twelve steps."""
    folder = RunFolder.create(tmp_path / "stopped")

    def stop(moment: Moment) -> None:
        if moment.step == 7:
            signals.raise_signal(signals.SIGINT)

    with pytest.raises(InterruptedRunError, match=r"after step 7"):
        run_scene_fit(plan_scene(), tiny_scene(), folder=folder, on_step=stop)
    return folder


def test_a_fit_that_was_stopped_is_seen_by_its_cameras(stopped: RunFolder):
    run = load(stopped.path)
    kept = cameras_of(run)
    assert len(kept.training) == 6
    (view, _) = views_of_scene(run, [view.camera for view in kept.heldout])
    assert bool(view.colour.isfinite().all())
    state = load_file(stopped.path / "state.safetensors")
    occupancy = radiance_of(run).occupancy
    assert torch.equal(occupancy.cells.bits, state["task/bits"])
    assert torch.equal(occupancy.densities, state["task/densities"])
    assert bool(occupancy.densities.any())


def test_a_fit_without_a_state_says_how_to_go_on(stopped: RunFolder):
    run = load(stopped.path)
    (stopped.path / "state.safetensors").unlink()
    with pytest.raises(DataError, match=r"state\.safetensors: .* with --resume"):
        radiance_of(run)
    (stopped.path / "field.safetensors").unlink()
    with pytest.raises(DataError, match=r"field\.safetensors: .* with --resume"):
        load(stopped.path)


def test_points_lie_on_the_surface_in_the_colours_that_are_seen():
    done: list[tuple[int, int]] = []
    run = as_fitted(closed_form())
    found = points_of_scene(
        run, CAMERAS, 10_000, threads=2, on_view=lambda *n: done.append(n)
    )
    assert done[-1] == (8, 8)
    assert found.points.shape == found.colours.shape
    places = in_box(found.points)
    off = distances(places).amin(1).abs()
    # The mean over a few shells; pixels that see two things end in neither.
    assert off.quantile(0.9) < 2 * SHELL
    assert off.max() < 6 * SHELL
    # Few pixels of a picture are at an edge, and in a small one some are.
    assert 0 < found.left_out < 0.1
    # All of what is seen of shapes is there: ball, ring, brick and disc.
    nearest = distances(places).argmin(1)
    assert (torch.bincount(nearest, minlength=4) > 50).all()
    # The disc is black and white.
    grey = np.ptp(found.colours[nearest.numpy() == 3].astype(float), axis=1)
    assert np.quantile(grey, 0.9) < 12


def test_fewer_points_are_drawn_from_more():
    run = as_fitted(closed_form())
    some = points_of_scene(run, CAMERAS, 200, seed=1)
    same = points_of_scene(run, CAMERAS, 200, seed=1, threads=1)
    other = points_of_scene(run, CAMERAS, 200, seed=2)
    assert len(some.points) == 200
    assert np.array_equal(some.points, same.points)
    assert np.array_equal(some.colours, same.colours)
    assert not np.array_equal(some.points, other.points)
    # All cameras have their share, so all sides of the scene are there.
    angles = np.arctan2(some.points[:, 1], some.points[:, 0])
    assert (np.histogram(angles, bins=6, range=(-np.pi, np.pi))[0] > 5).all()


def test_points_of_a_wall_before_a_window():
    run = as_fitted(medium(wall, NDC_SPACE))
    found = points_of_scene(run, [window(), window(0.3, -0.2)], 100)
    np.testing.assert_allclose(found.points[:, 2], -2.0, atol=0.01)
    # What cameras see at that depth: half of it to each side.
    assert (np.abs(found.points[:, :2]) < 1.3).all()
    assert np.ptp(found.points[:, 0]) > 1.5
    assert found.left_out == 0
    expected = np.round(255 * np.array(COLOUR))
    assert np.abs(found.colours - expected).max() <= 1


def test_what_is_nearly_at_infinity_has_no_place():
    run = as_fitted(medium(lambda c: c[:, 2] > 0.996, NDC_SPACE, density=1e5))
    with pytest.raises(NumericalError, match=r"2 that see none: [1-9].* place"):
        points_of_scene(run, [window(), window(0.3)], 100)


def test_points_of_a_ball_that_is_larger_than_the_inner_box():
    space = SceneSpace(low=(0.0, 0.0, 0.0), high=(2.0, 2.0, 2.0), far=50.0, cascades=2)
    run = as_fitted(medium(in_ball, space))
    pose = np.eye(4)
    pose[:3, 3] = (1.0, 1.0, 9.0)
    camera = Camera(pose=pose, width=20, height=20, focal=(60.0, 60.0))
    found = points_of_scene(run, [camera], 50)
    # A field of two boxes has the outer one, of four units, as its unit box.
    radii = np.linalg.norm(found.points - 1.0, axis=1)
    np.testing.assert_allclose(radii, 4 * RADIUS, atol=0.03)


def test_orbit_of_a_fitted_scene_shows_it_from_all_sides(fitted: FittedScene):
    tour = tour_of_scene(fitted, count=4)
    positions = np.stack([camera.position for camera in tour])
    # The cameras of the closed form look at the origin from 4 units away; z is up.
    np.testing.assert_allclose(np.linalg.norm(positions, axis=1), 4.0, atol=1e-9)
    np.testing.assert_allclose(np.ptp(positions[:, 2]), 0.0, atol=1e-9)
    heights = [view.camera.position[2] for view in cameras_of(fitted).training]
    elevation = np.arcsin(np.array(heights) / 4).mean()
    assert positions[0, 2] == pytest.approx(4 * math.sin(elevation))
    run = as_fitted(closed_form())
    for view in views_of_scene(run, [at_size(camera, 12) for camera in tour]):
        assert view.opacity.shape == (12, 12)
        assert 0.1 < view.opacity.mean() < 0.6
    with pytest.raises(ConfigError, match="path spiral: expected cameras that look"):
        tour_of_scene(fitted, "spiral", 4)


def test_a_view_out_of_a_window_has_a_spiral_and_no_orbit(tmp_path: Path):
    run = as_window(tmp_path)
    tour = tour_of_scene(run, count=8)
    assert len(tour) == 8
    for view in views_of_scene(run, tour):
        assert (view.opacity > 0.99).all()
    with pytest.raises(ConfigError, match="path orbit: expected a scene that is seen"):
        tour_of_scene(run, "orbit", 8)


def test_cameras_that_look_out_of_a_window_sideways(tmp_path: Path):
    turned = np.eye(4)
    turned[:3, :3] = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    aside = Camera(pose=turned, width=4, height=4, focal=(4.0, 4.0))
    run = as_window(tmp_path)
    with pytest.raises(ConfigError, match=r"camera 1: expected one .* --no-ndc"):
        list(views_of_scene(run, [window(), aside]))
    with pytest.raises(ConfigError, match="camera 0: expected one"):
        points_of_scene(run, [aside], 10)


def as_window(folder: Path) -> FittedScene:
    """A fit of a wall before a window, as if it had been photographed."""
    run = as_fitted(medium(wall, NDC_SPACE))
    places = [(0.2, 0.1), (-0.3, 0.0), (0.1, -0.2), (0.0, 0.2)]
    frames = [
        {
            "transform_matrix": window(x, y).pose,
            "split": "train",
            "w": 16,
            "h": 16,
            "fl_x": 16.0,
        }
        for x, y in places
    ]
    kept = RunFolder(folder)
    scope = {"scope": "forward-facing", "has_alpha": False}
    kept.write_json("cameras.json", {**scope, "frames": frames})
    return FittedScene(run.experiment, run.field, {}, kept, None, run.radiance)


def test_nothing_asked_for_and_nothing_seen():
    run = as_fitted(closed_form())
    with pytest.raises(ConfigError, match="points: expected at least one, got 0"):
        points_of_scene(run, CAMERAS, 0)
    away = CAMERAS[0].pose.copy()
    away[:3, :3] = away[:3, :3] @ np.diag([-1.0, 1.0, -1.0])
    camera = Camera(pose=away, width=8, height=8, focal=(8.0, 8.0))
    with pytest.raises(NumericalError, match="1 that see none: 0 of their"):
        points_of_scene(run, [camera], 10)


def test_images_have_no_views():
    run = run_fit(plan("dense-grid"), image())
    for ask in (
        cameras_of,
        lambda it: list(views_of_scene(it, CAMERAS)),
        lambda it: points_of_scene(it, CAMERAS, 10),
        tour_of_scene,
    ):
        with pytest.raises(DataError, match="this run: expected a fit to posed"):
            ask(run)
