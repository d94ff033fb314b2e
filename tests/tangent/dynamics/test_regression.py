import math

import pytest
import torch
from torch import Tensor

from tangrid.errors import ConfigError, NumericalError, NumericalWarning, ShapeError
from tangrid.tangent import DenseKernel, TangentKernel
from tangrid.tangent.dynamics.descent import GradientDescent, GradientFlow
from tangrid.tangent.dynamics.regression import KernelRegression
from tests.tolerances import EXACT_DESCENT, LINEAR_ALGEBRA

NUM_TRAIN, NUM_TEST, CHANNELS = 12, 5, 2


class LinearModel:
    """Outputs that are linear in 40 parameters, at training and at test points."""

    def __init__(self, random: torch.Generator, num_parameters: int = 40) -> None:
        def drawn(*shape: int) -> Tensor:
            return torch.randn(shape, generator=random, dtype=torch.float64)

        rows = (NUM_TRAIN + NUM_TEST) * CHANNELS
        jacobian = drawn(rows, num_parameters) / num_parameters**0.5
        start = drawn(num_parameters)
        self.start = start
        self.jacobian = jacobian[: NUM_TRAIN * CHANNELS]
        self.jacobian_test = jacobian[NUM_TRAIN * CHANNELS :]
        self.initial = self.values(self.jacobian, start)
        self.initial_test = self.values(self.jacobian_test, start)
        self.targets = drawn(NUM_TRAIN, CHANNELS)

    @staticmethod
    def values(jacobian: Tensor, parameters: Tensor) -> Tensor:
        return (jacobian @ parameters).reshape(-1, CHANNELS)

    @property
    def kernel(self) -> TangentKernel:
        return DenseKernel(self.jacobian @ self.jacobian.T, num_outputs=CHANNELS)

    @property
    def kernel_test(self) -> TangentKernel:
        across = self.jacobian_test @ self.jacobian.T
        return DenseKernel(across, num_outputs=CHANNELS, is_symmetric=False)

    def fit(self, **settings) -> KernelRegression:
        return KernelRegression(self.kernel, self.targets, self.initial, **settings)

    def trained(self, steps: list[int], decay: float, **settings) -> Tensor:
        """Parameters after steps of torch's optimiser, decaying to their start."""
        moved = torch.zeros_like(self.start, requires_grad=True)
        optimizer = torch.optim.SGD([moved], weight_decay=decay, **settings)
        found = []
        for step in range(max(steps) + 1):
            if step in steps:
                found.append(self.start + moved.detach())
            optimizer.zero_grad()
            outputs = self.values(self.jacobian, self.start + moved)
            (0.5 * (outputs - self.targets).square().sum()).backward()
            optimizer.step()
        return torch.stack(found)

    def ridge_solution(self, rows: Tensor, ridge: float) -> Tensor:
        """Parameters that fit some rows best, with a ridge about the start."""
        jacobian = self.jacobian[rows]
        residual = (self.targets - self.initial).flatten()[rows]
        normal = jacobian.T @ jacobian + ridge * torch.eye(jacobian.shape[1]).double()
        return self.start + torch.linalg.solve(normal, jacobian.T @ residual)


@pytest.fixture
def model(seeded: torch.Generator) -> LinearModel:
    return LinearModel(seeded)


@pytest.mark.parametrize("ridge", [0.0, 0.05])
@pytest.mark.parametrize(
    "way",
    [{}, {"momentum": 0.9}, {"momentum": 0.8, "nesterov": True}],
    ids=["plain", "heavy ball", "nesterov"],
)
def test_outputs_elsewhere_are_those_of_training(
    model: LinearModel, way: dict, ridge: float
):
    steps = [0, 1, 2, 30, 200]
    rate = 0.5 / model.kernel.eigensystem.largest
    fit = model.fit(descent=GradientDescent(rate, ridge=ridge, **way))
    found = model.trained(steps, ridge, lr=rate, **way)
    predicted = fit.predict(steps, model.kernel_test, model.initial_test)
    fitted = fit.predict(steps)
    for number, parameters in enumerate(found):
        measured = model.values(model.jacobian_test, parameters)
        assert torch.allclose(predicted[number], measured, rtol=0, atol=EXACT_DESCENT)
        measured = model.values(model.jacobian, parameters)
        assert torch.allclose(fitted[number], measured, rtol=0, atol=EXACT_DESCENT)


