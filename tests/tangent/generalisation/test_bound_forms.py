import math

import pytest
import torch

from tangrid.tangent.generalisation.bound_forms import (
    BoundForm,
    ball_complexity,
    confidence_term,
    finite_time_form,
)
from tangrid.tangent.generalisation.norm_rules import FixedNorm


def gaussian(seeded: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded, dtype=torch.float64)


def test_chance_by_hand():
    # log(2 / (2 / e^2)) = 2, so that the root is that of 2 / (2 n).
    assert confidence_term(9, 2 * math.exp(-2)) == pytest.approx(1)


def test_sum_says_when_it_says_nothing():
    form = BoundForm(
        name="raw", training_loss=0.3, complexity=0.4, confidence=0.2, is_proven=True
    )
    assert form.total == pytest.approx(0.9)
    assert not form.is_vacuous
    assert str(form).endswith("proven")
    edge = BoundForm(
        name="raw", training_loss=0.5, complexity=0.5, confidence=0.0, is_proven=True
    )
    assert edge.is_vacuous
    assert "VACUOUS" in str(edge)


def test_form_of_any_training_is_the_same(seeded):
    losses = gaussian(seeded, 50, 1).abs().clamp(max=1)[:, 0]
    settings = {"num_channels": 1, "norm": FixedNorm(2.0)}
    form = finite_time_form(losses, 1.5, 30.0, **settings, is_proven=True)
    assert form.is_proven
    assert form.training_loss == pytest.approx(float(losses.mean()))
    assert form.complexity == pytest.approx(2 * 2 * math.sqrt(30) / 50)
    outside = finite_time_form(losses, 2.5, 30.0, **settings, is_proven=True)
    assert not outside.is_proven
    with pytest.raises(TypeError, match="is_proven"):
        finite_time_form(losses, 1.5, 30.0, **settings)


def test_complexity_of_a_ball_is_that_of_rademacher_signs(seeded):
    """The largest correlation in the ball, known for given signs, and its mean."""
    features = gaussian(seeded, 60, 10)
    signs = 2.0 * torch.randint(2, (4000, 60), generator=seeded).double() - 1
    largest = 1.5 * (signs @ features).norm(dim=1) / 60
    allowed = ball_complexity(1.5, float(features.square().sum()), 60) / 2
    assert 0.9 * allowed < float(largest.mean()) < allowed
