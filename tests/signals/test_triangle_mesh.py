import igl
import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tangrid.errors import ShapeError
from tangrid.signals.bundled_meshes import bundled_mesh
from tangrid.signals.triangle_mesh import TriangleMesh
from tests.analytic_shapes import Box, Sphere, Torus

# Distances of order one, from a few dozen roundings of 1e-16.
ROUNDING = 1e-14

lengths = st.floats(0.1, 3.0)
places = st.tuples(*3 * [st.floats(-1.0, 1.0)])
seeds = st.integers(0, 2**32 - 1)


def mesh_of(made: trimesh.Trimesh) -> TriangleMesh:
    return TriangleMesh(np.array(made.vertices), np.array(made.faces, np.int64))


def joined(*meshes: TriangleMesh) -> TriangleMesh:
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = [mesh.faces + start for mesh, start in zip(meshes, starts, strict=False)]
    return TriangleMesh(
        np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(faces)
    )


def turned(mesh: TriangleMesh) -> TriangleMesh:
    return TriangleMesh(mesh.vertices, np.ascontiguousarray(mesh.faces[:, ::-1]))


def ball(radius: float = 1.0, subdivisions: int = 3) -> TriangleMesh:
    return mesh_of(trimesh.creation.icosphere(subdivisions, radius))


def sheet(cells: int = 8) -> TriangleMesh:
    """The square from (0, 0) to (1, 1) at height 0, seen from above."""
    x, y = np.meshgrid(*2 * [np.linspace(0, 1, cells + 1)], indexing="ij")
    vertices = np.stack((x, y, 0 * x), axis=-1).reshape(-1, 3)
    at = np.arange((cells + 1) ** 2).reshape(cells + 1, -1)
    a, b, c, d = (
        part.reshape(-1)
        for part in (at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:])
    )
    return TriangleMesh(
        vertices, np.concatenate((np.stack((a, b, c), 1), np.stack((a, c, d), 1)))
    )


def around(seed: int, count: int = 500, reach: float = 2.0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-reach, reach, (count, 3))


def to_segment(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    along = end - start
    shares = np.clip((points - start) @ along / (along @ along), 0, 1)
    return np.linalg.norm(points - start - shares[:, None] * along, axis=1)


def to_triangle(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """The distance to one triangle: to its plane over it, to its sides elsewhere."""
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    normal /= np.linalg.norm(normal)
    is_over = np.ones(len(points), bool)
    distances = np.full(len(points), np.inf)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        is_over &= (points - start) @ np.cross(normal, end - start) >= 0
        distances = np.minimum(distances, to_segment(points, start, end))
    heights = np.abs((points - corners[0]) @ normal)
    return np.where(is_over, heights, distances)


def test_measures_of_a_box():
    mesh = mesh_of(trimesh.creation.box((1.0, 2.0, 3.0)))
    assert mesh.volume == pytest.approx(6)
    assert mesh.areas.sum() == pytest.approx(22)
    low, high = mesh.bounds
    assert (low.tolist(), high.tolist()) == ([-0.5, -1, -1.5], [0.5, 1, 1.5])
    assert (mesh.num_open_edges, mesh.num_crowded_edges, mesh.num_shells) == (0, 0, 1)
    assert np.array_equal(np.abs(mesh.face_normals).max(1), np.ones(12))
    assert turned(mesh).volume == pytest.approx(-6)


def test_edges_and_shells_are_counted():
    assert sheet(8).num_open_edges == 32
    assert sheet(8).num_shells == 1
    assert joined(ball(), sheet(), ball(0.3)).num_shells == 3
    corners = np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [-1, 0, 0]], float)
    fins = TriangleMesh(corners, np.array([[0, 1, 2], [0, 1, 3], [1, 0, 4]]))
    assert (fins.num_crowded_edges, fins.num_open_edges) == (1, 6)


def test_unused_corners_are_no_shells():
    corners = np.concatenate((ball().vertices, 5 + np.zeros((3, 3))))
    mesh = TriangleMesh(corners, ball().faces)
    assert mesh.num_shells == 1
    assert mesh.bounds[1].max() == pytest.approx(1)


