import math

import pytest
import torch

from tangrid.decoders import LinearConfig
from tangrid.encodings import DenseGridConfig
from tangrid.errors import ConfigError, ShapeError
from tangrid.fields import EncodedFieldConfig, Field
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent.dynamics.descent import GradientDescent
from tangrid.tangent.generalisation.bound import generalisation_bound
from tangrid.tangent.generalisation.bound_trials import BoundTrials, bound_trials
from tangrid.tangent.generalisation.bounded_loss import BoundedLoss
from tangrid.tangent.generalisation.norm_rules import FixedNorm, NormGrid, NormRule
from tangrid.tangent.kernels.building import tangent_kernel

NODES = 16
BALL = FixedNorm(math.sqrt(NODES))
"""Holds every function whose values at the nodes are between -1 and 1."""
DELTA = 0.05


def line() -> Field:
    config = EncodedFieldConfig(
        encoding=DenseGridConfig(
            num_levels=1, base_resolution=NODES, channels_per_level=1
        ),
        decoder=LinearConfig(bias=False),
    )
    field = config.build(Site(num_dims=1, num_channels=1), generator(0, "init"))
    with torch.no_grad():
        field.get_parameter("decoder.output.weight").fill_(1.0)
    return field


def noisy_wave(count: int, source: torch.Generator):
    x, noise = torch.rand(2, count, 1, generator=source, dtype=torch.float64)
    return x, 0.7 * torch.sin(2 * math.pi * x) + 0.3 * (2 * noise - 1)


def trials(num_points: int, num_trials: int, norm: NormRule = BALL) -> BoundTrials:
    return bound_trials(
        line(),
        "grid",
        noisy_wave,
        num_points=num_points,
        num_trials=num_trials,
        descent=GradientDescent(10 / num_points),
        time=200.0,
        norm=norm,
        delta=DELTA,
        num_fresh=2**12,
        generator=generator(0, "draws"),
    )


def check_that_the_bound_holds(found: BoundTrials) -> None:
    assert found.share_violated <= DELTA
    # With so many draws even the uncertainty of the share stays below delta.
    assert found.share_limit <= DELTA
    assert not found.is_vacuous
    assert float(found.bounds.max()) < 0.9
    assert "VACUOUS" not in str(found)


def test_bound_is_violated_no_more_often_than_it_may():
    check_that_the_bound_holds(trials(num_points=4096, num_trials=80))


@pytest.mark.slow
@pytest.mark.parametrize("norm", [BALL, NormGrid()], ids=["fixed", "row"])
@pytest.mark.parametrize("num_points", [512, 4096])
def test_bound_holds_over_many_draws(num_points: int, norm: NormRule):
    check_that_the_bound_holds(trials(num_points, num_trials=1000, norm=norm))


def test_training_loss_alone_is_no_bound():
    """The same count finds what is not a bound."""
    found = trials(num_points=64, num_trials=20)
    wrong = BoundTrials(
        bounds=found.training_losses,
        population_losses=found.population_losses,
        training_losses=found.training_losses,
        delta=DELTA,
        standard_error=found.standard_error,
    )
    assert wrong.share_violated > 0.9
    assert wrong.num_violations > 18


def test_few_points_make_the_bound_vacuous():
    found = trials(num_points=64, num_trials=3)
    assert found.is_vacuous
    assert "VACUOUS" in str(found)


def test_parameters_that_leave_the_ball_have_no_bound():
    found = trials(num_points=64, num_trials=2, norm=FixedNorm(0.1))
    assert found.bounds.tolist() == [math.inf] * 2
    assert found.num_violations == 0


def test_trial_is_the_bound_of_its_kernel():
    """The small matrix J^T J gives what the kernel J J^T gives."""
    field, source = line(), generator(3, "one trial")
    descent, norm = GradientDescent(0.1), NormGrid()
    found = bound_trials(
        field,
        "grid",
        noisy_wave,
        num_points=100,
        num_trials=1,
        descent=descent,
        time=30.0,
        norm=norm,
        generator=source,
        num_fresh=10,
    )
    again = generator(3, "one trial")
    noisy_wave(10, again)
    x, y = noisy_wave(100, again)
    kernel = tangent_kernel(field, x, parameters="grid")
    with torch.no_grad():
        initial = field.double()(x)
    bound = generalisation_bound(
        kernel, y, initial, descent=descent, time=30.0, norm=norm
    )
    assert float(found.bounds) == pytest.approx(bound.finite_time.total)
    losses = bound.finite_time.training_loss
    assert float(found.training_losses) == pytest.approx(losses)


def test_field_that_is_not_affine_is_refused():
    with pytest.raises(ConfigError, match="affine"):
        bound_trials(
            line(),
            "all",
            noisy_wave,
            num_points=10,
            num_trials=1,
            descent=GradientDescent(0.1),
            norm=BALL,
            generator=generator(0),
        )


def asked(draw=noisy_wave, **settings) -> BoundTrials:
    given = {"num_points": 10, "num_trials": 1, "num_fresh": 10, **settings}
    return bound_trials(
        line(),
        "grid",
        draw,
        descent=GradientDescent(0.1),
        time=3.0,
        norm=BALL,
        generator=generator(0),
        **given,
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"delta": 0.0},
        {"delta": 1.0},
        {"delta": math.nan},
        {"num_points": 0},
        {"num_trials": 0},
        {"num_fresh": 1},
    ],
)
def test_numbers_out_of_range_are_refused(settings: dict):
    with pytest.raises(ConfigError, match=r"expected (a probability|at least 1 point)"):
        asked(**settings)


@pytest.mark.parametrize("where", [0, 1])
def test_draws_that_are_no_numbers_are_refused(where: int):
    def broken(count: int, source: torch.Generator):
        drawn = noisy_wave(count, source)
        drawn[where][0] = math.nan
        return drawn

    with pytest.raises(ShapeError, match=r"expected finite (points|labels), got 1"):
        asked(broken)


def test_losses_that_are_no_numbers_count_as_violations():
    found = BoundTrials(
        bounds=torch.tensor([0.5, 0.5, math.inf]).double(),
        population_losses=torch.tensor([math.nan, 0.4, 0.4]).double(),
        training_losses=torch.zeros(3).double(),
        delta=DELTA,
        standard_error=0.0,
    )
    assert found.num_violations == 1


def test_loss_that_breaks_its_promise_is_refused():
    steep = BoundedLoss(
        name="steep",
        function=lambda r: (3 * r).abs().clamp(max=1).mean(1),
        lipschitz=1.0,
        joining="mean",
    )
    with pytest.raises(ConfigError, match="steep: its slope reaches 3"):
        asked(loss=steep)
