import dataclasses

import numpy as np
import pytest
import trimesh

from tangrid.errors import DataError, NumericalError
from tangrid.experiments.fit_image import run_fit
from tangrid.experiments.fitting import FittedRun
from tangrid.experiments.shape_output import (
    OwnSurface,
    fit_of_shape,
    own_surface,
    views_of_shape,
)
from tangrid.rendering.camera_paths import orbit
from tangrid.signals.mesh import MeshSignal
from tests.experiments.small_experiments import image, plan
from tests.experiments.small_shapes import (
    CENTRE,
    NAME,
    SIDES,
    egg,
    fit_shape,
    plan_shape,
)

CELL = 2 / 0.9 / 24
"""Side of a cell of the lattice, in the units of the egg."""


@pytest.fixture(scope="module")
def fitted() -> FittedRun:
    return fit_shape()


def as_mesh(surface: OwnSurface) -> trimesh.Trimesh:
    return trimesh.Trimesh(surface.vertices, surface.faces, process=False)


def test_the_surface_lies_where_the_mesh_was(fitted: FittedRun):
    blocks: list[tuple[int, int]] = []
    surface = own_surface(
        fitted, 24, threads=1, on_block=lambda *done: blocks.append(done)
    )
    assert blocks == [(1, 1)]
    low, high = surface.vertices.min(0), surface.vertices.max(0)
    assert np.abs(low - (np.array(CENTRE) - np.array(SIDES) / 2)).max() < CELL
    assert np.abs(high - (np.array(CENTRE) + np.array(SIDES) / 2)).max() < CELL
    mesh = as_mesh(surface)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    expected = np.pi / 6 * np.prod(SIDES)
    assert mesh.volume == pytest.approx(expected, rel=0.1)


def test_normals_point_out_of_the_faces(fitted: FittedRun):
    surface = own_surface(fitted, 24)
    assert np.allclose(np.linalg.norm(surface.normals, axis=1), 1, atol=1e-5)
    means = surface.normals[surface.faces].mean(1)
    along = (means * as_mesh(surface).face_normals).sum(1)
    assert (along > 0).mean() > 0.99
    assert along.mean() > 0.9


@pytest.mark.parametrize(("scale", "move"), [(1e-6, 0.0), (1.0, 1e6)])
def test_tiny_and_far_meshes_keep_their_frame(scale: float, move: float):
    vertices, faces = egg()
    signal = MeshSignal.from_arrays(vertices * scale + move, faces, name=NAME)
    surface = own_surface(fit_shape(signal=signal), 24)
    for end in ("min", "max"):
        found = getattr(surface.vertices, end)(0)
        wanted = getattr(vertices * scale + move, end)(0)
        assert np.abs(found - wanted).max() < 1.5 * CELL * scale
    assert as_mesh(surface).is_winding_consistent


def test_a_level_is_a_length_of_the_mesh(fitted: FittedRun):
    around = own_surface(fitted, 24, level=0.1)
    # Fitted near the surface alone, so the shell is only about where it should be.
    grown = np.ptp(around.vertices, axis=0) - np.ptp(egg()[0], axis=0)
    assert (grown > 0).all()
    assert as_mesh(around).volume > as_mesh(own_surface(fitted, 24)).volume


def test_a_level_that_the_field_never_has(fitted: FittedRun):
    with pytest.raises(NumericalError, match=r"level 99: .* in sides of the box, 2\.2"):
        own_surface(fitted, 24, level=99.0)


def test_a_field_without_a_surface():
    # One step of Adam with a rate of 1, all towards the distances of a flat sheet,
    # which encloses nothing: the field is above 0 everywhere.
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    sheet = MeshSignal.from_arrays(corners, np.array([[0, 1, 2], [0, 2, 3]]))
    training = dataclasses.replace(plan_shape().training, steps=1)
    rates = {"training.rates.decoder": "1", "training.rates.grid": "1"}
    run = fit_shape(plan_shape(signal=sheet, training=training, settings=rates), sheet)
    assert run.metrics["surface_faces"] == 0
    assert run.metrics["is_open"] is True
    assert run.metrics["iou"] is None
    missing = run.metrics["surface_missing"]
    assert "both sides of the level 0, got values from " in missing
    with pytest.raises(NumericalError, match="got values from "):
        own_surface(run, 24)
    (view,) = views_of_shape(run, [orbit(0.0, 0.0, distance=2.2, width=8, height=8)])
    assert (view[..., 3] == 0).all()


def test_views_are_transparent_around_the_shape(fitted: FittedRun):
    size = {"distance": 2.2, "width": 20, "height": 16}
    cameras = [orbit(azimuth, 15.0, **size) for azimuth in (0.0, 90.0)]
    first, second = views_of_shape(fitted, cameras, threads=1)
    assert first.shape == (16, 20, 4)
    assert first.dtype == np.uint8
    for view in (first, second):
        assert view[8, 10, 3] == 255
        assert (view[0, :, 3] == 0).all()
    # It is wider seen from the front than from the side.
    assert (first[..., 3] > 0).sum() > (second[..., 3] > 0).sum()


def test_images_have_no_surface():
    run = run_fit(plan("dense-grid"), image())
    for ask in (
        fit_of_shape,
        lambda it: own_surface(it, 8),
        lambda it: list(views_of_shape(it, [])),
    ):
        with pytest.raises(DataError, match="this run: expected a fit to a signed dis"):
            ask(run)
