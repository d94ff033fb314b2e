"""The neural Fourier filter bank: its formula, its start, its size."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from tangrid.errors import ConfigError
from tangrid.fields import NffbConfig, count_parameters, fit_budget
from tangrid.seeding import generator
from tangrid.signals.site import Site

SITE = Site(num_dims=2, num_channels=3)
SMALL = NffbConfig(width=6, num_layers=4, base_resolution=5, head_width=5)


def build(config: NffbConfig) -> Any:
    return config.build(SITE, generator(0))


def test_values_are_those_of_the_formula():
    field = build(SMALL).double()
    coords = torch.rand(7, 2, generator=generator(1), dtype=torch.float64)
    levels = field.grid(coords).view(7, 3, 2)

    def dense(layer: Any, inputs: torch.Tensor) -> torch.Tensor:
        return inputs @ layer.weight.T + layer.bias

    h = torch.sin(100 * dense(field.layers[0], 2 * coords - 1))
    outputs = []
    for level in range(3):
        wave = torch.sin(2 * math.pi * levels[:, level] @ field.bands[level].T)
        h = torch.sin(100 * dense(field.layers[level + 1], h)) + wave
        outputs.append(h)
    y = torch.cat(outputs, 1)
    y = dense(field.head[0], y).relu()
    y = dense(field.head[1], y).relu()
    assert torch.allclose(field(coords), dense(field.head[2], y), atol=1e-12)


def test_bands_double_from_level_to_level():
    field = build(replace(SMALL, width=4000, head_width=1))
    spreads = field.bands.detach().std(dim=(1, 2))
    assert torch.allclose(spreads, torch.tensor([5.0, 10.0, 20.0]), rtol=0.05)


def test_tables_and_weights_are_trained_apart():
    groups = build(SMALL).parameter_groups()
    assert [p.shape[1] for p in groups["grid"]] == [2]
    assert len(groups["decoder"]) == 2 * 4 + 1 + 2 * 3


def test_a_budget_is_met():
    small = NffbConfig(width=64, base_resolution=16)
    config = fit_budget(small, SITE, 140_000)
    assert abs(count_parameters(config, SITE) / 140_000 - 1) < 0.02


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_layers": 1}, "num_layers >= 2"),
        ({"width": 0}, "width and head_width >= 1"),
        ({"band": 0.0}, "band and band_growth above 0"),
    ],
)
def test_settings_without_sense_are_refused(settings: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        replace(SMALL, **settings)
