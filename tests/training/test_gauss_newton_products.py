import math
from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, jacrev

from tangrid.decoders import LinearConfig, ReluMlpConfig, SineResidualMlpConfig
from tangrid.encodings import (
    FourierConfig,
    HashGridConfig,
    MulfaGridConfig,
    PlaneGridConfig,
)
from tangrid.fields import (
    EncodedFieldConfig,
    Field,
    FieldConfig,
    FinerConfig,
    SirenConfig,
)
from tangrid.fields.workers import Workers
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tasks import PointBatch
from tangrid.training.gauss_newton_pieces import field_parts
from tangrid.training.gauss_newton_products import Products
from tangrid.training.gauss_newton_solver import damped_step
from tests.tolerances import (
    LINEAR_MODEL_BY_ITERATION,
    PARITY_FLOAT32,
    PARITY_FLOAT64,
)

GRID = HashGridConfig(num_levels=3, base_resolution=3, log2_table_size=5)
RELU = ReluMlpConfig(width=8)
SINE = SineResidualMlpConfig(width=8, highest_frequency=10.0)
FIELDS = {
    "grid, relu": EncodedFieldConfig(encoding=GRID, decoder=RELU),
    "grid, sine": EncodedFieldConfig(encoding=GRID, decoder=SINE),
    "faded grid, linear": EncodedFieldConfig(
        encoding=HashGridConfig(num_levels=3, base_resolution=3, footprint=0.05),
        decoder=LinearConfig(),
    ),
    "fourier": EncodedFieldConfig(
        encoding=FourierConfig(num_frequencies=6),
        decoder=ReluMlpConfig(width=8, bias=True, output_activation="sigmoid"),
    ),
    "siren": SirenConfig(width=6, num_hidden=1, frequency=5.0),
    "finer": FinerConfig(width=6, num_hidden=1, frequency=5.0),
    "mulfagrid": EncodedFieldConfig(
        encoding=MulfaGridConfig(num_levels=2, base_resolution=3, log2_table_size=5),
        decoder=SINE,
    ),
    "planes": EncodedFieldConfig(
        encoding=PlaneGridConfig(num_scales=1, channels_per_scale=2), decoder=RELU
    ),
}
BY_HAND = {
    "grid, relu",
    "grid, sine",
    "faded grid, linear",
    "fourier",
    "siren",
    "finer",
}
WITH_TABLE = ["grid, relu", "grid, sine", "faded grid, linear"]


@pytest.fixture
def workers() -> Iterator[Workers]:
    with Workers(2) as workers:
        yield workers


def build(config: FieldConfig, dtype: torch.dtype = torch.float64) -> Field:
    field = config.build(Site(num_dims=2, num_channels=3), generator(0, "init"))
    source = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in field.parameter_groups().get("grid", []):
            parameter.normal_(std=0.5, generator=source)
    return field.to(dtype)


def batch_of(points: int = 11, dtype: torch.dtype = torch.float64) -> PointBatch:
    source = torch.Generator().manual_seed(2)
    coords = torch.rand(points, 2, generator=source, dtype=dtype)
    return PointBatch(coords, torch.rand(points, 3, generator=source, dtype=dtype))


def parameters_of(field: Field) -> list[Tensor]:
    return [p for group in field.parameter_groups().values() for p in group]


def made(field: Field, batch: PointBatch, workers: Workers) -> Products:
    products = Products(field, parameters_of(field), batch, workers, piece_size=4)
    products.linearise()
    return products


def jacobian_of(field: Field, batch: PointBatch) -> Tensor:
    """Derivatives of all values, [n c, p], by PyTorch."""
    named = {id(p): name for name, p in field.named_parameters()}
    names = [named[id(p)] for p in parameters_of(field)]
    at = {name: p.detach() for name, p in field.named_parameters()}

    def values(parameters: dict[str, Tensor]) -> Tensor:
        return functional_call(field, parameters, (batch.coords,)).flatten()

    by_name = jacrev(values)(at)
    return torch.cat([by_name[name].flatten(1) for name in names], dim=1)


