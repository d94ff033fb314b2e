"""Kernel regression by any method is ridge regression in the parameters' directions."""

import math

import pytest
import torch
from torch import Tensor

import tangrid as tg
from tangrid.errors import ConfigError, NumericalError, ShapeError
from tangrid.fields import Field
from tangrid.tangent.dynamics import large_regression
from tangrid.tangent.dynamics.large_regression import kernel_regression
from tests.tolerances import ITERATED_REGRESSION, LINEAR_ALGEBRA, SOLVED_REGRESSION

METHODS = ("dense", "conjugate-gradients", "nystrom")
NUM_TRAIN, NUM_TEST, CHANNELS, WAVES = 40, 9, 2, 30


class Waves:
    """Values that are linear in parameters that the channels share, or do not."""

    def __init__(self, random: torch.Generator, *, shared: bool) -> None:
        def drawn(*shape: int) -> Tensor:
            return torch.randn(shape, generator=random, dtype=torch.float64)

        self.waves, self.mix = 3 * drawn(2, WAVES), drawn(CHANNELS, WAVES)
        if not shared:
            self.mix = torch.ones(CHANNELS, WAVES).double()
        size = (WAVES,) if shared else (CHANNELS, WAVES)
        self.parameters = {"w": drawn(*size)}
        self.x = torch.rand(NUM_TRAIN, 2, generator=random, dtype=torch.float64)
        self.others = torch.rand(NUM_TEST, 2, generator=random, dtype=torch.float64)
        self.targets = drawn(NUM_TRAIN, CHANNELS)

    def __call__(self, parameters, x: Tensor) -> Tensor:
        return torch.cos(x @ self.waves) @ (self.mix * parameters["w"]).T

    def jacobian(self, x: Tensor) -> Tensor:
        columns = []
        for entry in torch.eye(self.parameters["w"].numel()).double():
            moved = {"w": entry.reshape(self.parameters["w"].shape)}
            columns.append(self(moved, x).flatten())
        return torch.stack(columns, dim=1)

    def by_parameters(self, ridge: float, kept: Tensor | None = None) -> Tensor:
        """Least squares with weight decay towards the start, at the other points."""
        points = torch.arange(NUM_TRAIN) if kept is None else kept
        jacobian = self.jacobian(self.x[points])
        left = self.targets[points] - self(self.parameters, self.x[points])
        normal = jacobian.T @ jacobian
        normal += ridge * torch.eye(len(normal)).double()
        step = torch.linalg.solve(normal, jacobian.T @ left.flatten())
        after = self.parameters["w"] + step.reshape(self.parameters["w"].shape)
        return self({"w": after}, self.others)

    def fit(self, method: str, **settings):
        return kernel_regression(
            self,
            self.x,
            self.targets,
            parameters=self.parameters,
            method=method,
            **settings,
        )


@pytest.fixture
def photograph() -> tuple[Field, Tensor, Tensor]:
    """A small grid field, points, and values that are no accident."""
    field = tg.build(
        "instant-ngp", num_dims=2, num_channels=3, params=10_000, seed=0
    ).double()
    source = torch.Generator().manual_seed(1)
    # As after some training: at its start nothing but the output layer can be told.
    with torch.no_grad():
        field.encoding.table.normal_(0, 0.3, generator=source)
    x = torch.rand(150, 2, generator=source, dtype=torch.float64)
    bumps = torch.stack([torch.sin(k * x[:, 0] + x[:, 1]) for k in (3.0, 7, 11)], dim=1)
    noise = torch.randn(150, 3, generator=source, dtype=torch.float64)
    return field, x, 0.5 + 0.3 * bumps + 0.03 * noise


@pytest.mark.parametrize("method", METHODS)
def test_full_is_training_of_shared_parameters(method: str, seeded: torch.Generator):
    model = Waves(seeded, shared=True)
    # 80 rows and 30 directions: the kernel is singular, the fit is not.
    fit = model.fit(method, outputs="full", ridge=0.3, rank=80, tolerance=1e-10)
    exact = model.by_parameters(0.3)
    assert torch.allclose(fit(model.others), exact, rtol=0, atol=SOLVED_REGRESSION)
    assert fit.residual < SOLVED_REGRESSION


