from collections.abc import Iterator

import pytest
import torch

from tangrid.errors import ConfigError
from tangrid.fields import Field
from tangrid.fields.workers import Workers
from tangrid.training.optimizer import Adam, share
from tests.training.small_fits import build, tensors_of, with_changes


@pytest.fixture
def workers() -> Iterator[Workers]:
    with Workers(2) as workers:
        yield workers


def with_gradients(field: Field, value: float, workers: Workers) -> Adam:
    optimizer = Adam(field, with_changes(), workers)
    for grads in optimizer.worker_grads(workers.count - 1):
        grads.fill_(value)
    return optimizer


def test_a_first_step_moves_by_the_rate_of_the_group(workers: Workers):
    field = build()
    before = tensors_of(field)
    rates = with_gradients(field, 3.0, workers).step(factor=0.5)
    assert rates == pytest.approx({"grid": 5e-3, "decoder": 2.5e-3})
    for name, rate in (("encoding.table", 5e-3), ("decoder.layers.0.weight", 2.5e-3)):
        moved = before[name] - field.state_dict()[name]
        assert torch.allclose(moved, torch.full_like(moved, rate), rtol=1e-3), name


def test_tables_skip_zeros_and_matrices_do_not(workers: Workers):
    field = build()
    optimizer = with_gradients(field, 1.0, workers)
    optimizer.step(1.0)
    before = tensors_of(field)
    optimizer.step(1.0)  # the gradients are zero now, but the moments are not
    after = field.state_dict()
    assert torch.equal(after["encoding.table"], before["encoding.table"])
    assert not torch.equal(
        after["decoder.layers.0.weight"], before["decoder.layers.0.weight"]
    )


def test_warming_up_changes_nothing_but_the_gradients(workers: Workers):
    field = build()
    optimizer = with_gradients(field, 1.0, workers)
    before = tensors_of(field)
    optimizer.warm_up()
    assert all(torch.equal(before[k], v) for k, v in field.state_dict().items())
    assert not any(tensor.any() for tensor in optimizer.state_tensors().values())
    assert not any(grads.any() for grads in optimizer.worker_grads(1))


def test_frozen_parameters_are_not_trained(workers: Workers):
    field = build()
    table = field.get_parameter("encoding.table").requires_grad_(False)
    optimizer = with_gradients(field, 1.0, workers)
    assert all(p is not table for p in optimizer.parameters)
    assert set(optimizer.step(1.0)) == {"decoder"}
    assert not any("table" in name for name in optimizer.state_tensors())


def test_a_missing_rate_is_named(workers: Workers):
    with pytest.raises(ConfigError) as caught:
        Adam(build(), with_changes(rates={"kernel": 1.0, "grid": 1.0}), workers)
    assert "a rate for the group 'decoder', got rates for kernel, grid" in str(
        caught.value
    )


def test_workers_share_a_large_parameter_without_gaps():
    for size in (0, 1, 4096, 4097, 8192, 100_001):
        for count in (1, 2, 3, 7):
            spans = [share(size, worker, count) for worker in range(count)]
            entries = [i for start, stop in spans for i in range(start, stop)]
            assert entries == list(range(size))


def test_state_tensors_are_the_state_itself(workers: Workers):
    field = build()
    optimizer = with_gradients(field, 1.0, workers)
    state = optimizer.state_tensors()
    assert not any(tensor.any() for tensor in state.values())
    optimizer.step(1.0)
    assert all(tensor.to(torch.float32).all() for tensor in state.values())
    names = {name for name, _ in field.named_parameters()}
    kinds = ("first", "second", "counts")
    assert set(state) == {f"{kind}/{name}" for kind in kinds for name in names}
