import dataclasses
import math
import warnings

import pytest
import torch

from tangrid.errors import ConfigError, NumericalError, NumericalWarning, ShapeError
from tangrid.tangent.dynamics.descent import (
    Descent,
    GradientDescent,
    GradientFlow,
    as_times,
)
from tangrid.tangent.dynamics.loss_scale import effective_rate, effective_ridge
from tests.tolerances import EXACT_DESCENT

VALUES = torch.tensor([1.9, 1.0, 0.3, 1e-3, 1e-9, 0.0], dtype=torch.float64)
WAYS: list[Descent] = [
    GradientFlow(0.7),
    GradientFlow(0.7, ridge=0.2),
    GradientDescent(0.7),
    GradientDescent(0.7, ridge=0.2),
    GradientDescent(0.7, momentum=0.9),
    GradientDescent(0.7, momentum=0.9, ridge=0.2),
    GradientDescent(0.5, momentum=0.9, nesterov=True),
    GradientDescent(0.45, momentum=0.6, nesterov=True, ridge=0.1),
]
STEPS = [way for way in WAYS if isinstance(way, GradientDescent)]


def optimised(way: GradientDescent, num_steps: int) -> torch.Tensor:
    """Gains after each step: torch's own optimiser on one parameter per mode.

    The displacement d of mode i has the output sqrt(lambda) d and the residual 1, so
    that d = sqrt(lambda) h. Weight decay of a displacement is a ridge.
    """
    root = VALUES.sqrt()
    moved = torch.zeros_like(VALUES, requires_grad=True)
    optimizer = torch.optim.SGD(
        [moved],
        lr=way.rate,
        momentum=way.momentum,
        nesterov=way.nesterov,
        weight_decay=way.ridge,
    )
    found = [moved.detach().clone()]
    for _ in range(num_steps):
        optimizer.zero_grad()
        (0.5 * (root * moved - 1).square().sum()).backward()
        optimizer.step()
        found.append(moved.detach().clone())
    return torch.stack(found)


@pytest.mark.parametrize("way", STEPS, ids=repr)
def test_steps_are_those_of_the_optimiser(way: GradientDescent):
    moved = optimised(way, 60)
    answer = way.response(VALUES, torch.arange(61))
    assert torch.allclose(
        VALUES.sqrt() * answer.gains, moved, rtol=0, atol=EXACT_DESCENT
    )
    left = 1 - VALUES.sqrt() * moved
    assert torch.allclose(answer.factors, left, rtol=0, atol=EXACT_DESCENT)


@pytest.mark.parametrize("way", WAYS, ids=repr)
def test_factor_and_gain_belong_together(way: Descent):
    answer = way.response(VALUES, [0, 1, 7, 1000])
    assert torch.allclose(answer.factors, 1 - VALUES * answer.gains, rtol=0, atol=1e-12)


@pytest.mark.parametrize("way", WAYS, ids=repr)
def test_nothing_happens_at_time_zero(way: Descent):
    answer = way.response(VALUES, 0.0)
    assert torch.equal(answer.factors, torch.ones(1, len(VALUES)).double())
    assert not answer.gains.any()


@pytest.mark.parametrize("way", WAYS, ids=repr)
def test_limit_is_what_late_times_tend_to(way: Descent):
    found = VALUES[:4]
    limit, late = way.response(found, math.inf), way.response(found, 10**6)
    assert torch.allclose(limit.factors, late.factors, rtol=0, atol=EXACT_DESCENT)
    assert torch.allclose(limit.gains, late.gains, rtol=EXACT_DESCENT)
    wanted = way.ridge / (found + way.ridge)
    assert torch.allclose(limit.factors[0], wanted, rtol=1e-14)


@pytest.mark.parametrize("way", WAYS, ids=repr)
def test_gain_of_a_zero_eigenvalue_is_the_limit_of_small_ones(way: Descent):
    answer = way.response(torch.tensor([0.0, 1e-14]).double(), [3.0, 50.0])
    zero, small = answer.gains.T
    assert torch.allclose(zero, small, rtol=1e-10)
    assert torch.equal(answer.factors[:, 0], torch.ones(2).double())


def test_plain_descent_moves_a_zero_mode_at_constant_speed():
    gains = GradientDescent(0.25).response(torch.zeros(1).double(), [1, 8]).gains
    assert gains.flatten().tolist() == [0.25, 2.0]


