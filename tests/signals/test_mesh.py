from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tangrid.errors import DataError
from tangrid.seeding import generator
from tangrid.signals.bundled_meshes import BUNDLED_MESHES
from tangrid.signals.mesh import FILLED, Frame, MeshSignal
from tangrid.signals.triangle_mesh import TriangleMesh
from tests.analytic_shapes import Box, Sphere

numbers = st.floats(-1e6, 1e6)
frames = st.builds(Frame, centre=st.tuples(*3 * [numbers]), side=st.floats(1e-6, 1e6))
points_in_box = arrays.arrays(np.float64, (20, 3), elements=st.floats(0, 1))


def ball(subdivisions: int = 3) -> tuple[np.ndarray, np.ndarray]:
    made = trimesh.creation.icosphere(subdivisions)
    return np.array(made.vertices), np.array(made.faces, np.int64)


def coords(seed: int = 0, count: int = 300) -> torch.Tensor:
    return torch.rand(count, 3, generator=generator(seed))


@given(frames, points_in_box)
def test_frame_leads_there_and_back(frame: Frame, points: np.ndarray):
    reach = max(map(abs, frame.centre)) / frame.side + 1
    back = frame.to_box(frame.to_own(points))
    np.testing.assert_allclose(back, points, rtol=0, atol=4e-16 * reach)


@given(frames)
def test_frame_puts_the_box_around_its_centre(frame: Frame):
    corners = frame.to_own(np.array([[0.5, 0.5, 0.5], [0.0, 0.5, 1.0]]))
    assert tuple(corners[0]) == frame.centre
    half = np.array([-0.5, 0, 0.5]) * frame.side
    assert np.array_equal(corners[1], half + np.array(frame.centre))


@pytest.mark.parametrize("name", BUNDLED_MESHES)
def test_names_are_understood(name: str):
    signal = MeshSignal.open(name)
    low, high = signal.mesh.bounds
    assert (signal.name, signal.notes, signal.is_open) == (name, (), False)
    assert (high - low).max() == pytest.approx(FILLED)
    np.testing.assert_allclose((low + high) / 2, 0.5, atol=1e-15)


def test_a_file_comes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "box").mkdir()
    (tmp_path / "torus").write_text("v 0 0 0")
    assert MeshSignal.open("box").name == "box", "a folder is no file"
    with pytest.raises(DataError, match="expected a mesh that ends with"):
        MeshSignal.open("torus")


def test_unknown_names_are_explained():
    with pytest.raises(DataError, match=r"one of the names \['box', 'knot'.*neither"):
        MeshSignal.open("teapot")
    with pytest.raises(DataError, match="a path where there is none"):
        MeshSignal.open("folder/teapot")
    with pytest.raises(DataError, match="a path where there is none"):
        MeshSignal.open("teapot.obj")


def test_name_is_that_of_the_file(tmp_path: Path):
    trimesh.creation.box((2.0, 4.0, 1.0)).export(tmp_path / "brick.v2.ply")
    signal = MeshSignal.open(tmp_path / "brick.v2.ply")
    assert signal.name == "brick.v2"
    assert signal.frame == Frame(centre=(0.0, 0.0, 0.0), side=4 / FILLED)
    assert MeshSignal.open(str(tmp_path / "brick.v2.ply")).name == "brick.v2"


def test_values_of_a_box_are_exact_and_single():
    signal = MeshSignal.from_arrays(*_box((1.0, 2.0, 4.0), (7.0, -8.0, 9.0)))
    points = coords()
    sides = (0.225, 0.45, 0.9)
    exact = Box(centre=(0.5, 0.5, 0.5), sides=sides).distance(points.double().numpy())
    values = signal.values(points)
    assert (values.shape, values.dtype) == ((300, 1), torch.float32)
    np.testing.assert_allclose(values[:, 0].numpy(), exact, rtol=1e-7, atol=1e-8)
    own = signal.frame.to_own(points.double().numpy())
    box = Box(centre=(7.0, -8.0, 9.0), sides=(1.0, 2.0, 4.0))
    np.testing.assert_allclose(box.distance(own), exact * signal.frame.side, atol=1e-13)


def _box(sides: tuple, centre: tuple) -> tuple[np.ndarray, np.ndarray]:
    made = trimesh.creation.box(sides)
    return made.vertices + np.array(centre), np.array(made.faces)


