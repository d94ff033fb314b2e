import dataclasses
import math
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from tangrid.errors import ConfigError
from tangrid.fields import Field
from tangrid.fields.coordinate_gradient import value_and_gradient
from tangrid.ops.contract import ImplementationName, implementation
from tangrid.tasks.sdf_losses import DistanceLoss, SdfLoss
from tangrid.tasks.sdf_regression import SdfBatch, SdfRegression
from tangrid.training import TrainingSettings, fit
from tests.ops.comparison import assert_close
from tests.training.small_shapes import (
    SMOOTH_FIELDS,
    build_in_space,
    shape_task,
    trained,
)

KINDS: tuple[DistanceLoss, ...] = get_args(DistanceLoss)
SLOPED = SdfLoss(kind="l1", eikonal=0.3, normals=0.7)
SIREN = SdfLoss(kind="siren", eikonal=50.0, normals=100.0)


def by_hand(kind: DistanceLoss, f: float, t: float) -> float:
    match kind:
        case "mape":
            return abs(f - t) / (abs(t) + 0.01)
        case "l1":
            return abs(f - t)
        case "l2":
            return (f - t) ** 2
        case "truncated-l1":
            return abs(min(max(f, -0.1), 0.1) - min(max(t, -0.1), 0.1))
        case "siren":
            # Twice the length of the unit box, in a box of sides 2.
            if t == 0:
                return 3000 * abs(2 * f)
            return 100 * math.exp(-100 * abs(2 * f)) if abs(t) > 0.02 else 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_their_formulas(kind: DistanceLoss):
    pairs = [
        (f, t)
        for f in (-0.4, -0.03, 0.0, 0.002, 0.3)
        for t in (-0.2, -0.02, 0.0, 0.05, 0.5)
    ]
    found, wanted = torch.tensor(pairs, dtype=torch.float64).T
    expected = [by_hand(kind, f, t) for f, t in pairs]
    assert SdfLoss(kind=kind).of_values(found, wanted).tolist() == pytest.approx(
        expected
    )


def test_lengths_of_a_loss_are_settings():
    found, wanted = torch.tensor([0.5, 0.0]), torch.tensor([0.25, -0.25])
    mape = SdfLoss(kind="mape", epsilon=0.25)
    assert mape.of_values(found, wanted).tolist() == [0.5, 0.5]
    clamped = SdfLoss(kind="truncated-l1", truncation=0.375)
    assert clamped.of_values(found, wanted).tolist() == [0.125, 0.25]


def test_nothing_pulls_a_sign_that_is_right():
    found = torch.tensor([0.5, -0.5], requires_grad=True)
    loss = SdfLoss(kind="truncated-l1").of_values(found, torch.tensor([0.2, -0.9]))
    assert loss.tolist() == [0.0, 0.0]
    assert not torch.autograd.grad(loss.sum(), found)[0].any()


def test_slopes_and_directions_are_weighed():
    up = [0.0, 0.0, 1.0]
    found = torch.tensor([up, [0.0, 0.0, -3.0], [2.0, 0.0, 0.0], [0.3, 0.0, 0.4]])
    normals = torch.tensor([up, up, up, [0.0, 0.0, 0.0]])
    slopes = SdfLoss(eikonal=2.0).of_gradients(found, normals)
    assert slopes.tolist() == pytest.approx([0.0, 4.0, 2.0, 1.0])
    # Right, turned around, at right angles, and nowhere near the surface.
    turns = SdfLoss(normals=5.0).of_gradients(found, normals)
    assert turns.tolist() == pytest.approx([0.0, 10.0, 5.0, 0.0])
    both = SdfLoss(eikonal=2.0, normals=5.0).of_gradients(found, normals)
    assert torch.allclose(both, slopes + turns)


def test_a_slope_of_zero_has_no_direction():
    found = torch.zeros(2, 3, requires_grad=True)
    normals = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    loss = SIREN.of_gradients(found, normals)
    assert loss.tolist() == [150.0, 50.0]
    (pull,) = torch.autograd.grad(loss.sum(), found)
    assert not pull.any()


class Tilted(Field):
    """A plane of slope 0.5, turned by 60 degrees."""

    num_dims = 3
    num_channels = 1

    def forward(self, coords: Tensor) -> Tensor:
        way = torch.tensor([math.sqrt(0.75), 0.0, 0.5])
        return 0.5 * (coords @ way)[:, None] - 0.1

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {}


