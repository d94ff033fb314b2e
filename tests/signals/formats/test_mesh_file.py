import json
import os
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tangrid.errors import DataError
from tangrid.signals.formats.mesh_file import MESH_SUFFIXES, mended, read_mesh
from tangrid.signals.triangle_mesh import TriangleMesh

TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
TEXTS = (".obj", ".off")
BINARIES = (".ply", ".stl", ".glb")


def ply(vertices: list[str], faces: list[str]) -> str:
    coordinates = "".join(f"property float {name}\n" for name in "xyz")
    return (
        f"ply\nformat ascii 1.0\nelement vertex {len(vertices)}\n{coordinates}"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\n"
        "end_header\n" + "".join(f"{line}\n" for line in (*vertices, *faces))
    )


def off(vertices: list[str], faces: list[str]) -> str:
    head = f"OFF\n{len(vertices)} {len(faces)} 0\n"
    return head + "".join(f"{line}\n" for line in (*vertices, *faces))


def obj(vertices: list[str], faces: list[str]) -> str:
    corners = [[str(int(c) + 1) for c in face.split()[1:]] for face in faces]
    lines = [f"v {line}" for line in vertices]
    return "\n".join((*lines, *(f"f {' '.join(c)}" for c in corners), ""))


WRITERS = {".ply": ply, ".off": off, ".obj": obj}


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def box_bytes(suffix: str) -> bytes:
    content = trimesh.creation.box().export(file_type=suffix[1:])
    return content if isinstance(content, bytes) else content.encode()


def box_file(folder: Path, suffix: str) -> Path:
    if suffix != ".gltf":
        return written(folder, f"box{suffix}", box_bytes(suffix))
    for name, content in trimesh.creation.box().export(file_type="gltf").items():
        written(folder, name, content)
    return folder / "model.gltf"


def opened(path: Path) -> TriangleMesh:
    found = read_mesh(path)
    return TriangleMesh(found.vertices, found.faces)


@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
def test_every_format_gives_the_same_closed_box(tmp_path: Path, suffix: str):
    path = box_file(tmp_path, suffix)
    found, mesh = read_mesh(path), opened(path)
    assert (found.vertices.shape, found.faces.shape) == ((8, 3), (12, 3))
    assert (found.vertices.dtype, found.faces.dtype) == (np.float64, np.int64)
    assert (mesh.num_open_edges, found.notes) == (0, ())
    assert mesh.volume == pytest.approx(1)


@pytest.mark.parametrize("suffix", [".OBJ", ".Stl"])
def test_endings_in_capitals_are_understood(tmp_path: Path, suffix: str):
    path = written(tmp_path, f"box{suffix}", box_bytes(suffix.lower()))
    assert len(read_mesh(path).faces) == 12


def test_stl_as_text_is_read(tmp_path: Path):
    content = trimesh.creation.icosphere(1).export(file_type="stl_ascii")
    mesh = opened(written(tmp_path, "a.stl", content))
    assert (len(mesh.faces), mesh.num_open_edges) == (80, 0)


def test_no_file_is_explained(tmp_path: Path):
    with pytest.raises(DataError, match=r"got a path where there is none\. Check the"):
        read_mesh(tmp_path / "a.obj")


def test_a_folder_is_explained(tmp_path: Path):
    (tmp_path / "a.obj").mkdir()
    with pytest.raises(DataError, match=r"got a folder\. Name one file inside"):
        read_mesh(tmp_path / "a.obj")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "a.obj")
    with pytest.raises(DataError, match="got a device or a pipe"):
        read_mesh(tmp_path / "a.obj")


@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
def test_an_empty_file_is_explained(tmp_path: Path, suffix: str):
    with pytest.raises(DataError, match=r"got an empty file\. Fetch it again"):
        read_mesh(written(tmp_path, f"a{suffix}", b""))


@pytest.mark.parametrize("name", ["a.txt", "a", "a.obj.gz", "a.blend"])
def test_other_endings_are_explained(tmp_path: Path, name: str):
    path = written(tmp_path, name, "words")
    with pytest.raises(DataError, match=f"ends with .obj.*got '{path.suffix or name}'"):
        read_mesh(path)


@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
@pytest.mark.parametrize(
    "content", [b"hello world\nthis is no mesh\n", bytes(range(256)) * 4]
)
def test_what_is_no_mesh_is_explained(tmp_path: Path, suffix: str, content: bytes):
    path = written(tmp_path, f"a{suffix}", content)
    with pytest.raises(DataError, match=r"expected a mesh.* got a file .*may be dam"):
        read_mesh(path)


