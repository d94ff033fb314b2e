import itertools
import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

import tangrid as tg
from tangrid.decoders import LinearConfig
from tangrid.encodings import DenseGridConfig, EncodingConfig, HashGridConfig
from tangrid.errors import NumericalError, ShapeError
from tangrid.fields import EncodedFieldConfig, Field
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent import DenseKernel, tangent_kernel
from tangrid.tangent.dynamics.descent import Descent, GradientDescent, GradientFlow
from tangrid.tangent.dynamics.loss_scale import effective_rate
from tangrid.tangent.dynamics.prediction import (
    predict_mse,
    predict_training,
    steps_to_psnr,
)
from tests.tolerances import EXACT_DESCENT

GRIDS = {
    "dense": DenseGridConfig(num_levels=2, base_resolution=4, channels_per_level=2),
    "hashed": HashGridConfig(
        num_levels=4, base_resolution=4, growth=2.0, log2_table_size=5
    ),
}
WAYS = {
    "plain": {},
    "heavy ball": {"momentum": 0.9},
    "nesterov": {"momentum": 0.8, "nesterov": True},
}


def linear_field(grid: EncodingConfig, num_channels: int = 3) -> Field:
    """A grid that a matrix reads: its outputs are linear in its features."""
    config = EncodedFieldConfig(encoding=grid, decoder=LinearConfig())
    site = Site(num_dims=2, num_channels=num_channels)
    return config.build(site, generator(0, "init")).double()


def trained_outputs(
    field: Field, x: Tensor, y: Tensor, steps: int, **settings
) -> Iterator[Tensor]:
    """Outputs before and after every step of torch's optimiser on the features."""
    features = field.parameter_groups()["grid"]
    optimizer = torch.optim.SGD(features, **settings)
    for step in range(steps + 1):
        outputs = field(x)
        yield outputs.detach()
        if step < steps:
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(outputs, y).backward()
            optimizer.step()


def waves(x: Tensor) -> Tensor:
    """Three channels of something smooth and something that is not."""
    angle = 7 * x[:, 0] + 3 * x[:, 1]
    return torch.stack((angle.sin(), angle.cos(), (angle.sin() > 0).double()), dim=1)


@pytest.fixture
def points(seeded: torch.Generator) -> Tensor:
    return torch.rand(50, 2, generator=seeded, dtype=torch.float64)


@pytest.fixture
def values(points: Tensor) -> Tensor:
    return waves(points)


@pytest.mark.parametrize(
    ("grid", "way"),
    [("dense", "plain"), ("hashed", "heavy ball"), ("hashed", "nesterov")],
)
def test_theorem_1_holds_at_every_step(
    grid: str, way: str, points: Tensor, values: Tensor
):
    """Features trained, decoder frozen: predicted and measured outputs agree."""
    field = linear_field(GRIDS[grid])
    kernel = tangent_kernel(field, points, parameters="grid")
    initial = field(points).detach()
    at_limit = GradientDescent(1.0, **WAYS[way]).largest_stable_rate(
        kernel.eigensystem.largest
    )
    rate = 0.8 * at_limit / effective_rate(1.0, "mse", values.numel())
    descent = GradientDescent(effective_rate(rate, "mse", values.numel()), **WAYS[way])
    predicted = predict_training(kernel, values, initial, descent, torch.arange(201))
    measured = list(trained_outputs(field, points, values, 200, lr=rate, **WAYS[way]))
    worst = (torch.stack(measured) - predicted.outputs).abs().amax((1, 2))
    assert len(worst) == 201
    assert worst.max() < EXACT_DESCENT
    # And something happened.
    assert predicted.mse[200] < 0.7 * predicted.mse[0]


def test_the_sign_is_that_of_a_descent(points: Tensor, values: Tensor):
    """dO/dt = -G (O - Y): a secondary source prints it without the minus."""
    field = linear_field(GRIDS["dense"])
    kernel = tangent_kernel(field, points, parameters="grid")
    initial = field(points).detach()
    flow, soon = GradientFlow(1.0), 1e-7
    outputs = predict_training(kernel, values, initial, flow, soon).outputs[0]
    slope = kernel.stacked(outputs - initial) / soon
    wanted = -(kernel @ kernel.stacked(initial - values))
    assert torch.allclose(slope, wanted, rtol=1e-5, atol=1e-6)


