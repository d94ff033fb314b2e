import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangrid.errors import ConfigError, ShapeError
from tests.analytic_shapes import AnalyticShape, Box, Capsule, Sphere, Torus

COUNT = 200
STEP = 1e-6
MARGIN = 0.05

lengths = st.floats(0.2, 2.0)
places = st.tuples(*3 * [st.floats(-1.0, 1.0)])
spheres = st.builds(Sphere, centre=places, radius=lengths)
boxes = st.builds(Box, centre=places, sides=st.tuples(*3 * [lengths]))
tori = st.builds(
    lambda centre, radius, share: Torus(
        centre=centre, radius=radius, tube=share * radius
    ),
    places,
    lengths,
    st.floats(0.1, 0.9),
)
capsules = st.builds(
    lambda start, end, radius: Capsule(start=start, end=end, radius=radius),
    st.tuples(st.floats(-1.0, -0.2), *2 * [st.floats(-1.0, 1.0)]),
    st.tuples(st.floats(0.0, 1.0), *2 * [st.floats(-1.0, 1.0)]),
    lengths,
)
shapes = spheres | boxes | tori | capsules
seeds = st.integers(0, 2**32 - 1)


def points_around(shape: AnalyticShape, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    centre = shape.start if isinstance(shape, Capsule) else shape.centre
    return centre + random.uniform(-2.0, 2.0, (COUNT, 3))


def smooth_points(shape: AnalyticShape, seed: int) -> np.ndarray:
    """Points where the distance is smooth over more than a difference's step."""
    points = points_around(shape, seed)
    match shape:
        case Sphere(centre=centre):
            keep = np.linalg.norm(points - centre, axis=1) > MARGIN
        case Box(centre=centre, sides=sides):
            beyond = np.sort(np.abs(points - centre) - np.array(sides) / 2, axis=1)
            inside = (beyond[:, 2] < 0) & (beyond[:, 2] - beyond[:, 1] > MARGIN)
            keep = inside | (shape.distance(points) > MARGIN)
        case Torus(centre=centre, tube=tube):
            from_axis = np.linalg.norm((points - centre)[:, [0, 2]], axis=1)
            keep = (from_axis > MARGIN) & (shape.distance(points) + tube > MARGIN)
        case Capsule(radius=radius):
            keep = shape.distance(points) + radius > MARGIN
    return points[keep]


def differences(shape: AnalyticShape, points: np.ndarray) -> np.ndarray:
    steps = STEP * np.eye(3)
    return np.stack(
        [
            (shape.distance(points + step) - shape.distance(points - step)) / (2 * STEP)
            for step in steps
        ],
        axis=1,
    )


# A difference over a jump of the second derivative, which is at most 1 / MARGIN, is
# wrong by step / (4 MARGIN) = 5e-6 along each axis.
@given(shapes, seeds)
def test_normal_is_the_gradient_of_length_one(shape: AnalyticShape, seed: int):
    points = smooth_points(shape, seed)
    gradient, normals = differences(shape, points), shape.normal(points)
    np.testing.assert_allclose(gradient, normals, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(gradient, axis=1), 1, atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-14)


@given(shapes, seeds, st.floats(0.0, 1.0))
def test_walking_along_the_normal_to_the_surface_takes_the_distance(
    shape: AnalyticShape, seed: int, share: float
):
    points = points_around(shape, seed)
    distances, normals = shape.distance(points), shape.normal(points)
    surface = points - distances[:, None] * normals
    np.testing.assert_allclose(shape.distance(surface), 0, atol=1e-13)
    between = surface + share * distances[:, None] * normals
    np.testing.assert_allclose(shape.distance(between), share * distances, atol=1e-13)


@given(spheres | boxes | capsules, seeds, st.floats(0.0, 5.0))
def test_walking_off_a_convex_shape_adds_to_the_distance(
    shape: AnalyticShape, seed: int, way: float
):
    points = points_around(shape, seed)
    points = points[shape.distance(points) > MARGIN]
    distances, normals = shape.distance(points), shape.normal(points)
    further = points + way * normals
    np.testing.assert_allclose(shape.distance(further), distances + way, atol=1e-13)
    np.testing.assert_allclose(shape.normal(further), normals, atol=1e-12)


@given(shapes, seeds)
def test_distance_never_changes_faster_than_the_point(shape: AnalyticShape, seed: int):
    one, other = points_around(shape, seed), points_around(shape, seed + 1)
    change = np.abs(shape.distance(one) - shape.distance(other))
    assert (change <= np.linalg.norm(one - other, axis=1) + 1e-14).all()


@given(boxes, seeds)
def test_box_against_the_nearest_point(box: Box, seed: int):
    points = points_around(box, seed)
    low = np.array(box.centre) - np.array(box.sides) / 2
    high = np.array(box.centre) + np.array(box.sides) / 2
    outside = np.linalg.norm(points - np.clip(points, low, high), axis=1)
    to_faces = np.concatenate([points - low, high - points], axis=1).min(axis=1)
    expected = np.where(to_faces > 0, -to_faces, outside)
    np.testing.assert_allclose(box.distance(points), expected, atol=1e-14)


def surface_of(shape: Torus | Capsule) -> tuple[np.ndarray, np.ndarray]:
    """Points of a surface by its angles, at most 0.05 apart, and their normals."""
    around = np.linspace(0, 2 * np.pi, 400)
    if isinstance(shape, Torus):
        u, v = (angles.ravel() for angles in np.meshgrid(around, around))
        out = np.stack([np.cos(u), 0 * u, np.sin(u)], axis=1)
        normals = np.cos(v)[:, None] * out + np.sin(v)[:, None] * [0.0, 1.0, 0.0]
        return shape.centre + shape.radius * out + shape.tube * normals, normals
    # An upright rod: a cylinder with half a ball at both ends.
    u, v = (a.ravel() for a in np.meshgrid(around, np.linspace(-np.pi / 2, 0, 100)))
    low = np.stack([np.cos(v) * np.cos(u), np.sin(v), np.cos(v) * np.sin(u)], axis=1)
    high = low * [1.0, -1.0, 1.0]
    middle = np.tile(np.stack([np.cos(around), 0 * around, np.sin(around)], 1), (90, 1))
    height = np.linspace(shape.start[1], shape.end[1], 90).repeat(400)[:, None]
    points = [
        shape.start + shape.radius * low,
        shape.end + shape.radius * high,
        shape.radius * middle + height * [0.0, 1.0, 0.0],
    ]
    return np.concatenate(points), np.concatenate([low, high, middle])


@pytest.mark.parametrize(
    "shape",
    [
        Torus(centre=(0.1, -0.2, 0.3), radius=0.9, tube=0.4),
        Capsule(start=(0.0, -0.5, 0.0), end=(0.0, 0.9, 0.0), radius=0.6),
    ],
)
def test_round_shapes_against_many_points_of_their_surface(shape: Torus | Capsule):
    surface, normals = surface_of(shape)
    np.testing.assert_allclose(shape.distance(surface), 0, atol=1e-14)
    np.testing.assert_allclose(shape.normal(surface), normals, atol=1e-13)
    points = points_around(shape, seed=3)[:40]
    nearest = np.array([np.linalg.norm(surface - p, axis=1).min() for p in points])
    distances = np.abs(shape.distance(points))
    assert (nearest >= distances - 1e-14).all()
    # The nearest of the points lies beside the foot, at most half their spacing.
    assert (nearest <= np.hypot(distances, 0.05) + 1e-3).all()


@given(capsules)
def test_capsule_is_symmetric_in_its_ends(rod: Capsule):
    points = points_around(rod, seed=0)
    turned = Capsule(start=rod.end, end=rod.start, radius=rod.radius)
    np.testing.assert_allclose(
        turned.distance(points), rod.distance(points), atol=1e-14
    )


@pytest.mark.parametrize(
    ("shape", "inside", "outside"),
    [
        (Sphere(radius=1.0), (0.5, 0.0, 0.0), (1.0, 1.0, 0.0)),
        (Box(sides=(2.0, 1.0, 4.0)), (0.9, 0.4, 1.9), (0.9, 0.6, 1.9)),
        (Torus(radius=1.0, tube=0.2), (0.0, 0.1, 1.1), (0.0, 0.0, 0.0)),
        (
            Capsule(start=(0.0, 0.0, 0.0), end=(1.0, 0.0, 0.0), radius=0.2),
            (1.1, 0.0, 0.0),
            (1.1, 0.19, 0.0),
        ),
    ],
)
def test_distance_is_negative_inside(
    shape: AnalyticShape, inside: tuple, outside: tuple
):
    found = shape.distance(np.array([inside, outside]))
    assert found[0] < 0 < found[1]


@pytest.mark.parametrize(
    ("shape", "points"),
    [
        (Sphere(radius=1.0), [(0.0, 0.0, 0.0), (1e-200, 1e-200, 0.0)]),
        (Box(sides=(1.0, 1.0, 1.0)), [(0.0, 0.0, 0.0), (0.5, 0.5, 0.5)]),
        (Box(sides=(1.0, 1.0, 1.0)), [(0.25, 0.25, -0.25), (-0.5, 0.0, 0.5)]),
        (Torus(radius=1.0, tube=0.5), [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0)]),
        (Torus(radius=1.0, tube=0.5), [(0.0, 3.0, 0.0), (0.0, 0.0, -1.0)]),
        (
            Capsule(start=(0.0, 0.0, 0.0), end=(1.0, 2.0, 3.0), radius=0.2),
            [(0.0, 0.0, 0.0), (0.5, 1.0, 1.5)],
        ),
    ],
)
def test_normals_have_length_one_even_where_there_is_no_gradient(
    shape: AnalyticShape, points: list
):
    where = np.array(points)
    normals, distances = shape.normal(where), shape.distance(where)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-14)
    # One of the limits of the gradient: it still leads to a nearest surface point.
    surface = where - distances[:, None] * normals
    np.testing.assert_allclose(shape.distance(surface), 0, atol=1e-14)


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_lengths_are_positive(wrong: float):
    for make in (
        lambda: Sphere(radius=wrong),
        lambda: Box(sides=(1.0, wrong, 1.0)),
        lambda: Torus(radius=1.0, tube=wrong),
        lambda: Capsule(start=(0.0, 0.0, 0.0), end=(1.0, 0.0, 0.0), radius=wrong),
    ):
        with pytest.raises(ConfigError, match="positive length"):
            make()


