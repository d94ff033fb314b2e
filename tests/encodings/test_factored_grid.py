"""TensoRF and K-Planes: products of grids on projected coordinates."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.functional import grid_sample

from tangrid.decoders import LinearConfig
from tangrid.encodings import (
    EncodingConfig,
    PlaneGridConfig,
    TensorfCpConfig,
    TensorfVmConfig,
)
from tangrid.errors import ConfigError
from tangrid.fields import EncodedFieldConfig, count_parameters, fit_budget
from tangrid.seeding import generator
from tangrid.signals.site import Site


def build(config: EncodingConfig, num_dims: int) -> Any:
    site = Site(num_dims=num_dims, num_channels=3)
    return config.build(site, generator(0)).double()


def points(count: int, num_dims: int) -> torch.Tensor:
    return torch.rand(count, num_dims, generator=generator(1), dtype=torch.float64)


def line_read(table: torch.Tensor, x: torch.Tensor, size: int) -> torch.Tensor:
    """A line of [size, f] at coordinates, by PyTorch's own interpolation."""
    image = table[:size].T[None, :, None, :]
    places = torch.stack((2 * x - 1, torch.zeros_like(x)), 1)[None, None]
    return grid_sample(image, places, align_corners=True)[0, :, 0].T


def plane_read(table: torch.Tensor, xy: torch.Tensor, size: int) -> torch.Tensor:
    """A plane of [size^2, f], its first axis fastest, by PyTorch's interpolation."""
    image = table[: size**2].T.reshape(1, -1, size, size)
    return grid_sample(image, 2 * xy[None, None] - 1, align_corners=True)[0, :, 0].T


def test_cp_multiplies_lines():
    encoding = build(TensorfCpConfig(resolution=9, num_ranks=4), 3)
    coords = points(20, 3)
    wanted = torch.ones(20, 4, dtype=torch.float64)
    for axis, name in enumerate("xyz"):
        table = getattr(encoding, f"over_{name}")
        wanted = wanted * line_read(table, coords[:, axis], 9)
    assert torch.allclose(encoding(coords), wanted, atol=1e-12)


def test_vm_multiplies_a_line_and_a_plane():
    encoding = build(TensorfVmConfig(resolution=7, num_ranks=2), 3)
    coords = points(20, 3)
    wanted = []
    for axis, others in ((0, (1, 2)), (1, (0, 2)), (2, (0, 1))):
        line = getattr(encoding, f"over_{'xyz'[axis]}")
        plane = getattr(encoding, "beside_" + "_".join("xyz"[o] for o in others))
        along = line_read(line, coords[:, axis], 7)
        wanted.append(along * plane_read(plane, coords[:, others], 7))
    assert torch.allclose(encoding(coords), torch.cat(wanted, 1), atol=1e-12)


def test_one_rank_is_an_outer_product():
    encoding = build(TensorfCpConfig(resolution=5, num_ranks=1), 2)
    lattice = torch.linspace(0, 1, 5, dtype=torch.float64)
    coords = torch.cartesian_prod(lattice, lattice)
    matrix = encoding(coords).view(5, 5)
    wanted = torch.outer(encoding.over_x[:5, 0], encoding.over_y[:5, 0])
    assert torch.allclose(matrix, wanted, atol=1e-15)


@pytest.mark.parametrize("reduction", ["product", "sum", "concat"])
def test_planes_are_joined(reduction: Any):
    config = PlaneGridConfig(
        resolution=16, num_scales=2, channels_per_scale=3, reduction=reduction
    )
    encoding = build(config, 3)
    coords = points(20, 3)
    reads = []
    for axes in ((0, 1), (0, 2), (1, 2)):
        table = getattr(encoding, "over_" + "_".join("xyz"[axis] for axis in axes))
        levels = next(f for f in encoding.factors if f.axes == axes).layout.levels
        assert [level.resolution for level in levels] == [8, 16]
        parts = [
            plane_read(table[level.offset :], coords[:, axes], level.resolution)
            for level in levels
        ]
        reads.append(torch.cat(parts, 1))
    wanted = {
        "product": reads[0] * reads[1] * reads[2],
        "sum": reads[0] + reads[1] + reads[2],
        "concat": torch.cat(reads, 1),
    }[reduction]
    assert torch.allclose(encoding(coords), wanted, atol=1e-12)