def test_sirens_recipe_adds_up():
    """3000 |f| or 100 exp(-100 |f|), 50 of slope, 100 of normals, sides of 2."""
    up = torch.tensor([0.0, 0.0, 1.0])
    coords = torch.tensor([[0.2, 0.3, 0.5], [0.2, 0.3, 0.9]])
    batch = SdfBatch(
        coords, torch.tensor([[0.0], [0.4]]), torch.stack([up, torch.zeros(3)])
    )

    values = (0.5 * (coords[:, 0] * math.sqrt(0.75) + coords[:, 2] * 0.5) - 0.1).abs()
    on, off = values.tolist()
    expected = 3000 * 2 * on + 100 * math.exp(-100 * 2 * off) + 2 * 50 * 0.5 + 100 * 0.5
    found = shape_task(SIREN).loss(Tilted(), batch)
    assert found.item() == pytest.approx(expected / 2, rel=1e-5)


def test_gradients_are_asked_for_where_they_count():
    assert not SdfLoss().needs_gradients
    assert SdfLoss(eikonal=1e-3).needs_gradients
    assert SdfLoss(normals=1e-3).needs_gradients


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "huber"}, r"loss\.kind"),
        ({"epsilon": 0.0}, r"loss\.epsilon: expected a length > 0 .* got 0\.0"),
        ({"epsilon": math.nan}, r"loss\.epsilon"),
        ({"truncation": -1.0}, r"loss\.truncation"),
        ({"eikonal": -0.1}, r"loss\.eikonal: expected a weight >= 0, got -0\.1"),
        ({"normals": math.inf}, r"loss\.normals"),
    ],
)
def test_weights_that_are_none_are_refused(changes: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        SdfLoss(**changes)


def few(task: SdfRegression, count: int) -> SdfBatch:
    """Some points on the surface and some off it, in float64."""
    batch = task.batch(0)
    on = (batch.targets[:, 0] == 0).nonzero()[:count, 0]
    off = (batch.targets[:, 0] != 0).nonzero()[:count, 0]
    tensors = (batch.coords, batch.targets, batch.normals)
    return SdfBatch(*(tensor[torch.cat((on, off))].double() for tensor in tensors))


class Moved(Field):
    """A field with other parameters."""

    def __init__(self, field: Field, parameters: dict[str, Tensor]) -> None:
        super().__init__()
        self.num_dims, self.num_channels = field.num_dims, field.num_channels
        # Not modules of this one: what they hold is not read.
        self.call = lambda coords: functional_call(field, parameters, (coords,))

    def forward(self, coords: Tensor) -> Tensor:
        return self.call(coords)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {}


@pytest.mark.parametrize("loss", [SLOPED, SIREN], ids=["l1", "siren"])
@pytest.mark.parametrize("name", sorted(SMOOTH_FIELDS))
def test_gradients_of_parameters_are_finite_differences(name: str, loss: SdfLoss):
    field = build_in_space(SMOOTH_FIELDS[name]).double()
    task = shape_task(loss)
    batch = few(task, 2)
    names = list(trained(field))
    start = [p.detach().clone().requires_grad_() for p in trained(field).values()]

    def value(*parameters: Tensor) -> Tensor:
        return task.loss(Moved(field, dict(zip(names, parameters, strict=True))), batch)

    with implementation("reference"):
        assert torch.autograd.gradcheck(
            value, start, atol=1e-6, rtol=1e-5, fast_mode=True
        )


@pytest.mark.parametrize("kind", ["mape", "siren"])
@pytest.mark.parametrize("name", sorted(SMOOTH_FIELDS))
def test_implementations_give_the_same_gradients(name: str, kind: DistanceLoss):
    field = build_in_space(SMOOTH_FIELDS[name])
    task = shape_task(dataclasses.replace(SLOPED, kind=kind))
    batch = task.batch(0)

    def gradients(chosen: ImplementationName) -> dict[str, Tensor]:
        with implementation(chosen):
            loss = task.loss(field, batch)
            found = torch.autograd.grad(loss, list(trained(field).values()))
        gradients = dict(zip(trained(field), found, strict=True))
        return {**gradients, "loss": loss.detach()}

    assert_close(gradients("auto"), gradients("reference"))


def test_a_field_learns_the_slope_it_is_asked_for():
    field = build_in_space(SMOOTH_FIELDS["siren"])
    task = shape_task(SdfLoss(kind="l1", eikonal=1.0))
    coords = task.batch(0).coords

    def deviation() -> float:
        slopes = value_and_gradient(field, coords).gradients.norm(dim=1)
        return float((slopes - 1).abs().mean())

    before = deviation()
    rates = {"decoder": 2e-3}
    fit(task, field, TrainingSettings(steps=40, rates=rates, threads=1))
    assert deviation() < 0.7 * before
