"""What a loss of the coordinates' gradient hands back, fast and in the reference."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import grad, jacrev

from tangrid.fields.coordinate_gradient import value_and_gradient
from tangrid.fields.workers import Workers
from tangrid.ops.accumulation import accumulate_into
from tangrid.ops.contract import implementation, single_threaded
from tangrid.ops.grid_lookup import numba_door, reference
from tangrid.ops.grid_lookup.layout import INTERPOLATIONS, Interpolation, Storage
from tangrid.ops.grid_lookup.operator import grid_lookup
from tangrid.ops.wanted import gradients_of_coords_only
from tangrid.seeding import generator
from tangrid.tasks.sdf_losses import SdfLoss
from tangrid.training.gradients import add_gradients
from tangrid.training.optimizer import Adam
from tangrid.training.settings import TrainingSettings
from tests.ops.comparison import assert_close, assert_same_bits
from tests.ops.grid_cases import (
    STORAGES,
    case_of,
    layout_of,
    random_points,
    reference_of,
    slope_gradients,
)
from tests.tolerances import PARITY_FLOAT32
from tests.training.small_shapes import (
    SMOOTH_FIELDS,
    build_in_space,
    shape_task,
    trained,
)

HESSIANS = 2 * PARITY_FLOAT32
"""They carry the square of the finest scale, and its rounding."""


@pytest.mark.parametrize("is_serial", [True, False], ids=["serial", "parallel"])
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("dims", [1, 2, 3, 4])
def test_every_grid_agrees(
    dims: int, interpolation: Interpolation, storage: Storage, is_serial: bool
):
    layout = layout_of(dims, storage, "tiny-cuda-nn", interpolation)
    # More than a block, and no multiple of one; channels change with the grid.
    channels = 1 + (dims + INTERPOLATIONS.index(interpolation)) % 3
    case = case_of(layout, channels, random_points(319, dims))
    before = torch.randn(case.table.shape, generator=generator(0, "before"))
    buffer = before.clone()
    with implementation("numba"), single_threaded() if is_serial else nullcontext():
        found = slope_gradients(case)
        buffered = slope_gradients(case, into=buffer)
    expected = reference_of(case)
    assert_close(found, expected, HESSIANS)
    # What the buffer took is not returned as well.
    assert not buffered.pop("table").any()
    assert_same_bits(buffered, {key: found[key] for key in buffered})
    assert_close({"table": buffer}, {"table": before + expected["table"]})


@pytest.mark.parametrize("channels", [4, 6, 8])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_many_channels_agree(channels: int, interpolation: Interpolation):
    layout = layout_of(3, "hashed", "tiny-cuda-nn", interpolation)
    case = case_of(layout, channels, random_points(319, 3))
    with implementation("numba"):
        found = slope_gradients(case)
    assert_close(found, reference_of(case), HESSIANS)


@pytest.mark.parametrize("channels", [2, 4])
def test_threads_and_serial_have_the_same_bits(channels: int):
    layout = layout_of(3, "hashed", "tiny-cuda-nn", "smoothstep")
    case = case_of(layout, channels, random_points(9000, 3))
    found = slope_gradients(case, with_coords=False)
    with single_threaded():
        assert_same_bits(slope_gradients(case, with_coords=False), found)


def refuse(*_: object) -> None:
    raise AssertionError("not wanted")


def test_points_that_were_let_go_cost_no_reference(monkeypatch: pytest.MonkeyPatch):
    layout = layout_of(3, "hashed", "tiny-cuda-nn", "smoothstep")
    case = case_of(layout, 2, random_points(63, 3))
    expected = slope_gradients(case)
    monkeypatch.setattr(reference, "grid_lookup", refuse)
    found = slope_gradients(case, with_coords=False)
    assert_same_bits(found, {key: expected[key] for key in found})
    with pytest.raises(AssertionError, match="not wanted"):
        slope_gradients(case)


def test_coords_made_of_parameters_keep_their_hessian():
    """Whoever lets go of the points does not let go of what they became."""
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "quintic")
    case = case_of(layout, 2, random_points(63, 2))

    def gradient() -> Tensor:
        shift = torch.zeros(2, requires_grad=True)
        points = case.coords.detach().requires_grad_()
        values = grid_lookup(0.9 * points + shift, case.table, layout).sum()
        with gradients_of_coords_only():
            (slope,) = torch.autograd.grad(values, points, create_graph=True)
        points.requires_grad_(False)
        return torch.autograd.grad(slope.square().sum(), shift)[0]

    with implementation("reference"):
        expected = gradient()
    assert expected.any()
    assert_close({"shift": gradient()}, {"shift": expected}, HESSIANS)


def test_no_dense_gradient_is_made(monkeypatch: pytest.MonkeyPatch):
    """Neither inside, where nobody asks, nor outside, where a buffer takes it."""
    field = build_in_space(SMOOTH_FIELDS["hash grid, smoothstep"])
    coords, parameters = random_points(63, 3), list(trained(field).values())
    sizes = []

    def push(*arguments: Any) -> Tensor:
        made = plain(*arguments)
        sizes.append(made.numel())
        return made

    plain = numba_door.Loops.push
    monkeypatch.setattr(numba_door.Loops, "push", push)
    value_and_gradient(field, coords)
    with accumulate_into({p: torch.zeros_like(p) for p in parameters}):
        local = value_and_gradient(field, coords, is_trained=True)
        assert sizes == []
        loss = local.values.sum() + local.gradients.square().sum()
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
    assert sizes == [0, 0]
    absent = [g is None for g in found]
    assert absent == ["table" in name for name in trained(field)]


def test_transforms_agree():
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "quintic")
    case = case_of(layout, 2, random_points(5, 2))

    def total(coords: Tensor, table: Tensor) -> Tensor:
        return (grid_lookup(coords, table, layout) * case.upstream).sum()

    def steepness(coords: Tensor, table: Tensor) -> Tensor:
        return grad(total)(coords, table).square().sum()

    def results() -> dict[str, Tensor]:
        inputs = (case.coords, case.table)
        of_coords, of_table = grad(steepness, argnums=(0, 1))(*inputs)
        hessian = jacrev(jacrev(total))(*inputs)
        return {"coords": of_coords, "table": of_table, "hessian": hessian}

    with implementation("numba"):
        found = results()
    with implementation("reference"):
        assert_close(found, results(), HESSIANS)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", [n for n in SMOOTH_FIELDS if n.startswith("hash")])
def test_pieces_add_up_to_the_references_gradient(name: str, threads: int):
    field = build_in_space(SMOOTH_FIELDS[name])
    task = shape_task(SdfLoss(kind="l1", eikonal=0.3, normals=0.7))
    batch, parameters = task.batch(0), trained(field)
    with implementation("reference"):
        loss = task.loss(field, batch)
        expected = torch.autograd.grad(loss, list(parameters.values()))
    with Workers(threads) as workers:
        rates = dict.fromkeys(field.parameter_groups(), 1e-2)
        optimizer = Adam(field, TrainingSettings(steps=1, rates=rates), workers)
        value = add_gradients(workers, task, field, batch, optimizer, piece_size=17)
    grads = [optimizer.worker_grads(worker) for worker in range(threads)]
    sums = [sum(each) for each in zip(*grads, strict=True)]
    found = dict(zip(map(id, optimizer.parameters), sums, strict=True))
    assert value == pytest.approx(loss.item(), rel=1e-5)
    assert_close(
        {name: found[id(parameter)] for name, parameter in parameters.items()},
        dict(zip(parameters, expected, strict=True)),
    )
