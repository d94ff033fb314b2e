"""Running sums in one order, alone and where operators take them."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from tangrid.ops import composite as compositing
from tangrid.ops.ray_march import Steps, march, occupied_cells
from tangrid.ops.running_sum import doubled_sum, running_sum
from tangrid.rendering.distortion import distortion
from tangrid.rendering.sampling import resampled, stratified
from tangrid.rendering.scene_space import BoxRays
from tangrid.seeding import generator
from tests.ops.grid_cases import in_one_order
from tests.tolerances import PARITY_FLOAT32, PARITY_FLOAT64

BOUNDS = torch.tensor([0, 3, 3, 8, 20])


@pytest.fixture
def one_order() -> Iterator[None]:
    with in_one_order():
        yield


def drawn(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=generator(0, "sums"), dtype=dtype)


@pytest.mark.parametrize("shape", [(0,), (1,), (2,), (3, 64), (65,), (2, 3, 1000)])
def test_additions_of_doubling_reach_give_the_running_sum(shape: tuple[int, ...]):
    values = drawn(*shape, dtype=torch.float64) - 0.5
    expected = values.cumsum(-1)
    error = (doubled_sum(values) - expected).abs()
    assert not error.numel() or float(error.max()) < PARITY_FLOAT64


def test_whole_numbers_are_exact_and_infinity_stays_where_it_is():
    assert doubled_sum(torch.arange(100)).equal(torch.arange(100).cumsum(0))
    values = torch.tensor([1.0, torch.inf, 1.0, torch.nan, 1.0])
    found = doubled_sum(values)
    assert found[:3].tolist() == [1.0, torch.inf, torch.inf]
    assert bool(found[3:].isnan().all())


def test_derivatives_of_any_order():
    values = drawn(2, 5, dtype=torch.float64).requires_grad_()

    def of(x: Tensor) -> Tensor:
        return doubled_sum(x).square()

    assert torch.autograd.gradcheck(of, values)
    assert torch.autograd.gradgradcheck(of, values)


@pytest.mark.parametrize("is_ordered", [False, True])
def test_a_cpu_has_one_order_anyway(is_ordered: bool):
    values = drawn(7, 1000)
    with in_one_order() if is_ordered else nullcontext():
        assert running_sum(values).equal(values.cumsum(-1))


def test_a_device_has_one_order_where_it_is_asked_for(
    pretend: torch.device, one_order: None
):
    values = drawn(7, 1000)
    with pytest.raises(RuntimeError, match="does not have a deterministic"):
        values.to(pretend).cumsum(-1)
    found = running_sum(values.to(pretend)).cpu()
    assert found.equal(doubled_sum(values))


def second_order(place: torch.device | str) -> Tensor:
    """What a loss of gradients of the reference hands back to the thickness."""
    thickness = drawn(20).to(place).requires_grad_()
    seen = compositing.composite(
        thickness, drawn(20, 3).to(place), drawn(20).to(place), BOUNDS.to(place)
    )
    total = seen.colour.square().sum() + seen.depth.sum()
    (slope,) = torch.autograd.grad(total, thickness, create_graph=True)
    return torch.autograd.grad(slope.square().sum(), thickness)[0]


def spread(place: torch.device | str) -> Tensor:
    weights = drawn(20).to(place).requires_grad_()
    places = drawn(20).cumsum(0).to(place)
    found = distortion(weights, places, places, BOUNDS.to(place))
    return torch.autograd.grad(found.square().sum(), weights)[0]


def rays_and_cells(place: torch.device | str) -> tuple[BoxRays, ...]:
    origins, ways = torch.full((9, 3), -1.0), drawn(9, 3) + 0.5
    limits = torch.zeros(9), torch.full((9,), 9.0), torch.ones(9)
    rays = BoxRays(*(part.to(place) for part in (origins, ways, *limits)))
    return rays, occupied_cells(torch.ones(1, 8, 8, 8, dtype=torch.bool).to(place))


def marched(place: torch.device | str) -> Tensor:
    rays, cells = rays_and_cells(place)
    offsets = torch.full((9,), 0.5).to(place)
    densities = torch.full((512,), 5.0).to(place)
    steps, more = Steps(shortest=0.05), {"most_thickness": 1.9}
    found = march(*rays[:4], offsets, cells, steps, densities=densities, **more)
    return found.distances


def sampled_anew(place: torch.device | str) -> Tensor:
    rays, cells = rays_and_cells(place)
    offsets = torch.full((9,), 0.5).to(place)
    coarse = stratified(rays, cells, 8, offsets)
    weights = drawn(len(coarse.distances)).to(place)
    return resampled(rays, cells, coarse, weights, 9, offsets).distances


@pytest.mark.parametrize("results", [second_order, spread, marched, sampled_anew])
def test_operators_run_on_a_device_where_one_order_is_asked_for(
    results, pretend: torch.device, one_order: None
):
    expected, found = results("cpu"), results(pretend).cpu()
    torch.testing.assert_close(
        found, expected, rtol=PARITY_FLOAT32, atol=PARITY_FLOAT32
    )
