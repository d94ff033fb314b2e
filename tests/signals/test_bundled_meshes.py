import numpy as np
import pytest

from tangrid.signals.bundled_meshes import BUNDLED_MESHES, bundled_mesh
from tangrid.signals.triangle_mesh import TriangleMesh
from tests.analytic_shapes import Box, Sphere


def mesh_named(name: str) -> TriangleMesh:
    made = bundled_mesh(name)
    assert made is not None
    return TriangleMesh(*made)


@pytest.mark.parametrize("name", BUNDLED_MESHES)
def test_all_are_closed_and_turned_outward(name: str):
    mesh = mesh_named(name)
    assert (mesh.num_open_edges, mesh.num_crowded_edges, mesh.num_shells) == (0, 0, 1)
    assert mesh.volume > 0
    assert (mesh.vertices.dtype, mesh.faces.dtype) == (np.float64, np.int64)
    # Each edge is gone along once in either direction: no triangle is turned over.
    ends = mesh.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    assert len(np.unique(ends, axis=0)) == len(ends)


@pytest.mark.parametrize(
    ("name", "volume", "share"),
    [
        ("box", 0.35, 1e-12),
        ("sphere", 4 / 3 * np.pi, 1e-2),
        # Of chords: 64 around the tube lose 1.6e-3, 128 around the ring 8e-4.
        ("torus", 2 * np.pi**2 * 0.4**2, 3e-3),
    ],
)
def test_volumes(name: str, volume: float, share: float):
    assert mesh_named(name).volume == pytest.approx(volume, rel=share)


def test_knot_is_a_tube_that_never_meets_itself():
    mesh = mesh_named("knot")
    middle = mesh.vertices.reshape(-1, 64, 3).mean(1)
    length = np.linalg.norm(middle - np.roll(middle, 1, axis=0), axis=1).sum()
    # As long as a tube's rings do not cross, it has the volume of a straight one.
    assert mesh.volume == pytest.approx(np.pi * 0.55**2 * length, rel=3e-3)
    np.testing.assert_allclose(mesh.distance(middle), 0.55, atol=2e-3)


def test_box_and_sphere_are_the_exact_shapes():
    corners = mesh_named("box").vertices
    np.testing.assert_allclose(
        Box(sides=(1.0, 0.7, 0.5)).distance(corners), 0, atol=1e-15
    )
    corners = mesh_named("sphere").vertices
    np.testing.assert_allclose(Sphere(radius=1.0).distance(corners), 0, atol=1e-15)


def test_another_name_is_none():
    assert bundled_mesh("teapot") is None
    assert bundled_mesh("Box") is None


def test_each_call_makes_arrays_of_its_own():
    first = bundled_mesh("box")
    assert first is not None
    first[0][:] = 7
    assert mesh_named("box").volume == pytest.approx(0.35)
