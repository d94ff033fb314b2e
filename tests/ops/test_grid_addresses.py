"""Triton's programs find the rows that the reference finds, to the bit."""

from importlib.metadata import version

import pytest
import torch

from tangrid.errors import ImplementationError
from tangrid.ops.contract import implementation, is_interpreted
from tangrid.ops.grid_lookup import reference
from tangrid.ops.grid_lookup.hashing import HashFunction
from tangrid.ops.grid_lookup.layout import Convention, GridLayout, Storage, grid_layout
from tangrid.ops.grid_lookup.operator import grid_lookup
from tests.ops.comparison import assert_close
from tests.ops.grid_cases import (
    CONVENTIONS,
    DEVICE,
    STORAGES,
    case_of,
    layout_of,
    random_points,
)

triton_door = pytest.importorskip("tangrid.ops.grid_lookup.triton_door")


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("storage", ["hashed", "tiled"])
def test_addresses_are_the_references_to_the_bit(
    storage: Storage, convention: Convention
):
    """Also of points on the border of two cells, where the last bit decides."""
    layout = grid_layout(
        num_dims=2,
        num_levels=6,
        base_resolution=16,
        growth=2.9,
        log2_table_size=10,
        storage=storage,
        convention=convention,
    )
    for number, level in enumerate(layout.levels):
        nodes = (random_points(500, 2, number) * (level.resolution - 2)).long()
        borders = (nodes.double() + 1 - level.shift) / level.scale
        points = torch.cat((borders.float(), random_points(100, 2)))
        rows, weights = triton_door.corners(points.to(DEVICE), layout, number)
        assert torch.equal(rows.cpu(), reference.corner_rows(points, layout, level))
        expected = reference.corner_weights(points, layout, level)
        assert_close({"weights": weights.cpu()}, {"weights": expected})


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_positions_are_rounded_once(convention: Convention):
    """Weights along one axis are bits of positions: a product by itself would show.

    Not in interpreters before Triton 3.9, whose fused products round twice.
    """
    layout = grid_layout(
        num_dims=1,
        num_levels=3,
        base_resolution=16,
        growth=8.1,
        convention=convention,
    )
    points = random_points(3000, 1)
    for number, level in enumerate(layout.levels):
        _, weights = triton_door.corners(points.to(DEVICE), layout, number)
        expected = reference.corner_weights(points, layout, level)
        error = (weights.cpu() - expected).abs().max()
        if is_interpreted() and version("triton") < "3.9":
            assert error <= level.resolution * torch.finfo(torch.float32).eps
        else:
            assert error == 0


@pytest.mark.parametrize("name", ["prime", "reversed-prime"])
def test_other_factors_are_the_references_to_the_bit(name: HashFunction):
    layout = hashed_by(name)
    points = random_points(200, 3)
    for number, level in enumerate(layout.levels):
        rows, _ = triton_door.corners(points.to(DEVICE), layout, number)
        assert torch.equal(rows.cpu(), reference.corner_rows(points, layout, level))


@pytest.mark.parametrize("name", ["base-convert", "rng"])
def test_hashes_without_factors_are_refused(name: HashFunction):
    layout = hashed_by(name)
    case = case_of(layout, 2, random_points(3, 3))
    with (
        implementation("triton"),
        pytest.raises(ImplementationError, match=f"hashed by '{name}'"),
    ):
        grid_lookup(case.coords.to(DEVICE), case.table.to(DEVICE), layout)


def hashed_by(name: HashFunction) -> GridLayout:
    return grid_layout(
        num_dims=3,
        num_levels=3,
        base_resolution=4,
        growth=3,
        log2_table_size=8,
        hash_function=name,
    )


@pytest.mark.parametrize("storage", STORAGES)
def test_addresses_outside_the_box_wrap_as_the_references(storage: Storage):
    """tiny-cuda-nn counts on; layouts can be told to wrap however far it goes."""
    layout = layout_of(3, storage, "tiny-cuda-nn", "linear")
    points = 6 * random_points(200, 3) - 3
    for number, level in enumerate(layout.levels):
        given = points.to(DEVICE), layout.wrapping, number
        rows, _ = triton_door.corners(*given)
        assert torch.equal(rows.cpu(), reference.corner_rows(points, layout, level))