def test_curve_and_outputs_agree(points: Tensor, values: Tensor):
    kernel = tangent_kernel(linear_field(GRIDS["dense"]), points, parameters="grid")
    flow, times = GradientFlow(0.3), [0.0, 0.5, 40.0, math.inf]
    whole = predict_training(kernel, values, None, flow, times)
    assert torch.allclose(predict_mse(kernel, values, None, flow, times), whole.mse)
    assert torch.allclose(whole.residuals[0], values)
    assert torch.allclose(whole.psnr, -10 * whole.mse.log10())


@pytest.mark.parametrize("growth", [1.0, 1e3], ids=["as built", "grown features"])
def test_instant_ngp_is_predicted_until_its_kernel_has_drifted(growth: float):
    """Within a tenth up to a drift of 0.7; how that was found: docs/theorem-1.md."""
    image = tg.ImageSignal.open("camera", crop="60", downscale=5)
    values = torch.tensor(image.rows(0, 12)).double().reshape(144, 1)
    centres = (torch.arange(12, dtype=torch.float64) + 0.5) / 12
    x = torch.cartesian_prod(centres, centres).flip(1)
    field = tg.build("instant-ngp", num_dims=2, num_channels=1, params=20_000).double()
    with torch.no_grad():
        for features in field.parameter_groups()["grid"]:
            features.mul_(growth)
    kernel = tangent_kernel(field, x)
    before = kernel.to_dense()
    # Small: from features near 0 the first steps change most of the kernel.
    share = 0.002 if growth == 1 else 0.01
    at_limit = GradientDescent(1.0).largest_stable_rate(kernel.eigensystem.largest)
    descent = GradientDescent(share * at_limit)
    predicted = predict_mse(kernel, values, field(x), descent, torch.arange(200))
    optimizer = torch.optim.SGD(field.parameters(), lr=descent.rate)
    steps = 0
    for guess in predicted.tolist():
        residual = values - field(x)
        if abs(guess / float(residual.detach().square().mean()) - 1) > 0.1:
            break
        optimizer.zero_grad()
        (0.5 * residual.square().sum()).backward()
        optimizer.step()
        steps += 1
    # It does fail in the end: the theorem's kernel stands still, this one does not.
    assert 10 < steps < 200
    change = tangent_kernel(field, x).to_dense() - before
    assert 0.7 < change.norm() / before.norm() < 4


