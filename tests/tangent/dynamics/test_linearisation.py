import copy
import math

import pytest
import torch
from torch import Tensor

from tangrid.decoders import LinearConfig, ReluMlpConfig
from tangrid.encodings import FourierConfig, HashGridConfig
from tangrid.errors import ConfigError, ShapeError
from tangrid.fields import EncodedFieldConfig, Field, SirenConfig
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent import tangent_kernel
from tangrid.tangent.dynamics.descent import GradientDescent, GradientFlow
from tangrid.tangent.dynamics.linearisation import (
    LinearisedField,
    predicted_displacement,
    relative_displacement,
)
from tangrid.tangent.dynamics.regression import KernelRegression
from tests.tolerances import EXACT_DESCENT, LINEAR_ALGEBRA

GRID = HashGridConfig(num_levels=3, base_resolution=4, growth=2.0, log2_table_size=6)
FIELDS = {
    "grid and perceptron": EncodedFieldConfig(
        encoding=GRID, decoder=ReluMlpConfig(width=16)
    ),
    "fourier features": EncodedFieldConfig(
        encoding=FourierConfig(num_frequencies=8, bandwidth_cycles=1.0),
        decoder=ReluMlpConfig(width=16, bias=True, init="uniform"),
    ),
    "sines": SirenConfig(width=16, num_hidden=1),
}


def built(config) -> Field:
    site = Site(num_dims=2, num_channels=2)
    field = config.build(site, generator(0, "init")).double()
    with torch.no_grad():
        for group, members in field.parameter_groups().items():
            if group == "grid":
                # Features near 0 would leave the perceptron nothing to bend.
                for parameter in members:
                    parameter.mul_(1e3)
    return field


@pytest.fixture(params=FIELDS)
def field(request: pytest.FixtureRequest) -> Field:
    return built(FIELDS[request.param])


@pytest.fixture
def points(seeded: torch.Generator) -> Tensor:
    return torch.rand(20, 2, generator=seeded, dtype=torch.float64)


@pytest.fixture
def targets(points: Tensor) -> Tensor:
    angle = 6 * points[:, 0] - 2 * points[:, 1]
    return torch.stack((angle.sin(), angle.cos()), dim=1)


def step_of(line: LinearisedField, random: torch.Generator) -> dict[str, Tensor]:
    """A displacement of random direction, of the size of the parameters."""
    return {
        name: torch.randn(moved.shape, generator=random, dtype=torch.float64)
        for name, moved in zip(line.names, line.displacement, strict=True)
    }


def moved(field: Field, step: dict[str, Tensor], share: float) -> Field:
    other = copy.deepcopy(field)
    with torch.no_grad():
        for name, change in step.items():
            other.get_parameter(name).add_(share * change)
    return other


def test_it_begins_as_the_field(field: Field, points: Tensor):
    assert torch.allclose(LinearisedField(field)(points), field(points), rtol=1e-14)


def test_it_is_the_tangent(field: Field, points: Tensor, seeded: torch.Generator):
    """Central differences of the real field, along a random direction."""
    line = LinearisedField(field)
    step, tiny = step_of(line, seeded), 1e-6
    ahead, back = (moved(field, step, share)(points) for share in (tiny, -tiny))
    line.move_to(step)
    slope = line(points) - field(points)
    assert slope.norm() > 0.1
    off = (slope - (ahead - back) / (2 * tiny)).norm() / slope.norm()
    assert off < 1e-7


def test_training_it_is_what_the_kernel_says(
    field: Field, points: Tensor, targets: Tensor, seeded: torch.Generator
):
    """In torch's optimiser, on the training points and elsewhere, to rounding."""
    kernel = tangent_kernel(field, points)
    rate = 1.0 / kernel.eigensystem.largest
    descent = GradientDescent(rate, momentum=0.5, ridge=1e-3)
    elsewhere = torch.rand(7, 2, generator=seeded, dtype=torch.float64)
    fit = KernelRegression(kernel, targets, field(points), descent=descent)
    across = tangent_kernel(field, elsewhere, points)
    line = LinearisedField(field)
    optimizer = torch.optim.SGD(
        line.displacement.parameters(), lr=rate, momentum=0.5, weight_decay=1e-3
    )
    for _ in range(40):
        optimizer.zero_grad()
        (0.5 * (line(points) - targets).square().sum()).backward()
        optimizer.step()
    found = line(points).detach()
    assert torch.allclose(fit.predict(40)[0], found, rtol=0, atol=EXACT_DESCENT)
    there = fit.predict(40, across, field(elsewhere))[0]
    assert torch.allclose(there, line(elsewhere).detach(), rtol=0, atol=EXACT_DESCENT)
    predicted = predicted_displacement(field, points, fit.weights(40)[0])
    for name, change in zip(line.names, line.displacement, strict=True):
        assert torch.allclose(
            predicted[name], change.detach(), rtol=0, atol=EXACT_DESCENT
        )