def test_the_limit_is_the_interpolant_nearest_to_the_start(model: LinearModel):
    change = torch.linalg.pinv(model.jacobian) @ (
        (model.targets - model.initial).flatten()
    )
    nearest = model.values(model.jacobian_test, model.start + change)
    found = model.fit().predict(math.inf, model.kernel_test, model.initial_test)
    assert torch.allclose(found[0], nearest, rtol=0, atol=EXACT_DESCENT)
    assert torch.allclose(model.fit().predict(math.inf)[0], model.targets)


def test_the_limit_with_a_ridge_solves_the_normal_equations(model: LinearModel):
    fit = model.fit(descent=GradientFlow(1.0, ridge=0.3))
    rows = torch.arange(len(model.jacobian))
    solution = model.ridge_solution(rows, 0.3)
    found = fit.predict(math.inf, model.kernel_test, model.initial_test)[0]
    assert torch.allclose(
        found, model.values(model.jacobian_test, solution), rtol=0, atol=EXACT_DESCENT
    )


def test_leave_one_out_is_what_refits_say(model: LinearModel):
    """All channels of a point are left out at once."""
    ridge = 0.05
    found = model.fit(descent=GradientFlow(1.0, ridge=ridge)).leave_one_out()
    assert torch.equal(found, model.fit().leave_one_out(ridge))
    rows = torch.arange(len(model.jacobian))
    for point in range(NUM_TRAIN):
        solution = model.ridge_solution(rows[rows // CHANNELS != point], ridge)
        outputs = model.values(model.jacobian, solution)[point]
        error = model.targets[point] - outputs
        assert torch.allclose(found[point], error, rtol=0, atol=EXACT_DESCENT)


def test_leave_one_out_without_a_ridge_interpolates_the_others(model: LinearModel):
    found = model.fit().leave_one_out()
    rows = torch.arange(len(model.jacobian))
    kept = rows // CHANNELS != 3
    residual = (model.targets - model.initial).flatten()[kept]
    change = torch.linalg.pinv(model.jacobian[kept]) @ residual
    outputs = model.values(model.jacobian, model.start + change)[3]
    assert torch.allclose(
        found[3], model.targets[3] - outputs, rtol=0, atol=EXACT_DESCENT
    )


def test_channels_alike_are_judged_alike(model: LinearModel):
    """One kernel for all channels, or written out for every pair of them."""
    gram = model.kernel.to_dense()[::CHANNELS, ::CHANNELS]
    shared = KernelRegression(DenseKernel(gram), model.targets)
    eye = torch.eye(CHANNELS, dtype=torch.float64)
    coupled = KernelRegression(
        DenseKernel(torch.kron(gram, eye), num_outputs=CHANNELS), model.targets
    )
    traced = KernelRegression(
        DenseKernel(CHANNELS * gram, outputs="trace"), model.targets
    )
    across = model.kernel_test.to_dense()[::CHANNELS, ::CHANNELS]
    tests = (
        (shared, DenseKernel(across, is_symmetric=False)),
        (
            coupled,
            DenseKernel(
                torch.kron(across, eye), num_outputs=CHANNELS, is_symmetric=False
            ),
        ),
        (
            traced,
            DenseKernel(CHANNELS * across, outputs="trace", is_symmetric=False),
        ),
    )
    for fit, kernel_test in tests:
        assert torch.allclose(fit.leave_one_out(0.1), shared.leave_one_out(0.1))
        assert fit.generalised_cross_validation(0.1) == pytest.approx(
            shared.generalised_cross_validation(0.1)
        )
        assert torch.allclose(
            fit.predict([1.0, math.inf], kernel_test),
            shared.predict([1.0, math.inf], tests[0][1]),
        )
        prior = torch.ones(kernel_test.shape[0]).double() * fit.modes.num_shared
        variance = fit.posterior_variance(kernel_test, prior, 5.0)
        wanted = shared.posterior_variance(
            tests[0][1], torch.ones(NUM_TEST).double(), 5.0
        )
        assert torch.allclose(variance, wanted.expand_as(variance))


def test_cross_validation_has_its_closed_form(model: LinearModel):
    matrix = model.kernel.to_dense()
    inverse = torch.linalg.inv(matrix + 0.2 * torch.eye(len(matrix)).double())
    residual = (model.targets - model.initial).flatten()
    wanted = (inverse @ residual).square().mean() / inverse.diagonal().mean().square()
    fit = model.fit(descent=GradientFlow(1.0, ridge=0.2))
    assert fit.generalised_cross_validation() == pytest.approx(float(wanted))
    # The limit of descent with this ridge is the same smoother.
    assert float(fit.cross_validation_at(math.inf)) == pytest.approx(float(wanted))
    # A smoother that does nothing leaves the residual.
    assert float(fit.cross_validation_at(0.0)) == pytest.approx(
        float(residual.square().mean())
    )


def test_cross_validation_needs_something_left(model: LinearModel):
    with pytest.raises(NumericalError, match="something is left to learn"):
        model.fit().cross_validation_at([1.0, math.inf])


def test_posterior_variance_is_that_of_a_gaussian_process(model: LinearModel):
    """By conditioning the joint covariance, which knows nothing of eigenvectors."""
    rows = torch.cat((model.jacobian, model.jacobian_test))
    joint = rows @ rows.T
    seen = len(model.jacobian)
    noise = 0.1 * torch.eye(seen).double()
    inverse = torch.linalg.inv(
        joint + torch.block_diag(noise, 1e-9 * torch.eye(len(rows) - seen).double())
    )
    schur = torch.linalg.inv(inverse[seen:, seen:]).diagonal() - 1e-9
    prior = model.jacobian_test.square().sum(1)
    found = model.fit().posterior_variance(model.kernel_test, prior, 0.1)
    assert torch.allclose(found.flatten(), schur, atol=1e-7)
    assert (found.flatten() < prior).all()


def test_a_training_point_is_certain_without_a_ridge(model: LinearModel):
    seen = DenseKernel(
        model.kernel.to_dense(), num_outputs=CHANNELS, is_symmetric=False
    )
    found = model.fit().posterior_variance(seen, model.kernel.diagonal())
    assert found.shape == (NUM_TRAIN, CHANNELS)
    assert found.max() < LINEAR_ALGEBRA


def test_modes_decay_each_at_its_own_pace(model: LinearModel):
    fit = model.fit(descent=GradientFlow(0.7))
    found = fit.mode_residuals([0.0, 2.0])
    decay = torch.exp(-1.4 * fit.modes.values)[:, None]
    assert torch.allclose(found[1], decay * found[0])
    assert torch.allclose(fit.modes.spanned(found), fit.residuals([0.0, 2.0]))


class TestSingular:
    """More rows than parameters: some residuals no training can reach."""

    @pytest.fixture
    def model(self, seeded: torch.Generator) -> LinearModel:
        return LinearModel(seeded, num_parameters=10)

    def test_the_limit_is_refused_with_rank_and_share(self, model: LinearModel):
        fit = model.fit()
        assert fit.rank == 10
        assert fit.is_singular
        residual = (model.targets - model.initial).flatten()
        fitted = model.jacobian @ (torch.linalg.pinv(model.jacobian) @ residual)
        share = float((residual - fitted).norm() / residual.norm())
        assert fit.outside_range == pytest.approx(share)
        words = rf"rank 10 of 24 .* {100 * share:.3f}% of the residual outside"
        with pytest.raises(NumericalError, match=words):
            fit.predict(math.inf, model.kernel_test)

    def test_the_limit_of_training_can_be_asked_for(self, model: LinearModel):
        fit = model.fit(singular="least-squares")
        found = fit.predict(math.inf, model.kernel_test, model.initial_test)[0]
        late = model.trained([1500], 0.0, lr=1.0 / fit.modes.values[0].item())[0]
        measured = model.values(model.jacobian_test, late)
        assert torch.allclose(found, measured, rtol=0, atol=EXACT_DESCENT)

    def test_finite_times_are_those_of_training(self, model: LinearModel):
        rate = 1.0 / model.kernel.eigensystem.largest
        fit = model.fit(descent=GradientDescent(rate))
        steps = [1, 300]
        found = fit.predict(steps, model.kernel_test, model.initial_test)
        for row, parameters in zip(
            found, model.trained(steps, 0, lr=rate), strict=True
        ):
            measured = model.values(model.jacobian_test, parameters)
            assert torch.allclose(row, measured, rtol=0, atol=EXACT_DESCENT)

    def test_values_in_the_range_need_no_ridge(self, model: LinearModel):
        wanted = torch.linspace(-1, 1, 10).double()
        targets = model.values(model.jacobian, wanted)
        fit = KernelRegression(model.kernel, targets)
        assert fit.outside_range < 1e-12
        found = fit.predict(math.inf, model.kernel_test)[0]
        assert torch.allclose(
            found, model.values(model.jacobian_test, wanted), rtol=0, atol=EXACT_DESCENT
        )

    def test_a_ridge_makes_everything_defined(self, model: LinearModel):
        ridge = model.fit().relative_ridge(1e-3)
        assert ridge == pytest.approx(1e-3 * float(model.kernel.diagonal().mean()))
        fit = model.fit(descent=GradientFlow(1.0, ridge=ridge))
        rows = torch.arange(len(model.jacobian))
        solution = model.ridge_solution(rows, ridge)
        found = fit.predict(math.inf, model.kernel_test, model.initial_test)[0]
        measured = model.values(model.jacobian_test, solution)
        assert torch.allclose(found, measured, rtol=0, atol=EXACT_DESCENT)
        assert torch.isfinite(fit.leave_one_out()).all()

    def test_a_ridge_below_rounding_is_none(self, model: LinearModel):
        tiny = 1e-18 * model.kernel.eigensystem.largest
        fit = model.fit(descent=GradientFlow(1.0, ridge=tiny))
        with pytest.raises(NumericalError, match="rank 10 of 24"):
            fit.predict(math.inf, model.kernel_test)
        with pytest.raises(NumericalError, match=r"leave_one_out.*rank 10 of 24"):
            fit.leave_one_out()

    @pytest.mark.parametrize(
        "ask",
        [
            lambda fit, model: fit.leave_one_out(),
            lambda fit, model: fit.generalised_cross_validation(),
            lambda fit, model: fit.posterior_variance(
                model.kernel_test, model.jacobian_test.square().sum(1)
            ),
        ],
        ids=["leave-one-out", "cross-validation", "variance"],
    )
    def test_inverses_are_refused(self, model: LinearModel, ask):
        with pytest.raises(NumericalError, match="rank 10 of 24"):
            ask(model.fit(), model)

    def test_variance_vanishes_where_parameters_are_known(self, model: LinearModel):
        prior = model.jacobian_test.square().sum(1)
        fit = model.fit(singular="least-squares")
        found = fit.posterior_variance(model.kernel_test, prior)
        assert found.max() < LINEAR_ALGEBRA


def test_rounding_of_a_variance_is_named(model: LinearModel):
    prior = 0.5 * model.jacobian_test.square().sum(1)
    with pytest.warns(NumericalWarning, match="rounding left a variance of -"):
        found = model.fit().posterior_variance(model.kernel_test, 0.1 * prior)
    assert (found >= 0).all()


def test_what_does_not_fit_is_refused(model: LinearModel):
    fit = model.fit()
    with pytest.raises(ShapeError, match="expected columns of 12 points"):
        fit.predict(1.0, DenseKernel(torch.ones(4, 6).double(), is_symmetric=False))
    wrong = DenseKernel(torch.ones(2, 24).double(), num_outputs=2, is_symmetric=False)
    with pytest.raises(ShapeError, match=r"initial_test: expected shape \[1, 2\]"):
        fit.predict(1.0, wrong, torch.ones(3, 2))
    with pytest.raises(ShapeError, match=r"prior=.*expected shape \[2\]"):
        fit.posterior_variance(wrong, torch.ones(3).double())


def test_initial_values_and_priors_are_numbers(model: LinearModel):
    fit = model.fit()
    start = model.initial_test.clone()
    start[0, 0] = math.nan
    with pytest.raises(ShapeError, match="initial_test: expected finite numbers"):
        fit.predict(1.0, model.kernel_test, start)
    prior = model.jacobian_test.square().sum(1)
    for wrong in (math.nan, math.inf, -1.0):
        prior[0] = wrong
        with pytest.raises(ShapeError, match="expected finite variances"):
            fit.posterior_variance(model.kernel_test, prior)


def test_unknown_words_are_refused(model: LinearModel):
    with pytest.raises(ConfigError, match="got 'pinv'"):
        model.fit(singular="pinv")


@pytest.mark.parametrize("ridge", [-0.1, math.nan, math.inf])
def test_impossible_ridges_are_refused(model: LinearModel, ridge: float):
    fit = model.fit()
    prior = model.jacobian_test.square().sum(1)
    for ask in (
        fit.leave_one_out,
        fit.generalised_cross_validation,
        fit.relative_ridge,
        lambda given: fit.posterior_variance(model.kernel_test, prior, given),
    ):
        with pytest.raises(ConfigError, match="finite number >= 0"):
            ask(ridge)


def test_cross_validation_does_not_divide_by_rounding():
    fits = [
        KernelRegression(
            DenseKernel(
                torch.diag(torch.stack((1 - share, 0.9 + 0 * share, 1.1 + share)))
            ),
            torch.ones(3, 1),
            descent=GradientDescent(1.0),
        )
        for share in torch.linspace(0.1, 0.8, 33).double()
    ]
    # Factors of both signs cancel, in some up to one rounding only.
    assert any(fit.mode_residuals(1).sum() != 0 for fit in fits)
    for fit in fits:
        with pytest.raises(NumericalError, match="something is left to learn"):
            fit.cross_validation_at(1)
    assert float(fits[0].cross_validation_at(2)) > 0


def test_kernel_of_nothing_learns_nothing():
    zero = torch.zeros(3, 3).double()
    fit = KernelRegression(DenseKernel(zero), torch.ones(3, 1))
    test = DenseKernel(zero, is_symmetric=False)
    assert not fit.predict(5.0, test).any()
    with pytest.raises(NumericalError, match="rank 0 of 3"):
        fit.predict(math.inf, test)
    fit = KernelRegression(
        DenseKernel(zero), torch.ones(3, 1), singular="least-squares"
    )
    assert not fit.predict(math.inf, test).any()


def test_values_in_the_range_are_seen_in_single_precision(seeded: torch.Generator):
    factor = torch.randn(40, 5, generator=seeded)
    targets = factor @ torch.randn(5, 1, generator=seeded)
    fit = KernelRegression(DenseKernel(factor @ factor.T), targets)
    assert fit.outside_range > 1e-8
    test = DenseKernel(factor @ factor.T, is_symmetric=False)
    found = fit.predict(math.inf, test)[0]
    assert torch.allclose(found, targets, rtol=0, atol=1e-3)