@pytest.mark.parametrize("way", WAYS, ids=repr)
def test_a_zero_mode_never_settles_without_a_ridge(way: Descent):
    answer = way.response(torch.zeros(1).double(), math.inf)
    assert float(answer.factors) == 1.0
    wanted = 1 / way.ridge if way.ridge else math.inf
    assert float(answer.gains) == pytest.approx(wanted)


def test_small_steps_tend_to_the_flow():
    flow = GradientFlow(1.0).response(VALUES, 2.0)
    for steps in (1000, 2000):
        descent = GradientDescent(2.0 / steps).response(VALUES, steps)
        worst = (descent.factors - flow.factors).abs().max()
        # First order: t (eta lambda)^2 / 2 e^(-lambda t) at its largest.
        assert 0 < worst < 1.2 * 2 * math.exp(-2) / steps


def test_slow_modes_keep_their_digits():
    values = torch.tensor([1e-13], dtype=torch.float64)
    answer = GradientDescent(1.0).response(values, [10**12])
    assert float(answer.factors) == pytest.approx(math.exp(-0.1), rel=1e-12)
    assert float(answer.gains) == pytest.approx(-math.expm1(-0.1) / 1e-13, rel=1e-12)
    heavy = GradientDescent(1.0, momentum=0.5).response(values, [10**12])
    assert float(heavy.gains) == pytest.approx(-math.expm1(-0.2) / 1e-13, rel=1e-3)


@pytest.mark.parametrize("way", STEPS, ids=repr)
def test_stability_ends_where_it_is_said_to(way: GradientDescent):
    limit = way.largest_stable_rate(4.0)
    for share, grows in ((0.999, False), (1.001, True)):
        same = {"momentum": way.momentum, "nesterov": way.nesterov, "ridge": way.ridge}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NumericalWarning)
            answer = GradientDescent(share * limit, **same).response(
                torch.tensor([4.0]).double(), [4000, 8000]
            )
        left = (answer.factors - way.ridge / (4 + way.ridge)).abs().flatten()
        assert bool(left[1] > left[0]) == grows


@pytest.mark.parametrize("way", WAYS, ids=repr)
def test_modes_decay_in_their_time_constants(way: Descent):
    values = VALUES[:4]
    constants = way.time_constants(values)
    later = (200 * constants).ceil()
    # What the ridge leaves behind would hide a gap of e^-200.
    bare = dataclasses.replace(way, ridge=0.0)
    gap = bare.response(values + way.ridge, later).factors.diagonal().abs()
    # Momentum swings about its pace.
    slack = 0.05 if getattr(way, "momentum", 0.0) else 1e-9
    assert torch.allclose(-gap.log() / later, 1 / constants, rtol=slack)
    assert torch.allclose(way.times_to_decay(values, math.e**3), 3 * constants)


def test_the_best_rate_settles_a_mode_at_once():
    one = torch.ones(1).double()
    assert float(GradientDescent(1.0).time_constants(one)) == 0.0
    assert GradientDescent(1.0).response(one, [1]).factors.tolist() == [[0.0]]


def test_divergence_is_named():
    values = torch.tensor([4.0, 1.0]).double()
    with pytest.warns(NumericalWarning, match=r"1 of 2 modes diverge.*below 0\.5"):
        answer = GradientDescent(0.6).response(values, [1, 2])
    assert answer.factors[:, 0].tolist() == pytest.approx([-1.4, 1.96])
    assert answer.gains[:, 0].tolist() == pytest.approx([0.6, -0.24])
    with pytest.raises(NumericalError, match="there is no limit"):
        GradientDescent(0.6).response(values, math.inf)
    with (
        pytest.warns(NumericalWarning),
        pytest.raises(NumericalError, match="grow beyond all numbers before time 9999"),
    ):
        GradientDescent(0.6).response(values, 9999)


def test_a_rate_at_the_limit_has_no_limit_but_finite_times():
    value = torch.tensor([4.0]).double()
    swinging = GradientDescent(0.5).response(value, [1, 2])
    assert swinging.factors.flatten().tolist() == [-1.0, 1.0]
    assert swinging.gains.flatten().tolist() == [0.5, 0.0]
    with pytest.raises(NumericalError, match=r"below 0\.5"):
        GradientDescent(0.5).response(value, math.inf)


def test_modes_that_stand_still_take_for_ever():
    zero = torch.zeros(1).double()
    assert math.isinf(GradientFlow(1.0).time_constants(zero))
    assert math.isinf(GradientDescent(1.0, 0.9).time_constants(zero))
    assert math.isinf(GradientDescent(1.0).largest_stable_rate(0.0))


