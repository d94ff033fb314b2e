import pytest
import torch

from tangrid.decoders import SumConfig
from tangrid.encodings import DenseGridConfig
from tangrid.errors import ConfigError
from tangrid.fields import EncodedFieldConfig
from tangrid.seeding import generator
from tangrid.signals.site import Site


def test_levels_are_added_channel_by_channel():
    decoder = SumConfig().build(6, 3, generator(0))
    features = torch.tensor([[1.0, 2.0, 3.0, 10.0, 20.0, 30.0]])
    assert decoder(features).tolist() == [[11.0, 22.0, 33.0]]
    assert not list(decoder.parameters())


def test_features_are_whole_levels():
    with pytest.raises(ConfigError, match="channels-per-level=3"):
        SumConfig().build(8, 3, generator(0))


@pytest.mark.parametrize("channels", [1, 6])
def test_a_grid_has_the_channels_of_its_signal(channels: int):
    grid = DenseGridConfig(channels_per_level=channels)
    config = EncodedFieldConfig(encoding=grid, decoder=SumConfig())
    with pytest.raises(ConfigError, match=f"sum, 3, got {channels}. Say --set"):
        config.build(Site(num_dims=2, num_channels=3), generator(0))
