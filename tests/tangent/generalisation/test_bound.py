import math

import pytest
import torch

from tangrid.decoders import LinearConfig
from tangrid.encodings import DenseGridConfig
from tangrid.errors import ConfigError, NumericalError, NumericalWarning
from tangrid.fields import EncodedFieldConfig
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent.dynamics.descent import GradientDescent, GradientFlow
from tangrid.tangent.dynamics.stationarity import stationarity
from tangrid.tangent.generalisation.bound import (
    GeneralisationBound,
    generalisation_bound,
)
from tangrid.tangent.generalisation.bound_forms import ball_complexity, confidence_term
from tangrid.tangent.generalisation.bounded_loss import (
    CLIPPED_ABSOLUTE,
    CLIPPED_NORM,
    BoundedLoss,
    clipped_square,
)
from tangrid.tangent.generalisation.norm_rules import FixedNorm, NormGrid
from tangrid.tangent.kernels.building import tangent_kernel
from tangrid.tangent.kernels.kernel import DenseKernel
from tests.tolerances import EXACT_DESCENT, LINEAR_ALGEBRA


def gaussian(seeded: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded, dtype=torch.float64)


def complexities(bound: GeneralisationBound) -> list[float]:
    return [form.complexity for form in bound.forms]


def verdicts(bound: GeneralisationBound) -> dict[str, bool | None]:
    return {condition.name: condition.holds for condition in bound.conditions}


def test_two_points_by_hand():
    kernel = DenseKernel(torch.diag(torch.tensor([2.0, 0.5]).double()))
    bound = generalisation_bound(kernel, torch.tensor([[1.0], [0.5]]), delta=0.1)
    # Delta = 1/2 + 1/2, n = 2, trace 2.5.
    assert bound.energy.value == pytest.approx(1)
    assert bound.raw.complexity == pytest.approx(1)
    assert bound.trace_normalised.complexity == pytest.approx(math.sqrt(2.5))
    chance = 3 * math.sqrt(math.log(20) / 4)
    assert bound.raw.confidence == pytest.approx(chance)
    assert bound.raw.total == pytest.approx(1 + chance)
    assert bound.raw.is_vacuous


def test_raw_form_is_the_normalised_one_for_the_kernel_it_was_made_for(seeded):
    """The kernel of Arora et al. 2019 has trace n/2 on the unit sphere."""
    points = torch.nn.functional.normalize(gaussian(seeded, 30, 4), dim=1)
    cosine = (points @ points.T).clamp(-1, 1)
    matrix = cosine * (math.pi - cosine.arccos()) / (2 * math.pi)
    bound = generalisation_bound(DenseKernel(matrix), gaussian(seeded, 30, 1))
    assert bound.trace == pytest.approx(15)
    normalised = bound.trace_normalised.complexity
    assert bound.raw.complexity == pytest.approx(normalised, rel=1e-6)


def test_memory_is_promised_twice_the_size_of_the_labels(seeded):
    """A kernel that links no two points is the yardstick: most smooth ones do worse."""
    labels = gaussian(seeded, 30, 1)
    bound = generalisation_bound(DenseKernel(3 * torch.eye(30).double()), labels)
    wanted = 2 * float(labels.square().mean().sqrt())
    assert bound.trace_normalised.complexity == pytest.approx(wanted)


def test_only_the_raw_form_depends_on_the_scale(seeded):
    matrix = torch.cov(gaussian(seeded, 20, 50))
    labels = gaussian(seeded, 20, 1)
    scales = (0.01, 1.0, 100.0)
    found = [
        generalisation_bound(
            DenseKernel(scale * matrix),
            labels,
            descent=GradientFlow(1 / scale),
            time=3.0,
            norm=FixedNorm(10 / math.sqrt(scale)),
        )
        for scale in scales
    ]
    raw, normalised, finite = zip(*map(complexities, found), strict=True)
    by_scale = [raw[1] / math.sqrt(scale) for scale in scales]
    assert list(raw) == pytest.approx(by_scale)
    assert normalised == pytest.approx((normalised[1],) * 3)
    assert finite == pytest.approx((finite[1],) * 3)


