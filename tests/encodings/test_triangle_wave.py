import pytest
import torch

from tangrid.encodings import TriangleWaveConfig
from tangrid.errors import ConfigError
from tangrid.seeding import generator
from tangrid.signals.site import Site

SITE = Site(num_dims=2, num_channels=1)


def test_waves_by_hand():
    """v = x/2, x + 1/4 and 2x + 1/2 of 0.25 and of 1."""
    encoding = TriangleWaveConfig(num_octaves=3).build(SITE, generator(0))
    found = encoding(torch.tensor([[0.25, 1.0]]))
    assert found.tolist() == [[0.5, -1.0, 1.0, -1.0, 0.0, -1.0]]


def test_neighbouring_octaves_are_shifted():
    """Without shifts all waves would be largest at 0."""
    encoding = TriangleWaveConfig(num_octaves=4).build(SITE, generator(0))
    assert encoding(torch.zeros(1, 2))[0, :4].tolist() == [1.0, 0.0, -1.0, 0.0]


@pytest.mark.parametrize("octaves", [0, 25])
def test_octaves_out_of_range_are_refused(octaves: int):
    with pytest.raises(ConfigError, match="num_octaves: expected a whole number"):
        TriangleWaveConfig(num_octaves=octaves)
