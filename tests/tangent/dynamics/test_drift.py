import math

import pytest
import torch

from tangrid.decoders import LinearConfig, ReluMlpConfig
from tangrid.encodings import (
    DenseGridConfig,
    FourierConfig,
    HashGridConfig,
    MulfaGridConfig,
)
from tangrid.errors import ConfigError, NumericalError, ShapeError
from tangrid.fields import EncodedFieldConfig, Field, FieldConfig, SirenConfig
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent.dynamics.drift import KernelDrift, drift_curve, kernel_drift
from tangrid.tangent.dynamics.stationarity import stationarity
from tangrid.tangent.kernels.building import tangent_kernel
from tangrid.tangent.kernels.kernel import DenseKernel
from tests.tolerances import NO_DRIFT

SITE = Site(num_dims=2, num_channels=2)
NUM_POINTS = 20
GRID = DenseGridConfig(num_levels=2, base_resolution=4, channels_per_level=2)
# 8 rows for levels of 9 and 64 vertices: nearly every row is shared.
COLLIDING = HashGridConfig(
    num_levels=2, base_resolution=3, growth=2.7, log2_table_size=3
)
MULFA = MulfaGridConfig(num_levels=2, base_resolution=4, log2_table_size=8)


def encoded(encoding, decoder=None) -> EncodedFieldConfig:
    return EncodedFieldConfig(encoding=encoding, decoder=decoder or LinearConfig())


LINEAR = {
    "dense grid": (encoded(GRID), "grid"),
    "hash grid with collisions": (encoded(COLLIDING), "grid"),
    "fourier features": (encoded(FourierConfig(num_frequencies=8)), "all"),
    "mulfagrid, its kernel frozen": (encoded(MULFA), "grid"),
}
NONLINEAR = {
    "features and decoder": (encoded(GRID), "all"),
    "interpolation kernel": (encoded(MULFA), "kernel"),
    "mlp behind a grid": (encoded(COLLIDING, ReluMlpConfig(width=8)), "grid"),
    "mlp and grid": (encoded(COLLIDING, ReluMlpConfig(width=8)), "all"),
    "sigmoid": (
        encoded(GRID, ReluMlpConfig(width=8, output_activation="sigmoid")),
        "grid",
    ),
    "siren": (SirenConfig(width=8, num_hidden=1), "all"),
}


def built(config: FieldConfig) -> Field:
    field = config.build(SITE, generator(0, "init")).double()
    with torch.no_grad():
        for parameter in field.parameters():
            # Away from the tiny features of the start, where nothing has bent yet.
            noise = torch.randn(parameter.shape, generator=generator(1, "noise"))
            parameter.add_(0.3 * noise.double())
    return field


def points() -> torch.Tensor:
    return torch.rand(NUM_POINTS, 2, generator=generator(0, "points")).double()


class Training:
    """Full-batch gradient descent on one group, from where it stopped last."""

    def __init__(self, field: Field, parameters: str, rate: float = 0.05) -> None:
        groups = field.parameter_groups()
        chosen = groups.get(parameters) or [p for g in groups.values() for p in g]
        self.field, self.done = field, 0
        self.targets = torch.rand(NUM_POINTS, 2, generator=generator(0, "targets"))
        self.optimizer = torch.optim.SGD(chosen, lr=rate)

    def to(self, step: int) -> None:
        while self.done < step:
            self.optimizer.zero_grad()
            loss = (self.field(points()) - self.targets).square().mean()
            loss.backward()
            self.optimizer.step()
            self.done += 1


def drift_of(field: Field, parameters: str, steps: int = 10) -> KernelDrift:
    training = Training(field, parameters)
    kernel = lambda: tangent_kernel(field, points(), parameters=parameters)  # noqa: E731
    return drift_curve(kernel, training.to, [steps], num_leading=4)[steps]


def random_kernels(seeded: torch.Generator) -> tuple[DenseKernel, DenseKernel]:
    factors = torch.randn(2, 12, 20, generator=seeded, dtype=torch.float64)
    return tuple(DenseKernel(f @ f.T) for f in factors)  # pyright: ignore


@pytest.mark.parametrize("name", LINEAR)
def test_kernel_of_linear_models_stays(name: str):
    config, parameters = LINEAR[name]
    field = built(config)
    start = [p.detach().clone() for p in field.parameters()]
    drift = drift_of(field, parameters)
    moved = [(p - q).norm() for p, q in zip(field.parameters(), start, strict=True)]
    assert max(moved) > 1e-3
    assert stationarity(field, parameters).holds
    assert drift.whole.relative <= NO_DRIFT
    assert drift.whole.leading.radians <= max(NO_DRIFT, drift.whole.leading.rounding)
    assert drift.parts
    assert all(change.relative <= NO_DRIFT for change in drift.parts.values())


@pytest.mark.parametrize("name", NONLINEAR)
def test_kernel_of_other_models_moves(name: str):
    config, parameters = NONLINEAR[name]
    field = built(config)
    assert not stationarity(field, parameters).holds
    whole = drift_of(field, parameters).whole
    assert whole.relative > 1e-6
    assert whole.leading.radians > 100 * whole.leading.rounding


def test_change_is_a_rescaling_and_a_rest(seeded):
    before, after = random_kernels(seeded)
    change = kernel_drift(before, after).whole
    old, new = before.matrix, after.matrix
    inner = float((old * new).sum())
    assert change.scale == pytest.approx(inner / float(old.square().sum()))
    assert change.relative == pytest.approx(float((new - old).norm() / old.norm()))
    assert change.alignment == pytest.approx(inner / float(old.norm() * new.norm()))
    assert change.trace_ratio == pytest.approx(float(new.trace() / old.trace()))
    squares = (change.scale - 1) ** 2 + change.rest**2
    assert change.relative**2 == pytest.approx(squares)
    # What is left of the new kernel is its size times the sine of their angle.
    sine = math.sqrt(1 - change.alignment**2)
    assert change.rest == pytest.approx(sine * float(new.norm() / old.norm()))


