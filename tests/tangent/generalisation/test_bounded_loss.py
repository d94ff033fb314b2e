import dataclasses
import math
from typing import Literal

import pytest
import torch

from tangrid.errors import ConfigError
from tangrid.tangent.generalisation.bounded_loss import (
    CLIPPED_ABSOLUTE,
    CLIPPED_NORM,
    BoundedLoss,
    clipped_square,
)

LOSSES = [CLIPPED_ABSOLUTE, CLIPPED_NORM, clipped_square(0.5), clipped_square(3.0)]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_loss_keeps_its_promise(loss: BoundedLoss):
    for channels in (1, 3):
        assert loss.violations(channels, 10.0) == ""
    assert float(loss(torch.zeros(1, 3))) == 0


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_promised_slope_is_the_least(loss: BoundedLoss):
    flatter = dataclasses.replace(loss, lipschitz=0.99 * loss.lipschitz)
    assert "slope" in flatter.violations(1)


def test_losses_outside_the_range_are_found():
    square = BoundedLoss(
        name="square",
        function=lambda r: r.square().mean(1),
        lipschitz=7.0,
        joining="mean",
    )
    assert "to 16 and its slope reaches 7.99" in square.violations(1, 2.0)
    shifted = BoundedLoss(
        name="shifted",
        function=lambda r: CLIPPED_ABSOLUTE(r) - 0.1,
        lipschitz=1.0,
        joining="mean",
    )
    assert "from -0.1" in shifted.violations(1)


def promised(function, joining: Literal["mean", "joint"]) -> BoundedLoss:
    return BoundedLoss(name="a loss", function=function, lipschitz=1.0, joining=joining)


def test_promise_is_kept_in_all_channels_and_not_in_one_alone():
    steep = promised(lambda r: r.abs().sum(1).clamp(max=1), "joint")
    assert steep.violations(1) == ""
    assert "its slope reaches 1.7" in steep.violations(3)


def test_mean_is_compared_with_the_losses_of_the_channels():
    greatest = promised(lambda r: r.abs().amax(1).clamp(max=1), "mean")
    assert greatest.violations(1) == ""
    assert "off the mean of the losses of 2 channels" in greatest.violations(2)


def test_residuals_as_large_as_those_met_are_probed():
    late = promised(lambda r: (r.abs() - 30).clamp(min=0).mean(1), "mean")
    assert late.violations(1) == ""
    assert "to 10" in late.violations(1, 20.0)
    nothing = promised(lambda r: torch.where(r > 30, torch.nan, 0.0).mean(1), "mean")
    assert "nan" in nothing.violations(1, 20.0)
    with pytest.raises(ConfigError, match="finite largest residual"):
        nothing.violations(1, math.nan)


def test_joining_has_to_be_said():
    with pytest.raises(TypeError, match="joining"):
        BoundedLoss(name="", function=lambda r: r[:, 0], lipschitz=1.0)  # pyright: ignore


def test_channels_are_joined_as_promised():
    residuals = torch.tensor([[0.3, 0.4, 0.0], [3.0, 0.0, 0.0]])
    assert CLIPPED_NORM(residuals).tolist() == pytest.approx([0.5, 1.0])
    assert CLIPPED_ABSOLUTE(residuals).tolist() == pytest.approx([0.7 / 3, 1 / 3])


def test_complexity_of_several_channels():
    assert CLIPPED_ABSOLUTE.complexity_factor(1) == CLIPPED_NORM.complexity_factor(1)
    assert CLIPPED_ABSOLUTE.complexity_factor(4) == 0.5
    assert CLIPPED_NORM.complexity_factor(4) == math.sqrt(2)
    assert clipped_square(0.5).complexity_factor(4) == 2


@pytest.mark.parametrize("loss", [CLIPPED_ABSOLUTE, CLIPPED_NORM])
def test_complexity_factor_bounds_the_complexity(loss: BoundedLoss, seeded):
    """Searches the ball for the largest correlation with signs, and finds no more."""
    points, channels, radius = 20, 3, 0.1
    rows = torch.randn(points, channels, 8, generator=seeded, dtype=torch.float64)
    # Residuals that are neither 0 nor cut off, where the losses are steepest.
    labels = torch.full((points, channels), 0.5, dtype=torch.float64)
    trace = float(rows.square().sum())
    allowed = loss.complexity_factor(channels) * radius * math.sqrt(trace) / points
    found = []
    for _ in range(40):
        drawn = 2.0 * torch.randint(2, (points,), generator=seeded) - 1
        signs = torch.stack((drawn, -drawn)).double()
        weights = torch.randn(200, 8, generator=seeded, dtype=torch.float64)
        weights *= radius / weights.norm(dim=1, keepdim=True)
        outputs = torch.einsum("ncp,wp->wnc", rows, weights)
        losses = loss((labels - outputs).flatten(0, 1)).reshape(200, points)
        # Of a pair of opposite signs what all outputs have in common cancels.
        found.append(float((signs @ losses.T).max(1).values.mean()) / points)
    assert 0.2 * allowed < sum(found) / len(found) < allowed


def test_bad_scale_is_refused():
    with pytest.raises(ConfigError, match="above 0"):
        clipped_square(0.0)