def test_what_lies_outside_the_range_stays(points: Tensor, values: Tensor):
    """Fifty points, 3 channels, but the coarsest grid has only 4 nodes."""
    coarse = DenseGridConfig(num_levels=1, base_resolution=2, channels_per_level=3)
    field = linear_field(coarse)
    kernel = tangent_kernel(field, points, parameters="grid")
    left = predict_training(kernel, values, None, GradientFlow(1.0), math.inf)
    x, y = points.T
    corners = torch.stack(((1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y), dim=1)
    fitted = corners @ torch.linalg.lstsq(corners, values).solution
    assert torch.allclose(
        left.residuals[0], values - fitted, rtol=0, atol=EXACT_DESCENT
    )


def test_channels_that_share_a_kernel_are_alike(seeded: torch.Generator):
    """Of K = G x I the trace is C times G, and G itself serves all channels."""
    root = torch.randn(6, 6, generator=seeded, dtype=torch.float64)
    gram, y = root @ root.T, torch.randn(6, 2, generator=seeded).double()
    eye = torch.eye(2, dtype=torch.float64)
    kernels = (
        DenseKernel(torch.kron(gram, eye), num_outputs=2),
        DenseKernel(gram),
        DenseKernel(2 * gram, outputs="trace"),
    )
    descent = GradientDescent(0.9 / float(torch.linalg.eigvalsh(gram)[-1]))
    found = [
        predict_training(kernel, y, None, descent, [1, 20]).outputs
        for kernel in kernels
    ]
    for one, two in itertools.pairwise(found):
        assert torch.allclose(one, two, rtol=0, atol=EXACT_DESCENT)


@pytest.mark.parametrize(
    "descent",
    [GradientFlow(0.01), GradientDescent(0.01), GradientDescent(0.01, momentum=0.5)],
    ids=repr,
)
def test_steps_to_a_quality_are_the_first(
    descent: Descent, points: Tensor, values: Tensor
):
    kernel = tangent_kernel(linear_field(GRIDS["dense"]), points, parameters="grid")
    curve = predict_training(kernel, values, None, descent, torch.arange(400)).psnr
    wanted = float(curve[250]) - 1e-9
    first = int((curve >= wanted).nonzero()[0])
    found = steps_to_psnr(kernel, values, None, descent, wanted)
    if isinstance(descent, GradientFlow):
        assert first - 1 < found <= first
        reached = predict_training(kernel, values, None, descent, found).psnr
        assert float(reached) == pytest.approx(wanted, abs=1e-9)
    else:
        assert found == first
    assert steps_to_psnr(kernel, values, None, descent, 300.0) == math.inf
    assert steps_to_psnr(kernel, values, None, descent, -50.0) == 0.0


def test_a_loss_that_cannot_settle_is_refused():
    kernel = DenseKernel(4 * torch.eye(2).double())
    with pytest.raises(NumericalError, match="there is no limit"):
        predict_mse(kernel, torch.ones(2, 1), None, GradientDescent(0.6), math.inf)


@pytest.mark.parametrize(
    ("targets", "initial", "words"),
    [
        (torch.ones(3, 1), None, r"expected shape \[2, c\].*got \[3, 1\]"),
        (torch.ones(2, 2), torch.ones(2, 1), r"initial: .*\[2, 2\], got \[2, 1\]"),
        (torch.ones(2, 1), torch.ones(3, 1), r"expected shape \[2, c\]"),
        (torch.tensor([[1.0], [math.nan]]), None, "expected finite numbers, got 1"),
    ],
)
def test_values_that_do_not_fit_are_refused(targets, initial, words: str):
    kernel = DenseKernel(torch.eye(2, dtype=torch.float64))
    with pytest.raises(ShapeError, match=words):
        predict_training(kernel, targets, initial, GradientFlow(1.0), 1.0)


def test_kernels_between_different_points_are_refused():
    kernel = DenseKernel(torch.eye(2).double(), is_symmetric=False)
    with pytest.raises(ShapeError, match="one set of points with itself"):
        predict_training(kernel, torch.ones(2, 1), None, GradientFlow(1.0), 1.0)


def test_flow_reaches_a_quality_between_steps():
    kernel = DenseKernel(torch.eye(2).double())
    for rate in (1.0, 1e6, 1e-6):
        found = steps_to_psnr(
            kernel, torch.ones(2, 1), None, GradientFlow(rate), 10 * math.log10(16)
        )
        assert found == pytest.approx(math.log(4) / rate, rel=1e-9)


@pytest.mark.parametrize(
    "descent",
    [
        GradientDescent(1.2, ridge=0.4),
        GradientDescent(0.8, momentum=0.9, ridge=0.4),
        GradientDescent(0.8, momentum=0.9, nesterov=True),
    ],
    ids=repr,
)
def test_ridge_may_leave_more_than_there_was_on_the_way(descent: GradientDescent):
    kernel = DenseKernel(torch.diag(torch.tensor([1.0, 0.7, 0.01]).double()))
    values = torch.tensor([[1.0], [1.0], [0.1]])
    curve = predict_training(kernel, values, None, descent, torch.arange(300)).psnr
    wanted = float(curve.max()) if descent.ridge else float(curve[:20].max())
    if descent.ridge:
        assert wanted > float(curve[-1]) + 0.1
    first = int((curve >= wanted - 1e-9).nonzero()[0])
    assert steps_to_psnr(kernel, values, None, descent, wanted - 1e-9) == first
    assert steps_to_psnr(kernel, values, None, descent, 200.0) in {math.inf} or (
        descent.ridge == 0
    )


def test_swings_that_do_not_end_are_refused_with_a_ridge():
    kernel = DenseKernel(torch.eye(2).double())
    with pytest.raises(NumericalError, match="settle within 65536 steps"):
        steps_to_psnr(
            kernel, torch.ones(2, 1), None, GradientDescent(1.99999, ridge=1e-6), 90.0
        )


def test_no_points_are_named():
    kernel = DenseKernel(torch.ones(0, 0).double())
    with pytest.raises(ShapeError, match="at least one point"):
        predict_training(kernel, torch.ones(0, 1), None, GradientFlow(1.0), 1.0)


def test_kernel_names_what_is_wrong_with_values():
    kernel = DenseKernel(torch.eye(2).double())
    assert kernel.stacked(torch.ones(2)).shape == (2, 1)
    with pytest.raises(ShapeError, match="expected floating point numbers"):
        kernel.stacked(torch.ones(2, 1, dtype=torch.int64))
