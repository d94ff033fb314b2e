import math
from typing import Any

import pytest
import torch

from tangrid.errors import ConfigError
from tangrid.fields import SirenConfig
from tangrid.fields.siren import Siren
from tangrid.seeding import generator
from tangrid.signals.site import Site

SITE = Site(num_dims=2, num_channels=3)


def build(config: SirenConfig) -> Siren:
    return config.build(SITE, generator(0))


def test_the_published_network_has_its_size():
    field = build(SirenConfig())
    assert sum(p.numel() for p in field.parameters()) == 198_915


def test_values_are_those_of_the_formula():
    field = build(SirenConfig(width=5, num_hidden=2, frequency=7.0)).double()
    coords = torch.rand(6, 2).double()
    hidden = 2 * coords - 1
    layers: list[Any] = list(field.layers)
    *inner, last = layers
    for layer in inner:
        hidden = torch.sin(7.0 * (hidden @ layer.weight.T + layer.bias))
    expected = hidden @ last.weight.T + last.bias
    assert len(inner) == 3
    assert torch.allclose(field(coords), expected, atol=1e-12)


def test_weights_start_as_the_paper_says():
    field = build(SirenConfig())
    layers: list[Any] = list(field.layers)
    for layer, bound in ((layers[0], 1 / 2), (layers[1], math.sqrt(6 / 256) / 30)):
        largest = float(layer.weight.detach().abs().max())
        assert 0.98 * bound < largest <= bound


def test_all_layers_are_trained_as_a_decoder():
    field = build(SirenConfig(width=4))
    groups = field.parameter_groups()
    assert list(groups) == ["decoder"]
    assert {id(p) for p in groups["decoder"]} == {id(p) for p in field.parameters()}


@pytest.mark.parametrize(
    "settings", [{"width": 0}, {"num_hidden": -1}, {"frequency": 0.0}]
)
def test_an_empty_network_is_refused(settings: dict):
    with pytest.raises(ConfigError, match=r"SirenConfig.*: expected"):
        SirenConfig(**settings)
