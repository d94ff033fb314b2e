"""Adam: the reference against PyTorch, the fast form against the reference."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tangrid.ops.adam_update.operator import AdamState, adam_update
from tangrid.ops.adam_update.reference import AdamNumbers
from tangrid.ops.contract import (
    ImplementationName,
    implementation,
    used_implementations,
)
from tangrid.seeding import generator
from tests.ops.comparison import assert_close, assert_same_bits

NUMBERS = AdamNumbers(rate=1e-2, betas=(0.9, 0.99), eps=1e-15, skips_zeros=False)
SKIPPING = NUMBERS._replace(skips_zeros=True)
ALL = pytest.mark.parametrize("name", ["numba", "triton", "reference"])


def gradients(
    shape: tuple[int, ...], steps: int, workers: int = 1, zeros: float = 0.0
) -> list[Tensor]:
    """Summands [steps][workers, *shape] of which a fraction is exactly zero."""
    source = generator(0, "adam", *shape)
    found = []
    for _ in range(steps):
        grads = torch.randn(workers, *shape, generator=source)
        # Whole entries are zero, in every worker, as rows are that nobody reads.
        kept = torch.rand(shape, generator=source) >= zeros
        found.append(grads * kept)
    return found


def run(
    values: Tensor,
    steps: list[Tensor],
    numbers: AdamNumbers,
    name: ImplementationName,
    spans: tuple[tuple[int, int] | None, ...] = (None,),
) -> dict[str, Tensor]:
    parameter = values.clone()
    state = AdamState.zeros_like(parameter)
    with implementation(name):
        for grads in steps:
            summands = grads.clone()
            for span in spans:
                adam_update(parameter, state, summands, numbers, span)
            assert not summands.any(), "gradients are left behind"
    assert used_implementations()["adam_update"] == name
    counts = torch.from_numpy(state.counts.numpy().astype(np.int32))
    return {
        "parameter": parameter,
        "first": state.first,
        "second": state.second,
        "counts": counts,
    }


@ALL
def test_without_skipping_it_is_the_adam_of_pytorch(name: ImplementationName):
    values = torch.randn(13, 5, generator=generator(0, "values"))
    steps = gradients((13, 5), 30)
    theirs = values.clone().requires_grad_()
    optimizer = torch.optim.Adam([theirs], lr=1e-2, betas=(0.9, 0.99), eps=1e-15)
    for grads in steps:
        theirs.grad = grads[0].clone()
        optimizer.step()
    moments = optimizer.state[theirs]
    found = run(values, steps, NUMBERS, name)
    assert (found.pop("counts") == 30).all()
    expected = {
        "parameter": theirs.detach(),
        "first": moments["exp_avg"],
        "second": moments["exp_avg_sq"],
    }
    assert_close(found, expected)


@ALL
def test_entries_without_gradient_are_left_alone(name: ImplementationName):
    values = torch.randn(200, 2, generator=generator(0, "values"))
    steps = gradients((200, 2), 3)
    untouched = torch.arange(200) % 3 == 0
    for grads in steps:
        grads[:, untouched] = 0
    found = run(values, steps, SKIPPING, name)
    assert torch.equal(found["parameter"][untouched], values[untouched])
    for key in ("first", "second", "counts"):
        assert not found[key][untouched].any(), key
        assert found[key][~untouched].all(), key


@ALL
def test_a_pause_changes_nothing(name: ImplementationName):
    """Zero gradients between two steps do not age the moments of an entry."""
    values = torch.randn(50, generator=generator(0, "values"))
    steps = gradients((50,), 4)
    pause = [torch.zeros(1, 50)] * 7
    assert_same_bits(
        run(values, steps[:2] + pause + steps[2:], SKIPPING, name),
        run(values, steps, SKIPPING, name),
    )


@ALL
def test_a_late_first_touch_moves_by_the_rate(name: ImplementationName):
    """The bias correction counts an entry's own updates, not the steps of training."""
    values = torch.zeros(8)
    steps = gradients((8,), 100)
    for grads in steps[:99]:
        grads[:, 5] = 0
    found = run(values, steps, SKIPPING, name)
    assert abs(float(found["parameter"][5])) == pytest.approx(1e-2, rel=1e-5)
    assert found["counts"].tolist() == [100] * 5 + [1] + [100] * 2


@ALL
def test_without_skipping_a_zero_gradient_still_moves(name: ImplementationName):
    values = torch.zeros(4)
    steps = [torch.ones(1, 4), torch.zeros(1, 4)]
    found = run(values, steps, NUMBERS, name)
    assert (found["parameter"] < -1.4e-2).all()
    assert (found["counts"] == 2).all()


@pytest.mark.parametrize("shape", [(1,), (63,), (64,), (65, 2), (20_000, 3)])
@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("numbers", [NUMBERS, SKIPPING], ids=["all", "skipping"])
@pytest.mark.parametrize("name", ["numba", "triton"])
def test_fast_forms_are_the_reference(
    name: ImplementationName, shape: tuple[int, ...], workers: int, numbers: AdamNumbers
):
    values = torch.randn(shape, generator=generator(0, "values"))
    steps = gradients(shape, 5, workers, zeros=0.6)
    found = run(values, steps, numbers, name)
    expected = run(values, steps, numbers, "reference")
    assert_same_bits({"c": found.pop("counts")}, {"c": expected.pop("counts")})
    assert_close(found, expected)


@ALL
def test_summands_of_workers_are_added(name: ImplementationName):
    values = torch.randn(300, generator=generator(0, "values"))
    steps = gradients((300,), 4, workers=3, zeros=0.3)
    alone = [grads.sum(0, keepdim=True) for grads in steps]
    found = run(values, steps, SKIPPING, name)
    assert_close(found, run(values, alone, SKIPPING, name))