@pytest.mark.parametrize("loss", ["sum", "mse", "half-mse"])
def test_rates_are_turned_by_the_loss(loss, seeded: torch.Generator):
    outputs = torch.randn(4, 3, dtype=torch.float64, generator=seeded)
    outputs.requires_grad_()
    value = {
        "sum": 0.5 * outputs.square().sum(),
        "mse": torch.nn.functional.mse_loss(outputs, torch.zeros_like(outputs)),
        "half-mse": 0.5 * outputs.square().mean(),
    }[loss]
    value.backward()
    assert outputs.grad is not None
    step = 0.3 * outputs.grad / outputs.detach()
    assert torch.allclose(step, torch.full_like(step, effective_rate(0.3, loss, 12)))
    # A step pulls by rate x decay, whatever the loss.
    pull = effective_rate(0.3, loss, 12) * effective_ridge(0.01, loss, 12)
    assert pull == pytest.approx(0.3 * 0.01)


def test_times_come_in_any_order_and_repeated():
    way = GradientDescent(0.7, momentum=0.9)
    mixed = way.response(VALUES, [5, 0, 5, 12])
    sorted_ = way.response(VALUES, [0, 5, 12])
    assert torch.equal(mixed.factors, sorted_.factors[[1, 0, 1, 2]])
    assert torch.equal(mixed.gains, sorted_.gains[[1, 0, 1, 2]])


def test_times_are_a_row_of_float64():
    assert as_times(3).tolist() == [3.0]
    assert as_times([1, math.inf]).dtype == torch.float64


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (-1.0, "got -1.0 among 1"),
        ([1.0, math.nan], "got nan among 2"),
        ([], r"got shape \[0\]"),
        (torch.ones(2, 2), r"got shape \[2, 2\]"),
    ],
)
def test_impossible_times_are_refused(times, words: str):
    with pytest.raises(ShapeError, match=words):
        GradientFlow(1.0).response(VALUES, times)


def test_steps_are_whole():
    with pytest.raises(ShapeError, match=r"whole numbers of steps, got 1\.5"):
        GradientDescent(0.1).response(VALUES, [1.0, 1.5, math.inf])


def test_late_steps_are_not_rounded_in_single_precision():
    """Step 2^24 + 1 is odd, and has no float32."""
    one = torch.ones(1)
    found = GradientDescent(2 - 1e-9).response(one, [2**24, 2**24 + 1])
    assert found.factors.dtype == torch.float32
    assert found.factors.flatten().tolist() == pytest.approx([0.98336, -0.98336], 1e-4)


@pytest.mark.parametrize("factor", [0.5, 1.0, math.inf, math.nan])
def test_impossible_decays_are_refused(factor: float):
    with pytest.raises(ConfigError, match="above 1"):
        GradientFlow(1.0).times_to_decay(VALUES, factor)


def test_impossible_losses_are_refused():
    for turn in (effective_rate, effective_ridge):
        with pytest.raises(ConfigError, match="got 'mse' over 0"):
            turn(0.1, "mse", 0)
        with pytest.raises(ConfigError, match="got 'l1' over 5"):
            turn(0.1, "l1", 5)


@pytest.mark.parametrize("way", WAYS, ids=repr)
def test_nothing_swings_after_the_time_of_swings(way: Descent):
    bare = dataclasses.replace(way, ridge=0.0)
    last = math.ceil(way.swing_time(VALUES))
    left = bare.response(VALUES + way.ridge, torch.arange(last, last + 200)).factors
    assert (left.diff(dim=0) <= 1e-15).all()
    assert (left >= -1e-15).all()


def test_negative_eigenvalues_are_refused():
    with pytest.raises(ShapeError, match="1 of 2 others, the least -1e-17"):
        GradientFlow(1.0).response(torch.tensor([1.0, -1e-17]).double(), 1.0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GradientFlow(0.0), "rate above 0"),
        (lambda: GradientFlow(math.nan), "rate above 0"),
        (lambda: GradientDescent(0.1, ridge=-1.0), "ridge of at least 0"),
        (lambda: GradientDescent(0.1, momentum=1.0), "below 1"),
        (lambda: GradientDescent(0.1, nesterov=True), "above 0 with nesterov"),
    ],
)
def test_impossible_descents_are_refused(make, words: str):
    with pytest.raises(ConfigError, match=words):
        make()