def test_planes_of_time_at_1_leave_a_field_as_it_is():
    config = PlaneGridConfig(resolution=8, num_scales=1, channels_per_scale=2)
    still, moving = build(config, 3), build(config, 4)
    with torch.no_grad():
        for factor in moving.factors:
            table = getattr(moving, factor.name)
            is_still = 3 not in factor.axes
            table.copy_(getattr(still, factor.name)) if is_still else table.fill_(1)
    coords = points(30, 4)
    assert torch.allclose(moving(coords), still(coords[:, :3]), atol=1e-15)


@pytest.mark.parametrize(
    ("config", "num_dims"),
    [
        (TensorfCpConfig(resolution=4, num_ranks=2), 3),
        (TensorfVmConfig(resolution=4, num_ranks=1), 2),
        (PlaneGridConfig(resolution=4, num_scales=2, channels_per_scale=1), 3),
    ],
)
def test_derivatives_are_exact(config: EncodingConfig, num_dims: int):
    encoding = build(config, num_dims)
    # Away from the faces of cells, where slopes jump.
    coords = (0.1 + 0.13 * points(3, num_dims)).requires_grad_()
    assert torch.autograd.gradcheck(encoding, coords)
    assert torch.autograd.gradgradcheck(encoding, coords)


def test_features_start_as_the_papers_say():
    cp, vm = build(TensorfCpConfig(), 3), build(TensorfVmConfig(), 3)
    assert abs(float(cp.over_x.detach().std()) - 0.2) < 0.01
    assert abs(float(vm.beside_x_y.detach().std()) - 0.1) < 0.01
    plane = build(PlaneGridConfig(), 3).over_x_y.detach()
    assert 0.1 <= float(plane.min()) < 0.11
    assert 0.49 < float(plane.max()) <= 0.5


@pytest.mark.parametrize("config", [TensorfCpConfig, TensorfVmConfig, PlaneGridConfig])
@pytest.mark.parametrize(("num_dims", "params"), [(2, 140_000), (3, 1_000_000)])
def test_budgets_are_met(config: Any, num_dims: int, params: int):
    site = Site(num_dims=num_dims, num_channels=3)
    field = EncodedFieldConfig(encoding=config(), decoder=LinearConfig())
    sized = fit_budget(field, site, params)
    assert abs(count_parameters(sized, site) / params - 1) < 0.02


@pytest.mark.parametrize(
    ("config", "settings", "words"),
    [
        (TensorfCpConfig(), {"resolution": 1}, "TensorfCpConfig: expected resolution"),
        (TensorfVmConfig(), {"num_ranks": 0}, "num_ranks >= 1"),
        (PlaneGridConfig(), {"num_scales": 0}, "num_scales"),
        (PlaneGridConfig(), {"resolution": 15}, "16 at the finest, got 15"),
        (PlaneGridConfig(), {"lowest_start": 1.0}, "lowest_start <= highest_start"),
    ],
)
def test_settings_without_sense_are_refused(config: Any, settings: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        replace(config, **settings)


@pytest.mark.parametrize(
    ("config", "num_dims", "words"),
    [
        (PlaneGridConfig(), 1, "PlaneGridConfig.build: expected 2 to 4 coordinates"),
        (PlaneGridConfig(), 5, "expected 2 to 4 coordinates, got 5"),
        (TensorfVmConfig(), 1, "expected 2 to 4 coordinates, got 1"),
        (TensorfCpConfig(), 5, "expected 1 to 4 coordinates, got 5"),
    ],
)
def test_too_few_and_too_many_axes_are_refused(config: Any, num_dims: int, words: str):
    with pytest.raises(ConfigError, match=words):
        build(config, num_dims)


@pytest.mark.parametrize(
    ("config", "num_dims", "count"),
    [
        # As published: 384 ranks of lines of 500, 64 of lines and planes of 300.
        (TensorfCpConfig(resolution=500, num_ranks=384), 3, 3 * 500 * 384),
        (TensorfVmConfig(resolution=300, num_ranks=64), 3, 3 * 64 * (300 + 300**2)),
        (TensorfCpConfig(resolution=17, num_ranks=48), 2, 2 * 17 * 48),
    ],
)
def test_parameters_are_nodes_and_nothing_else(config: Any, num_dims: int, count: int):
    with torch.device("meta"):
        encoding = config.build(
            Site(num_dims=num_dims, num_channels=3), torch.Generator()
        )
    assert sum(p.numel() for p in encoding.parameters()) == count
