import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tangrid.signals.lens import Lens, bent, fisheye_directions
from tests.signals.views import LENSES
from tests.tolerances import LENS

SMALL = st.floats(-0.05, 0.05)


@given(st.tuples(*[SMALL] * 4), st.tuples(*[st.floats(-0.01, 0.01)] * 2))
def test_what_a_lens_bends_is_bent_back(radial: tuple, tangential: tuple):
    generator = np.random.default_rng(0)
    plane = torch.from_numpy(generator.uniform(-0.7, 0.7, (50, 2)))
    names = ("k1", "k2", "k3", "k4", "p1", "p2")
    lens = Lens(**dict(zip(names, (*radial, *tangential), strict=True)))
    seen = bent(plane, plane.new_tensor(lens.coefficients))
    found = lens.directions(seen)
    torch.testing.assert_close(found[:, :2], plane, atol=LENS, rtol=0)
    assert (found[:, 2] == 1).all()


def test_a_fisheye_sees_behind_itself():
    seen = np.array([[0.0, 0.0], [np.pi / 2, 0.0], [0.0, -3.0]])
    found = fisheye_directions(torch.from_numpy(seen), torch.zeros(6).double())
    wanted = np.array([[0, 0, 1], [1, 0, 0], [0, -np.sin(3), np.cos(3)]])
    np.testing.assert_allclose(found, wanted, atol=LENS)


def test_a_lens_that_folds_the_picture_stays_finite():
    plane = torch.from_numpy(np.random.default_rng(0).uniform(-2, 2, (200, 2)))
    for lens in (Lens(k1=-0.8), Lens(is_fisheye=True, k1=-0.8)):
        assert torch.isfinite(lens.directions(plane)).all()


@pytest.mark.parametrize("name", LENSES)
def test_plain_is_what_keeps_lines_straight(name: str):
    line = torch.stack((torch.linspace(-1, 1, 9), torch.full((9,), 0.4)), 1).double()
    found = LENSES[name].directions(line)
    slopes = found[:, 1] / found[:, 2]
    is_straight = bool((slopes - slopes[0]).abs().max() < LENS)
    assert is_straight == LENSES[name].is_plain
