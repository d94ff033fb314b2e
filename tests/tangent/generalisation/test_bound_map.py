import math

import pytest
import torch

from tangrid.errors import ConfigError, ShapeError
from tangrid.tangent.generalisation.bound import generalisation_bound
from tangrid.tangent.generalisation.bound_forms import confidence_term
from tangrid.tangent.generalisation.bound_map import map_difference, two_point_map
from tangrid.tangent.kernels.kernel import DenseKernel


def kernel_of(*rows: list[float]) -> DenseKernel:
    return DenseKernel(torch.tensor(rows, dtype=torch.float64))


FAR = kernel_of([1.0, 0.1], [0.1, 0.8])
NEAR = kernel_of([1.0, 0.9], [0.9, 1.0])


def test_map_holds_the_bound_of_every_pair_of_labels():
    found = two_point_map(FAR, num_labels=7)
    for i in (0, 2, 6):
        for j in (1, 3, 5):
            labels = torch.stack((found.labels[i], found.labels[j]))[:, None]
            bound = generalisation_bound(FAR, labels)
            raw = bound.raw.complexity
            assert float(found.raw[i, j]) == pytest.approx(raw)
            normalised = bound.trace_normalised.complexity
            assert float(found.trace_normalised[i, j]) == pytest.approx(normalised)


def test_map_of_two_points_by_hand():
    found = two_point_map(NEAR, num_labels=3)
    # Equal labels lie along the eigenvalue 1.9, opposite ones along 0.1.
    assert float(found.raw[2, 2]) == pytest.approx(math.sqrt(2 / 1.9))
    assert float(found.raw[2, 0]) == pytest.approx(math.sqrt(2 / 0.1))
    assert float(found.raw[1, 1]) == 0
    ratio = found.trace_normalised[2] / found.raw[2]
    assert ratio.tolist() == pytest.approx([math.sqrt(found.trace)] * 3)


def test_only_the_normalised_map_ignores_the_scale():
    one, other = two_point_map(FAR), two_point_map(DenseKernel(100 * FAR.matrix))
    assert torch.allclose(one.trace_normalised, other.trace_normalised)
    assert torch.allclose(one.raw, 10 * other.raw)
    difference = map_difference(other, one)
    assert difference.share_lower_raw == 1
    assert float(difference.trace_normalised.abs().max()) < 1e-12


def test_difference_keeps_its_units():
    """Dividing each map by its own maximum would hide that the second is larger."""
    far, near = two_point_map(FAR), two_point_map(NEAR)
    difference = map_difference(far, near)
    assert torch.equal(difference.raw, far.raw - near.raw)
    share = float((difference.raw < 0).sum() / (difference.raw != 0).sum())
    assert difference.share_lower_raw == pytest.approx(share)
    assert map_difference(near, far).share_lower_raw == pytest.approx(1 - share)
    assert math.isnan(map_difference(far, far).share_lower_raw)


def test_map_prefers_memory_to_interpolation():
    """A kernel without links has the lower bound for most labels of near points."""
    memory = two_point_map(DenseKernel(torch.eye(2).double()))
    difference = map_difference(memory, two_point_map(NEAR))
    # Lower where (Y1 - Y2)^2 / 0.1 > (Y1 + Y2)^2 / 1.9, by the two eigenvalues.
    first, second = torch.meshgrid(memory.labels, memory.labels, indexing="ij")
    wanted = (first - second).square() / 0.1 > (first + second).square() / 1.9
    decided = (first != 0) | (second != 0)
    share = float((wanted & decided).sum() / decided.sum())
    assert difference.share_lower_normalised == pytest.approx(share, abs=1e-3)
    assert share > 0.8


def test_points_that_are_one_cannot_have_different_labels():
    found = two_point_map(kernel_of([1.0, 1.0], [1.0, 1.0]), num_labels=3)
    finite = torch.isfinite(found.raw)
    assert torch.equal(finite, torch.eye(3, dtype=torch.bool))
    assert float(found.raw[2, 2]) == pytest.approx(1)
    # Where both are infinite neither is lower.
    difference = map_difference(found, two_point_map(NEAR, num_labels=3))
    assert 0 <= difference.share_lower_raw < 1


def test_chance_alone_makes_two_points_vacuous():
    assert confidence_term(2, 0.999) > 1


def test_bad_input_is_refused():
    with pytest.raises(ShapeError, match="two points"):
        two_point_map(DenseKernel(torch.eye(3).double()))
    with pytest.raises(ShapeError, match="two points"):
        two_point_map(DenseKernel(torch.eye(2).double(), num_outputs=2))
    with pytest.raises(ConfigError, match="at least 2"):
        two_point_map(FAR, num_labels=1)
    with pytest.raises(ShapeError, match="same labels"):
        map_difference(two_point_map(FAR, num_labels=3), two_point_map(FAR))


def test_kernel_of_nothing_fits_nothing_in_either_form():
    found = two_point_map(kernel_of([0.0, 0.0], [0.0, 0.0]), num_labels=3)
    for form in (found.raw, found.trace_normalised):
        assert float(form[1, 1]) == 0
        assert int(torch.isinf(form).sum()) == 8


@pytest.mark.parametrize("scale", [1.0, 3.0, 0.1])
def test_rounding_decides_nothing(scale: float):
    one, other = two_point_map(FAR), two_point_map(DenseKernel(scale * FAR.matrix))
    found = map_difference(one, other)
    assert math.isnan(found.share_lower_normalised)
    assert math.isnan(found.share_lower_raw) == (scale == 1)


def test_infinite_bound_is_the_higher_one():
    flat = two_point_map(kernel_of([1.0, 1.0], [1.0, 1.0]), num_labels=3)
    found = map_difference(two_point_map(NEAR, num_labels=3), flat)
    # Six pairs of different labels are infinite in one of both.
    assert found.share_lower_raw == pytest.approx(6 / 8)


def test_sum_of_channels_is_no_channel():
    with pytest.raises(ShapeError, match="sum of channels"):
        two_point_map(DenseKernel(torch.eye(2).double(), outputs="trace"))