@pytest.mark.parametrize("steps", [0, 1, 10, 100])
@pytest.mark.parametrize("points", [8, 40], ids=["fits all", "singular"])
def test_finite_time_is_what_descent_does(seeded, points: int, steps: int):
    """Displacement and losses are those of real steps on a linear model."""
    features = gaussian(seeded, points, 12)
    labels = 0.3 * gaussian(seeded, points, 1)
    weights = torch.zeros(12, 1, dtype=torch.float64)
    rate = 0.01
    for _ in range(steps):
        weights -= rate * features.T @ (features @ weights - labels)
    bound = generalisation_bound(
        DenseKernel(features @ features.T),
        labels,
        descent=GradientDescent(rate),
        time=float(steps),
    )
    assert bound.displacement == pytest.approx(float(weights.norm()), abs=EXACT_DESCENT)
    losses = (labels - features @ weights).abs().clamp(max=1)
    training = bound.finite_time.training_loss
    assert training == pytest.approx(float(losses.mean()), abs=EXACT_DESCENT)


def test_singular_kernel_leaves_only_the_finite_form(seeded):
    features = gaussian(seeded, 200, 3)
    labels = 0.1 * features[:, :1] + 0.02 * gaussian(seeded, 200, 1)
    bound = generalisation_bound(DenseKernel(features @ features.T), labels)
    assert bound.raw.total == bound.trace_normalised.total == math.inf
    assert bound.finite_time.total < 0.6
    assert verdicts(bound)["smallest eigenvalue"] is False
    # In the limit it is least squares: what cannot be fitted is training loss.
    solution = torch.linalg.lstsq(features, labels).solution
    left = (labels - features @ solution).abs().mean()
    assert bound.finite_time.training_loss == pytest.approx(float(left))
    assert bound.displacement == pytest.approx(float(solution.norm()))
    assert "rank 3 of 200" in str(bound)


def test_ridge_counts_what_it_leaves_as_training_loss(seeded):
    features = gaussian(seeded, 50, 5)
    labels = 0.2 * gaussian(seeded, 50, 1)
    ridge = 2.0
    bound = generalisation_bound(
        DenseKernel(features @ features.T),
        labels,
        descent=GradientFlow(1.0, ridge=ridge),
    )
    gram = features.T @ features + ridge * torch.eye(5).double()
    weights = torch.linalg.solve(gram, features.T @ labels)
    left = float((labels - features @ weights).abs().mean())
    for form in bound.forms:
        assert form.training_loss == pytest.approx(left)
        assert math.isfinite(form.total)
    assert bound.displacement == pytest.approx(float(weights.norm()))
    assert bound.energy.ridge == ridge
    # The energy under a ridge is no smaller than the square of the displacement.
    assert bound.displacement**2 < bound.energy.value


def test_solver_and_products_do_as_well_as_eigenvalues(seeded):
    features = gaussian(seeded, 60, 20)
    matrix, ridge = features @ features.T, 0.5
    kernel = DenseKernel(matrix, num_outputs=2)
    labels, initial = 0.3 * gaussian(seeded, 2, 30, 2)
    damped = matrix + ridge * torch.eye(60).double()
    for time in (7.0, math.inf):
        settings = {"descent": GradientDescent(0.005, ridge=ridge), "time": time}
        wanted = generalisation_bound(kernel, labels, initial, **settings)
        found = generalisation_bound(
            kernel,
            labels,
            initial,
            **settings,
            solve=lambda columns: torch.linalg.solve(damped, columns),
        )
        assert found.energy.method == "solver"
        for mine, theirs in zip(found.forms, wanted.forms, strict=True):
            assert mine.total == pytest.approx(theirs.total, rel=1e-8)
            assert mine.training_loss == pytest.approx(theirs.training_loss, rel=1e-8)
        assert verdicts(found)["smallest eigenvalue"] is None
        assert verdicts(found)["learning rate"] is None


def test_channels_that_share_a_kernel_are_the_full_kernel(seeded):
    matrix = torch.cov(gaussian(seeded, 10, 30))
    labels = gaussian(seeded, 10, 3)
    single = generalisation_bound(DenseKernel(matrix), labels)
    full = generalisation_bound(
        DenseKernel(torch.kron(matrix, torch.eye(3).double()), num_outputs=3), labels
    )
    assert full.trace == pytest.approx(single.trace)
    assert complexities(full) == pytest.approx(complexities(single))
    summed = generalisation_bound(DenseKernel(3 * matrix, outputs="trace"), labels)
    assert complexities(summed) == pytest.approx(complexities(single))
    assert verdicts(summed)["kernel of the outputs"] is None


