"""Grids of the drop-in: published values, addresses outside, hashes, odd settings."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tangrid.compat import tinycudann as tcnn
from tangrid.compat.grids import grid_part
from tangrid.ops import implementation
from tangrid.ops.grid_lookup import grid_lookup, reference
from tangrid.ops.grid_lookup.chosen_corners import chosen_rows
from tangrid.seeding import generator
from tests.compat import drjit_hashgrid, plain
from tests.golden import tiny_cuda_nn_rules as rules
from tests.tolerances import PARITY_FLOAT32

SMALL = {"otype": "HashGrid", "n_levels": 4, "log2_hashmap_size": 8}
GROWTH = 1.3819


def drawn_grid(dims: int, config: dict[str, Any]) -> tcnn.Encoding:
    """A grid with features of size one, so that a wrong address shows."""
    encoding = tcnn.Encoding(dims, config)
    numbers = torch.randn(encoding.params.shape, generator=generator(0, "table"))
    encoding.params.data.copy_(numbers)
    return encoding


def table_of(encoding: tcnn.Encoding, channels: int = 2) -> np.ndarray:
    return encoding.params.detach().double().numpy().reshape(-1, channels)


def points_outside(dims: int) -> Tensor:
    drawn = torch.rand(30, dims, generator=generator(0, "outside")) * 5 - 2
    return torch.cat((drawn, torch.tensor([[-0.04] * dims, [1.0] * dims])))


def test_features_are_those_that_dr_jit_has_from_tiny_cuda_nn():
    encoding = tcnn.Encoding(3, drjit_hashgrid.CONFIG)
    encoding.params.data = torch.linspace(0, 1000, encoding.params.numel())
    found = encoding(torch.tensor(drjit_hashgrid.POINTS) * 2.0**-23).T
    wanted = torch.tensor(drjit_hashgrid.FEATURES)
    assert torch.allclose(found, wanted, rtol=2e-7, atol=0)


@pytest.mark.parametrize(
    ("dims", "config", "parameters"),
    [
        (3, {"log2_hashmap_size": 14, "per_level_scale": 1.38191288}, 491_280),
        (3, {"log2_hashmap_size": 15, "per_level_scale": 1.38191288}, 944_080),
        (3, {"log2_hashmap_size": 19, "per_level_scale": 1.38191288}, 12_196_240),
        (3, {"n_levels": 8, "n_features_per_level": 4}, 11_681_792),
        (3, {"n_features": 32, "n_features_per_level": 4}, 11_681_792),
        (2, {"otype": "DenseGrid", "n_levels": 2, "base_resolution": 5,
             "per_level_scale": 2.0}, 2 * (32 + 104)),
        (2, {"otype": "TiledGrid", "n_levels": 2, "base_resolution": 10}, 2 * 200),
    ],
)  # fmt: skip
def test_numbers_of_parameters(dims: int, config: dict[str, Any], parameters: int):
    assert tcnn.Encoding(dims, {"otype": "Grid", **config}).params.numel() == parameters


def test_a_dense_grid_ends_at_256_by_default():
    part = grid_part({"otype": "DenseGrid", "n_levels": 3}, 2)
    assert [level.resolution for level in part.layout.levels] == [16, 64, 256]


@pytest.mark.parametrize(("base", "levels", "finest"), [(16, 12, 257), (16, 16, 256)])
def test_the_growth_of_a_dense_grid_is_rounded_as_tiny_cuda_nn_does(
    base: int, levels: int, finest: int
):
    config = {"otype": "DenseGrid", "n_levels": levels, "base_resolution": base}
    assert grid_part(config, 2).layout.levels[-1].resolution == finest


@pytest.mark.parametrize("otype", ["HashGrid", "DenseGrid", "TiledGrid"])
@pytest.mark.parametrize("dims", [1, 2, 3, 4])
def test_points_outside_the_box_wrap_as_32_bits_do(dims: int, otype: str):
    config = {"otype": otype, "n_levels": 3, "per_level_scale": GROWTH}
    encoding = drawn_grid(dims, {**config, "log2_hashmap_size": 8})
    kind = {"HashGrid": "hashed", "DenseGrid": "dense", "TiledGrid": "tiled"}[otype]
    table, coords = table_of(encoding), points_outside(dims)
    wanted = []
    for x in coords.numpy():
        row = []
        for level in rules.levels_of(dims, 3, 16, GROWTH, 8, kind):
            corners = rules.corners_of(x, level, kind)
            row.append(sum(weight * table[place] for place, weight in corners))
        wanted.append(np.concatenate(row))
    found = encoding(coords)
    assert torch.allclose(found.double(), torch.tensor(np.stack(wanted)), atol=2e-5)
    inside = coords.clamp(0, 1)
    assert torch.equal(
        encoding(torch.cat((coords, inside)))[len(coords) :], encoding(inside)
    )


@pytest.mark.parametrize("dims", [1, 2, 3, 4])
def test_a_layout_that_wraps_has_the_same_rows(dims: int):
    """GPUs are given this one, because nobody asks there whether points lie inside."""
    part = grid_part({**SMALL, "log2_hashmap_size": 12, "base_resolution": 5}, dims)
    layout, wrapping = part.layout, part.layout.wrapping
    assert {"dense", "hashed"} >= {level.storage for level in layout.levels}
    assert "dense" not in {level.storage for level in wrapping.levels}
    coords = points_outside(dims)
    for one, other in zip(layout.levels, wrapping.levels, strict=True):
        rows = reference.corner_rows(coords, layout, one)
        assert torch.equal(rows, reference.corner_rows(coords, wrapping, other))
    table = torch.randn(layout.num_rows, 2, generator=generator(0))
    inside = coords.clamp(0, 1)
    found = [grid_lookup(inside, table, grid) for grid in (layout, wrapping)]
    assert torch.equal(*found)


def test_gradients_reach_points_outside():
    encoding = drawn_grid(2, SMALL).double()
    coords = points_outside(2).double().requires_grad_()
    assert torch.autograd.gradcheck(encoding, coords)
    encoding, coords = encoding.float(), coords.detach().float()
    for number in range(2):
        found = torch.autograd.grad(encoding(coords).square().sum(), encoding.params)
        with implementation("reference"):
            wanted = torch.autograd.grad(
                encoding(coords).square().sum(), encoding.params
            )
        assert torch.allclose(found[0], wanted[0], atol=1e-4), number
        coords = coords.clamp(0, 1)


def test_numbers_that_are_none_read_nothing_outside_the_table():
    encoding = drawn_grid(3, SMALL)
    odd = [math.nan, math.inf, -math.inf, 1e30, -1e30, 3e9]
    found = encoding(torch.tensor(odd)[:, None].expand(-1, 3))
    assert found.shape == (6, 8)
    assert bool(found[:3].isnan().all())


@pytest.mark.parametrize("interpolation", ["Nearest", "Linear", "Smoothstep"])
@pytest.mark.parametrize("dims", [1, 2, 3, 4])
def test_finite_points_have_finite_features(dims: int, interpolation: str):
    encoding = drawn_grid(dims, {**SMALL, "interpolation": interpolation})
    for dtype in (torch.float32, torch.float64):
        largest = torch.finfo(dtype).max
        far = [1e9, -3e9, 1e19, 1e30, -1e30, largest, -largest]
        coords = torch.tensor(far, dtype=dtype)[:, None].expand(-1, dims)
        coords = coords.clone().requires_grad_()
        found = encoding.to(dtype)(coords)
        assert found.isfinite().all()
        # So far away float32 and float64 know vertices alone.
        assert found.abs().max() <= encoding.params.abs().max() * (1 + 1e-6)
        wanted = [encoding.params, *([coords] if interpolation != "Nearest" else [])]
        grads = torch.autograd.grad(found.sum(), wanted)
        assert all(grad.isfinite().all() for grad in grads)


def test_tiles_that_overflow_are_one_row():
    """Beyond 1625 vertices in three dimensions tiny-cuda-nn counts no further."""
    config = {"otype": "TiledGrid", "n_levels": 2, "per_level_scale": 128.0}
    encoding = drawn_grid(3, config)
    found = encoding(torch.rand(9, 3))[:, 2:]
    assert torch.allclose(
        found, encoding.params[2 * 4096 :][:2].expand(9, 2), atol=1e-6
    )


HASHES = {
    "CoherentPrime": (1, 2654435761, 805459861, 3674653429),
    "Prime": (1958374283, 2654435761, 805459861, 3674653429),
    "ReversedPrime": (2165219737, 1434869437, 2097192037, 3674653429),
}


def pcg32_after(steps: int) -> int:
    """The number that PCG32, seeded with 1337, draws after some others."""
    state, word = 0, 2**64
    for extra in (1337, 0):
        state = (state * 0x5851F42D4C957F2D + 3 + extra) % word
    for _ in range(steps):
        state = (state * 0x5851F42D4C957F2D + 3) % word
    mixed, turn = (((state >> 18) ^ state) >> 27) % 2**32, state >> 59
    return (mixed >> turn | mixed << (-turn & 31)) % 2**32


def wanted_hash(name: str, vertex: tuple[int, ...]) -> int:
    if name in HASHES:
        terms = [i * p % 2**32 for i, p in zip(vertex, HASHES[name], strict=False)]
        return int(np.bitwise_xor.reduce(terms))
    if name == "BaseConvert":
        key = 0
        for place in vertex:
            key = (key + place) * 2531011 % 2**32
        return key
    packed = 0
    for axis, place in enumerate(vertex):
        packed ^= place << (axis * (64 // len(vertex)))
    return pcg32_after(packed)


@pytest.mark.parametrize("dims", [2, 3, 4])
@pytest.mark.parametrize("name", [*HASHES, "BaseConvert", "Rng"])
def test_hashes(name: str, dims: int):
    config = {**SMALL, "hash": name, "n_levels": 1, "base_resolution": 64}
    level = grid_part(config, dims).layout.levels[0]
    # A generator that is advanced step by step reaches packed coordinates below 2^20.
    vertex = (5, 0, 0, 0) if name == "Rng" and dims < 4 else (5, 3, 0, 0)
    for place in (vertex[:dims], tuple(0 for _ in range(dims))):
        row = reference.node_rows(torch.tensor(place), level)
        assert int(row) == wanted_hash(name, place) % 256, place
    if name != "Rng":
        row = reference.node_rows(torch.tensor((70, -1, 9, 2)[:dims]), level)
        wrapped = (70, 2**32 - 1, 9, 2)[:dims]
        assert int(row) == wanted_hash(name, wrapped) % 256


@pytest.mark.parametrize("name", [*HASHES, "BaseConvert", "Rng"])
def test_fast_loops_know_a_hash_or_leave_it_to_the_reference(name: str):
    encoding = drawn_grid(3, {**SMALL, "hash": name})
    coords = torch.rand(20, 3, generator=generator(0))
    found = encoding(coords)
    with implementation("reference"):
        wanted = encoding(coords)
    assert torch.allclose(found, wanted, atol=PARITY_FLOAT32)
    other = drawn_grid(3, SMALL)(coords)
    assert torch.allclose(found, other) == (name == "CoherentPrime")


@pytest.mark.parametrize("interpolation", ["Linear", "Smoothstep"])
def test_stochastic_interpolation_gives_a_gradient_to_one_corner(interpolation: str):
    config = {**SMALL, "interpolation": interpolation, "n_levels": 3}
    usual = drawn_grid(2, config)
    encoding = drawn_grid(2, {**config, "stochastic_interpolation": True})
    coords = torch.rand(300, 2, generator=generator(0)).requires_grad_()
    assert torch.equal(encoding(coords), usual(coords))
    factors = torch.randn(300, 6, generator=generator(1))
    sums = [(part(coords) * factors).sum() for part in (encoding, usual)]
    grads = [torch.autograd.grad(total, coords, retain_graph=True)[0] for total in sums]
    assert torch.allclose(*grads)
    (grad,) = torch.autograd.grad(sums[0], encoding.params)
    layout = grid_part(config, 2).layout
    wanted = np.zeros((layout.num_rows, 2))
    for number, level in enumerate(rules.levels_of(2, 3, 16, 2.0, 8, "hashed")):
        for i, x in enumerate(coords.detach().numpy()):
            # 300 points are padded to 512: that is how far levels lie apart.
            sample = (pcg32_after_cached(i + number * 512) >> 9) * 2.0**-23
            position = [float(rules.position_of(a, level)) for a in x]
            t = [p - math.floor(p) for p in position]
            if interpolation == "Smoothstep":
                t = [a * a * (3 - 2 * a) for a in t]
            vertex = tuple(
                math.floor(p) + (sample < a) for p, a in zip(position, t, strict=True)
            )
            row = rules.row_of(vertex, level, "hashed")
            wanted[row] += factors[i, 2 * number : 2 * number + 2].double().numpy()
    assert np.allclose(grad.double().numpy().reshape(-1, 2), wanted, atol=1e-5)


_DRAWS: list[int] = []


def pcg32_after_cached(steps: int) -> int:
    if not _DRAWS:
        state, word = 0, 2**64
        for extra in (1337, 0):
            state = (state * 0x5851F42D4C957F2D + 3 + extra) % word
        for _ in range(2048):
            mixed, turn = (((state >> 18) ^ state) >> 27) % 2**32, state >> 59
            _DRAWS.append((mixed >> turn | mixed << (-turn & 31)) % 2**32)
            state = (state * 0x5851F42D4C957F2D + 3) % word
    return _DRAWS[steps]


def test_the_choice_of_a_corner_is_biased_in_two_dimensions():
    """Axes share a number: the corner (1, 1) is drawn min(s, t) often, not s t."""
    layout = grid_part({"otype": "DenseGrid", "n_levels": 1}, 2).layout
    middle = torch.full((4000, 2), 0.5)
    cell = reference.corner_rows(middle[:1], layout, layout.levels[0])[0]
    rows = chosen_rows(middle, layout)[:, 0]
    shares = [(rows == row).double().mean().item() for row in cell]
    # At scale 15 the middle is at 8.0: exactly on a vertex, and always chosen.
    assert shares == [1, 0, 0, 0]
    rows = chosen_rows(torch.full((4000, 2), 0.5 + 0.5 / 15), layout)[:, 0]
    shares = [(rows == row).double().mean().item() for row in cell]
    assert shares[1] == shares[2] == 0
    assert shares[0] == pytest.approx(0.5, abs=0.04)


def test_features_are_those_of_plain_rules():
    encoding = drawn_grid(3, {**SMALL, "per_level_scale": GROWTH})
    coords = torch.rand(40, 3, generator=generator(0))
    wanted = plain.hash_grid_features(coords, table_of(encoding), GROWTH, 4, 8)
    found = encoding(coords).double().detach().numpy()
    assert np.allclose(found, wanted, atol=PARITY_FLOAT32)
