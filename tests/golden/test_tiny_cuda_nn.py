"""Grids hold their features where tiny-cuda-nn holds them."""

import math

import numpy as np
import pytest
import torch

from tangrid.encodings import HashGridConfig
from tangrid.fields import EncodedFieldConfig, count_parameters
from tangrid.ops.contract import ImplementationName, implementation
from tangrid.ops.grid_lookup import reference
from tangrid.ops.grid_lookup.layout import GridLayout, Storage, grid_layout
from tangrid.ops.grid_lookup.operator import grid_lookup
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tests.golden import tiny_cuda_nn_rules as rules

KINDS: tuple[Storage, ...] = ("dense", "hashed", "tiled")
TOP_2048 = math.exp(math.log(2048 / 16) / 15)


def layout_16(dims: int, top: int, log2_size: int) -> GridLayout:
    """InstantNGP's 16 levels, from 16 vertices per axis."""
    return grid_layout(
        num_dims=dims,
        num_levels=16,
        base_resolution=16,
        growth=math.exp(math.log(top / 16) / 15),
        log2_table_size=log2_size,
    )


def one_level(dims: int, resolution: int, log2_size: int) -> GridLayout:
    return grid_layout(
        num_dims=dims,
        num_levels=1,
        base_resolution=resolution,
        growth=1.0,
        log2_table_size=log2_size,
    )


def row_of(layout: GridLayout, *vertex: int) -> int:
    return int(reference.node_rows(torch.tensor(vertex), layout.levels[0]))


@pytest.mark.parametrize(
    ("log2_size", "parameters"),
    [
        # 2 * (16^3 + 23^3 + 1 + 14 * 2^14): 23^3 = 12167 is rounded up to 12168.
        (14, 491_280),
        # 2 * (4096 + 12168 + 29792 + 13 * 2^15): 31^3 = 29791.
        (15, 944_080),
        # 2 * (4096 + 12168 + 29792 + 79512 + 205384 + 11 * 2^19): 43^3, 59^3.
        (19, 12_196_240),
    ],
)
def test_size_of_the_published_tables(log2_size: int, parameters: int):
    layout = layout_16(3, 2048, log2_size)
    assert 2 * layout.num_rows == parameters
    assert [lv.resolution for lv in layout.levels[:6]] == [16, 23, 31, 43, 59, 81]
    assert layout.levels[-1].resolution == 2048


def test_size_of_eight_wide_levels():
    layout = grid_layout(
        num_dims=3, num_levels=8, base_resolution=16, growth=2.0, log2_table_size=19
    )
    # Three dense levels of 16^3, 32^3 and 64^3 rows, then five of 2^19.
    assert 4 * layout.num_rows == 11_681_792


@pytest.mark.parametrize(
    ("top", "parameters"),
    [
        (256, 425_472),
        # 856 480 and 4 899 280 in exact arithmetic, but in float32 the finest have
        # 385 and 1021 vertices: 385^2 = 148225 and 1021^2 = 1042441 before rounding up.
        (384, 856_480 + 2 * (148_232 - 384**2)),
        (1020, 4_899_280 + 2 * (1_042_448 - 1020**2)),
    ],
)
def test_size_of_tables_of_images(top: int, parameters: int):
    layout = layout_16(2, top, 24)
    assert 2 * layout.num_rows == parameters
    assert {level.storage for level in layout.levels} == {"dense"}


@pytest.mark.parametrize(
    ("growth", "resolution"),
    # 16^(1/15) = 1.20302... lies between these two neighbours among float32 numbers.
    [(1.2030250, 256), (1.2030251, 257)],
)
def test_rounding_of_the_growth_decides_a_vertex(growth: float, resolution: int):
    layout = grid_layout(num_dims=2, num_levels=16, base_resolution=16, growth=growth)
    top = layout.levels[-1]
    assert top.resolution == resolution
    assert 0 < abs(top.scale - 255) < 3e-4


def test_scales_are_correctly_rounded():
    """NumPy's float32 functions miss the last place of every third of these."""
    for step in range(100):
        growth = 1 + step / 100
        for number in (3, 9, 15):
            layout = grid_layout(
                num_dims=1, num_levels=16, base_resolution=16, growth=growth
            )
            expected = rules.scale_of(number, growth, 16)
            assert layout.levels[number].scale == expected, (growth, number)


def test_a_field_counts_what_its_layout_holds():
    config = HashGridConfig(growth=TOP_2048, log2_table_size=14)
    site = Site(num_dims=3, num_channels=4)
    decoder = 32 * 64 + 64 * 64 + 64 * 4
    field = EncodedFieldConfig(encoding=config)
    assert count_parameters(field, site) == 491_280 + decoder


