import threading

import pytest
import torch

from tangrid.fields.workers import Workers, predict, predict_gradients
from tangrid.ops.contract import is_single_threaded
from tangrid.training.gradients import add_gradients
from tangrid.training.optimizer import Adam
from tests.ops.comparison import assert_close, assert_same_bits
from tests.training.small_fits import GRID, build, task, with_changes
from tests.training.small_shapes import SMOOTH_FIELDS, build_in_space


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_come_in_the_order_of_workers(count: int):
    with Workers(count) as workers:
        assert workers.run(lambda worker: worker * 10) == [10 * k for k in range(count)]


def test_workers_keep_to_their_threads():
    def look(_: int) -> tuple[bool, int, int]:
        return is_single_threaded(), torch.get_num_threads(), threading.get_ident()

    with Workers(2) as workers:
        found = workers.run(look)
        assert not is_single_threaded()
    assert [(alone, threads) for alone, threads, _ in found] == [(True, 1)] * 2
    assert threading.get_ident() not in {ident for *_, ident in found}


def test_an_error_of_a_worker_comes_out():
    def work(worker: int) -> None:
        if worker == 1:
            raise ZeroDivisionError

    with Workers(2) as workers:
        with pytest.raises(ZeroDivisionError):
            workers.run(work)
        assert workers.run(lambda worker: worker) == [0, 1]


@pytest.mark.parametrize("piece_size", [1, 30, 32, 1000])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_pieces_give_the_gradient_of_the_batch(count: int, piece_size: int):
    """Pieces weigh as many points as they have: 100 = 3 * 32 + 4."""
    field, fit_task = build(), task()
    batch = fit_task.batch(0)
    loss = fit_task.loss(field, batch)
    expected = dict(
        zip(
            [name for name, _ in field.named_parameters()],
            torch.autograd.grad(loss, list(field.parameters())),
            strict=True,
        )
    )
    with Workers(count) as workers:
        optimizer = Adam(field, with_changes(), workers)
        found = add_gradients(workers, fit_task, field, batch, optimizer, piece_size)
    assert float(found) == pytest.approx(loss.item(), rel=1e-5)
    parts = [optimizer.worker_grads(worker) for worker in range(count)]
    names = {id(p): name for name, p in field.named_parameters()}
    summed = {
        names[id(parameter)]: torch.stack([part[k] for part in parts]).sum(0)
        for k, parameter in enumerate(optimizer.parameters)
    }
    assert_close(summed, expected)


def test_predictions_are_the_fields_values():
    field = build(GRID)
    coords = torch.rand(1000, 2)
    expected = field(coords).detach()
    for count, piece_size in ((1, 1000), (2, 77), (3, 5000)):
        with Workers(count) as workers:
            found = predict(workers, field, coords, piece_size)
        assert not found.requires_grad
        assert_close({"values": found}, {"values": expected})
    with Workers(2) as workers:
        assert predict(workers, field, coords[:0]).shape == (0, 3)
        first, second = (predict(workers, field, coords, 77) for _ in range(2))
    assert_same_bits({"values": first}, {"values": second})


@pytest.mark.parametrize("name", ["hash grid, quintic", "siren"])
def test_gradients_are_those_of_autograd(name: str):
    field = build_in_space(SMOOTH_FIELDS[name])
    coords = torch.rand(500, 3)
    points = coords.clone().requires_grad_()
    (expected,) = torch.autograd.grad(field(points).sum(), points)
    for count, piece_size in ((1, 500), (2, 77), (3, 5000)):
        with Workers(count) as workers:
            found = predict_gradients(workers, field, coords, piece_size)
        assert not found.requires_grad
        assert_close({"gradients": found}, {"gradients": expected})
    with Workers(2) as workers:
        assert predict_gradients(workers, field, coords[:0]).shape == (0, 3)
        first, second = (
            predict_gradients(workers, field, coords, 77) for _ in range(2)
        )
    assert_same_bits({"gradients": first}, {"gradients": second})
    assert not coords.requires_grad
    assert all(parameter.grad is None for parameter in field.parameters())


def test_gradients_are_finite_differences():
    field = build_in_space(SMOOTH_FIELDS["siren"]).double()
    coords = 0.1 + 0.8 * torch.rand(100, 3, dtype=torch.float64)
    with Workers(2) as workers:
        found = predict_gradients(workers, field, coords, 30)
        columns = [
            (
                predict(workers, field, coords + 1e-6 * axis)
                - predict(workers, field, coords - 1e-6 * axis)
            )
            / 2e-6
            for axis in torch.eye(3, dtype=torch.float64)
        ]
    assert torch.allclose(found, torch.cat(columns, dim=1), rtol=1e-6, atol=1e-6)


def test_gradients_need_no_graph_around_them():
    field = build_in_space(SMOOTH_FIELDS["siren"])
    coords = torch.rand(9, 3)
    with Workers(2) as workers:
        expected = predict_gradients(workers, field, coords)
        with torch.no_grad():
            found = predict_gradients(workers, field, coords)
    assert torch.equal(found, expected)


def test_a_gpu_is_one_worker_with_whole_batches(pretend: torch.device):
    threads = torch.get_num_threads()
    field = build(GRID)
    coords = torch.rand(100, 2)
    expected = field(coords).detach()
    field.to(pretend)
    with Workers(3, pretend) as workers:
        assert workers.count == 1
        assert workers.run(lambda _: threading.get_ident()) == [threading.get_ident()]
        assert not any(workers.run(lambda _: is_single_threaded()))
        assert torch.get_num_threads() == threads
        assert workers.piece_size(32) > 2**32
        found = predict(workers, field, coords.to(pretend), piece_size=30)
    assert found.device == field.device == pretend
    assert_close({"values": found.cpu()}, {"values": expected})
