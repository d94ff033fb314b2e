import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn


class Square(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x**2

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return 2 * ctx.saved_tensors[0] * grad


def test_numbers_are_real(pretend: torch.device):
    x = torch.arange(3.0, device=pretend)
    y = torch.ones(3).to(pretend)
    for made in (x + y, 2 * x, x[1:], torch.zeros_like(x), x.new_empty(2), x.half()):
        assert made.device == pretend
    assert (x + y).cpu().tolist() == [1, 2, 3]
    assert (x + torch.tensor(2.0)).tolist() == [2, 3, 4]
    assert x[torch.tensor([2, 0])].tolist() == [2, 0]
    assert torch.tensor([4, 5], device=pretend).tolist() == [4, 5]
    view = y[1:]
    view.mul_(7)
    assert y.tolist() == [1, 7, 7]
    assert torch.zeros(3).copy_(x).numpy().tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x + torch.ones(3),
        lambda x: torch.ones(3) @ x,
        lambda x: torch.ones(3).add_(x),
        lambda x: torch.tensor(1.0).add_(x.sum()),
        lambda x: torch.stack([x[0], torch.tensor(1.0)]),
        lambda x: torch.arange(3.0)[x.long()],
        lambda x: x.index_select(0, torch.tensor([0])),
    ],
)
def test_mixtures_are_refused(pretend: torch.device, mix):
    with pytest.raises(RuntimeError, match="on the same device"):
        mix(torch.zeros(3, device=pretend))


def test_numpy_is_refused(pretend: torch.device):
    x = torch.zeros(3, device=pretend)
    for convert in (np.asarray, lambda tensor: tensor.numpy()):
        with pytest.raises(TypeError, match="to numpy"):
            convert(x)


def test_gradients_of_any_order(pretend: torch.device):
    x = torch.tensor([1.0, 3.0], device=pretend, requires_grad=True)
    (first,) = torch.autograd.grad(Square.apply(x).pow(2).sum(), x, create_graph=True)
    assert first.tolist() == [4, 108]
    (second,) = torch.autograd.grad(first.sum(), x)
    assert second.tolist() == [12, 108]
    per_row = torch.func.vmap(torch.func.grad(lambda row: row.pow(3).sum()))
    assert per_row(x.detach()[:, None]).flatten().tolist() == [3, 27]


def test_modules_move(pretend: torch.device):
    module = nn.Linear(2, 2)
    x = torch.rand(4, 2)
    expected = module(x)
    moved = copy.deepcopy(module).to(pretend)
    assert isinstance(moved.weight, nn.Parameter)
    assert torch.equal(copy.deepcopy(moved)(x.to(pretend)).cpu(), expected)
    with pytest.raises(RuntimeError, match="on the same device"):
        moved(x)
    moved(x.to(pretend)).sum().backward()
    assert moved.weight.grad.device == pretend
    weight = moved.weight
    moved.double()
    assert moved.weight is weight
    assert moved(x.double().to(pretend)).dtype == torch.float64


def test_generators_belong_to_a_device(pretend: torch.device):
    def numbers() -> Tensor:
        source = torch.Generator(pretend).manual_seed(1)
        return torch.rand(3, generator=source, device=pretend)

    assert torch.equal(numbers(), numbers())
    with pytest.raises(RuntimeError, match="device type for generator"):
        torch.rand(3, generator=torch.Generator(), device=pretend)


def test_waits_of_the_host_are_counted(pretend: torch.device):
    from tests.pretended_device import waits  # noqa: PLC0415 (after the fixture)

    x = torch.zeros(3, device=pretend)
    x.add_(1).sum()
    assert not waits
    x.sum().item()
    x.cpu()
    x[x > 0]
    torch.get_device_module(pretend).synchronize()
    assert waits.total() == 4