def test_shapes_whose_formula_is_no_distance_are_refused():
    with pytest.raises(ConfigError, match="thinner"):
        Torus(radius=1.0, tube=1.0)
    with pytest.raises(ConfigError, match="two different ends"):
        Capsule(start=(1.0, 0.0, 0.0), end=(1.0, 0.0, 0.0), radius=1.0)
    with pytest.raises(ConfigError, match="two different ends"):
        Capsule(start=(0.0, 0.0, 0.0), end=(1e-200, 0.0, 0.0), radius=1.0)


@pytest.mark.usefixtures("unchecked")
def test_points_of_another_shape_are_refused():
    for shape in (Sphere(radius=1.0), Box(sides=(1.0, 1.0, 1.0))):
        for ask in (shape.distance, shape.normal):
            for points in (np.zeros(3), np.zeros((3, 2))):
                with pytest.raises(ShapeError, match="n x 3"):
                    ask(points)


def test_no_points_have_no_distances():
    none = np.zeros((0, 3))
    for shape in (
        Sphere(radius=1.0),
        Box(sides=(1.0, 1.0, 1.0)),
        Torus(radius=1.0, tube=0.5),
        Capsule(start=(0.0, 0.0, 0.0), end=(1.0, 0.0, 0.0), radius=1.0),
    ):
        assert shape.distance(none).shape == (0,)
        assert shape.normal(none).shape == (0, 3)
