"""Grids on nodes of another resolution hold the same field where they can."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from tangrid.encodings import (
    DenseGridConfig,
    PlaneGridConfig,
    TensorfCpConfig,
    TensorfVmConfig,
)
from tangrid.encodings.resampling import resampling
from tangrid.errors import ConfigError
from tangrid.ops.grid_lookup import grid_layout, grid_lookup
from tangrid.seeding import generator
from tangrid.signals.site import Site

GRIDS: dict[str, Any] = {
    "vm": TensorfVmConfig(resolution=5, num_ranks=3),
    "cp": TensorfCpConfig(resolution=5, num_ranks=3),
    "planes": PlaneGridConfig(resolution=12, num_scales=2, channels_per_scale=3),
    "voxels": DenseGridConfig(num_levels=1, base_resolution=5),
    "levels": DenseGridConfig(num_levels=3, base_resolution=4),
}
SIZES = (12.0, 23.0, 31.0)


def build(config: Any, num_dims: int = 3) -> Any:
    return config.build(Site(num_dims=num_dims, num_channels=1), generator(0))


def points(dtype: torch.dtype) -> torch.Tensor:
    return torch.rand(50, 3, generator=generator(1)).to(dtype)


def make_linear(grid: Any) -> None:
    """Fill every factor with a function that is linear along each of its axes."""
    layouts = (
        {"table": grid.layout}
        if hasattr(grid, "layout")
        else {factor.name: factor.layout for factor in grid.factors}
    )
    source = generator(2)
    with torch.no_grad():
        for name, layout in layouts.items():
            table = grid.get_parameter(name)
            for level in layout.levels:
                side = torch.linspace(0, 1, level.resolution, dtype=table.dtype)
                # Row addresses count along the first axis first.
                axes = torch.meshgrid(*[side] * layout.num_dims, indexing="ij")[::-1]
                values = 1.0
                for axis in axes:
                    slope, start = torch.rand(2, generator=source).tolist()
                    values = values * (start + slope * axis)
                count = level.resolution**layout.num_dims
                rows = slice(level.offset, level.offset + count)
                channels = torch.arange(1, table.shape[1] + 1, dtype=table.dtype)
                table[rows] = values.reshape(-1, 1) / channels


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)]
)
def test_what_is_linear_along_each_axis_keeps_its_values(
    name: str, dtype: torch.dtype, tolerance: float
):
    config = GRIDS[name]
    grid = build(config).to(dtype)
    make_linear(grid)
    coords = points(dtype)
    before = grid(coords).detach()
    assert float(before.std()) > 0.02
    for size in SIZES[1:]:
        grid.resample_like(build(config.reaching(size)))
        difference = (grid(coords).detach() - before).abs().max()
        assert float(difference) <= tolerance


@pytest.mark.parametrize("name", GRIDS)
def test_twice_is_once_for_what_is_linear(name: str):
    config = GRIDS[name]
    twice, once = build(config).double(), build(config).double()
    for grid in (twice, once):
        make_linear(grid)
    for size in SIZES:
        twice.resample_like(build(config.reaching(size)))
    once.resample_like(build(config.reaching(SIZES[-1])))
    for parameter, wanted in zip(twice.parameters(), once.parameters(), strict=True):
        assert torch.allclose(parameter, wanted, atol=1e-14)


@pytest.mark.parametrize("num_dims", [1, 2, 3, 4])
def test_new_nodes_hold_what_the_old_grid_has_there(num_dims: int):
    """An independent way: the old grid is read at the places of the new nodes."""
    old, new = (
        grid_layout(
            num_dims=num_dims,
            num_levels=1,
            base_resolution=size,
            growth=1.0,
            storage="dense",
            convention="align-corners",
        )
        for size in (4, 6)
    )
    table = torch.randn(old.num_rows, 2, generator=generator(3), dtype=torch.float64)
    found = resampling(old, new)(table)
    assert found.shape == (new.num_rows, 2)
    sides = [torch.linspace(0, 1, 6, dtype=torch.float64)] * num_dims
    places = torch.stack(
        [axis.flatten() for axis in torch.meshgrid(*sides, indexing="ij")][::-1], 1
    )
    wanted = grid_lookup(places, table, old)
    assert torch.allclose(found[: 6**num_dims], wanted, atol=1e-14)
    # Rows beyond the nodes, which round their number up, hold nothing.
    assert not found[6**num_dims :].any()


@pytest.mark.parametrize("name", GRIDS)
def test_the_grid_is_that_of_the_finer_settings(name: str):
    config = GRIDS[name]
    finer = config.reaching(20.0)
    grid, wanted = build(config), build(finer)
    with torch.device("meta"):
        on_meta = build(finer)
    maps = grid.resample_like(on_meta)
    assert set(maps) == {n for n, _ in grid.named_parameters()}
    assert not any(p.is_meta for p in grid.parameters())
    # Operators read rows; others would be copied at every call.
    assert all(p.is_contiguous() for p in grid.parameters())
    wanted.load_state_dict(grid.state_dict())
    coords = points(torch.float32)
    assert torch.equal(grid(coords), wanted(coords))
    selection = grid.select(coords)
    for lookup, other in zip(
        grid.lookups(coords, selection),
        wanted.lookups(coords, wanted.select(coords)),
        strict=True,
    ):
        assert torch.equal(lookup.rows, other.rows)


def test_whole_numbers_stay_whole():
    old, new = (build(replace(GRIDS["cp"], resolution=size)) for size in (2, 4))
    resample = old.resample_like(new)["over_x"]
    counts = resample(torch.tensor([[0], [9]], dtype=torch.int32))
    assert counts.dtype == torch.int32
    assert counts.flatten().tolist() == [0, 3, 6, 9]


def test_frozen_features_stay_frozen():
    grid = build(GRIDS["voxels"])
    grid.table.requires_grad_(False)
    grid.resample_like(build(GRIDS["voxels"].reaching(9.0)))
    assert not grid.table.requires_grad


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("vm", "cp", "expected a grid with the factors over_x"),
        ("vm", "voxels", "got a DenseGrid with others"),
        ("voxels", "vm", "expected another dense grid, got a Tensorf"),
    ],
)
def test_other_grids_are_refused(first: str, second: str, words: str):
    with pytest.raises(ConfigError, match=words):
        build(GRIDS[first]).resample_like(build(GRIDS[second]))


@pytest.mark.parametrize(
    "settings", [{"convention": "tiny-cuda-nn"}, {"interpolation": "nearest"}]
)
def test_nodes_elsewhere_are_refused(settings: Any):
    config = replace(GRIDS["voxels"], **settings)
    with pytest.raises(ConfigError, match="expected dense grids with vertices on"):
        build(config).resample_like(build(config.reaching(9.0)))