@pytest.mark.parametrize(
    ("outputs", "with_solver"), [("trace", False), (0, False), (0, True)]
)
def test_one_kernel_for_several_channels_proves_nothing(seeded, outputs, with_solver):
    """Channel 0 may move little where channel 1 moves far: nothing here shows it."""
    field = EncodedFieldConfig(
        encoding=DenseGridConfig(num_levels=1, base_resolution=4),
        decoder=LinearConfig(),
    ).build(Site(num_dims=2, num_channels=2), generator(0, "init"))
    x = torch.rand(10, 2, generator=generator(0, "x"))
    found = {}
    for chosen in ("full", outputs):
        kernel = tangent_kernel(field, x, parameters="grid", outputs=chosen)
        damped = kernel.to_dense() + torch.eye(kernel.shape[0]).double()
        solve = (lambda c, d=damped: torch.linalg.solve(d, c)) if with_solver else None
        found[chosen] = generalisation_bound(
            kernel,
            0.1 * gaussian(seeded, 10, 2),
            descent=GradientFlow(1.0, ridge=1.0),
            stationarity=stationarity(field, "grid"),
            solve=solve,
        )
    assert found["full"].finite_time.is_proven
    bound = found[outputs]
    assert verdicts(bound)["kernel of the outputs"] is None
    assert not bound.finite_time.is_proven
    assert "not checked" in str(bound)


def test_loss_enters_with_its_slope_and_its_channels(seeded):
    kernel = DenseKernel(torch.cov(gaussian(seeded, 12, 30)), num_outputs=3)
    labels = gaussian(seeded, 4, 3)

    def found(loss):
        return complexities(generalisation_bound(kernel, labels, loss=loss))

    plain = found(CLIPPED_ABSOLUTE)
    assert found(clipped_square(0.5)) == pytest.approx([4 * c for c in plain])
    # A joint loss pays the square root of 2, a mean gains that of 3.
    ratio = math.sqrt(6)
    assert found(CLIPPED_NORM)[1:] == pytest.approx([ratio * c for c in plain[1:]])


def test_ball_is_fixed_or_the_smallest_of_a_row():
    kernel = DenseKernel(torch.eye(400).double())
    labels = torch.full((400, 1), 0.1)  # moves the parameters by 2
    fixed = generalisation_bound(kernel, labels, norm=FixedNorm(3.0))
    assert fixed.displacement == pytest.approx(2)
    assert fixed.radius == 3
    assert fixed.finite_time.complexity == pytest.approx(
        ball_complexity(3.0, 400.0, 400)
    )
    assert fixed.finite_time.confidence == confidence_term(400, 0.05)
    row = generalisation_bound(kernel, labels, norm=NormGrid(smallest=0.5, ratio=3.0))
    assert row.radius == 4.5  # ball number 2
    assert row.finite_time.confidence == confidence_term(400, 0.05 / 12)
    outside = generalisation_bound(kernel, labels, norm=FixedNorm(1.9))
    assert outside.finite_time.is_vacuous
    assert verdicts(outside)["inside the ball"] is False
    assert not outside.finite_time.is_proven


