import os
from pathlib import Path

import igl
import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import load_file, save_file

from tangrid.errors import ConfigError
from tangrid.signals.mesh import MeshSignal
from tangrid.signals.point_pool import (
    PointPool,
    PoolSettings,
    _morton,
    cache_folder,
    draw_pool,
    point_pool,
)
from tests.analytic_shapes import Box

SMALL = PoolSettings(size=512)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of drawn points that is empty and this test's own."""
    monkeypatch.setenv("TANGRID_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def kept(folder: Path) -> list[Path]:
    return sorted((folder / "pools").glob("*"))


def same(one: PointPool, other: PointPool) -> bool:
    pairs = [
        (one.points, other.points),
        (one.distances, other.distances),
        (one.normals, other.normals),
    ]
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


@given(st.integers(8, 2**30))
def test_of_eight_points_four_three_and_one(size: int):
    counts = PoolSettings(size=size).counts
    assert sum(counts.values()) == size
    assert counts["near"] == 3 * size // 8
    assert counts["uniform"] == size // 8
    assert 0 <= counts["surface"] - size / 2 < 2


def test_counts_of_eights_are_exact():
    counts = PoolSettings(size=2**22).counts
    assert counts == {"surface": 2**21, "near": 3 * 2**19, "uniform": 2**19}


def test_settings_out_of_range_are_explained():
    with pytest.raises(ConfigError, match=r"size: expected at least 8 points, got 7"):
        PoolSettings(size=7)


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_rule_is_explained():
    with pytest.raises(ConfigError, match=r"PoolSettings\.rule: .*instant-ngp"):
        PoolSettings(rule="random")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", ["box", "torus", "knot"])
def test_half_of_the_points_lie_on_the_surface(name: str):
    signal = MeshSignal.open(name)
    pool = draw_pool(signal, PoolSettings(size=4096))
    on = pool.distances == 0
    assert (len(pool), on.sum()) == (4096, 2048)
    assert (pool.points.dtype, pool.normals.dtype) == (np.float32, np.float32)
    # Eleven bits: each part of a normal is off by 2^-12 of itself, at most.
    lengths = np.linalg.norm(pool.normals, axis=1)
    np.testing.assert_allclose(lengths[on], 1, atol=2.0**-11)
    assert (lengths[~on] == 0).all()
    points = pool.points[on].astype(np.float64)
    # The points themselves are rounded, by half of 2^-24 along each axis.
    assert signal.mesh.distance(points).max() < 6e-8
    assert (pool.points >= 0).all()
    assert (pool.points <= 1).all()


def test_normals_are_those_of_the_surface():
    signal = MeshSignal.open("torus")
    pool = draw_pool(signal, SMALL)
    on = pool.distances == 0
    mesh = signal.mesh
    places = np.ascontiguousarray(pool.points[on], dtype=np.float64)
    nearest = igl.point_mesh_squared_distance(places, mesh.vertices, mesh.faces)[1]
    expected = mesh.face_normals[nearest]
    # A point on an edge may be nearest to the triangle beside, a few degrees away.
    aligned = (pool.normals[on] * expected).sum(1)
    assert aligned.min() > 0.99
    assert np.median(aligned) > 0.9995


def test_distances_belong_to_the_rounded_points():
    pool = draw_pool(MeshSignal.open("box"), PoolSettings(size=4096))
    off = pool.distances != 0
    box = Box(centre=(0.5, 0.5, 0.5), sides=(0.9, 0.63, 0.45))
    exact = box.distance(pool.points[off].astype(np.float64))
    found = pool.distances[off]
    np.testing.assert_allclose(np.abs(found), np.abs(exact), rtol=2e-7, atol=1e-15)
    # A sign is open only where single precision does not tell the sides apart.
    is_clear = np.abs(exact) > 1e-6
    assert np.array_equal(found[is_clear] < 0, exact[is_clear] < 0)


@pytest.mark.parametrize(
    ("rule", "deviation"),
    # A logistic variable of scale s has the variance pi^2 s^2 / 3.
    [("instant-ngp", np.pi / 3**0.5 * 3**0.5 / 2048), ("neurbf", 0.005)],
)
def test_near_points_are_as_far_as_the_rule_says(rule: str, deviation: float):
    settings = PoolSettings(size=8, rule=rule)  # pyright: ignore[reportArgumentType]
    start = np.full((40_000, 3), 0.5)
    steps = settings.moved(start, np.random.default_rng(1)) - start
    assert steps.std() == pytest.approx(deviation, rel=0.02)
    assert abs(steps.mean()) < 4 * deviation / 120_000**0.5
    tails = np.mean((steps / deviation) ** 4)
    assert tails == pytest.approx(4.2 if rule == "instant-ngp" else 3, rel=0.05)


def test_points_moved_off_the_box_are_taken_back():
    rng = np.random.default_rng(2)
    for corner in (0.0, 1.0):
        moved = PoolSettings(rule="neurbf").moved(np.full((100, 3), corner), rng)
        assert (moved >= 0).all()
        assert (moved <= 1).all()
        assert (moved == corner).any()


def test_uniform_points_fill_the_box():
    pool = draw_pool(MeshSignal.open("sphere"), PoolSettings(size=2**15))
    # Hardly any but uniform ones lie that far from the surface.
    far = pool.points[np.abs(pool.distances) > 0.05]
    outside = far[np.linalg.norm(far - 0.5, axis=1) > 0.5]
    share = len(outside) / 2**12
    expected = 1 - 4 / 3 * np.pi * 0.5**3
    assert share == pytest.approx(expected, abs=4 * (0.25 / 2**12) ** 0.5)


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    signal = MeshSignal.open("torus")
    one, again = draw_pool(signal, SMALL, 3), draw_pool(signal, SMALL, 3)
    assert same(one, again)
    assert not np.array_equal(one.points, draw_pool(signal, SMALL, 4).points)


def test_points_from_disk_are_the_same_bits(cache: Path):
    signal = MeshSignal.open("torus")
    fresh = point_pool(signal, SMALL, 5)
    assert not fresh.is_from_disk
    assert len(kept(cache)) == 1
    found = point_pool(signal, SMALL, 5)
    assert found.is_from_disk
    assert found.seconds >= 0
    assert same(fresh, found)
    assert same(fresh, draw_pool(signal, SMALL, 5))


def test_another_mesh_size_rule_or_seed_is_drawn_anew(cache: Path):
    torus, box = MeshSignal.open("torus"), MeshSignal.open("box")
    moved = MeshSignal.from_arrays(
        torus.mesh.vertices + [[0.1, 0, 0]] * (torus.mesh.vertices[:, :1] > 0.5),
        torus.mesh.faces,
    )
    fewer = MeshSignal.from_arrays(torus.mesh.vertices, torus.mesh.faces[1:])
    pools = [
        point_pool(torus, SMALL),
        point_pool(box, SMALL),
        point_pool(moved, SMALL),
        point_pool(fewer, SMALL),
        point_pool(torus, PoolSettings(size=520)),
        point_pool(torus, PoolSettings(size=512, rule="neurbf")),
        point_pool(torus, SMALL, seed=1),
    ]
    assert not any(pool.is_from_disk for pool in pools)
    assert len(kept(cache)) == len(pools)


def test_a_mesh_is_known_by_its_triangles_not_its_name(cache: Path):
    torus = MeshSignal.open("torus")
    point_pool(torus, SMALL)
    frame = torus.frame
    other = MeshSignal(name="other", mesh=torus.mesh, frame=frame, notes=("a",))
    assert point_pool(other, SMALL).is_from_disk
    assert len(kept(cache)) == 1


def damage_whole(path: Path) -> None:
    path.write_bytes(b"no tensors")


def damage_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def damage_away(path: Path) -> None:
    path.write_bytes(b"")


def damage_names(path: Path) -> None:
    save_file({"points": load_file(path)["points"]}, path)


def damage_rows(path: Path) -> None:
    save_file({name: array[:-1] for name, array in load_file(path).items()}, path)


def damage_shapes(path: Path) -> None:
    arrays = load_file(path)
    save_file({**arrays, "distances": arrays["distances"][:9]}, path)


@pytest.mark.parametrize(
    "damage",
    [
        damage_whole,
        damage_end,
        damage_away,
        damage_names,
        damage_rows,
        damage_shapes,
    ],
)
def test_a_damaged_file_is_drawn_again(cache: Path, damage):
    signal = MeshSignal.open("box")
    fresh = point_pool(signal, SMALL)
    (path,) = kept(cache)
    damage(path)
    again = point_pool(signal, SMALL)
    assert not again.is_from_disk
    assert same(fresh, again)
    assert point_pool(signal, SMALL).is_from_disk


def test_where_nothing_can_be_kept_points_are_drawn_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TANGRID_CACHE", str(tmp_path / "file" / "cache"))
    signal = MeshSignal.open("box")
    one, again = point_pool(signal, SMALL), point_pool(signal, SMALL)
    assert not again.is_from_disk
    assert same(one, again)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_folder_in_the_files_place_does_no_harm(cache: Path):
    signal = MeshSignal.open("box")
    fresh = point_pool(signal, SMALL)
    (path,) = kept(cache)
    path.unlink()
    path.mkdir()
    assert same(fresh, point_pool(signal, SMALL))
    assert kept(cache) == [path]


def test_a_cache_that_may_only_be_read_is_read(
    cache: Path, monkeypatch: pytest.MonkeyPatch
):
    signal = MeshSignal.open("box")
    fresh = point_pool(signal, SMALL)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    found = point_pool(signal, SMALL)
    assert found.is_from_disk
    assert same(fresh, found)


def test_the_oldest_files_go_when_all_are_too_large(
    cache: Path, monkeypatch: pytest.MonkeyPatch
):
    signal = MeshSignal.open("box")
    paths = []
    for seed in range(3):
        point_pool(signal, SMALL, seed)
        (new,) = set(kept(cache)) - set(paths)
        paths.append(new)
        os.utime(new, (seed, seed))
    # Reading makes the first the newest.
    assert point_pool(signal, SMALL, 0).is_from_disk
    size = paths[0].stat().st_size
    monkeypatch.setattr("tangrid.signals.point_pool._LARGEST_CACHE", 3 * size)
    point_pool(signal, SMALL, 3)
    assert paths[0].exists()
    assert not paths[1].exists()
    assert paths[2].exists()
    assert len(kept(cache)) == 3
    monkeypatch.setattr("tangrid.signals.point_pool._LARGEST_CACHE", 0)
    point_pool(signal, SMALL, 4)
    assert len(kept(cache)) == 1
    assert point_pool(signal, SMALL, 4).is_from_disk


def test_the_cache_lies_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.setenv("TANGRID_CACHE", "~/points")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "points"
    monkeypatch.delenv("TANGRID_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "tangrid"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / ".cache" / "tangrid"


def test_progress_is_told_and_ends_with_all(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tangrid.signals.point_pool._POINTS_PER_PART", 100)
    calls: list[tuple[int, int]] = []

    def on_part(done: int, of: int) -> None:
        calls.append((done, of))

    signal = MeshSignal.open("box")
    in_parts = point_pool(signal, SMALL, on_part=on_part)
    assert calls == [(256, 512), (356, 512), (456, 512), (512, 512)]
    monkeypatch.undo()
    assert same(in_parts, draw_pool(signal, SMALL))


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(0, 30), st.just(3)),
        elements=st.floats(0, 1, width=32),
    )
)
@settings(max_examples=50)
def test_morton_order_is_by_the_digits_of_all_three(points: np.ndarray):
    found = _morton(points)
    cells = np.floor(points * np.float32(1023.999)).astype(int)
    expected = [
        sum(
            ((int(cell) >> bit) & 1) << (3 * bit + axis)
            for axis, cell in enumerate(row)
            for bit in range(10)
        )
        for row in cells
    ]
    assert found.tolist() == expected


def test_neighbours_in_memory_are_neighbours_and_none_is_lost():
    signal = MeshSignal.open("sphere")
    pool = draw_pool(signal, PoolSettings(size=4096))
    assert (np.diff(_morton(pool.points).astype(np.int64)) >= 0).all()
    assert len(np.unique(pool.points, axis=0)) == 4096
    steps = np.linalg.norm(np.diff(pool.points, axis=0), axis=1)
    shuffled = np.random.default_rng(0).permutation(pool.points)
    assert steps.mean() < np.linalg.norm(np.diff(shuffled, axis=0), axis=1).mean() / 8


def test_an_open_mesh_has_a_pool():
    made = trimesh.creation.icosphere(2)
    signal = MeshSignal.from_arrays(made.vertices, np.array(made.faces[40:]))
    pool = draw_pool(signal, SMALL)
    assert np.isfinite(pool.distances).all()
    assert (pool.distances == 0).sum() == 256
    assert (pool.distances < 0).any()
