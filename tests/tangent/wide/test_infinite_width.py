import math

import mpmath
import pytest
import torch
from torch import Tensor

from tangrid.encodings import FourierConfig, HashGridConfig
from tangrid.encodings.fourier import FourierEncoding
from tangrid.errors import ConfigError, NumericalError, ShapeError
from tangrid.ops import implementation
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent.wide.finite_width import FiniteReluNetwork
from tangrid.tangent.wide.infinite_width import (
    ReluNetwork,
    infinite_width,
    infinite_width_kernel,
    infinite_width_of_gram,
)
from tests.tolerances import ROUNDING_FLOAT64

NETWORKS = (
    ReluNetwork(num_hidden=1),
    ReluNetwork(num_hidden=3),
    ReluNetwork(num_hidden=3, weight_variance=1.5, bias_variance=0.3),
    ReluNetwork(num_hidden=6, bias_variance=0.01),
)
POINT = torch.tensor([0.3, -1.2, 0.7], dtype=torch.float64)
ASIDE = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
PARTNERS = {
    "coincident": POINT,
    "antipodal": -POINT,
    "parallel": 2.5 * POINT,
    "opposite": -0.4 * POINT,
    "close": POINT + 1e-9 * ASIDE,
    "close to antipodal": -POINT + 1e-9 * ASIDE,
    "any": ASIDE,
    "zero": 0 * POINT,
}


def normal(stream: str, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator(0, stream))


def recursion(x: list[float], y: list[float], network: ReluNetwork):
    """NNGP and NTK by the textbook's formulas, at 60 digits."""
    weight, bias = map(mpmath.mpf, (network.weight_variance, network.bias_variance))

    def inner(u: list[float], v: list[float]):
        products = [mpmath.mpf(a) * mpmath.mpf(b) for a, b in zip(u, v, strict=True)]
        return weight * mpmath.fsum(products) / len(u) + bias

    xx, yy, xy = inner(x, x), inner(y, y), inner(x, y)
    ntk = xy
    for _ in range(network.num_hidden):
        lengths = mpmath.sqrt(xx * yy)
        cosine = xy / lengths if lengths else mpmath.mpf(0)
        angle = mpmath.acos(max(-1, min(1, cosine)))
        ramp = mpmath.sin(angle) + (mpmath.pi - angle) * cosine
        xy = weight * lengths * ramp / (2 * mpmath.pi) + bias
        xx, yy = (weight * square / 2 + bias for square in (xx, yy))
        ntk = xy + ntk * weight * (mpmath.pi - angle) / (2 * mpmath.pi)
    return xy, ntk


