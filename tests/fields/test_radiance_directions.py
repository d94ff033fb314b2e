"""Features of directions, against integrals over the sphere and against SciPy."""

import math

import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y
from torch.nn.functional import normalize

from tangrid.errors import ConfigError
from tangrid.fields.radiance import DirectionEncoding
from tangrid.seeding import generator
from tests.tolerances import LINEAR_ALGEBRA

DEGREES = (1, 2, 3, 4, 8)


def harmonics(directions: torch.Tensor, num_degrees: int) -> torch.Tensor:
    return DirectionEncoding(family="harmonics", order=num_degrees)(directions)


def directions(count: int) -> torch.Tensor:
    drawn = torch.randn(count, 3, generator=generator(0), dtype=torch.float64)
    return normalize(drawn)


@pytest.mark.parametrize("num_degrees", DEGREES)
def test_harmonics_are_orthonormal_over_the_sphere(num_degrees: int):
    """Gauss-Legendre nodes along the axis and even steps around it are exact here."""
    heights, weights = np.polynomial.legendre.leggauss(8)
    angles = np.arange(16) * (2 * math.pi / 16)
    z = np.repeat(heights, 16)
    radius, around = np.sqrt(1 - z**2), np.tile(angles, 8)
    nodes = np.stack([radius * np.cos(around), radius * np.sin(around), z], 1)
    areas = torch.from_numpy(np.repeat(weights, 16) * (2 * math.pi / 16))
    assert float(areas.sum()) == pytest.approx(4 * math.pi)
    found = harmonics(torch.from_numpy(nodes), num_degrees)
    gram = found.T @ (areas[:, None] * found)
    assert torch.allclose(gram, torch.eye(num_degrees**2).double(), atol=LINEAR_ALGEBRA)


def test_harmonics_are_scipys_in_real_form():
    """sqrt 2 Im Y of -m for m < 0, Y for m = 0 and sqrt 2 Re Y for m > 0."""
    places = directions(20)
    x, y, z = places.numpy().T
    polar, azimuth = np.arccos(z), np.arctan2(y, x)
    wanted = []
    for degree in range(8):
        for order in range(-degree, degree + 1):
            value = sph_harm_y(degree, abs(order), polar, azimuth)
            part = value.imag if order < 0 else value.real
            wanted.append(part * (math.sqrt(2) if order else 1.0))
    found = harmonics(places, 8)
    assert np.allclose(found.numpy(), np.stack(wanted, 1), atol=LINEAR_ALGEBRA)


def test_harmonics_have_the_constants_of_tiny_cuda_nn():
    x, y, z = places = normalize(torch.tensor([[0.3, -0.5, 0.8]]).double())[0]
    wanted = [0.28209479, -0.48860251 * y, 0.48860251 * z, -0.48860251 * x]
    wanted += [1.09254843 * x * y, -1.09254843 * y * z, 0.94617470 * z**2 - 0.31539157]
    wanted += [-1.09254843 * x * z, 0.54627422 * (x**2 - y**2)]
    found = harmonics(places[None], 3)[0]
    assert torch.allclose(found, torch.tensor(wanted).double(), atol=1e-7)


def test_lower_degrees_come_first():
    places = directions(5)
    for num_degrees in DEGREES:
        found = harmonics(places, num_degrees)
        assert torch.allclose(found, harmonics(places, 8)[:, : num_degrees**2])


def test_float32_has_the_digits_of_float64():
    places = directions(50)
    error = harmonics(places.float(), 4).double() - harmonics(places, 4)
    assert 0 < float(error.abs().max()) < 1e-6


def test_waves_are_those_of_nerf():
    places = directions(7)
    found = DirectionEncoding(family="waves", order=3)(places)
    angles = torch.cat([places, 2 * places, 4 * places], 1)
    wanted = torch.cat((places, angles.sin(), angles.cos()), 1)
    assert sorted(found[0].tolist()) == pytest.approx(sorted(wanted[0].tolist()))
    assert torch.equal(found[:, :3], places)


@pytest.mark.parametrize(
    "encoding",
    [
        *(DirectionEncoding(family="harmonics", order=order) for order in DEGREES),
        DirectionEncoding(family="waves", order=2),
        DirectionEncoding(family="none"),
    ],
    ids=str,
)
@pytest.mark.parametrize("count", [5, 0])
def test_the_number_of_features_is_as_said(encoding: DirectionEncoding, count: int):
    found = encoding(directions(count))
    assert found.shape == (count, encoding.num_features)


@pytest.mark.parametrize(
    ("family", "order"), [("harmonics", 0), ("harmonics", 9), ("waves", 17)]
)
def test_orders_out_of_range_are_refused(family, order: int):
    with pytest.raises(ConfigError, match=rf"order: expected 1 to \d+ for '{family}'"):
        DirectionEncoding(family=family, order=order)
