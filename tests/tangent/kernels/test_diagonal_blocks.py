"""Blocks of a kernel, made all at once, are those of the whole kernel."""

from collections.abc import Iterator

import pytest
import torch

from tangrid import devices
from tangrid.errors import ResourceError, ShapeError
from tangrid.fields import Field
from tangrid.ops import implementation
from tangrid.tangent import tangent_kernel
from tangrid.tangent.kernels import diagonal_blocks as blocks_module
from tangrid.tangent.kernels.assembly import gradient_parts
from tangrid.tangent.kernels.diagonal_blocks import diagonal_blocks
from tangrid.tangent.kernels.kernel import Outputs
from tangrid.tangent.kernels.preconditioned import in_adam_units
from tests.tangent.kernels.test_tangent_kernel import FIELDS, built, distance, points
from tests.tolerances import PARITY_FLOAT64

SIZES = [5, 1, 7]
"""Points of the groups; the largest is not the first."""


@pytest.fixture(params=FIELDS)
def field(request: pytest.FixtureRequest) -> Field:
    return built(request.param)


@pytest.fixture(params=["auto", "reference"])
def how(request: pytest.FixtureRequest) -> Iterator[str]:
    """The loops for a CPU, and plain PyTorch, which takes the groups one by one."""
    with implementation(request.param):
        yield request.param


@pytest.mark.usefixtures("how")
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


def test_wide_gradients_are_taken_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch):
    parts = [part.over("trace") for part in gradient_parts(built("siren"), points())]
    whole = diagonal_blocks(parts, SIZES)
    monkeypatch.setattr(blocks_module, "_WIDTH_AT_ONCE", 5)
    assert distance(diagonal_blocks(parts, SIZES), whole) < PARITY_FLOAT64


def test_points_that_are_in_two_groups_count_in_both():
    field = built("hash")
    twice = torch.cat([points(4), points(4)])
    parts = [part.over("trace") for part in gradient_parts(field, twice)]
    alone = tangent_kernel(field, points(4), outputs="trace").to_dense()
    for block in diagonal_blocks(parts, [4, 4]):
        assert distance(block, alone) < PARITY_FLOAT64


def test_too_many_groups_are_refused_before_they_are_made(
    monkeypatch: pytest.MonkeyPatch,
):
    parts = gradient_parts(built("siren"), points())
    monkeypatch.setattr(devices, "available_memory_mb", lambda: 1e-4)
    with pytest.raises(ResourceError, match="3 matrices of 21 rows"):
        diagonal_blocks(parts, SIZES)


def test_more_points_than_there_is_memory_for_are_refused(
    monkeypatch: pytest.MonkeyPatch,
):
    field = built("siren")
    parts = gradient_parts(field, points(20))
    monkeypatch.setattr(devices, "available_memory_mb", lambda: 1e-4)
    with pytest.raises(ResourceError, match="gradients of 20 points"):
        gradient_parts(field, points(20))
    with pytest.raises(ResourceError, match="gradients of 20 points"):
        in_adam_units(parts, field, {"decoder": 1e-3})


def test_groups_must_be_all_points():
    parts = gradient_parts(built("siren"), points())
    with pytest.raises(ShapeError, match="groups of 13 points, got 12 in all"):
        diagonal_blocks(parts, [5, 7])