def test_rescaled_kernel_is_aligned(seeded):
    before, _ = random_kernels(seeded)
    change = kernel_drift(before, DenseKernel(0.25 * before.matrix)).whole
    assert change.relative == pytest.approx(0.75)
    assert change.scale == pytest.approx(0.25)
    assert change.rest <= NO_DRIFT
    assert change.alignment == pytest.approx(1)
    assert change.leading.radians <= change.leading.rounding


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_kernels_of_any_size_are_compared(seeded, size: float):
    before, after = random_kernels(seeded)
    wanted = kernel_drift(before, after).whole
    scaled = kernel_drift(
        DenseKernel(size * before.matrix), DenseKernel(size * after.matrix)
    ).whole
    assert scaled.relative == pytest.approx(wanted.relative)
    assert scaled.alignment == pytest.approx(wanted.alignment)


def test_angle_is_that_of_the_rotation():
    angle = 0.3
    rotation = torch.eye(5, dtype=torch.float64)
    cos, sin = math.cos(angle), math.sin(angle)
    rotation[1:3, 1:3] = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)
    before = torch.diag(torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0]).double())
    after = rotation @ before @ rotation.T
    found = [
        kernel_drift(DenseKernel(before), DenseKernel(after), num_leading=k).whole
        for k in (1, 2, 3, 5)
    ]
    angles = [change.leading.radians for change in found]
    assert angles == pytest.approx([0, angle, 0, 0], abs=1e-12)
    assert found[1].leading.degrees == pytest.approx(math.degrees(angle))


def test_cut_through_equal_eigenvalues_moves():
    before = DenseKernel(torch.diag(torch.tensor([3.0, 2.0, 2.0, 1.0]).double()))
    leading = kernel_drift(before, before, num_leading=2).whole.leading
    assert (leading.num_leading, leading.num_asked) == (1, 2)
    assert leading.radians == 0
    none = kernel_drift(
        DenseKernel(torch.eye(4).double()),
        DenseKernel(torch.eye(4).double()),
        num_leading=2,
    ).whole.leading
    assert none.num_leading == 0
    assert math.isnan(none.radians)


def test_cut_stays_within_the_rank(seeded):
    factor = torch.randn(12, 3, generator=seeded, dtype=torch.float64)
    kernel = DenseKernel(factor @ factor.T)
    assert kernel_drift(kernel, kernel, num_leading=8).whole.leading.num_leading == 3


def test_kernel_that_was_zero_has_changed_beyond_measure(seeded):
    _, after = random_kernels(seeded)
    nothing = DenseKernel(torch.zeros_like(after.matrix))
    change = kernel_drift(nothing, after).whole
    assert change.relative == math.inf
    assert math.isnan(change.alignment)
    assert kernel_drift(nothing, nothing).whole.relative == 0


def test_parts_add_up_to_the_change_of_the_whole():
    field = built(encoded(COLLIDING, ReluMlpConfig(width=8)))
    before = tangent_kernel(field, points())
    Training(field, "all").to(20)
    after = tangent_kernel(field, points())
    drift = kernel_drift(before, after)
    assert drift.parts.keys() == before.parts.keys()
    by_hand = {
        name: float(
            (after.parts[name].to_dense() - part.to_dense()).norm()
            / part.to_dense().norm()
        )
        for name, part in before.parts.items()
    }
    found = {name: change.relative for name, change in drift.parts.items()}
    assert found == pytest.approx(by_hand)


def test_curve_grows_from_nothing():
    field = built(encoded(GRID))
    training = Training(field, "all")
    curve = drift_curve(
        lambda: tangent_kernel(field, points()), training.to, [0, 5, 20, 40]
    )
    assert list(curve) == [0, 5, 20, 40]
    assert training.done == 40
    relative = [drift.whole.relative for drift in curve.values()]
    assert relative[0] == 0
    assert relative == sorted(relative)


def test_bad_input_is_refused(seeded):
    before, after = random_kernels(seeded)
    with pytest.raises(ShapeError, match="same points and outputs"):
        kernel_drift(before, DenseKernel(after.matrix[:10, :10]))
    with pytest.raises(ShapeError, match="same points and outputs"):
        kernel_drift(before, DenseKernel(after.matrix, num_outputs=2))
    cross = DenseKernel(after.matrix, is_symmetric=False)
    with pytest.raises(ShapeError, match="kernel_drift\\(after\\)"):
        kernel_drift(before, cross)
    with pytest.raises(ConfigError, match="num_leading"):
        kernel_drift(before, after, num_leading=13)
    with pytest.raises(NumericalError, match="diverged"):
        kernel_drift(before, DenseKernel(after.matrix * math.inf))
    with pytest.raises(ConfigError, match="increasing"):
        drift_curve(lambda: before, lambda step: None, [3, 3])


def test_few_points_need_no_other_default():
    kernel = DenseKernel(torch.diag(torch.tensor([3.0, 2.0, 1.0]).double()))
    assert kernel_drift(kernel, kernel).whole.leading.num_asked == 3
    found = drift_curve(lambda: kernel, lambda _: None, [1])
    assert found[1].whole.relative == 0
    nothing = DenseKernel(torch.ones(0, 0).double())
    with pytest.raises(ShapeError, match="at least one point"):
        kernel_drift(nothing, nothing)