@pytest.mark.parametrize("partner", PARTNERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_all_digits_hold_for_points_of_every_kind(network: ReluNetwork, partner: str):
    pair = torch.stack((POINT, PARTNERS[partner]))
    found = infinite_width(pair, network=network)
    with mpmath.workdps(60):
        expected = recursion(*pair.tolist(), network)
        for kernel, exact in zip(found, expected, strict=True):
            error = float(mpmath.mpf(float(kernel[0, 1])) - exact)
            assert abs(error) < ROUNDING_FLOAT64 * float(kernel.diagonal().max())


def test_the_recursion_is_an_expectation_over_weights():
    """The covariance after one layer is E[relu(u) relu(v)], here by quadrature."""
    network = ReluNetwork(num_hidden=1, weight_variance=1.3, bias_variance=0.2)
    x, y = normal("quadrature", 2, 3)
    start = network.weight_variance * torch.stack((x, y)) @ torch.stack((x, y)).T / 3
    root = torch.linalg.cholesky(start + network.bias_variance)
    # In polar coordinates the radius integrates to 1: E = 1/pi * integral of angles.
    angles = (torch.arange(400_000, dtype=torch.float64) + 0.5) / 400_000 * 2 * math.pi
    u, v = root @ torch.stack((angles.cos(), angles.sin()))
    products = (u.relu() * v.relu()).mean() * 2
    switched = ((u > 0) & (v > 0)).double().mean()
    weight, bias = network.weight_variance, network.bias_variance
    found = infinite_width(x[None], y[None], network=network)
    nngp = weight * products + bias
    ntk = nngp + weight * switched * (start[0, 1] + bias)
    assert float(found.nngp) == pytest.approx(float(nngp), abs=1e-9)
    # An indicator is integrated only to within one of the 400 000 steps.
    assert float(found.ntk) == pytest.approx(float(ntk), abs=1e-5)


@pytest.mark.parametrize("network", NETWORKS)
def test_kernels_are_symmetric_and_positive(network: ReluNetwork):
    points = normal("positive", 30, 3)
    for kernel in infinite_width(points, network=network):
        assert torch.allclose(kernel, kernel.T, rtol=0, atol=1e-12)
        assert torch.linalg.eigvalsh(kernel).min() > 0


def test_scaling_of_the_inputs():
    """Without biases both kernels are homogeneous of degree one in each input."""
    points = normal("scale", 6, 4)
    scales = torch.tensor([1e-9, 0.1, 1.0, 3.0, 1e4, 1e9], dtype=torch.float64)
    found = infinite_width(scales[:, None] * points)
    plain = infinite_width(points)
    for scaled, kernel in zip(found, plain, strict=True):
        ratio = scaled / (scales[:, None] * scales * kernel)
        assert torch.allclose(ratio, torch.ones_like(ratio), rtol=1e-12)


def test_depth_adds_a_kernel_per_layer_at_coincident_points():
    """With variance 2 and no biases the NTK of x with itself is (layers) |x|^2 / d."""
    points = normal("depth", 3, 5)
    squares = 2 * points.square().sum(1) / 5
    for num_hidden in range(1, 7):
        found = infinite_width(points, network=ReluNetwork(num_hidden=num_hidden))
        assert torch.allclose(found.nngp.diagonal(), squares)
        assert torch.allclose(found.ntk.diagonal(), (num_hidden + 1) * squares)


def test_points_of_rows_and_columns():
    x, y = normal("rows", 7, 3), normal("columns", 4, 3)
    whole = infinite_width(torch.cat((x, y))).ntk
    assert torch.allclose(infinite_width(x, y).ntk, whole[:7, 7:])
    kernel = infinite_width_kernel(x, y)
    assert kernel.num_points == (7, 4)
    assert not kernel.is_symmetric
    square = infinite_width_kernel(x, kind="nngp")
    assert torch.equal(square.to_dense(), infinite_width(x).nngp)


def test_tiles_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch):
    points = normal("tiles", 23, 3)
    whole = infinite_width(points).ntk
    monkeypatch.setattr("tangrid.tangent.wide.infinite_width._TILE", 60)
    assert torch.allclose(infinite_width(points).ntk, whole, rtol=1e-13)


@pytest.mark.parametrize("stored", [torch.float32, torch.float64])
def test_behind_features(stored: torch.dtype):
    site = Site(num_dims=2, num_channels=1)
    encoding = FourierConfig(num_frequencies=20).build(site, generator(0, "features"))
    encoding = encoding.to(stored)
    coords = torch.rand(9, 2, generator=generator(0, "coords"))
    found = infinite_width(coords, features=encoding).ntk
    assert found.dtype == torch.float64
    features = encoding.double()(coords.double())
    assert torch.allclose(found, infinite_width(features).ntk, rtol=1e-12)
    of_function = infinite_width(
        coords, features=lambda points: features[: len(points)]
    )
    assert torch.allclose(found, of_function.ntk, rtol=1e-12)


def test_behind_a_grid():
    site = Site(num_dims=2, num_channels=1)
    grid = HashGridConfig(num_levels=4).build(site, generator(0, "grid"))
    coords = torch.rand(9, 2, generator=generator(0, "coords"))
    found = infinite_width(coords, features=grid).ntk
    with implementation("reference"):
        features = grid.double()(coords.double())
    assert torch.allclose(found, infinite_width(features).ntk, rtol=1e-9)


