"""Networks on bare coordinates: their formulas, sizes, starts, and bands."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from tangrid.errors import ConfigError
from tangrid.fields import (
    BaconConfig,
    FieldConfig,
    FinerConfig,
    FourierNetConfig,
    GaborNetConfig,
    NffbConfig,
    SirenConfig,
    WireConfig,
)
from tangrid.seeding import generator
from tangrid.signals.site import Site

SITE = Site(num_dims=2, num_channels=3, resolution=(64, 32))


def build(config: FieldConfig, site: Site = SITE) -> Any:
    return config.build(site, generator(0))


def points(count: int) -> torch.Tensor:
    return torch.rand(count, 2, generator=generator(1), dtype=torch.float64)


def count(field: Any) -> int:
    return sum(p.numel() for p in field.parameters())


def test_finer_is_its_formula():
    field = build(FinerConfig(width=5, num_hidden=2, frequency=7.0)).double()
    coords = points(6)
    hidden = 2 * coords - 1
    *inner, last = list(field.layers)
    for layer in inner:
        z = hidden @ layer.weight.T + layer.bias
        hidden = torch.sin(7.0 * (z.abs() + 1) * z)
    expected = hidden @ last.weight.T + last.bias
    assert torch.allclose(field(coords), expected, atol=1e-12)


@pytest.mark.parametrize("through", [False, True])
def test_finer_trains_through_its_period_if_asked(through: bool):
    """d/dz sin(w (|z| + 1) z): the factor's own derivative is z more, or nothing."""
    field = build(FinerConfig(trains_through_period=through))
    z = torch.tensor([-0.3, 0.2], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(field.wave(z).sum(), z)
    period = z.abs() + 1
    inner = period + (z.abs() if through else 0)
    expected = torch.cos(30 * period * z) * 30 * inner
    assert torch.allclose(slope, expected, atol=1e-12)


def test_finers_first_bias_is_as_wide_as_asked():
    for bound, config in ((5.0, FinerConfig(first_bias=5.0)), (0.71, FinerConfig())):
        largest = float(build(config).layers[0].bias.detach().abs().max())
        assert 0.9 * bound < largest <= bound


def test_wire_is_its_formula_in_complex_numbers():
    config = WireConfig(width=8, num_hidden=2, frequency=3.0, spread=2.0)
    field = build(config).double()
    coords = points(6)
    hidden = (2 * coords - 1).to(torch.complex128)
    for index, (w, b) in enumerate(zip(field.weights, field.biases, strict=True)):
        weight = w[0] + (1j * w[1] if index else 0)
        bias = b[0] + (1j * b[1] if index else 0)
        z = hidden @ weight.T.to(torch.complex128) + bias
        hidden = torch.exp(3j * z - (2 * z.abs()).square()) if index < 3 else z
    assert torch.allclose(field(coords), hidden.real, atol=1e-12)


def test_wire_counts_real_numbers():
    """256 / sqrt 2 = 181 complex channels."""
    wide = 2 * (181 * 181 + 181)
    assert count(build(WireConfig())) == 2 * 181 + 181 + 2 * wide + 2 * (181 * 3 + 3)


@pytest.mark.parametrize("config", [FourierNetConfig(), GaborNetConfig()])
def test_filter_networks_are_their_formula(config: Any):
    field = build(replace(config, width=6, num_hidden=2)).double()
    coords = points(5)
    x = 2 * coords - 1

    def values(filters: Any) -> torch.Tensor:
        wave = torch.sin(x @ filters.wave.weight.T + filters.wave.bias)
        if isinstance(config, FourierNetConfig):
            return wave
        squared = (x[:, None, :] - filters.centres).square().sum(2)
        return wave * torch.exp(-filters.sharpness / 2 * squared)

    z = values(field.filters[0])
    for layer, filters in zip(field.layers, list(field.filters)[1:], strict=True):
        z = values(filters) * (z @ layer.weight.T + layer.bias)
    expected = z @ field.output.weight.T + field.output.bias
    assert torch.allclose(field(coords), expected, atol=1e-12)


def test_filter_frequencies_share_the_bandwidth():
    """Within 256 / sqrt(4) / sqrt(2) along each axis: by squares all make 256."""
    field = build(FourierNetConfig())
    for filters in field.filters:
        largest = float(filters.wave.weight.detach().abs().max())
        assert 0.97 < largest / (256 / 2 / math.sqrt(2)) <= 1
        assert 3.0 < float(filters.wave.bias.detach().abs().max()) <= math.pi


def test_gaussians_are_drawn_from_a_gamma_distribution():
    field = build(GaborNetConfig(width=4000))
    sharpness = torch.cat([filters.sharpness.detach() for filters in field.filters])
    # Shape 6 / 4 and rate 1: mean and variance 1.5.
    assert abs(float(sharpness.mean()) - 1.5) < 0.05
    assert abs(float(sharpness.var()) - 1.5) < 0.15
    assert float(field.filters[0].centres.detach().abs().max()) <= 1


def test_bacon_has_its_size():
    """2-256x4-3: 263 168 hidden weights, phases, one output; cycles are not trained."""
    field = build(BaconConfig())
    assert sum(p.numel() for p in field.layers.parameters()) == 263_168
    assert sum(p.numel() for p in field.output.parameters()) == 771
    assert sum(filters.cycles.numel() for filters in field.filters) == 5 * 512
    assert count(field) == 263_168 + 771 + 5 * 256


def test_bacons_weights_and_output_start_within_the_root_of_six_over_width():
    field = build(BaconConfig())
    for layer in [*field.layers, field.output]:
        largest = float(layer.weight.detach().abs().max())
        assert 0.95 < largest / math.sqrt(6 / 256) <= 1


def test_bacon_is_its_formula():
    field = build(BaconConfig(width=6, num_hidden=1)).double()
    coords = points(5)
    x = coords - 0.5
    g = [
        torch.sin(2 * math.pi * x @ filters.cycles.T + filters.phases)
        for filters in field.filters
    ]
    layer = field.layers[0]
    z = g[1] * (g[0] @ layer.weight.T + layer.bias)
    expected = z @ field.output.weight.T + field.output.bias
    assert torch.allclose(field(coords), expected, atol=1e-12)


def test_bacons_layers_know_no_frequency_beyond_their_band():
    """Three cycles a layer: on 32 samples a side, all energy lies within 3 (i + 1)."""
    field = build(BaconConfig(width=16, num_hidden=2, cycles=9.0)).double()
    line = torch.arange(32, dtype=torch.float64) / 32
    lattice = torch.cartesian_prod(line, line)
    frequencies = torch.fft.fftfreq(32, 1 / 32).abs()
    highest = torch.maximum(frequencies[:, None], frequencies)
    for index, hidden in enumerate(field.hidden(lattice)):
        spectrum = torch.fft.fft2(hidden.T.reshape(-1, 32, 32)).abs()
        beyond = spectrum[:, highest > 3 * (index + 1)]
        assert float(beyond.detach().max()) < 1e-9 * float(spectrum.detach().max())
        at_edge = spectrum[:, highest == 3 * (index + 1)]
        assert float(at_edge.detach().max()) > 1e-3 * float(spectrum.detach().max())


def test_bacons_band_is_what_the_samples_can_show():
    assert BaconConfig().layer_cycles(SITE) == round(32 / 5)
    assert BaconConfig().layer_cycles(Site(num_dims=2, num_channels=3)) == 26
    assert BaconConfig(cycles=1.0).layer_cycles(SITE) == 1


@pytest.mark.parametrize(
    ("config", "settings", "words"),
    [
        (FinerConfig(), {"first_bias": -1.0}, "first_bias"),
        (WireConfig(), {"spread": 0.0}, r"WireConfig\.spread"),
        (WireConfig(), {"frequency": -1.0}, r"WireConfig\.frequency"),
        (FourierNetConfig(), {"bandwidth": 0.0}, r"FourierNetConfig\.bandwidth"),
        (GaborNetConfig(), {"concentration": 0.0}, "concentration"),
        (GaborNetConfig(), {"width": 0}, "GaborNetConfig: expected width >= 1"),
        (BaconConfig(), {"cycles": 0.0}, r"BaconConfig\.cycles"),
        (SirenConfig(), {"frequency": math.inf}, r"SirenConfig\.frequency"),
        (FinerConfig(), {"first_bias": math.inf}, "first_bias"),
        (NffbConfig(), {"band": math.inf}, "band_growth"),
        (NffbConfig(), {"channels_per_level": 0}, "channels_per_level"),
    ],
)
def test_settings_without_sense_are_refused(config: Any, settings: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        replace(config, **settings)