@pytest.mark.parametrize("suffix", [*BINARIES, ".off"])
def test_a_file_cut_short_is_explained(tmp_path: Path, suffix: str):
    content = box_bytes(suffix)
    path = written(tmp_path, f"a{suffix}", content[: len(content) * 2 // 3])
    # Where a package that guesses encodings is installed, STL's reader takes bytes for
    # text, in which it finds no triangles.
    with pytest.raises(DataError, match=r"(cannot be read|without any).* be damaged"):
        read_mesh(path)


def test_no_package_is_asked_for_that_the_mesh_does_not_need(tmp_path: Path):
    path = written(tmp_path, "a.stl", box_bytes(".stl")[:-1])
    with pytest.raises(DataError, match=r"neither a whole mesh nor text|without any"):
        read_mesh(path)


@pytest.mark.parametrize("line", ["f 1 2 x", "v 0 z 1"])
def test_words_among_an_objs_numbers_are_no_end_of_it(tmp_path: Path, line: str):
    path = written(tmp_path, "a.obj", f"{TRIANGLE}f 1 2 3\n{line}\nf 1 3 2\n")
    with pytest.raises(DataError, match="cannot be read"):
        read_mesh(path)


def test_gltf_without_its_other_half_is_explained(tmp_path: Path):
    path = box_file(tmp_path, ".gltf")
    for part in tmp_path.glob("*.bin"):
        part.unlink()
    with pytest.raises(DataError, match=r"cannot be read .*\.bin"):
        read_mesh(path)


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_never_crash(tmp_path: Path, data: st.DataObject):
    suffix = data.draw(st.sampled_from([*BINARIES, *TEXTS]))
    content = bytearray(box_bytes(suffix))
    at = st.integers(0, len(content) - 1)
    for place in data.draw(st.lists(at, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.none() | at)
    path = written(tmp_path, f"a{suffix}", bytes(content[:cut]))
    found, message = None, ""
    try:
        found = read_mesh(path)
    except DataError as error:
        message = str(error)
    if found is None:
        assert message.startswith(f"{path}: expected ")
        return
    assert np.isfinite(found.vertices).all()
    assert 0 <= found.faces.min() <= found.faces.max() < len(found.vertices)


@pytest.mark.parametrize("suffix", WRITERS)
def test_points_without_faces_are_explained(tmp_path: Path, suffix: str):
    content = WRITERS[suffix](["0 0 0", "1 0 0", "0 1 0"], [])
    with pytest.raises(DataError, match=r"got 3 points without faces.*Poisson"):
        read_mesh(written(tmp_path, f"a{suffix}", content))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.stl", "solid a\nendsolid a\n"),
        ("a.stl", bytes(84)),
        ("a.ply", ply([], [])),
        ("a.obj", "# nothing\n"),
        ("a.gltf", json.dumps({"asset": {"version": "2.0"}})),
    ],
)
def test_no_faces_at_all_are_explained(tmp_path: Path, name: str, content: str | bytes):
    with pytest.raises(DataError, match="got a file without any"):
        read_mesh(written(tmp_path, name, content))


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e301"])
def test_triangles_at_no_place_are_left_out(tmp_path: Path, suffix: str, number: str):
    vertices = ["0 0 0", "1 0 0", "0 1 0", f"{number} 0 1"]
    content = WRITERS[suffix](vertices, ["3 0 1 2", "3 0 1 3", "3 1 2 3"])
    found = read_mesh(written(tmp_path, f"a{suffix}", content))
    assert found.vertices.tolist() == [[0, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert found.faces.tolist() == [[0, 2, 1]]
    (note,) = found.notes
    assert note.startswith("2 of 3 triangles have a corner that is no finite number")


@pytest.mark.parametrize("suffix", WRITERS)
def test_nothing_but_triangles_at_no_place_is_explained(tmp_path: Path, suffix: str):
    content = WRITERS[suffix](["nan 0 0", "1 0 0", "0 1 0"], ["3 0 1 2"])
    with pytest.raises(DataError, match=r"finite corners, got 1 without\. Repair"):
        read_mesh(written(tmp_path, f"a{suffix}", content))


@pytest.mark.parametrize(
    "flat", ["3 0 1 1", "3 2 2 2", "3 0 1 3", "3 0 1 4"], ids=["twice", "1", "=", "row"]
)
@pytest.mark.parametrize("suffix", WRITERS)
def test_triangles_without_area_are_left_out(tmp_path: Path, suffix: str, flat: str):
    vertices = ["0 0 0", "1 0 0", "0 1 0", "1 0 0", "0.3 0 0"]
    path = tmp_path / f"a{suffix}"
    path.write_text(WRITERS[suffix](vertices, ["3 0 1 2", flat]))
    found = read_mesh(path)
    assert (len(found.vertices), len(found.faces)) == (3, 1)
    (note,) = found.notes
    assert note == "1 of 2 triangles have no area and were left out."
    path.write_text(WRITERS[suffix](vertices, [flat, flat]))
    with pytest.raises(DataError, match=r"with an area .*got 2 without\. Repair"):
        read_mesh(path)


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("scale", [1e-160, 1e-6, 1.0, 1e6, 1e150, 1e293])
def test_what_is_flat_does_not_depend_on_size_and_place(scale: float, offset: float):
    made = trimesh.creation.icosphere(2)
    corners = scale * (made.vertices + offset)
    middle = (corners[:1] + corners[1:2]) / 2
    vertices = np.concatenate((corners, middle))
    faces = np.concatenate((made.faces, [[0, 1, 0]]))
    found = mended("ball", vertices, faces)
    assert len(found.faces) == 320
    assert found.notes == ("1 of 321 triangles have no area and were left out.",)


@pytest.mark.parametrize("wrong", ["3 0 1 9", "3 -2 0 1"])
@pytest.mark.parametrize("suffix", WRITERS)
def test_faces_of_absent_corners_are_explained(tmp_path: Path, suffix: str, wrong: str):
    vertices = ["0 0 0", "1 0 0", "0 1 0"]
    if suffix == ".obj":
        wrong = wrong.replace("-2", "-9")
    content = WRITERS[suffix](vertices, ["3 0 1 2", wrong])
    with pytest.raises(DataError, match=r"expected .*got .*damaged"):
        read_mesh(written(tmp_path, f"a{suffix}", content))


def test_an_obj_that_counts_from_zero_is_explained(tmp_path: Path):
    path = written(tmp_path, "a.obj", f"{TRIANGLE}f 0 1 2\n")
    with pytest.raises(DataError, match="corners count from 1"):
        read_mesh(path)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_relative_corners_of_an_obj_count_from_where_they_stand(
    tmp_path: Path, end: str
):
    lines = [*["v 0 0 0", "v 1 0 0", "v 0 1 0", "vt 0 0", "f -3/-1 -2/-1 -1/-1"]]
    lines += ["v 0 0 5", "v 1 0 5", "v 0 1 5", "f -3 \\", "-2 6"]
    found = read_mesh(written(tmp_path, "a.obj", end.join(lines) + end))
    heights = found.vertices[found.faces][..., 2]
    assert sorted(heights.tolist()) == [[0, 0, 0], [5, 5, 5]]


@pytest.mark.parametrize(
    ("lines", "count"),
    [
        ("f 1 2 3 4", 2),
        ("f 1 2 3 4 5", 3),
        ("f 1 2 3\nf 1 3 4 5", 3),
        ("vn 0 0 1\nf 1 2 3\nf 1//1 3//1 4//1", 2),
        (
            "mtllib gone.mtl\nusemtl a\nvt 0 0\nf 1/1 2/1 3/1\nusemtl b\nf 1/1 3/1 4/1",
            2,
        ),
        ("o one\nf 1 2 3\ng two\nf 1 3 4", 2),
        ("l 1 2\nf 1 2 3", 1),
    ],
)
def test_many_dialects_of_obj(tmp_path: Path, lines: str, count: int):
    corners = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv -1 0.5 0\n"
    mesh = opened(written(tmp_path, "a.obj", f"{corners}{lines}\n"))
    assert len(mesh.faces) == count
    assert (mesh.face_normals == [0, 0, 1]).all()
    assert mesh.num_shells == 1


def test_names_in_any_encoding_are_read_over(tmp_path: Path):
    content = f"# Gr\u00f6\u00dfe\no B\u00e4r\n{TRIANGLE}f 1 2 3\n".encode("latin-1")
    assert len(read_mesh(written(tmp_path, "a.obj", content)).faces) == 1


def test_quads_and_larger_faces_become_triangles(tmp_path: Path):
    vertices = ["0 0 0", "1 0 0", "1 1 0", "0 1 0", "-1 0.5 0"]
    path = written(tmp_path, "a.off", off(vertices, ["5 0 1 2 3 4"]))
    assert opened(path).areas.sum() == pytest.approx(1.5)
    path = written(tmp_path, "a.ply", ply(vertices, ["4 0 1 2 3", "3 0 3 4"]))
    assert opened(path).areas.sum() == pytest.approx(1.5)


def test_corners_at_one_place_become_one():
    corners = trimesh.creation.icosphere(2).triangles
    soup = np.array(corners.reshape(-1, 3))
    soup[soup == 0] *= np.random.default_rng(0).choice([-1, 1], (soup == 0).sum())
    assert np.signbit(soup[soup == 0]).any()
    found = mended("soup", soup, np.arange(len(soup)).reshape(-1, 3))
    mesh = TriangleMesh(found.vertices, found.faces)
    assert (len(found.vertices), mesh.num_open_edges) == (162, 0)
    assert np.array_equal(found.vertices[found.faces], corners)
    assert not np.signbit(found.vertices[found.vertices == 0]).any()


def test_seams_of_textures_are_no_openings(tmp_path: Path):
    made = trimesh.creation.box()
    lines = [f"v {x} {y} {z}" for x, y, z in made.vertices]
    lines += [f"vt {i / 36} {(i % 7) / 7}" for i in range(36)]
    for number, face in enumerate(made.faces):
        corners = (f"{c + 1}/{3 * number + i + 1}" for i, c in enumerate(face))
        lines.append(f"f {' '.join(corners)}")
    mesh = opened(written(tmp_path, "a.obj", "\n".join(lines)))
    assert (len(mesh.vertices), mesh.num_open_edges) == (8, 0)
    assert mesh.volume == pytest.approx(1)


def test_parts_of_a_scene_stand_where_it_says(tmp_path: Path):
    scene = trimesh.Scene()
    moved, mirrored = np.diag([2.0, 1, 1, 1]), np.diag([-1.0, 1, 1, 1])
    moved[:3, 3], mirrored[:3, 3] = (4, 0, 0), (-3, 0, 0)
    ball = trimesh.creation.icosphere(2)
    scene.add_geometry(ball, node_name="one", geom_name="ball")
    scene.add_geometry(ball, node_name="two", geom_name="ball", transform=moved)
    scene.add_geometry(ball, node_name="three", geom_name="ball", transform=mirrored)
    path = tmp_path / "scene.glb"
    path.write_bytes(scene.export(file_type="glb"))
    mesh = opened(path)
    assert (mesh.num_shells, mesh.num_open_edges) == (3, 0)
    # One ball is twice as long; the mirrored one is not inside out.
    assert mesh.volume == pytest.approx(4 * ball.volume, rel=1e-6)
    low, high = mesh.bounds
    assert (low[0], high[0]) == pytest.approx((-4, 6), abs=1e-6)


soups = arrays.arrays(
    np.float64,
    st.tuples(st.integers(3, 12), st.just(3)),
    elements=st.sampled_from([0.0, -0.0, 1.0, 1e-9, 1e6, 1e200, np.nan, np.inf])
    | st.floats(-2, 2),
)


@given(soups, st.data())
def test_soups_are_mended_or_explained(vertices: np.ndarray, data: st.DataObject):
    shape = st.tuples(st.integers(1, 8), st.just(3))
    corner = st.integers(0, len(vertices) - 1)
    faces = data.draw(arrays.arrays(np.int64, shape, elements=corner))
    found, message = None, ""
    try:
        found = mended("soup", vertices, faces)
    except DataError as error:
        message = str(error)
    if found is None:
        assert f"got {len(faces)} without" in message
        return
    assert np.isfinite(found.vertices).all()
    assert len(np.unique(found.vertices, axis=0)) == len(found.vertices)
    assert np.array_equal(np.unique(found.faces), np.arange(len(found.vertices)))
    left_out = sum(int(note.split()[0]) for note in found.notes)
    assert len(found.faces) + left_out == len(faces)
    again = mended("soup", found.vertices, found.faces)
    assert np.array_equal(again.faces, found.faces)
    assert again.notes == ()


def test_real_meshes(data_folder: Path):
    folder = data_folder / "meshes"
    bunny = opened(folder / "bunny.obj")
    assert (bunny.num_open_edges, bunny.num_shells) == (42, 1)
    spot = opened(folder / "spot.obj")
    assert (spot.num_open_edges, spot.num_crowded_edges) == (0, 0)
    armadillo = read_mesh(folder / "armadillo.obj")
    assert len(armadillo.faces) == 99_976
    assert armadillo.notes == ()