def test_no_triangles_are_refused():
    with pytest.raises(ShapeError, match="expected at least one triangle, got none"):
        TriangleMesh(np.eye(3), np.zeros((0, 3), np.int64))


def test_distance_to_a_sphere_is_within_its_chords():
    mesh = ball(subdivisions=4)
    heights = (mesh.corners.mean(1) * mesh.face_normals).sum(1)
    depth = 1 - heights.min()
    assert depth < 2e-3
    points = np.concatenate((around(0, 1500), around(1, 500, reach=0.6)))
    over = mesh.signed_distance(points) - Sphere(radius=1.0).distance(points)
    # The mesh lies inside of the ball, nowhere deeper than its flattest triangle.
    assert over.min() >= -ROUNDING
    assert over.max() <= depth + ROUNDING


def test_distance_to_a_torus_is_within_its_chords():
    mesh = TriangleMesh(*(bundled_mesh("torus") or ()))
    points = around(2, 1500, reach=1.5)
    # The mesh lies around the z axis, the formula around y.
    exact = Torus(radius=1.0, tube=0.4).distance(points[:, [1, 2, 0]])
    # Chords of 128 around the outer ring and of 64 around the tube.
    depth = 1.4 * (1 - np.cos(np.pi / 128)) + 0.4 * (1 - np.cos(np.pi / 64))
    np.testing.assert_allclose(mesh.signed_distance(points), exact, atol=1.1 * depth)


@given(places, st.tuples(lengths, lengths, lengths), seeds)
@settings(max_examples=40)
def test_distance_to_a_box_is_exact(centre: tuple, sides: tuple, seed: int):
    made = trimesh.creation.box(sides)
    mesh = TriangleMesh(made.vertices + np.array(centre), np.array(made.faces))
    points = around(seed, 100)
    exact = Box(centre=centre, sides=sides).distance(points)
    found = mesh.signed_distance(points)
    np.testing.assert_allclose(found, exact, atol=ROUNDING)
    np.testing.assert_allclose(mesh.distance(points), np.abs(exact), atol=ROUNDING)


def test_distance_is_exact_close_to_the_surface():
    # There, one call of libigl for sign and size would be wrong by a large factor.
    mesh = mesh_of(trimesh.creation.box())
    heights = np.geomspace(1e-6, 0.2, 50)
    points = np.zeros((50, 3))
    for sign in (-1, 1):
        points[:, 2] = 0.5 + sign * heights
        found = mesh.signed_distance(points)
        np.testing.assert_allclose(found, sign * heights, rtol=0, atol=1e-15)
    # Closer than single precision the sign is open, but never the size.
    points[:, 2] = 0.5 + np.geomspace(1e-12, 1e-7, 50)
    found = np.abs(mesh.signed_distance(points))
    np.testing.assert_allclose(found, points[:, 2] - 0.5, rtol=0, atol=1e-15)


soups = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 6), st.just(3), st.just(3)), elements=lengths
)