def test_values_of_a_sphere():
    signal = MeshSignal.open("sphere")
    points = coords()
    exact = Sphere(centre=(0.5, 0.5, 0.5), radius=0.45).distance(
        points.double().numpy()
    )
    # The depth of an icosphere's chords after five subdivisions.
    np.testing.assert_allclose(signal.values(points)[:, 0], exact, atol=3e-4)


def test_values_need_no_gradient_and_take_none():
    assert MeshSignal.open("box").values(torch.zeros(0, 3)).shape == (0, 1)
    points = coords().requires_grad_()
    assert not MeshSignal.open("box").values(points).requires_grad


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("scale", [1e-160, 1e-6, 1.0, 1e6, 1e290])
def test_units_and_places_do_not_matter(scale: float, offset: float):
    vertices, faces = ball()
    expected = MeshSignal.from_arrays(vertices, faces)
    signal = MeshSignal.from_arrays(scale * (vertices + offset), faces)
    assert signal.notes == ()
    # At 1e6, coordinates of order one are known to 1e-10.
    atol = 1e-12 + 3e-16 * offset
    # Corners are kept in an order of their own, triangles in that of the file.
    np.testing.assert_allclose(
        signal.mesh.corners, expected.mesh.corners, rtol=0, atol=atol
    )
    found, wanted = signal.values(coords()), expected.values(coords())
    torch.testing.assert_close(found, wanted, atol=1e-7, rtol=0)


def test_a_tiny_mesh_far_away_is_what_its_digits_say():
    # Steps of 2^-33 are the last digit at 1e6: the ball is one of little blocks.
    vertices, faces = ball()
    signal = MeshSignal.from_arrays(1e-6 * vertices + 1e6, faces)
    values = signal.values(coords())
    expected = MeshSignal.from_arrays(vertices, faces).values(coords())
    torch.testing.assert_close(values, expected, atol=1e-4, rtol=0)


def test_triangles_turned_inside_out_are_turned_back():
    vertices, faces = ball()
    signal = MeshSignal.from_arrays(vertices, faces[:, ::-1])
    (note,) = signal.notes
    assert note.endswith("inside out and have been turned back.")
    assert signal.mesh.volume > 0
    expected = MeshSignal.from_arrays(vertices, faces)
    normals = signal.mesh.sample(50, np.random.default_rng(0)).normals
    wanted = expected.mesh.sample(50, np.random.default_rng(0)).normals
    np.testing.assert_allclose(normals, wanted, atol=1e-12)
    torch.testing.assert_close(signal.values(coords()), expected.values(coords()))


def test_an_open_mesh_is_turned_and_says_that_it_is_open():
    vertices, faces = ball()
    signal = MeshSignal.from_arrays(vertices, faces[1:, ::-1])
    assert signal.is_open
    opened, turned = signal.notes
    assert opened.startswith("The mesh is open (edges of a single triangle: 3).")
    assert "turned back" in turned
    assert (signal.values(torch.full((1, 3), 0.5)) < 0).all()


def test_a_flat_sheet_encloses_nothing():
    corners = np.array([[0, 0, 3], [1, 0, 3], [1, 1, 3], [0, 1, 3]], float)
    signal = MeshSignal.from_arrays(corners, np.array([[0, 1, 2], [0, 2, 3]]))
    assert signal.is_open
    points = coords()
    nearest = points.clone().clamp(0.05, 0.95)
    nearest[:, 2] = 0.5
    expected = (points - nearest).norm(dim=1, keepdim=True)
    torch.testing.assert_close(signal.values(points), expected, atol=1e-6, rtol=0)


def test_parts_and_crowded_edges_are_said():
    vertices, faces = ball(1)
    fins = np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [-1, 0, 0]], float)
    corners = np.concatenate((vertices, fins + 3))
    triangles = np.array([[0, 1, 2], [0, 1, 3], [1, 0, 4]]) + len(vertices)
    signal = MeshSignal.from_arrays(corners, np.concatenate((faces, triangles)))
    opening, crowding, parts = signal.notes
    assert "(edges of a single triangle: 6)" in opening
    assert "(edges of more than two triangles: 1)" in crowding
    assert parts == "The mesh has 2 parts that share no corner."


def test_what_was_mended_is_said_first():
    vertices, faces = ball(1)
    signal = MeshSignal.from_arrays(vertices, np.concatenate((faces, [[0, 0, 1]])))
    assert signal.notes == ("1 of 81 triangles have no area and were left out.",)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("shape", [(0, 3), (4,), (2, 4)])
