"""Blocks of a kernel, made all at once, are those of the whole kernel."""

import pytest
import torch

from tangrid.errors import ShapeError
from tangrid.fields import Field
from tangrid.tangent import tangent_kernel
from tangrid.tangent.kernels.assembly import gradient_parts
from tangrid.tangent.kernels.diagonal_blocks import diagonal_blocks
from tangrid.tangent.kernels.kernel import Outputs
from tests.tangent.kernels.test_tangent_kernel import FIELDS, built, distance, points
from tests.tolerances import PARITY_FLOAT64

SIZES = [5, 1, 7]
"""Points of the groups; the largest is not the first."""


@pytest.fixture(params=FIELDS)
def field(request: pytest.FixtureRequest) -> Field:
    return built(request.param)


@pytest.mark.parametrize("outputs", ["full", "trace", 1])
def test_they_are_blocks_of_the_whole(field: Field, outputs: Outputs):
    parts = [part.over(outputs) for part in gradient_parts(field, points())]
    found = diagonal_blocks(parts, SIZES)
    whole = tangent_kernel(field, points(), outputs=outputs).to_dense()
    channels = len(whole) // sum(SIZES)
    assert found.shape == (3, 7 * channels, 7 * channels)
    start = 0
    for block, size in zip(found, SIZES, strict=True):
        stop, rows = start + size * channels, size * channels
        wanted = whole[start:stop, start:stop]
        assert distance(block[:rows, :rows], wanted) < PARITY_FLOAT64
        assert not block[rows:].any()
        assert not block[:, rows:].any()
        start = stop


def test_points_that_are_in_two_groups_count_in_both():
    field = built("hash")
    twice = torch.cat([points(4), points(4)])
    parts = [part.over("trace") for part in gradient_parts(field, twice)]
    first, second = diagonal_blocks(parts, [4, 4])
    torch.testing.assert_close(first, second)


def test_groups_must_be_all_points():
    parts = gradient_parts(built("siren"), points())
    with pytest.raises(ShapeError, match="groups of 13 points, got 12 in all"):
        diagonal_blocks(parts, [5, 7])