@ALL
def test_spans_of_any_size_give_the_bits_of_the_whole(name: ImplementationName):
    values = torch.randn(125, 8, generator=generator(0, "values"))
    steps = gradients((125, 8), 3, workers=2, zeros=0.5)
    whole = run(values, steps, SKIPPING, name)
    for spans in (((0, 64), (64, 1000)), ((500, 1000), (0, 0), (0, 1), (1, 500))):
        assert_same_bits(run(values, steps, SKIPPING, name, spans), whole)


def test_a_span_leaves_other_entries_and_their_gradients_alone():
    values = torch.zeros(100)
    grads = torch.ones(1, 100)
    adam_update(values, AdamState.zeros_like(values), grads, NUMBERS, (10, 20))
    assert values.nonzero()[:, 0].tolist() == list(range(10, 20))
    assert grads.sum() == 90


@ALL
def test_counts_stop_where_the_correction_is_one(name: ImplementationName):
    """With decays 0.6 and 0.5 it is 1 in float32 after 36 updates."""
    numbers = NUMBERS._replace(betas=(0.6, 0.5))
    values = torch.zeros(2)
    steps = gradients((2,), 50)
    found = run(values, steps, numbers, name)
    assert (found["counts"] == 36).all()
    theirs = torch.zeros(2).requires_grad_()
    optimizer = torch.optim.Adam([theirs], lr=1e-2, betas=(0.6, 0.5), eps=1e-15)
    for grads in steps:
        theirs.grad = grads[0].clone()
        optimizer.step()
    assert_close({"parameter": found["parameter"]}, {"parameter": theirs.detach()})


def test_float64_runs_in_the_reference():
    parameter = torch.zeros(3, dtype=torch.float64)
    state = AdamState.zeros_like(parameter)
    adam_update(parameter, state, torch.ones(1, 3).double(), NUMBERS)
    assert used_implementations()["adam_update"] == "reference"
    assert parameter.tolist() == pytest.approx([-1e-2] * 3)


@ALL
@pytest.mark.parametrize("workers", [1, 2])
def test_a_step_that_is_held_only_clears_gradients(
    name: ImplementationName, workers: int
):
    values = torch.randn(70, generator=generator(0, "values"))
    steps = gradients((70,), 2, workers)
    for numbers in (NUMBERS, SKIPPING):
        parameter, state = values.clone(), AdamState.zeros_like(values)
        broken = torch.full((workers, 70), torch.nan)
        with implementation(name):
            for grads, held in ((steps[0], 0.0), (broken, 1.0), (steps[1], 0.0)):
                adam_update(
                    parameter, state, grads.clone(), numbers, held=torch.tensor(held)
                )
            adam_update(parameter, state, broken, numbers, held=torch.ones(()))
        assert not broken.any()
        expected = run(values, steps, numbers, name)
        found = {"parameter": parameter, "first": state.first, "second": state.second}
        assert_same_bits(found, {key: expected[key] for key in found})


def test_an_update_happens_on_the_device(pretend: torch.device):
    values = torch.randn(70, generator=generator(0, "values"))
    steps = gradients((70,), 3, zeros=0.5)
    expected = run(values, steps, SKIPPING, "reference")
    parameter = values.to(pretend)
    state = AdamState.zeros_like(parameter)
    for grads in steps:
        held = torch.zeros((), device=pretend)
        adam_update(parameter, state, grads.to(pretend), SKIPPING, held=held)
    assert used_implementations()["adam_update"] == "reference"
    found = {"parameter": parameter, "first": state.first, "second": state.second}
    found = {key: tensor.cpu() for key, tensor in found.items()}
    assert_same_bits(found, {key: expected[key] for key in found})


def many_zeros(count: int, file: Path) -> Tensor:
    """Zeros of which disks and memory hold no more than the pages that are touched."""
    if torch.cuda.is_available():
        return torch.zeros(count, device="cuda")
    with file.open("wb") as empty:
        empty.truncate(4 * count)
    return torch.from_file(str(file), shared=True, size=count)


def test_summands_lie_further_apart_than_32_bits_count(tmp_path: Path):
    programs = pytest.importorskip("tangrid.ops.adam_update.triton_gpu")
    size = 2**30 + 1
    grads = many_zeros(3 * size, tmp_path / "gradients").view(3, size)
    grads[:, 0] = torch.tensor([1.0, 2.0, 3.0])
    parameter, *moments = grads.new_zeros(3, 1).unbind()
    counts = torch.zeros(1, dtype=torch.uint16, device=grads.device)
    corrections = grads.new_ones(2, 2)
    given = parameter.expand(size), tuple(moments), counts, grads, corrections
    programs.update_range(*given, NUMBERS, None, (0, 1))
    assert not grads[:, 0].any()
    assert moments[0].item() == pytest.approx(0.6)


@pytest.mark.gpu
@pytest.mark.parametrize("numbers", [NUMBERS, SKIPPING], ids=["all", "skipping"])
def test_a_gpu_gives_the_reference(numbers: AdamNumbers):
    values = torch.randn(20_000, 3, generator=generator(0, "values"))
    steps = gradients((20_000, 3), 5, zeros=0.6)
    expected = run(values, steps, numbers, "reference")
    parameter = values.cuda()
    state = AdamState.zeros_like(parameter)
    for grads in steps:
        adam_update(parameter, state, grads.cuda(), numbers)
    assert used_implementations()["adam_update"] == "triton"
    found = {"parameter": parameter, "first": state.first, "second": state.second}
    found = {key: tensor.cpu() for key, tensor in found.items()}
    assert_close(found, {key: expected[key] for key in found})
