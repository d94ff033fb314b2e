"""Backward passes know that gradients of coordinates alone are asked for."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tangrid.ops.wanted import gradients_of_coords_only, parameters_are_wanted

seen: list[bool] = []


class Asking(torch.autograd.Function):
    """The identity, whose backward pass notes what it is asked for."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        return None

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        seen.append(parameters_are_wanted())
        return grad


def asked(device: torch.device) -> list[bool]:
    seen.clear()
    x = torch.ones(3, device=device, requires_grad=True)
    with gradients_of_coords_only():
        (slope,) = torch.autograd.grad(Asking.apply(x).sum(), x, create_graph=True)
    torch.autograd.grad(Asking.apply(x).sum() + slope.sum(), x)
    return list(seen)


def test_what_is_asked_for_is_known_inside_alone():
    assert asked(torch.device("cpu")) == [False, True]


def test_it_is_known_where_autograd_has_threads_of_its_own(pretend: torch.device):
    assert asked(pretend) == [False, True]


@pytest.mark.gpu
def test_it_is_known_on_a_gpu():
    assert asked(torch.device("cuda")) == [False, True]