@given(soups, seeds)
@settings(max_examples=60)
def test_distance_to_a_soup_is_that_to_its_nearest_triangle(
    corners: np.ndarray, seed: int
):
    heights = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    corners = corners[heights > 1e-4]
    if len(corners) == 0:
        return
    mesh = TriangleMesh(
        corners.reshape(-1, 3), np.arange(corners.size // 3).reshape(-1, 3)
    )
    points = around(seed, 50, reach=4.0)
    nearest = np.min([to_triangle(points, triangle) for triangle in corners], axis=0)
    np.testing.assert_allclose(mesh.distance(points), nearest, atol=1e-12)
    assert np.isfinite(mesh.signed_distance(points)).all()


@given(st.floats(0.01, 100), places, seeds)
@settings(max_examples=25)
def test_distance_scales_and_moves_with_the_mesh(scale: float, way: tuple, seed: int):
    mesh, points = ball(subdivisions=2), around(seed, 60)
    moved = TriangleMesh(scale * mesh.vertices + np.array(way), mesh.faces)
    found = moved.signed_distance(scale * points + np.array(way))
    atol = 10 * ROUNDING * max(scale, 1)
    np.testing.assert_allclose(found, scale * mesh.signed_distance(points), atol=atol)


@given(seeds)
@settings(max_examples=20)
def test_distance_never_changes_faster_than_the_point(seed: int):
    mesh, one, other = ball(subdivisions=1), around(seed, 60), around(seed + 1, 60)
    change = np.abs(mesh.signed_distance(one) - mesh.signed_distance(other))
    assert (change <= np.linalg.norm(one - other, axis=1) + ROUNDING).all()


@pytest.mark.parametrize("name", ["knot", "torus", "box"])
def test_inside_is_what_the_exact_winding_number_says(name: str):
    mesh = TriangleMesh(*(bundled_mesh(name) or ()))
    rng = np.random.default_rng(3)
    near = mesh.sample(200, rng)
    steps = rng.choice([-1, 1], (200, 1)) * 10.0 ** rng.uniform(-6, -1, (200, 1))
    points = np.concatenate((
        near.points + steps * near.normals,
        around(4, 100, reach=3.0),
    ))
    turns = igl.winding_number(mesh.vertices, mesh.faces, points)
    assert np.array_equal(mesh.is_inside(points), turns > 0.5)


def test_inside_does_not_depend_on_how_triangles_are_turned():
    points = around(5)
    for mesh in (ball(), mesh_of(trimesh.creation.box())):
        found = mesh.signed_distance(points)
        over = turned(mesh).signed_distance(points)
        np.testing.assert_allclose(over, found, atol=ROUNDING)


def test_shells_that_lie_apart_are_all_inside():
    left, right = ball(0.5), ball(0.5)
    right = TriangleMesh(right.vertices + np.array([2.0, 0, 0]), right.faces)
    points = around(6, reach=3.0)
    expected = np.minimum(left.signed_distance(points), right.signed_distance(points))
    found = joined(left, right).signed_distance(points)
    np.testing.assert_allclose(found, expected, atol=ROUNDING)


def test_a_shell_turned_inward_is_a_hollow_and_another_is_none():
    points = np.array([[0.0, 0, 0], [0.75, 0, 0], [2.0, 0, 0]])
    hollow = joined(ball(1.0), turned(ball(0.5)))
    assert hollow.is_inside(points).tolist() == [False, True, False]
    filled = joined(ball(1.0), ball(0.5))
    assert filled.is_inside(points).tolist() == [True, True, False]


def test_shells_that_overlap_enclose_both():
    other = TriangleMesh(ball().vertices + np.array([0.7, 0, 0]), ball().faces)
    points = np.array([[-0.8, 0, 0], [0.35, 0, 0], [1.5, 0, 0], [0.35, 0.95, 0]])
    found = joined(ball(), other).is_inside(points)
    assert found.tolist() == [True, True, True, False]


def test_a_sheet_encloses_nothing():
    mesh, points = sheet(), around(7)
    assert not mesh.is_inside(points).any()
    nearest = np.clip(points, [0, 0, 0], [1, 1, 0])
    expected = np.linalg.norm(points - nearest, axis=1)
    np.testing.assert_allclose(mesh.signed_distance(points), expected, atol=ROUNDING)


def test_a_small_hole_is_closed():
    whole = ball()
    pierced = TriangleMesh(whole.vertices, whole.faces[1:])
    assert pierced.num_open_edges == 3
    points = around(8)
    points = points[whole.distance(points) > 0.1]
    assert np.array_equal(pierced.is_inside(points), whole.is_inside(points))


def test_many_points_are_found_part_by_part(monkeypatch: pytest.MonkeyPatch):
    mesh, points = ball(), around(9, 1000)
    expected = mesh.distance(points)
    monkeypatch.setattr("tangrid.signals.triangle_mesh._POINTS_PER_CALL", 300)
    assert np.array_equal(mesh.distance(points), expected)


def test_points_of_other_layouts_are_taken():
    mesh, points = ball(), around(10)
    expected = mesh.signed_distance(points)
    assert np.array_equal(mesh.signed_distance(np.asfortranarray(points)), expected)
    single = points.astype(np.float32)
    assert np.array_equal(
        mesh.signed_distance(single), mesh.signed_distance(single.astype(float))
    )


def test_no_points_are_no_distances():
    mesh, none = ball(), np.zeros((0, 3))
    assert mesh.distance(none).shape == mesh.signed_distance(none).shape == (0,)
    assert mesh.meet(none, none).is_hit.shape == (0,)
    assert mesh.sample(0, np.random.default_rng(0)).points.shape == (0, 3)


def test_samples_lie_on_their_triangles():
    mesh = ball()
    points, normals = mesh.sample(500, np.random.default_rng(11))
    assert mesh.distance(points).max() < 1e-15
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-14)
    assert (np.einsum("nd,nd->n", points, normals) > 0.98).all()


