"""Gradients that go to one drawn corner: where they are computed, and in what."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tangrid.ops.contract import (
    forget_implementations,
    implementation,
    used_implementations,
)
from tangrid.ops.grid_lookup import grid_layout
from tangrid.ops.grid_lookup.chosen_corners import (
    chosen_rows,
    read_with_chosen_corners,
)
from tangrid.ops.grid_lookup.layout import GridLayout
from tangrid.ops.grid_lookup.reference import (
    cell_of,
    fraction_weights,
    node_rows,
    scaled_position,
)
from tangrid.ops.pcg32 import Pcg32
from tangrid.seeding import generator


class Counting(TorchDispatchMode):
    """Count what PyTorch is asked to do: on a GPU each is a launch."""

    def __init__(self) -> None:
        super().__init__()
        self.count, self.summed_in = 0, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        if func.overloadpacket is torch.ops.aten.index_add:
            self.summed_in.add(args[0].dtype)
        return func(*args, **(kwargs or {}))


def layout_of(dims: int, **choices: object) -> GridLayout:
    """Dense levels, and hashed ones of one size after another."""
    settings = {"num_levels": 6, "base_resolution": 4, "growth": 1.6}
    settings |= {"log2_table_size": 3 * dims} | choices
    return grid_layout(num_dims=dims, **settings)


def points(count: int, dims: int) -> Tensor:
    return torch.rand(count, dims, generator=generator(0, "chosen")) * 2 - 0.5


@pytest.mark.parametrize("count", [0, 1, 300])
@pytest.mark.parametrize("storage", ["hashed", "tiled", "dense"])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_levels_together_have_the_rows_of_each(dims: int, storage: str, count: int):
    layout = layout_of(dims, storage=storage, interpolation="smoothstep")
    coords = points(count, dims)
    expected = []
    for number, level in enumerate(layout.levels):
        stream = Pcg32(1337)
        stream.advance(number * -(-count // 256) * 256)
        position = scaled_position(coords, level)
        cell = cell_of(position, level)
        upper = fraction_weights(position - cell.float(), layout.interpolation)
        moved = (stream.uniforms(count)[:, None] < upper).long()
        expected.append(node_rows(cell + moved, level))
    assert chosen_rows(coords, layout).equal(torch.stack(expected, dim=1))


@pytest.mark.parametrize("function", ["coherent-prime", "base-convert", "rng"])
def test_every_hash_function_has_rows_of_its_level(function: str):
    layout = layout_of(2, hash_function=function)
    rows = chosen_rows(points(300, 2), layout)
    for level, own in zip(layout.levels, rows.unbind(1), strict=True):
        assert bool((own >= level.offset).all())
        assert bool((own < level.offset + level.size).all())


def test_few_operations_for_many_levels():
    layout = grid_layout(
        num_dims=3, num_levels=16, base_resolution=16, growth=1.38, log2_table_size=14
    )
    coords = points(5000, 3)
    with Counting() as counting:
        chosen_rows(coords, layout)
    assert counting.count < 500


def test_tables_of_half_precision_are_summed_in_float32():
    """In half precision 2048 and 1 are 2048, unless a device sums otherwise."""
    layout = layout_of(1, num_levels=1)
    table = torch.zeros(layout.num_rows, 1, dtype=torch.float16).requires_grad_()
    vertex = torch.zeros(3000, 1) + 0.5 / layout.levels[0].scale
    total = read_with_chosen_corners(vertex, table, layout).sum()
    with Counting() as counting:
        total.backward()
    assert counting.summed_in == {torch.float32}
    assert table.grad is not None
    assert table.grad.dtype == torch.float16
    assert table.grad.max() == 3000


def test_the_way_back_runs_what_was_chosen_for_the_way_there():
    """A GPU's backward pass has a thread of its own, which knows no context."""
    layout = layout_of(2)
    coords = torch.rand(9, 2, generator=generator(0)).requires_grad_()
    table = torch.rand(layout.num_rows, 2, generator=generator(1))
    with implementation("reference"):
        total = read_with_chosen_corners(coords, table, layout).square().sum()
    forget_implementations()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(total.backward).result()
    assert coords.grad is not None
    assert used_implementations() == {"grid_lookup": "reference"}