def test_derivatives():
    x, y = normal("x", 2, 2), normal("y", 3, 2)
    network = ReluNetwork(num_hidden=2, bias_variance=0.1)

    def kernels(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return tuple(infinite_width(x, y, network=network))

    assert torch.autograd.gradcheck(kernels, (x.requires_grad_(), y.requires_grad_()))


def test_derivatives_in_the_amplitudes_of_features():
    drawn = generator(0, "amplitudes")
    frequencies = torch.randn(5, 2, dtype=torch.float64, generator=drawn)
    x = torch.rand(4, 2, dtype=torch.float64, generator=drawn)

    def kernel(amplitudes: Tensor) -> Tensor:
        return infinite_width(x, features=FourierEncoding(frequencies, amplitudes)).ntk

    amplitudes = torch.rand(5, dtype=torch.float64, generator=drawn) + 0.5
    assert torch.autograd.gradcheck(kernel, (amplitudes.requires_grad_(),))


@pytest.mark.parametrize("network", NETWORKS)
def test_derivatives_where_angles_are_0_or_undefined(network: ReluNetwork):
    """On the diagonal the angle stays 0; the derivative is that of the lengths."""
    points = torch.cat((normal("points", 3, 2), torch.zeros(2, 2)))
    points = points.double().requires_grad_()
    kernel = infinite_width(points, network=network).ntk
    (found,) = torch.autograd.grad(kernel.diagonal().sum(), points, retain_graph=True)
    factor = float(infinite_width(torch.ones(1, 2), network=network).ntk) - float(
        infinite_width(torch.zeros(1, 2), network=network).ntk
    )
    assert torch.allclose(found, factor * points, rtol=1e-12)
    (whole,) = torch.autograd.grad(kernel.sum(), points)
    assert torch.isfinite(whole).all()


def test_a_gram_matrix_of_inputs_is_enough():
    x, y = normal("x", 5, 3), normal("y", 4, 3)
    squares = (x.square().sum(1), y.square().sum(1))
    network = ReluNetwork(num_hidden=3, bias_variance=0.2)
    found = infinite_width_of_gram(x @ y.T, squares, num_features=3, network=network)
    expected = infinite_width(x, y, network=network)
    for kernel, known in zip(found, expected, strict=True):
        assert torch.allclose(kernel, known, rtol=1e-9)


def empirical(network: ReluNetwork, points: Tensor, width: int, seed: int) -> Tensor:
    model = FiniteReluNetwork(
        network, points.shape[1], width, 1, generator(seed, "width", width)
    )
    gradients = [
        torch.cat([
            part.flatten()
            for part in torch.autograd.grad(
                value, list(model.parameters()), retain_graph=True
            )
        ])
        for value in model(points)[:, 0]
    ]
    return torch.stack(gradients) @ torch.stack(gradients).T


@pytest.mark.parametrize("network", [NETWORKS[0], NETWORKS[2]])
def test_networks_come_closer_as_one_over_the_root_of_their_width(
    network: ReluNetwork,
):
    points = normal("width", 5, 3)
    limit = infinite_width(points, network=network).ntk
    widths = torch.tensor([16, 64, 192])
    seeds = range(20)
    errors = torch.stack([
        torch.stack([
            (empirical(network, points, int(width), seed) - limit).norm()
            for seed in seeds
        ])
        for width in widths
    ])
    root_mean_square = errors.square().mean(1).sqrt() / limit.norm()
    line = root_mean_square.log2()
    slope = float(line[-1] - line[0]) / math.log2(int(widths[-1]) / int(widths[0]))
    # 20 errors know their own size to a fifth, 3.6 doublings of the width the
    # slope to a tenth.
    assert slope == pytest.approx(-0.5, abs=0.12)
    assert root_mean_square[-1] < 0.25
    # They lie around the limit: the mean of many is closer than one is.
    mean = torch.stack([empirical(network, points, 16, seed) for seed in seeds]).mean(0)
    assert (mean - limit).norm() / limit.norm() < 0.5 * root_mean_square[0]


def test_bad_input():
    good = torch.rand(4, 2)
    with pytest.raises(ConfigError, match="num_hidden"):
        ReluNetwork(num_hidden=0)
    with pytest.raises(ConfigError, match="variance"):
        ReluNetwork(weight_variance=0.0)
    with pytest.raises(ConfigError, match="variance"):
        ReluNetwork(bias_variance=math.nan)
    for wrong in (torch.rand(0, 2), torch.rand(4), torch.ones(4, 2, dtype=torch.int64)):
        with pytest.raises(ShapeError, match="floating point numbers of shape"):
            infinite_width(wrong)
    with pytest.raises(ShapeError, match="finite"):
        infinite_width(torch.tensor([[0.0, math.nan]]))
    with pytest.raises(ShapeError, match="numbers per point"):
        infinite_width(good, torch.rand(4, 3))
    with pytest.raises(ShapeError, match="feature map"):
        infinite_width(good, features=lambda points: points[:, 0])
    with pytest.raises(ShapeError, match="square matrix"):
        infinite_width_of_gram(torch.rand(3, 4))
    with pytest.raises(ShapeError, match="squares"):
        infinite_width_of_gram(torch.rand(3, 4), (torch.rand(3), torch.rand(3)))


@pytest.mark.usefixtures("unchecked")
def test_there_are_two_kinds():
    with pytest.raises(ConfigError, match="one of 'ntk', 'nngp', got 'NTK'"):
        infinite_width_kernel(normal("kinds", 3, 2), kind="NTK")


def test_impossible_inner_products_are_refused():
    gram = torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=torch.float64)
    with pytest.raises(ShapeError, match="got 2 larger ones"):
        infinite_width_of_gram(gram)
    with pytest.raises(ShapeError, match="squares down to -1"):
        infinite_width_of_gram(-torch.eye(2, dtype=torch.float64))


def test_overflow_is_refused():
    points = torch.full((2, 2), 1e200, dtype=torch.float64)
    with pytest.raises(NumericalError, match="got an overflow"):
        infinite_width(points)