@pytest.mark.parametrize("method", METHODS)
def test_trace_is_exact_where_channels_share_nothing(
    method: str, seeded: torch.Generator
):
    model = Waves(seeded, shared=False)
    fit = model.fit(method, outputs="trace", ridge=0.3, rank=40, tolerance=1e-10)
    exact = model.by_parameters(0.3)
    assert torch.allclose(fit(model.others), exact, rtol=0, atol=SOLVED_REGRESSION)


def test_trace_is_an_approximation_where_they_share(seeded: torch.Generator):
    model = Waves(seeded, shared=True)
    fit = model.fit("dense", outputs="trace", ridge=0.3)
    exact = model.by_parameters(0.3)
    assert float((fit(model.others) - exact).abs().max()) > 0.01


@pytest.mark.parametrize("outputs", ["full", "trace"])
@pytest.mark.parametrize("method", METHODS[1:])
def test_methods_agree_on_a_field(photograph, method: str, outputs: str):
    field, x, targets = photograph
    draw = torch.Generator().manual_seed(5)
    others = torch.rand(20, 2, generator=draw, dtype=torch.float64)
    dense = kernel_regression(field, x, targets, outputs=outputs, method="dense")
    found = kernel_regression(
        field,
        x,
        targets,
        outputs=outputs,
        method=method,
        ridge=dense.ridge,
        rank=450,
        tolerance=1e-9,
    )
    assert torch.allclose(found(others), dense(others), atol=ITERATED_REGRESSION)
    assert found.train_mse == pytest.approx(dense.train_mse, rel=1e-4)
    if method == "nystrom":
        # All columns were taken: then its cross-validation is everybody's.
        assert found.score.error == pytest.approx(dense.score.error, rel=1e-6)
        assert found.score.dimension == pytest.approx(dense.score.dimension, rel=1e-6)
        assert torch.allclose(
            found.leave_one_out, dense.leave_one_out, atol=ITERATED_REGRESSION
        )


@pytest.mark.parametrize("outputs", ["full", "trace"])
def test_fits_with_the_ridge_of_least_error_elsewhere(photograph, outputs: str):
    field, x, targets = photograph
    fit = kernel_regression(field, x[:100], targets[:100], outputs=outputs)
    assert fit.method == "dense"
    assert fit.score.error == min(score.error for score in fit.path)
    assert not fit.at_end
    ridges = [score.ridge for score in fit.path]
    assert ridges == sorted(ridges, reverse=True)
    # It knows what it does not know: within a factor, on 50 points that it has not seen
    measured = float((fit(x[100:]) - targets[100:]).square().mean())
    assert 0.3 < fit.score.error / measured < 3
    assert 0.3 < fit.leave_one_out_mse / measured < 3


def test_estimated_cross_validation_is_within_its_error(photograph):
    field, x, targets = photograph[0], photograph[1][:80], photograph[2][:80]
    shares = (1e-1, 1e-2, 1e-3)
    settings = {"shares": shares, "outputs": "full"}
    dense = kernel_regression(field, x, targets, method="dense", **settings)
    found = kernel_regression(
        field, x, targets, method="conjugate-gradients", rank=30, **settings
    )
    pairs = list(zip(found.path, dense.path, strict=False))
    assert len(pairs) == 3
    for mine, exact in pairs:
        assert mine.ridge == pytest.approx(exact.ridge)
        assert 0 < mine.standard_error < 0.2 * exact.error
        assert abs(mine.error - exact.error) < 4 * mine.standard_error
        assert mine.residual <= 1e-6


def test_cross_validation_of_columns_is_that_of_their_smoother(
    seeded: torch.Generator,
):
    model = Waves(seeded, shared=True)
    fit = model.fit("nystrom", outputs="full", ridge=0.2, rank=12)
    assert 0 < fit.trace_left < 1
    assert fit.support.shape == (6, 2)
    across = model.jacobian(model.x) @ model.jacobian(fit.support).T
    inner = model.jacobian(fit.support) @ model.jacobian(fit.support).T
    normal = across.T @ across + 0.2 * inner
    smoother = across @ torch.linalg.solve(normal, across.T)
    start = model(model.parameters, model.x)
    left = (model.targets - start).flatten()
    errors = left - smoother @ left
    share = 1 - float(smoother.trace()) / len(left)
    assert fit.score.error == pytest.approx(
        float(errors.square().mean()) / share**2, rel=1e-6
    )
    for point in (0, 17):
        rows = torch.arange(NUM_TRAIN) != point
        kept = across.view(NUM_TRAIN, CHANNELS, -1)[rows].flatten(0, 1)
        refit = torch.linalg.solve(
            kept.T @ kept + 0.2 * inner,
            kept.T @ left.view(NUM_TRAIN, CHANNELS)[rows].flatten(),
        )
        own = slice(point * CHANNELS, (point + 1) * CHANNELS)
        exact = left[own] - across[own] @ refit
        assert torch.allclose(fit.leave_one_out[point], exact, atol=SOLVED_REGRESSION)