def test_a_predicted_displacement_makes_the_predicted_outputs(
    field: Field, points: Tensor, targets: Tensor
):
    fit = KernelRegression(
        tangent_kernel(field, points), targets, field(points),
        descent=GradientFlow(1.0, ridge=0.01),
    )  # fmt: skip
    line = LinearisedField(field)
    weights = fit.weights(math.inf)[0]
    line.move_to(predicted_displacement(field, points, weights))
    found = line(points).detach()
    assert torch.allclose(fit.predict(math.inf)[0], found, atol=EXACT_DESCENT, rtol=0)


def test_a_field_linear_in_its_features_is_its_own_tangent(
    points: Tensor, seeded: torch.Generator
):
    field = built(EncodedFieldConfig(encoding=GRID, decoder=LinearConfig()))
    line = LinearisedField(field, "grid")
    step = step_of(line, seeded)
    line.move_to(step)
    other = moved(field, step, 1.0)
    assert torch.allclose(line(points), other(points), rtol=LINEAR_ALGEBRA)
    assert not torch.allclose(line(points), field(points))


def test_its_kernel_stays_where_it_was(
    field: Field, points: Tensor, seeded: torch.Generator
):
    before = tangent_kernel(field, points).to_dense()
    line = LinearisedField(field)
    line.move_to(step_of(line, seeded))
    after = tangent_kernel(line, points, implementation="jacobian").to_dense()
    assert (after - before).abs().max() < LINEAR_ALGEBRA * before.abs().max()


def test_only_the_displacement_is_trained(field: Field):
    line = LinearisedField(field)
    trained = [p for p in line.parameters() if p.requires_grad]
    assert {id(p) for p in trained} == {id(p) for p in line.displacement}
    sizes = {
        group: [p.shape for p in members]
        for group, members in field.parameter_groups().items()
        if members
    }
    assert {
        group: [p.shape for p in members]
        for group, members in line.parameter_groups().items()
    } == sizes


def test_field_and_tangent_do_not_disturb_each_other(
    field: Field, points: Tensor, seeded: torch.Generator
):
    line = LinearisedField(field)
    before = line(points).detach()
    step = step_of(line, seeded)
    with torch.no_grad():
        for name, change in step.items():
            field.get_parameter(name).add_(change)
    assert torch.equal(line(points), before)
    assert field.training
    assert all(p.requires_grad for p in field.parameters())


def test_a_copy_is_whole(field: Field, points: Tensor, seeded: torch.Generator):
    line = LinearisedField(field)
    line.move_to(step_of(line, seeded))
    other = copy.deepcopy(line).float()
    assert other(points.float()).dtype == torch.float32
    assert torch.allclose(other(points.float()).double(), line(points), atol=1e-3)


def test_displacements_are_compared_with_what_they_move():
    field = built(FIELDS["grid and perceptron"])
    table = field.get_parameter("encoding.table").detach()
    found = relative_displacement(field, {"encoding.table": 0.25 * table})
    assert found == {"grid": pytest.approx(0.25)}
    with torch.no_grad():
        field.get_parameter("encoding.table").zero_()
    assert relative_displacement(field, {"encoding.table": table}) == {"grid": math.inf}


def test_what_does_not_fit_is_refused(points: Tensor):
    field = built(FIELDS["grid and perceptron"])
    with pytest.raises(ConfigError, match="parameters='colour'"):
        LinearisedField(field, "colour")
    line = LinearisedField(field, "grid")
    with pytest.raises(ShapeError, match=r"expected changes of \{'encoding.table'"):
        line.move_to({"table": torch.zeros(1)})
    with pytest.raises(ShapeError, match=r"weights=.*expected shape \[20, 2\]"):
        predicted_displacement(field, points, torch.zeros(20, 3).double())
    with pytest.raises(ShapeError):
        line(points + 2)