def test_samples_are_as_many_per_area_everywhere():
    sides = np.array([1.0, 2.0, 3.0])
    mesh = mesh_of(trimesh.creation.box(sides))
    points, normals = mesh.sample(60_000, np.random.default_rng(12))
    # Cells of 1/2 x 1/2 over all six sides: 88 of them, of the same area.
    side = 2 * np.abs(normals).argmax(1) + (normals.sum(1) > 0)
    cells = np.minimum(np.floor((points + sides / 2) * 2), sides * 2 - 1).astype(int)
    cells[np.arange(len(cells)), side // 2] = 0
    _, counts = np.unique(np.column_stack((side, cells)), axis=0, return_counts=True)
    assert len(counts) == 88
    expected = 60_000 / 88
    # Chi-square of 87 degrees of freedom: mean 87, deviation 13.2; four deviations.
    assert np.square(counts - expected).sum() / expected < 87 + 4 * 13.2


def test_samples_fill_a_triangle_evenly():
    mesh = TriangleMesh(np.eye(3), np.array([[0, 1, 2]]))
    points = mesh.sample(40_000, np.random.default_rng(13)).points
    # Shares of a triangle's corners have mean 1/3 and variance 1/18.
    np.testing.assert_allclose(points.mean(0), 1 / 3, atol=4 * (1 / 18 / 40_000) ** 0.5)
    np.testing.assert_allclose(points.var(0), 1 / 18, rtol=0.03)


def test_rays_meet_a_sphere_where_they_should():
    rng = np.random.default_rng(14)
    mesh = ball(subdivisions=4)
    origins = 3 * trimesh.unitize(rng.standard_normal((400, 3)))
    directions = trimesh.unitize(rng.uniform(-1.5, 1.5, (400, 3)) - origins)
    along = -(origins * directions).sum(1)
    heights = np.linalg.norm(origins + along[:, None] * directions, axis=1)
    hits = mesh.meet(origins, directions)
    # Between the flattest triangle and the sphere itself, both answers are right.
    is_clear = np.abs(heights - 1) > 2e-3
    assert np.array_equal(hits.is_hit[is_clear], heights[is_clear] < 1)
    steep = heights < 0.9
    assert 50 < steep.sum() < 350
    first = along - np.sqrt(np.maximum(1 - heights**2, 0))
    exact = origins + first[:, None] * directions
    # A ray at 64 degrees to the normal slides on by 1 / cos of the depth 1.3e-3.
    np.testing.assert_allclose(hits.points[steep], exact[steep], atol=4e-3)
    aligned = (hits.normals[steep] * exact[steep]).sum(1)
    assert (aligned > 0.998).all()
    # Lengths of rays come in single precision; the longest is below 4.
    assert mesh.distance(hits.points[hits.is_hit]).max() < 3e-7


def test_rays_from_inside_meet_the_surface_and_none_lies_behind():
    mesh = mesh_of(trimesh.creation.box())
    ways = np.concatenate((np.eye(3), -np.eye(3)))
    hits = mesh.meet(np.full((6, 3), 0.1), ways)
    assert hits.is_hit.all()
    expected = np.where(ways != 0, 0.5 * ways, 0.1)
    np.testing.assert_allclose(hits.points, expected, atol=1e-15)
    assert np.array_equal(hits.normals, ways)
    away = mesh.meet(2 * ways, ways)
    assert not away.is_hit.any()
    assert np.isfinite(away.points).all()
