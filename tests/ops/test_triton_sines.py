"""Sines of turns, for programs, against float64."""

import pytest
import torch

pytest.importorskip("triton")

import triton
import triton.language as tl

from tangrid.ops.triton_sines import cosine_of_turns, sine_of_turns
from tests.tolerances import SINE_FLOAT32

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@triton.jit
def both(turns, sines, cosines, COUNT: tl.constexpr):
    at = tl.arange(0, COUNT)
    angle = tl.load(turns + at)
    tl.store(sines + at, sine_of_turns(angle))
    tl.store(cosines + at, cosine_of_turns(angle))


@pytest.mark.parametrize("most", [0.3, 4.0, 1000.0])
def test_they_are_those_of_float64(most: float):
    turns = torch.linspace(-most, most, 2**14, device=DEVICE)
    found = torch.empty_like(turns), torch.empty_like(turns)
    both[1,](turns, *found, COUNT=len(turns))
    angles = turns.double() * 2 * torch.pi
    for values, expected in zip(found, (angles.sin(), angles.cos()), strict=True):
        assert (values - expected).abs().max() < SINE_FLOAT32


def test_quarters_of_a_turn_are_nearly_whole_numbers():
    turns = torch.arange(-8, 8, device=DEVICE) / 4
    found = torch.empty_like(turns), torch.empty_like(turns)
    both[1,](turns, *found, COUNT=len(turns))
    for values in found:
        assert (values - values.round()).abs().max() < SINE_FLOAT32
    assert found[0].round()[:4].tolist() == [0, 1, 0, -1]