@pytest.mark.parametrize(
    ("dims", "resolution", "log2_size", "vertex", "row"),
    [
        # Dense: axis 0 first.
        (1, 16, 19, (5,), 5),
        (2, 16, 19, (3, 5), 3 + 5 * 16),
        (3, 16, 19, (3, 5, 7), 3 + 5 * 16 + 7 * 256),
        (4, 16, 19, (1, 2, 3, 4), 1 + 2 * 16 + 3 * 256 + 4 * 4096),
        (3, 43, 19, (10, 20, 30), 10 + 20 * 43 + 30 * 1849),
        (2, 2048, 22, (2047, 2047), 2**22 - 1),
        (1, 2048, 11, (2047,), 2047),
        # Hashed: 20 * 2654435761 = 1549107668 and 30 * 805459861 = 2688959350 modulo
        # 2^32, of which 14 bits are 468 and 886; 10 ^ 468 ^ 886 = 680.
        (3, 43, 14, (10, 20, 30), 680),
        # Axis 0 has the factor 1.
        (3, 43, 14, (10, 0, 0), 10),
        (1, 2048, 10, (1030,), 6),
        # 2048 > 1625 in three dimensions: hashed, though 2^28 rows would not suffice.
        (3, 2048, 19, (5, 0, 0), 5),
        # One axis alone: the last 19 bits of 2654435761 and of 805459861.
        (3, 2048, 19, (0, 1, 0), 2654435761 % 2**19),
        (3, 2048, 19, (0, 0, 1), 805459861 % 2**19),
        (4, 2048, 19, (0, 0, 0, 1), 3674653429 % 2**19),
        # A dense table as large as the level: one past the end wraps.
        (1, 16, 19, (16,), 0),
        (2, 16, 19, (16, 16), 16 + 256 - 256),
        (3, 16, 19, (16, 16, 16), 16 + 256 + 4096 - 4096),
        (2, 2048, 22, (2048, 2048), 2048),
        # 43^2 = 1849 rows are rounded up to 1856.
        (2, 43, 19, (43, 43), 43 + 1849 - 1856),
    ],
)
def test_rows_derived_by_hand(
    dims: int, resolution: int, log2_size: int, vertex: tuple[int, ...], row: int
):
    assert row_of(one_level(dims, resolution, log2_size), *vertex) == row


def test_rows_are_counted_up_to_an_overflow():
    assert one_level(2, 43, 19).num_rows == 1856
    assert one_level(3, 43, 19).num_rows == 79_512
    assert one_level(3, 1625, 28).levels[0].storage == "hashed"
    assert one_level(4, 255, 28).levels[0].storage == "hashed"
    assert one_level(4, 128, 28).levels[0].storage == "dense"


def test_tiles_repeat_the_coarsest_block():
    layout = grid_layout(
        num_dims=2, num_levels=2, base_resolution=10, growth=3.0, storage="tiled"
    )
    # 10^2 = 100 rows for both, though a dense coarsest level would have 104.
    assert [level.size for level in layout.levels] == [100, 100]
    fine = layout.levels[1]
    row = int(reference.node_rows(torch.tensor([7, 4]), fine))
    assert row == 100 + (7 + 4 * 30) % 100


def test_a_point_at_one_wraps_in_both_implementations():
    layout = one_level(1, 16, 19)
    table = torch.arange(16.0)[:, None]
    # Position 15.5: half of the last vertex and half of the first.
    for name in ("numba", "reference"):
        with implementation(name):
            found = grid_lookup(torch.ones(1, 1), table, layout)
        assert found.item() == 7.5, name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dims", [1, 2, 3, 4])
@pytest.mark.parametrize(("coarsest", "growth"), [(16, 1.3819), (43, 1.26), (9, 1.0)])
def test_levels_are_those_of_the_rules(
    dims: int, kind: Storage, coarsest: int, growth: float
):
    count = {1: 16, 2: 8, 3: 5, 4: 3}[dims]
    layout = grid_layout(
        num_dims=dims,
        num_levels=count,
        base_resolution=coarsest,
        growth=growth,
        log2_table_size=14,
        storage=kind,
    )
    expected = rules.levels_of(dims, count, coarsest, growth, 14, kind)
    found = [(lv.scale, lv.resolution, lv.offset, lv.size) for lv in layout.levels]
    assert found == [tuple(level) for level in expected]


def points_of(dims: int) -> torch.Tensor:
    random = torch.rand(40, dims, generator=generator(0, "golden", dims))
    last = float(np.nextafter(np.float32(1), np.float32(0)))
    edges = torch.tensor([0.0, 1.0, last, 0.5, 1 / 3])[:, None].expand(-1, dims)
    return torch.cat((random, edges, torch.eye(dims)))


@pytest.mark.parametrize("name", ["numba", "reference"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dims", [1, 2, 3, 4])
def test_points_read_the_rows_of_the_rules(
    dims: int, kind: Storage, name: ImplementationName
):
    layout = grid_layout(
        num_dims=dims,
        num_levels=4,
        base_resolution=16,
        growth=1.3819,
        log2_table_size=8,
        storage=kind,
    )
    levels = rules.levels_of(dims, 4, 16, 1.3819, 8, kind)
    # Any two rows differ by far more than rounding: a wrong address shows.
    table = torch.randn(layout.num_rows, 1, generator=generator(0, "table"))
    coords = points_of(dims)
    with implementation(name):
        found = grid_lookup(coords, table, layout).double()
    rows = table[:, 0].double().tolist()
    expected = [
        [
            sum(weight * rows[row] for row, weight in rules.corners_of(x, level, kind))
            for level in levels
        ]
        for x in coords.numpy()
    ]
    assert torch.allclose(found, torch.tensor(expected).double(), atol=1e-5)


def test_rows_of_a_fine_level_are_those_of_the_rules():
    """Hashes of large vertices, where 32 bits overflow."""
    layout = grid_layout(num_dims=3, num_levels=16, base_resolution=16, growth=TOP_2048)
    levels = rules.levels_of(3, 16, 16, TOP_2048, 19, "hashed")
    coords = points_of(3)
    found = reference.corner_rows(coords, layout, layout.levels[-1])
    expected = [
        [row for row, _ in rules.corners_of(x, levels[-1], "hashed")]
        for x in coords.numpy()
    ]
    assert found.tolist() == expected
