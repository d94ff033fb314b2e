"""Triangles that face opposite sides are turned, hollows are left hollow."""

import numpy as np
import pytest
import trimesh

from tangrid.signals.mesh import MeshSignal
from tangrid.signals.orientation import num_disagreeing, turned_outward
from tangrid.signals.triangle_mesh import TriangleMesh

CENTRE = np.array([[0.5, 0.5, 0.5]])


def ball(radius: float = 1.0, *, inward: bool = False) -> tuple[np.ndarray, np.ndarray]:
    made = trimesh.creation.icosphere(subdivisions=2, radius=radius)
    faces = np.asarray(made.faces)
    return np.asarray(made.vertices), faces[:, ::-1] if inward else faces


def several(*parts: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in parts)])
    faces = [part[1] + start for part, start in zip(parts, starts, strict=False)]
    return np.concatenate([part[0] for part in parts]), np.concatenate(faces)


@pytest.mark.parametrize("seed", range(5))
def test_a_closed_soup_encloses_what_it_did(seed: int):
    vertices, faces = ball()
    rng = np.random.default_rng(seed)
    turned = rng.random(len(faces)) < 0.5
    mixed = np.where(turned[:, None], faces[:, ::-1], faces)
    signal = MeshSignal.from_arrays(vertices, mixed)
    assert num_disagreeing(signal.mesh.faces) == 0
    assert signal.mesh.volume == pytest.approx(
        MeshSignal.from_arrays(vertices, faces).mesh.volume
    )
    assert signal.mesh.is_inside(CENTRE).all()
    assert any("turned to agree" in note for note in signal.notes)


def test_a_hollow_stays_hollow():
    signal = MeshSignal.from_arrays(*several(ball(), ball(0.5, inward=True)))
    assert not signal.mesh.is_inside(CENTRE).any()
    assert not any("turned" in note for note in signal.notes)


def test_a_patch_that_agrees_is_left_beside_one_that_does_not():
    vertices, faces = ball()
    mixed = faces.copy()
    mixed[:100] = mixed[:100, ::-1]
    shell = vertices + np.array([5.0, 0.0, 0.0]), mixed
    signal = MeshSignal.from_arrays(*several(ball(), ball(0.5, inward=True), shell))
    places = signal.frame.to_box(np.array([[0.0, 0, 0], [0.75, 0, 0], [5.0, 0, 0]]))
    assert signal.mesh.is_inside(places).tolist() == [False, True, True]


@pytest.mark.parametrize("inward", [False, True])
def test_an_open_mesh_faces_outward(inward: bool):
    vertices, faces = ball(inward=inward)
    kept = vertices[faces].mean(1)[:, 2] < 0.8
    mesh = turned_outward(TriangleMesh(vertices, np.ascontiguousarray(faces[kept])))
    assert mesh.mesh.num_open_edges > 0
    out = (mesh.mesh.face_normals * mesh.mesh.corners.mean(1)).sum(1)
    assert (out > 0).all()
    assert len(mesh.notes) == inward


def test_crowded_edges_say_nothing():
    fan = np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]])
    assert num_disagreeing(fan) == 0