def test_leaving_out_is_refitting(seeded: torch.Generator):
    model = Waves(seeded, shared=True)
    fit = model.fit("dense", outputs="full", ridge=0.2)
    model.others = model.x[:1]
    refit = model.by_parameters(0.2, torch.arange(1, NUM_TRAIN))
    exact = model.targets[0] - refit[0]
    assert torch.allclose(fit.leave_one_out[0], exact, atol=SOLVED_REGRESSION)


def test_from_nothing_is_a_gaussian_process(photograph):
    field, x, targets = photograph
    fit = kernel_regression(
        field,
        x[:90],
        targets[:90, 1:2] @ torch.ones(1, 3).double(),
        start="zero",
        ridge=1e-2,
    )
    kernel = tg.tangent_kernel(field, x, outputs="trace").to_dense() / 3
    inner = kernel[:90, :90] + 1e-2 * torch.eye(90).double()
    exact = kernel[90:, :90] @ torch.linalg.solve(inner, targets[:90, 1])
    assert torch.allclose(fit(x[90:])[:, 0], exact, atol=SOLVED_REGRESSION)


def test_method_goes_by_the_number_of_rows(photograph, monkeypatch):
    field, x, targets = photograph
    monkeypatch.setattr(large_regression, "DENSE_LIMIT", 60)
    monkeypatch.setattr(large_regression, "ITERATIVE_LIMIT", 100)
    found = [
        kernel_regression(field, x[:n], targets[:n], shares=(1e-1, 1e-2)).method
        for n in (60, 61, 101)
    ]
    assert found == list(METHODS)


def test_pieces_are_the_whole_and_training_changes_nothing(photograph):
    field, x, targets = photograph
    fit = kernel_regression(field, x[:60], targets[:60], ridge=1e-2)
    whole = fit(x)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.mul_(2)
    pieces = fit(x, points_at_once=7)
    assert torch.allclose(pieces, whole, rtol=0, atol=LINEAR_ALGEBRA)


def test_ends_where_smaller_ridges_cannot_be_had(photograph):
    field, x, targets = photograph[0], photograph[1][:80], photograph[2][:80]
    settings = {"method": "conjugate-gradients", "rank": 20, "outputs": "full"}
    short = kernel_regression(field, x, targets, max_steps=60, **settings)
    assert "after 60 products" in short.stopped
    patient = kernel_regression(field, x, targets, max_steps=4000, **settings)
    assert patient.stopped == "smaller ridges did worse"
    assert patient.path[-1].ridge < short.path[-1].ridge
    with pytest.raises(NumericalError, match="after 2 products"):
        kernel_regression(field, x, targets, max_steps=2, **settings)
    repeated = torch.cat((x[:40], x[:40]))
    dense = kernel_regression(field, repeated, targets, shares=(1e-2, 1e-18))
    assert len(dense.path) == 1
    assert "rounding" in dense.stopped
    with pytest.raises(NumericalError, match="Leave shares out"):
        kernel_regression(field, repeated, targets, shares=(1e-18, 1e-19))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "magic"}, "method='magic'"),
        ({"outputs": "all"}, "outputs='all'"),
        ({"start": "one"}, "start='one'"),
        ({"ridge": -1.0}, "finite number >= 0"),
        ({"ridge": math.inf}, "finite number >= 0"),
        ({"shares": ()}, r"shares=.* got \[\]"),
        ({"shares": (0.1, -1.0)}, r"above 0, got \[0.1, -1.0\]"),
        ({"method": "conjugate-gradients", "num_probes": 1}, "num_probes=1"),
    ],
)
def test_refuses(photograph, settings, message: str):
    field, x, targets = photograph
    with pytest.raises(ConfigError, match=message):
        kernel_regression(field, x, targets, **settings)


def test_refuses_values_of_other_points(photograph):
    field, x, targets = photograph
    with pytest.raises(ShapeError, match=r"expected \[150, 3\]"):
        kernel_regression(field, x, targets[:149])
    with pytest.raises(ShapeError, match="finite"):
        kernel_regression(field, x, targets / 0)
