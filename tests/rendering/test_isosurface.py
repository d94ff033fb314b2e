import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tangrid.errors import ConfigError, NumericalError, ShapeError
from tangrid.rendering.isosurface import MARGIN, Surface, extract_surface
from tangrid.seeding import generator
from tests.rendering.shapes import (
    TORUS_VOLUME,
    areas,
    box,
    euler_number,
    is_closed,
    sphere,
    torus,
    volume,
)


def noise(kinds: list[float] | None, resolution: int):
    """Return a function with random values on the lattice, positive on the border."""
    shape = (resolution + 1,) * 3
    draw = torch.randn(shape, generator=generator(0, "noise"))
    if kinds is not None:
        chosen = torch.randint(len(kinds), shape, generator=generator(0, "kinds"))
        draw = torch.tensor(kinds)[chosen]
    values = torch.full(shape, 1.0)
    values[1:-1, 1:-1, 1:-1] = draw[1:-1, 1:-1, 1:-1]

    def look_up(points: Tensor) -> Tensor:
        return values[tuple((points * resolution).round().long().T)]

    return look_up


def triangles(surface: Surface) -> np.ndarray:
    """Return corners in an order of their own, to compare meshes."""
    first = surface.faces.argmin(1)[:, None]
    turned = np.take_along_axis(surface.faces, (first + np.arange(3)) % 3, axis=1)
    return turned[np.lexsort(turned.T)]


@pytest.mark.parametrize("resolution", [24, 31])
@pytest.mark.parametrize(("shape", "euler"), [(sphere, 2), (torus, 0), (box, 2)])
def test_shapes_are_closed_and_have_their_holes(shape, euler: int, resolution: int):
    surface = extract_surface(shape, resolution, block=10)
    assert is_closed(surface)
    assert euler_number(surface) == euler
    assert surface.vertices.dtype == np.float32
    assert surface.faces.dtype == np.int64


def test_vertices_are_on_the_level():
    surface = extract_surface(sphere, 40, level=-0.1)
    radius = np.linalg.norm(surface.vertices - 0.5, axis=1)
    np.testing.assert_allclose(radius, 0.3, atol=0.5 / 40**2)


def test_volumes_converge_with_the_square_of_the_cell():
    errors = [
        abs(volume(extract_surface(torus, resolution)) / TORUS_VOLUME - 1)
        for resolution in (24, 48)
    ]
    assert errors[0] < 0.03
    assert errors[1] < errors[0] / 3


def test_normals_point_to_larger_values():
    assert volume(extract_surface(sphere, 24)) == pytest.approx(
        4 / 3 * math.pi * 0.4**3, rel=0.01
    )
    surface = extract_surface(torus, 24, block=7)
    a, b, c = np.moveaxis(surface.vertices[surface.faces], 1, 0)
    normals = np.cross(b - a, c - a)
    step = 1e-3 * normals / np.linalg.norm(normals, axis=1, keepdims=True)
    middle = (a + b + c) / 3
    ahead, behind = (
        torus(torch.from_numpy((middle + sign * step).astype(np.float32)))
        for sign in (1, -1)
    )
    assert bool((ahead > behind).all())


@pytest.mark.parametrize("block", [1, 3, 4, 64])
@pytest.mark.parametrize("kinds", [None, [-1.0, 1.0], [-2.0, -1.0, 0.0, 1.0]])
def test_blocks_change_nothing(kinds: list[float] | None, block: int):
    values = noise(kinds, 8)
    whole = extract_surface(values, 8, block=8)
    parts = extract_surface(values, 8, block=block)
    np.testing.assert_allclose(parts.vertices, whole.vertices, atol=1e-6)
    assert np.array_equal(triangles(parts), triangles(whole))
    assert is_closed(parts)


def test_values_that_depend_on_the_batch_leave_no_seam():
    # As of a network whose sums are done in another order for another batch.
    calls = []

    def values(points: Tensor) -> Tensor:
        calls.append(len(points))
        return sphere(points, radius=0.375) + (-1) ** len(calls) * 1e-5

    surface = extract_surface(values, 16, block=4)
    assert is_closed(surface)
    assert euler_number(surface) == 2
    assert sum(calls) == 17**3


@pytest.mark.parametrize("kinds", [None, [-1.0, 1.0], [-1.0, 0.0, 1.0], [-1e-30, 1.0]])
def test_any_values_give_a_closed_mesh_without_flat_triangles(
    kinds: list[float] | None,
):
    surface = extract_surface(noise(kinds, 24), 24, block=9)
    assert is_closed(surface)
    assert len(np.unique(surface.vertices, axis=0)) == len(surface.vertices)
    assert len(np.unique(surface.faces)) == len(surface.vertices)
    assert areas(surface).min() > 0


def test_a_level_through_lattice_points():
    # Sides of the box at 1/4 and 3/4 are layers of the lattice.
    surface = extract_surface(box, 16, block=4)
    assert is_closed(surface)
    assert euler_number(surface) == 2
    assert areas(surface).min() > 0
    assert volume(surface) == pytest.approx(0.5**3, rel=0.01)
    reached = surface.vertices.min(0), surface.vertices.max(0)
    np.testing.assert_allclose(reached[0], 0.25, atol=2 * MARGIN / 16)
    np.testing.assert_allclose(reached[1], 0.75, atol=2 * MARGIN / 16)


def test_a_surface_that_leaves_the_box_ends_there():
    surface = extract_surface(lambda points: points[:, 0] - 0.33, 10, block=4)
    np.testing.assert_allclose(surface.vertices[:, 0], 0.33, atol=1e-6)
    assert surface.vertices[:, 1:].min() == 0
    assert surface.vertices[:, 1:].max() == 1
    assert areas(surface).sum() == pytest.approx(1)


def test_points_are_asked_for_once_and_block_by_block():
    asked, told = [], []

    def values(points: Tensor) -> Tensor:
        asked.append(points)
        return sphere(points)

    extract_surface(
        values, 10, block=4, on_block=lambda done, total: told.append((done, total))
    )
    points = torch.cat(asked)
    assert len(points) == len(points.unique(dim=0)) == 11**3
    assert max(map(len, asked)) <= 5**3
    assert told == [(i + 1, 27) for i in range(27)]
    assert (points.min(), points.max()) == (0, 1)


def test_nothing_to_extract_is_explained():
    with pytest.raises(
        NumericalError, match=r"level 2, got values from -0\.4 to 0\.46"
    ):
        extract_surface(sphere, 8, level=2.0)


def test_wrong_values_are_refused():
    with pytest.raises(NumericalError, match="finite"):
        extract_surface(lambda points: points[:, 0].sqrt().log(), 4)
    with pytest.raises(ShapeError, match="one channel"):
        extract_surface(lambda points: points[:, :1], 4)
    with pytest.raises(ConfigError, match="resolution"):
        extract_surface(sphere, 0)
