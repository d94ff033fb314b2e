"""h + sin(f h): the fast form against the reference, with every derivative."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap

from tangrid.errors import ShapeError
from tangrid.ops.contract import (
    implementation,
    single_threaded,
    used_implementations,
)
from tangrid.ops.sine_residual.operator import sine_residual
from tangrid.seeding import generator
from tests.ops.comparison import assert_close, assert_same_bits


def inputs(rows: int, width: int, largest: float = 3.0) -> tuple[Tensor, ...]:
    source = generator(0, "sine", rows, width)
    hidden = largest * (2 * torch.rand(rows, width, generator=source) - 1)
    upstream = torch.randn(rows, width, generator=source)
    frequencies = torch.logspace(0, 2, width)
    return hidden, frequencies, upstream


def results(hidden: Tensor, frequencies: Tensor, upstream: Tensor) -> dict[str, Tensor]:
    leaf = hidden.detach().requires_grad_()
    values = sine_residual(leaf, frequencies)
    (first,) = torch.autograd.grad(values, leaf, upstream)
    return {"values": values.detach(), "gradient": first}


@pytest.mark.parametrize("rows", [0, 1, 63, 512, 1300])
@pytest.mark.parametrize("width", [1, 7, 64])
def test_numba_is_the_reference(rows: int, width: int):
    case = inputs(rows, width)
    with implementation("numba"):
        found = results(*case)
    assert used_implementations()["sine_residual"] == "numba"
    with implementation("reference"):
        assert_close(found, results(*case))


def distance(
    found: Tensor, wave: Callable[[Tensor], Tensor], hidden: Tensor, factors: Tensor
) -> float:
    """Largest distance from a sine or cosine of f h taken in float64.

    Where a processor multiplies and adds at once, it need not round the product: either
    angle will do.
    """
    rounded, exact = (factors * hidden).double(), factors.double() * hidden.double()
    each = [(found - wave(angle)).abs() for angle in (rounded, exact)]
    return float(torch.minimum(*each).max())


@pytest.mark.parametrize("width", [5, 16])
@pytest.mark.parametrize("largest", [1e-3, 1.0, 30.0, 100.0])
def test_waves_are_exact_to_the_last_places(largest: float, width: int):
    """Against float64, also for angles of ten thousand radians."""
    hidden, frequencies, _ = inputs(2000, width, largest)
    with implementation("numba"):
        found = results(hidden, frequencies, torch.ones_like(hidden))
    sines = found["values"].double() - hidden.double()
    # One rounding of the sum h + sin, and two of the sine.
    rounding = np.spacing(np.float32(largest + 1)) + 2.4e-7
    assert distance(sines, torch.sin, hidden, frequencies) <= rounding
    cosines = (found["gradient"].double() - 1) / frequencies.double()
    # The same of 1 + f cos, which is divided by f, at least 1, here.
    assert distance(cosines, torch.cos, hidden, frequencies) <= 4.8e-7


@pytest.mark.parametrize(
    "angle", [0.0, np.pi / 2, np.pi, 1.5 * np.pi, -np.pi / 2, 50.0]
)
def test_quadrants(angle: float):
    hidden = torch.tensor([[angle]], dtype=torch.float32)
    with implementation("numba"):
        found = results(hidden, torch.ones(1), torch.ones(1, 1))
    exact = float(hidden)
    assert found["values"].item() == pytest.approx(exact + np.sin(exact), abs=5e-6)
    assert found["gradient"].item() == pytest.approx(1 + np.cos(exact), abs=1e-6)


def test_threads_and_memory_order_do_not_change_the_bits():
    hidden, frequencies, upstream = inputs(1300, 24)
    expected = results(hidden, frequencies, upstream)
    with single_threaded():
        assert_same_bits(results(hidden, frequencies, upstream), expected)
    transposed = results(
        hidden.T.contiguous().T, frequencies, upstream.T.contiguous().T
    )
    assert_same_bits(transposed, expected)


def second_order(
    hidden: Tensor, frequencies: Tensor, upstream: Tensor
) -> dict[str, Tensor]:
    leaves = [hidden.detach().requires_grad_(), upstream.detach().requires_grad_()]
    values = sine_residual(leaves[0], frequencies)
    (first,) = torch.autograd.grad(values, leaves[0], leaves[1], create_graph=True)
    second = torch.autograd.grad((first * upstream.cos()).sum(), leaves)
    return {"hidden": second[0], "upstream": second[1]}


def test_second_derivatives_are_the_references():
    case = inputs(63, 16, largest=1.0)
    with implementation("numba"):
        found = second_order(*case)
    with implementation("reference"):
        assert_close(found, second_order(*case), tolerance=3e-5)


def test_derivatives_are_exact_in_float64():
    hidden, frequencies, _ = inputs(4, 3)
    leaf = hidden.double().requires_grad_()
    factors = frequencies.double() / 10

    def compute(h: Tensor) -> Tensor:
        return sine_residual(h, factors)

    assert torch.autograd.gradcheck(compute, leaf)
    assert torch.autograd.gradgradcheck(compute, leaf)


def test_reverse_transforms_agree_with_autograd():
    hidden, frequencies, upstream = inputs(9, 5, largest=1.0)
    expected = results(hidden, frequencies, upstream)["gradient"]

    def total(row: Tensor, weights: Tensor) -> Tensor:
        return (sine_residual(row[None], frequencies)[0] * weights).sum()

    each = vmap(grad(total))(hidden, upstream)
    assert_close({"gradient": each}, {"gradient": expected})
    jacobian = jacrev(lambda h: sine_residual(h, frequencies))(hidden)
    pulled = torch.einsum("nfmg,nf->mg", jacobian, upstream)
    assert_close({"gradient": pulled}, {"gradient": expected})
    over_frequencies = vmap(sine_residual, in_dims=(None, 0))(
        hidden, torch.stack((frequencies, 2 * frequencies))
    )
    doubled = sine_residual(hidden, 2 * frequencies)
    assert_close({"values": over_frequencies[1]}, {"values": doubled})


def test_numbers_that_are_not_finite_stay_so():
    """A loop that repaired them would hide that training has failed."""
    hidden = torch.tensor([[torch.nan, torch.inf, -torch.inf, 1.0]])
    with implementation("numba"):
        found = sine_residual(hidden, torch.ones(4))[0]
    assert found.isfinite().tolist() == [False, False, False, True]


@pytest.mark.parametrize("count", [1, 3, 5])
def test_one_frequency_per_channel_is_asked_for(count: int):
    with pytest.raises(ShapeError, match=r"expected one for each of 4 channels"):
        sine_residual(torch.zeros(2, 4), torch.ones(count))
