from pathlib import Path

import numpy as np
import pytest
import trimesh

from tangrid.errors import ConfigError, DataError
from tangrid.signals.formats.mesh_file import read_mesh
from tangrid.signals.formats.mesh_writing import (
    WRITTEN_SUFFIXES,
    check_mesh_path,
    check_points_path,
    write_mesh,
    write_points,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def ball() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corners, faces and normals; no coordinate is a round number."""
    made = trimesh.creation.icosphere(2)
    turn = trimesh.transformations.euler_matrix(0.1, 0.7, 0.3)[:3, :3]
    normals = np.array(made.vertices) @ turn.T
    faces = np.array(made.faces, np.int64)
    return normals * [1.0, 0.5, 0.25] + 0.25, faces, normals


def read_back(path: Path) -> trimesh.Trimesh:
    found = trimesh.load(path, process=False, maintain_order=True)
    if isinstance(found, trimesh.Scene):
        (found,) = found.geometry.values()
    assert isinstance(found, trimesh.Trimesh)
    return found


@pytest.mark.parametrize("suffix", [*WRITTEN_SUFFIXES, ".PLY"])
def test_what_is_written_is_read_back(tmp_path: Path, suffix: str):
    vertices, faces, normals = ball()
    path = tmp_path / "new" / f"mesh{suffix}"
    write_mesh(path, vertices, faces, normals)
    found = read_back(path)
    # OBJ has seven digits after the point, GLB single precision.
    atol = 1e-15 if suffix.lower() == ".ply" else 1e-7
    np.testing.assert_allclose(found.vertices, vertices, atol=atol)
    np.testing.assert_allclose(found.vertex_normals, normals, atol=1e-6)
    assert np.array_equal(found.faces, faces)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", WRITTEN_SUFFIXES)
def test_meshes_are_closed_when_they_come_back(tmp_path: Path, suffix: str):
    vertices, faces, normals = ball()
    path = tmp_path / f"mesh{suffix}"
    write_mesh(path, vertices, faces, normals)
    found = read_mesh(path)
    assert (len(found.vertices), len(found.faces)) == (len(vertices), len(faces))


@pytest.mark.parametrize("suffix", [".ply", ".obj"])
def test_far_from_the_origin_no_digits_are_lost(tmp_path: Path, suffix: str):
    vertices, faces, normals = ball()
    far = vertices + np.array([1e6, -2e6, 3e6])
    write_mesh(tmp_path / f"far{suffix}", far, faces, normals)
    found = read_back(tmp_path / f"far{suffix}")
    np.testing.assert_allclose(found.vertices, far, rtol=0, atol=1e-7)
    np.testing.assert_allclose(found.vertex_normals, normals, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-9, 1e-6, 1e-3, 1e3, 1e7, 1e9])
@pytest.mark.parametrize("suffix", WRITTEN_SUFFIXES)
def test_tiny_and_huge_ones_keep_their_digits(
    tmp_path: Path, suffix: str, scale: float
):
    vertices, faces, normals = ball()
    write_mesh(tmp_path / f"a{suffix}", scale * vertices, faces, normals)
    found = read_back(tmp_path / f"a{suffix}")
    np.testing.assert_allclose(found.vertices / scale, vertices, rtol=0, atol=2e-7)
    np.testing.assert_allclose(found.vertex_normals, normals, atol=1e-6)


def test_ply_keeps_every_bit_and_says_what_it_is(tmp_path: Path):
    vertices, faces, normals = ball()
    write_mesh(tmp_path / "a.ply", vertices / 3, faces, normals)
    found = trimesh.load(tmp_path / "a.ply", process=False)
    assert np.array_equal(found.vertices, vertices / 3)
    header = (tmp_path / "a.ply").read_bytes().split(b"end_header")[0].decode()
    assert f"element vertex {len(vertices)}" in header
    assert "property double x" in header


def test_a_mesh_without_size_is_written_all_the_same(tmp_path: Path):
    vertices, faces, normals = ball()
    for suffix in WRITTEN_SUFFIXES:
        write_mesh(tmp_path / f"a{suffix}", 0 * vertices, faces, normals)
        assert (tmp_path / f"a{suffix}").stat().st_size > 0


@pytest.mark.parametrize("name", ["mesh.stl", "mesh", "mesh.ply.gz"])
def test_other_endings_are_refused_before_anything_is_made(tmp_path: Path, name: str):
    path = tmp_path / "folder" / name
    with pytest.raises(ConfigError, match=r"expected a name that ends with \.ply"):
        check_mesh_path(path)
    with pytest.raises(ConfigError, match=f"got '{path.suffix or name}'.*--out"):
        write_mesh(path, *ball())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", WRITTEN_SUFFIXES)
def test_where_nothing_can_be_written_says_so(tmp_path: Path, suffix: str):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"expected to write it, got '.*--out"):
        write_mesh(tmp_path / "file" / f"a{suffix}", *ball())
    (tmp_path / f"b{suffix}").mkdir()
    with pytest.raises(DataError, match="Remove the folder of that name"):
        write_mesh(tmp_path / f"b{suffix}", *ball())
    assert sorted(tmp_path.iterdir()) == [tmp_path / f"b{suffix}", tmp_path / "file"]


@pytest.mark.parametrize("suffix", WRITTEN_SUFFIXES)
def test_a_file_that_was_there_is_replaced(tmp_path: Path, suffix: str):
    path = tmp_path / f"a{suffix}"
    path.write_text("old")
    write_mesh(path, *ball())
    assert len(read_back(path).faces) == 320


@pytest.mark.parametrize("suffix", WRITTEN_SUFFIXES)
def test_colours_come_back(tmp_path: Path, suffix: str, rng: np.random.Generator):
    vertices, faces, normals = ball()
    colours = rng.integers(0, 256, vertices.shape, np.uint8)
    path = tmp_path / f"mesh{suffix}"
    write_mesh(path, vertices, faces, normals, colours)
    found = read_back(path)
    assert isinstance(found.visual, trimesh.visual.ColorVisuals)
    seen = found.visual.vertex_colors[:, :3].astype(float)
    if suffix == ".glb":
        # Its colours are light; the curve of sRGB as its standard has it.
        share = colours / 255
        bright = 255 * ((share + 0.055) / 1.055) ** 2.4
        colours = np.where(share <= 0.04045, colours / 12.92, bright)
    assert np.abs(seen - colours).max() <= 0.5
    np.testing.assert_allclose(found.vertex_normals, normals, atol=1e-6)


def test_points_come_back_to_the_last_bit(tmp_path: Path, rng: np.random.Generator):
    points = rng.normal(size=(50, 3)) * 1e6 / 3
    colours = rng.integers(0, 256, points.shape, np.uint8)
    path = tmp_path / "new" / "points.ply"
    write_points(path, points, colours)
    found = trimesh.load(path)
    assert isinstance(found, trimesh.PointCloud)
    assert np.array_equal(found.vertices, points)
    assert np.array_equal(np.asarray(found.colors)[:, :3], colours)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_points_are_written_to_ply_alone(tmp_path: Path):
    path = tmp_path / "folder" / "points.obj"
    with pytest.raises(ConfigError, match=r"ends with \.ply, got '\.obj'. Choose"):
        check_points_path(path)
    with pytest.raises(ConfigError, match="ends with"):
        write_points(path, np.zeros((1, 3)), np.zeros((1, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []
