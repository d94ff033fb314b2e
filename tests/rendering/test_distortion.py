"""The distortion of rays, against the double sum over all pairs of samples."""

import pytest
import torch
from torch import Tensor

from tangrid.errors import ShapeError
from tangrid.ops.composite import ray_weights
from tangrid.rendering.distortion import distortion
from tangrid.seeding import generator
from tests.tolerances import PARITY_FLOAT32, PARITY_FLOAT64


def rays_of(
    counts: list[int], dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights, places, lengths and bounds of rays with some numbers of samples."""
    source = generator(0, "distortion")
    total = sum(counts)
    lengths = torch.rand(total, generator=source, dtype=dtype) + 0.01
    places = torch.cat([part.cumsum(0) for part in lengths.split(counts)])
    bounds = torch.tensor([0, *counts]).cumsum(0)
    thickness = torch.rand(total, generator=source, dtype=dtype) * 0.3
    return ray_weights(thickness, bounds), places, lengths, bounds


def over_all_pairs(weights: Tensor, places: Tensor, lengths: Tensor) -> Tensor:
    apart = (places[:, None] - places[None]).abs()
    inside = (weights.square() * lengths).sum() / 3
    return weights @ apart @ weights + inside


COUNTS = [5, 0, 1, 12, 40, 0]


def test_it_is_the_sum_over_all_pairs():
    weights, places, lengths, bounds = rays_of(COUNTS)
    found = distortion(weights, places, lengths, bounds)
    rows = zip(
        *(part.split(COUNTS) for part in (weights, places, lengths)), strict=True
    )
    wanted = torch.stack([over_all_pairs(*row) for row in rows])
    assert float((found - wanted).abs().max() / wanted.max()) < PARITY_FLOAT64
    assert found[1] == found[5] == 0
    assert bool((found[[0, 2, 3, 4]] > 0).all())


def test_its_gradients_are_those_of_finite_differences():
    *inputs, bounds = rays_of([3, 0, 2])
    inputs = [tensor.requires_grad_() for tensor in inputs]

    def of(weights: Tensor, places: Tensor, lengths: Tensor) -> Tensor:
        return distortion(weights, places, lengths, bounds)

    assert torch.autograd.gradcheck(of, inputs)
    assert torch.autograd.gradgradcheck(of, inputs, fast_mode=True)


def test_single_precision_is_not_lost_among_many_rays():
    """The sum runs over all rays: the last ones must be as good as the first."""
    counts = [48] * 4000
    weights, places, lengths, bounds = rays_of(counts, torch.float32)
    found = distortion(weights, places, lengths, bounds)
    assert found.dtype == torch.float32
    exact = distortion(weights.double(), places.double(), lengths.double(), bounds)
    assert float(((found - exact) / exact).abs().max()) < PARITY_FLOAT32


def test_other_rays_do_not_matter():
    weights, places, lengths, bounds = rays_of(COUNTS)
    together = distortion(weights, places, lengths, bounds)
    part = slice(int(bounds[3]), int(bounds[4]))
    alone = distortion(
        weights[part], places[part], lengths[part], torch.tensor([0, 12])
    )
    assert float(alone[0]) == pytest.approx(float(together[3]), rel=1e-12)


def test_it_is_least_where_light_comes_from_one_place():
    places = torch.linspace(0.1, 0.9, 9)
    lengths = torch.full((9,), 0.1)
    bounds = torch.tensor([0, 9])
    even = distortion(torch.full((9,), 1 / 9), places, lengths, bounds)
    one = distortion(torch.eye(9)[4], places, lengths, bounds)
    two = distortion((torch.eye(9)[0] + torch.eye(9)[8]) / 2, places, lengths, bounds)
    assert float(one) == pytest.approx(0.1 / 3)
    assert one < even < two
    # Even light over a length of 0.9: two of its points are a third of that apart.
    assert float(even) == pytest.approx(0.3, abs=1e-6)
    assert float(two) == pytest.approx(0.4 + 0.1 / 6)


def test_nothing_on_any_ray():
    nothing = torch.zeros(0, requires_grad=True)
    found = distortion(nothing, nothing, nothing, torch.zeros(4, dtype=torch.long))
    assert found.tolist() == [0.0, 0.0, 0.0]
    (grad,) = torch.autograd.grad(found.sum(), nothing)
    assert grad.shape == (0,)


def test_lengths_of_other_samples_are_refused(unchecked: None):
    with pytest.raises(ShapeError, match="distortion: expected weights, places and"):
        distortion(torch.ones(3), torch.ones(3), torch.ones(2), torch.tensor([0, 3]))
