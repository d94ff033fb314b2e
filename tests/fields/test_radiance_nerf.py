"""NeRF's network, against a plain one and against the published size."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from tangrid.encodings import FourierConfig, HashGridConfig
from tangrid.errors import ConfigError
from tangrid.fields import count_parameters
from tangrid.fields.radiance import DirectionEncoding, NerfConfig
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tests.tolerances import LINEAR_ALGEBRA

SITE = Site(num_dims=3, num_channels=3)
SMALL = NerfConfig(width=16, num_hidden=4, seen_again_after=2)


def build(config: NerfConfig) -> Any:
    return config.build(SITE, generator(0)).double()


def test_the_published_network_has_its_published_size():
    assert count_parameters(NerfConfig(), SITE) == 595_844


def test_the_network_is_that_of_the_formula():
    field = build(SMALL)
    coords = torch.rand(6, 3, generator=generator(1), dtype=torch.float64)
    views = field.encode_directions(nn.functional.normalize(coords - 0.5))
    weights = dict(field.named_parameters())

    def layer(name: str, inputs: torch.Tensor) -> torch.Tensor:
        return inputs @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    seen = field.encoding(coords)
    hidden = layer("trunk.0", seen).clamp(min=0)
    hidden = layer("trunk.1", hidden).clamp(min=0)
    hidden = layer("trunk.2", torch.cat((seen, hidden), 1)).clamp(min=0)
    hidden = layer("trunk.3", hidden).clamp(min=0)
    density = 10 * torch.log1p(torch.exp(layer("density_layer", hidden)[:, 0] - 3))
    joint = layer("colour_layers.0", hidden)
    branch = layer("colour_layers.1", torch.cat((joint, views), 1)).clamp(min=0)
    colour = 1 / (1 + torch.exp(-layer("colour_layers.2", branch)))

    found, kept = field.density(coords)
    assert torch.allclose(found, density, atol=LINEAR_ALGEBRA)
    assert torch.allclose(field.colour(kept, views), colour, atol=LINEAR_ALGEBRA)


def test_places_are_encoded_as_in_the_released_code():
    """sin and cos of 2^k x, x in a box of pi units, and the coordinates themselves."""
    encoding = build(NerfConfig(width=8)).encoding
    coords = torch.rand(5, 3, generator=generator(2), dtype=torch.float64)
    scene = (coords * torch.pi)[:, :, None] * 2.0 ** torch.arange(10)
    found = encoding(coords)
    assert found.shape == (5, 63)
    assert torch.equal(found[:, :3], coords)
    # The frequencies are kept in float32, and the highest is 512.
    assert torch.allclose(found[:, 3:33], scene.cos().flatten(1), atol=1e-4)
    assert torch.allclose(found[:, 33:], scene.sin().flatten(1), atol=1e-4)


def test_the_place_need_not_be_seen_again():
    plain = replace(SMALL, seen_again_after=None)
    num_seen = 63
    difference = count_parameters(SMALL, SITE) - count_parameters(plain, SITE)
    assert difference == num_seen * SMALL.width


def test_any_encoding_will_do_and_keeps_its_groups():
    grid = HashGridConfig(num_levels=2, base_resolution=4, log2_table_size=6)
    field = build(replace(SMALL, encoding=grid))
    groups = field.parameter_groups()
    assert set(groups) == {"grid", "decoder"}
    assert groups["grid"] == [field.encoding.table]
    waves = build(replace(SMALL, encoding=FourierConfig(num_frequencies=8)))
    assert set(waves.parameter_groups()) == {"decoder"}


def test_without_directions_the_colour_is_the_same_from_everywhere():
    field = build(replace(SMALL, directions=DirectionEncoding(family="none")))
    hidden = field.density(torch.full((2, 3), 0.4, dtype=torch.float64)).hidden
    first, second = field.colour(
        hidden, field.encode_directions(torch.eye(3).double()[:2])
    )
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"width": 1}, "width >= 2"),
        ({"num_hidden": 0}, "num_hidden >= 1"),
        ({"seen_again_after": 8}, "seen_again_after: expected 1 to 7"),
        ({"seen_again_after": 0}, "seen_again_after: expected 1 to 7"),
        ({"density_scale": 0.0}, "density_scale: expected a finite number above 0"),
    ],
)
def test_settings_without_sense_are_refused(settings: Any, words: str):
    with pytest.raises(ConfigError, match=words):
        NerfConfig(**settings)