class TestConditions:
    def bound(self, **settings) -> GeneralisationBound:
        kernel = DenseKernel(torch.diag(torch.linspace(1, 2, 50).double()))
        given = {"targets": torch.full((50, 1), 0.2), **settings}
        return generalisation_bound(kernel, given.pop("targets"), **given)

    def test_all_hold_where_they_should(self):
        found = verdicts(self.bound(descent=GradientDescent(0.9), time=100.0))
        assert found == {
            "independent samples": None,
            "samples": True,
            "labels": True,
            "loss": True,
            "smallest eigenvalue": True,
            "learning rate": True,
            "training time": True,
            "kernel of the outputs": True,
            "stationary kernel": None,
            "ball fixed beforehand": False,
            "inside the ball": True,
        }

    @pytest.mark.parametrize(
        ("name", "settings"),
        [
            ("samples", {"delta": 1e-22}),
            ("labels", {"targets": torch.full((50, 1), 1.1)}),
            ("smallest eigenvalue", {"smallest_allowed": 1.1}),
            ("training time", {"descent": GradientDescent(0.9), "time": 2.0}),
            (
                "loss",
                {
                    "loss": BoundedLoss(
                        name="square",
                        function=lambda r: r.square().mean(1),
                        lipschitz=1.0,
                        joining="mean",
                    )
                },
            ),
            ("inside the ball", {"norm": FixedNorm(0.1)}),
        ],
    )
    def test_each_can_fail_alone(self, name: str, settings: dict):
        bound = self.bound(**settings)
        failing = {n for n, holds in verdicts(bound).items() if holds is False}
        assert failing == {name, "ball fixed beforehand"}
        assert f"FAILS: {name}" in str(bound)

    @pytest.mark.parametrize(
        "descent",
        [
            GradientFlow(0.5),
            GradientFlow(0.5, ridge=3.0),
            GradientDescent(0.4),
            GradientDescent(0.01, momentum=0.9),
        ],
        ids=repr,
    )
    def test_training_time_is_that_of_the_descent(self, descent):
        one = torch.ones(1, dtype=torch.float64)
        needed = math.ceil(float(descent.times_to_decay(one, 50 / 0.05)))
        for time, holds in ((needed, True), (needed - 1, False)):
            found = self.bound(descent=descent, time=float(time))
            assert verdicts(found)["training time"] is holds

    def test_no_time_suffices_for_an_eigenvalue_of_zero(self):
        found = self.bound(smallest_allowed=0.0, time=1e6)
        assert verdicts(found)["training time"] is False
        for wrong in (-1.0, math.nan):
            with pytest.raises(ConfigError, match="smallest_allowed"):
                self.bound(smallest_allowed=wrong)

    def test_rate_beyond_the_limit_fails(self):
        with pytest.warns(NumericalWarning, match="diverge"):
            bound = self.bound(descent=GradientDescent(1.5), time=3.0)
        assert verdicts(bound)["learning rate"] is False
        with pytest.raises(NumericalError, match="settle"):
            self.bound(descent=GradientDescent(1.5))

    def test_nothing_is_proven_before_somebody_looked_at_the_kernel(self):
        bound = self.bound()
        assert [form.is_proven for form in bound.forms] == [False] * 3
        assert "not proven here" in str(bound.finite_time)
        assert "unknown: stationary kernel" in str(bound)

    @pytest.mark.parametrize(("trained", "holds"), [("grid", True), ("all", False)])
    def test_only_the_finite_form_of_a_kernel_that_stays_is_proven(
        self, trained: str, holds: bool
    ):
        config = EncodedFieldConfig(
            encoding=DenseGridConfig(num_levels=1, base_resolution=4),
            decoder=LinearConfig(),
        )
        field = config.build(Site(num_dims=2, num_channels=1), generator(0, "init"))
        x = torch.rand(40, 2, generator=generator(0, "x"))
        bound = generalisation_bound(
            tangent_kernel(field, x, parameters=trained),
            torch.full((40, 1), 0.2),
            stationarity=stationarity(field, trained),
        )
        assert verdicts(bound)["stationary kernel"] is holds
        assert [form.is_proven for form in bound.forms] == [False, False, holds]

    def test_vacuous_is_said_in_words(self):
        assert "VACUOUS" in str(self.bound(targets=torch.full((50, 1), 1.0)).raw)
        kernel = DenseKernel(torch.eye(900).double())
        small = generalisation_bound(kernel, torch.full((900, 1), 0.01))
        assert "VACUOUS" not in str(small)
        assert not any(form.is_vacuous for form in small.forms)

    @pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, math.nan])
    def test_delta_is_a_probability(self, delta: float):
        with pytest.raises(ConfigError, match="probability"):
            self.bound(delta=delta)


def test_nothing_to_learn_and_nothing_learnable(seeded):
    kernel = DenseKernel(torch.zeros(30, 30, dtype=torch.float64))
    labels = gaussian(seeded, 30, 1)
    idle = generalisation_bound(kernel, labels)
    assert idle.raw.total == idle.trace_normalised.total == math.inf
    assert idle.finite_time.complexity == pytest.approx(0, abs=LINEAR_ALGEBRA)
    done = generalisation_bound(kernel, labels, labels)
    assert done.raw.complexity == done.finite_time.complexity == 0