def distance(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("name", FIELDS)
def test_products_are_those_of_the_whole_jacobian(name: str, workers: Workers):
    field, batch = build(FIELDS[name]), batch_of()
    products = made(field, batch, workers)
    jacobian = jacobian_of(field, batch)
    with torch.no_grad():
        residuals = (batch.targets - field(batch.coords)).flatten()
    size = len(residuals)
    expected = jacobian.T @ residuals / size
    assert distance(products.descent(), expected) < PARITY_FLOAT64
    vector = torch.randn(
        jacobian.shape[1], generator=generator(0, "v"), dtype=torch.float64
    )
    expected = jacobian.T @ (jacobian @ vector) / size
    assert distance(products.curvature(vector), expected) < PARITY_FLOAT64
    loss = residuals.square().mean().item()
    assert products.linearise() == pytest.approx(loss, rel=PARITY_FLOAT64)


@pytest.mark.parametrize("name", WITH_TABLE)
def test_products_of_the_table_are_a_block_of_all(name: str, workers: Workers):
    field, batch = build(FIELDS[name]), batch_of()
    products = made(field, batch, workers)
    products.keep_jacobians()
    jacobian = jacobian_of(field, batch)
    width = parameters_of(field)[0].numel()
    block, size = jacobian[:, :width], len(jacobian)
    vector = torch.randn(width, generator=generator(0, "v"), dtype=torch.float64)
    expected = block.T @ (block @ vector) / size
    assert distance(products.curvature(vector), expected) < PARITY_FLOAT64
    descent = products.descent(table_only=True)
    assert distance(descent, products.descent()[:width]) < PARITY_FLOAT64


@pytest.mark.parametrize("name", FIELDS)
def test_the_two_products_belong_to_one_jacobian(name: str, workers: Workers):
    """Of u, J v and J^T u, v the inner products are equal."""
    field, batch = build(FIELDS[name]), batch_of()
    products = made(field, batch, workers)
    source = generator(0, "uv")
    width = sum(p.numel() for p in parameters_of(field))
    first, second = torch.randn(2, width, generator=source, dtype=torch.float64)
    one = torch.dot(first, products.curvature(second)).item()
    other = torch.dot(second, products.curvature(first)).item()
    assert one == pytest.approx(other, rel=PARITY_FLOAT64)


@pytest.mark.parametrize("name", FIELDS)
def test_which_fields_are_linearised_by_hand(name: str):
    field = build(FIELDS[name])
    parts = field_parts(field, parameters_of(field))
    assert (parts is not None) == (name in BY_HAND)


def test_a_field_with_a_frozen_part_is_traced():
    field = build(FIELDS["grid, relu"])
    assert field_parts(field, parameters_of(field)[1:]) is None


@pytest.mark.parametrize("name", ["grid, relu", "grid, sine", "mulfagrid"])
def test_compiled_loops_give_the_same_products(name: str, workers: Workers):
    single = build(FIELDS[name], torch.float32)
    double, batch = build(FIELDS[name]), batch_of()
    narrow = PointBatch(batch.coords.float(), batch.targets.float())
    # The same numbers in both, rounded before.
    double.load_state_dict(single.state_dict())
    exact = PointBatch(narrow.coords.double(), narrow.targets.double())
    few, many = made(single, narrow, workers), made(double, exact, workers)
    vector = torch.randn(len(many.descent()), generator=generator(0, "v"))
    for found, expected in (
        (few.descent(), many.descent()),
        (few.curvature(vector), many.curvature(vector.double())),
    ):
        error = (found - expected).norm() / expected.norm()
        assert error.item() < PARITY_FLOAT32


def test_the_diagonal_is_met_on_average(workers: Workers):
    field, batch = build(FIELDS["grid, sine"]), batch_of()
    products = made(field, batch, workers)
    jacobian = jacobian_of(field, batch)
    exact = jacobian.square().sum(0) / len(jacobian)
    source, count = generator(0, "signs"), 400
    mean = sum((products.squares(source) for _ in range(count)), torch.zeros(()))
    # The variance of one estimate is below twice its square.
    error = (mean / count - exact).abs()
    assert (error <= 6 * math.sqrt(2 / count) * exact + PARITY_FLOAT64).all()


def test_one_undamped_step_solves_a_linear_model(workers: Workers):
    field, batch = build(FIELDS["faded grid, linear"]), batch_of(12)
    # With the head fixed the field is linear in its table.
    products = made(field, batch, workers)
    products.keep_jacobians()
    table = parameters_of(field)[0]
    jacobian = jacobian_of(field, batch)[:, : table.numel()]
    with torch.no_grad():
        residuals = (batch.targets - field(batch.coords)).flatten()
    optimum = torch.linalg.lstsq(jacobian, residuals, driver="gelsd").solution
    scales = jacobian.square().sum(0) + 1e-3
    descent = products.descent(table_only=True)
    found = damped_step(products.curvature, descent, scales, 0.0, 400)
    with torch.no_grad():
        table.add_(found.step.view(table.shape))
        left = (batch.targets - field(batch.coords)).flatten()
    expected = residuals - jacobian @ optimum
    assert torch.allclose(left, expected, rtol=0, atol=LINEAR_MODEL_BY_ITERATION)


def test_steps_without_damping_converge_quadratically(workers: Workers):
    config = SirenConfig(width=4, num_hidden=1, frequency=5.0)
    field, batch = build(config), batch_of(60)
    with torch.no_grad():
        batch = PointBatch(batch.coords, field(batch.coords))
        source = generator(0, "away")
        for parameter in field.parameters():
            away = torch.randn(parameter.shape, generator=source, dtype=torch.float64)
            parameter.add_(0.002 * away)
    products = Products(field, parameters_of(field), batch, workers, piece_size=16)
    losses = [products.linearise()]
    for _ in range(3):
        descent = products.descent()
        step = damped_step(
            products.curvature, descent, torch.ones_like(descent), 0.0, 200
        ).step
        with torch.no_grad():
            parts = products.split(step)
            for parameter, change in zip(parameters_of(field), parts, strict=True):
                parameter.add_(change)
        losses.append(products.linearise())
    errors = [math.sqrt(loss) for loss in losses]
    # Twice the digits each time; the factor is the inverse of the least singular value.
    for before, after in pairwise(errors):
        assert after < 100 * before**2 or after < 1e-13
    assert errors[-1] < 1e-6 * errors[0]
