"""Surfaces of fitted scenes, held against scenes that are known exactly."""

import numpy as np
import pytest
import torch
import trimesh

from tangrid.errors import ConfigError, DataError, NumericalError
from tangrid.experiments.fit_image import run_fit
from tangrid.experiments.scene_surface import (
    USUAL_LEVEL,
    DensitySurface,
    surface_of_scene,
)
from tangrid.rendering.analytic_scene import AnalyticScene, distances
from tangrid.rendering.scene_space import SceneSpace
from tests.experiments.media_scenes import NDC_SPACE, medium, wall
from tests.experiments.small_experiments import image, plan
from tests.experiments.small_scenes import as_fitted, closed_form
from tests.rendering.media import COLOUR, RADIUS, in_ball

CELLS = 96


@pytest.fixture(scope="module")
def surface() -> DensitySurface:
    return surface_of_scene(as_fitted(closed_form()), CELLS)


def as_mesh(surface: DensitySurface) -> trimesh.Trimesh:
    return trimesh.Trimesh(surface.vertices, surface.faces, process=False)


def in_box(points: np.ndarray) -> torch.Tensor:
    return torch.from_numpy((points + 1.5) / 3).float()


def test_corners_lie_where_the_density_has_the_level(surface: DensitySurface):
    off = distances(in_box(surface.vertices)).amin(1)
    # The shell falls from 400 to nothing within a fraction of a cell.
    assert off.abs().max() < 1 / CELLS
    assert off.abs().quantile(0.9) < 0.6 / CELLS
    mesh = as_mesh(surface)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0


def test_a_fine_lattice_finds_the_place_of_the_level():
    # The ball alone, so that a fine lattice is looked at where it is cheap.
    space = SceneSpace(low=(-2.0, 0.0, 0.0), high=(2.0, 4.0, 4.0))
    scene = medium(in_ball, space)
    around = as_mesh(surface_of_scene(as_fitted(scene), 64))
    radii = np.linalg.norm(around.vertices - [0.0, 2.0, 2.0], axis=1) / 4
    np.testing.assert_allclose(radii, RADIUS, atol=0.5 / 64)
    assert around.volume == pytest.approx(4 / 3 * np.pi * (4 * RADIUS) ** 3, rel=0.03)


def test_levels_move_the_surface_by_what_the_shell_is_wide():
    field = AnalyticScene()
    places = torch.rand(4000, 3, generator=torch.Generator().manual_seed(0))
    density = field.density(places).density
    assert density.max() > USUAL_LEVEL  # or this test would say nothing
    run = as_fitted(closed_form())
    volumes = [
        as_mesh(surface_of_scene(run, 64, level=level)).volume
        for level in (2.0, 50.0, 350.0)
    ]
    assert volumes[0] > volumes[1] > volumes[2]


def test_normals_point_out_and_colours_are_those_seen_from_there(
    surface: DensitySurface,
):
    np.testing.assert_allclose(np.linalg.norm(surface.normals, axis=1), 1.0, atol=1e-9)
    places = in_box(surface.vertices).requires_grad_()
    (slopes,) = torch.autograd.grad(distances(places).amin(1).sum(), places)
    outward = torch.nn.functional.normalize(slopes, dim=1).numpy()
    assert np.quantile((outward * surface.normals).sum(1), 0.2) > 0.9
    # The field itself, asked on the surface for what one sees who looks against it.
    field = AnalyticScene()
    inward = torch.from_numpy(-surface.normals).float()
    expected = 255 * field.colour(places.detach(), inward).numpy()
    off = np.abs(surface.colours - expected).max(1)
    assert np.quantile(off, 0.8) < 25


def test_a_wall_before_a_window_is_a_box_in_the_world():
    surface = surface_of_scene(as_fitted(medium(wall, NDC_SPACE)), 42)
    mesh = as_mesh(surface)
    depths = -surface.vertices[:, 2]
    assert depths.min() == pytest.approx(2.0, abs=0.1)
    # The far side is at ten units, where a cell of the box is one unit and more.
    assert 9.0 < depths.max() < 12.0
    near = depths < 2.2
    assert (surface.normals[near, 2] > 0.7).mean() > 0.9
    facing = mesh.face_normals[near[mesh.faces].all(1), 2]
    assert (facing > 0.7).all()
    expected = np.round(255 * np.array(COLOUR))
    assert np.abs(surface.colours[near] - expected).max() <= 1


def test_a_surface_towards_infinity_ends_where_nothing_has_a_place():
    # Open towards infinity: all beyond two units but for what is at the sides.
    def tunnel(coords: torch.Tensor) -> torch.Tensor:
        return (coords[:, 2] > 0.5) & (coords[:, 0] > 0.3) & (coords[:, 0] < 0.7)

    surface = surface_of_scene(as_fitted(medium(tunnel, NDC_SPACE)), 110)
    assert -surface.vertices[:, 2].min() < 100.0
    assert np.isfinite(surface.vertices).all()
    used = np.unique(surface.faces)
    assert np.array_equal(used, np.arange(len(surface.vertices)))
    run = as_fitted(medium(lambda c: c[:, 2] > 0.995, NDC_SPACE))
    with pytest.raises(NumericalError, match="nearer than a hundred times"):
        surface_of_scene(run, 220)


def test_nothing_is_where_rays_would_not_look():
    scene = medium(in_ball, SceneSpace(low=(0.0, 0.0, 0.0), high=(1.0, 1.0, 1.0)))
    occupancy = scene.occupancy
    side = occupancy.settings.resolution
    left = torch.arange(side**3) % side < side // 2
    occupancy.see(torch.arange(side**3), left * 100.0)
    occupancy.refresh()
    half = surface_of_scene(as_fitted(scene), 64)
    assert half.vertices[:, 0].max() < 0.5 + 1 / 64
    assert as_mesh(half).volume == pytest.approx(2 / 3 * np.pi * RADIUS**3, rel=0.1)


def test_levels_that_are_not_there():
    run = as_fitted(closed_form())
    for level in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ConfigError, match="level: expected a density above 0"):
            surface_of_scene(run, 16, level=level)
    with pytest.raises(NumericalError, match=r"level 900: .* densities up to 400"):
        surface_of_scene(run, 64, level=900.0)


def test_images_have_no_surface():
    with pytest.raises(DataError, match="this run: expected a fit to posed photogr"):
        surface_of_scene(run_fit(plan("dense-grid"), image()), 16)