def test_other_faces_are_refused(shape: tuple[int, ...]):
    with pytest.raises(DataError, match=r"'cup': expected whole numbers of shape"):
        MeshSignal.from_arrays(ball()[0], np.zeros(shape, np.int64), name="cup")


@pytest.mark.usefixtures("unchecked")
def test_faces_are_whole_numbers():
    vertices, faces = ball(1)
    with pytest.raises(DataError, match="got float64 of shape"):
        MeshSignal.from_arrays(vertices, faces.astype(float))
    listed = MeshSignal.from_arrays(vertices.tolist(), faces.tolist())
    assert len(listed.mesh.faces) == len(faces)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("shape", [(9,), (3, 2), (1, 3, 3)])
def test_other_corners_are_refused(shape: tuple[int, ...]):
    with pytest.raises(DataError, match=r"expected vertices of shape \[v, 3\], got"):
        MeshSignal.from_arrays(np.zeros(shape), np.array([[0, 1, 2]]))


def test_bad_arrays_are_explained():
    with pytest.raises(DataError, match=r"'mesh': .*corners 0 to 2, got 0 to 7"):
        MeshSignal.from_arrays(np.eye(3), np.array([[0, 1, 7]]))
    with pytest.raises(DataError, match="with an area and finite corners, got 1"):
        MeshSignal.from_arrays(np.eye(3), np.array([[0, 1, 1]]))
    with pytest.raises(DataError, match="with an area and finite corners, got 1"):
        MeshSignal.from_arrays(np.eye(3) * np.nan, np.array([[0, 1, 2]]))


soups = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 8), st.just(3), st.just(3)),
    elements=st.floats(-1, 1)
    | st.sampled_from([0.0, 1.0, 1e-7, 1e6, 1e200, np.nan, -np.inf]),
)


@given(soups)
@settings(max_examples=60)
def test_soups_have_distances_or_are_explained(corners: np.ndarray):
    faces = np.arange(3 * len(corners)).reshape(-1, 3)
    signal, message = None, ""
    try:
        signal = MeshSignal.from_arrays(corners.reshape(-1, 3), faces)
    except DataError as error:
        message = str(error)
    if signal is None:
        assert "expected triangles with an area" in message
        return
    assert 0 <= signal.mesh.vertices.min() <= signal.mesh.vertices.max() <= 1
    values = signal.values(coords(count=40))
    assert torch.isfinite(values).all()
    assert values.abs().max() < 3**0.5
    lengths = np.linalg.norm(signal.mesh.face_normals, axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-12)
    points, _ = signal.site.sampler(16, generator(0))
    assert torch.isfinite(points).all()


def test_site_draws_points_near_the_surface_that_weigh_more():
    signal = MeshSignal.open("torus")
    site = signal.site
    assert (site.num_dims, site.num_channels, site.resolution) == (3, 1, None)
    points, detail = site.sampler(800, generator(3))
    again, _ = site.sampler(800, generator(3))
    other, _ = site.sampler(800, generator(4))
    assert torch.equal(points, again)
    assert not torch.equal(points, other)
    assert points.dtype == detail.dtype == torch.float32
    assert 0 <= points.min() <= points.max() <= 1
    distances = signal.values(points)[:, 0].abs()
    assert (distances[:700] < 0.03).all()
    assert (distances[700:] > 0.03).any()
    torch.testing.assert_close(detail, 1 / (distances + 1e-3), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("name", "edges", "triangles"),
    [("armadillo", 0, 99_976), ("bunny", 42, 4968), ("spot", 0, 5856)],
)
def test_real_meshes(data_folder: Path, name: str, edges: int, triangles: int):
    signal = MeshSignal.open(data_folder / "meshes" / f"{name}.obj")
    assert signal.name == name
    assert signal.mesh.num_open_edges == edges
    assert len(signal.mesh.faces) == triangles
    assert signal.is_open == (edges > 0) == any("is open" in n for n in signal.notes)
    low, high = signal.mesh.bounds
    assert (high - low).max() == pytest.approx(FILLED)
    surface = signal.mesh.sample(200, np.random.default_rng(0))
    for side in (1, -1):
        near = surface.points + side * 1e-5 * surface.normals
        is_right = signal.mesh.is_inside(near) == (side < 0)
        # Where parts of an animal touch, a step from one leads into another.
        assert is_right.mean() > (0.98 if edges else 0.99)


def test_mesh_is_one_of_triangles():
    signal = MeshSignal.open("box")
    assert isinstance(signal.mesh, TriangleMesh)
    assert signal.mesh.faces.flags.c_contiguous
