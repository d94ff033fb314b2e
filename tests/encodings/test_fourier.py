import math

import pytest
import torch
from torch import Tensor

from tangrid.encodings import FourierConfig
from tangrid.encodings.fourier import FourierEncoding
from tangrid.errors import ConfigError
from tangrid.seeding import generator
from tangrid.signals.site import Site

SITE = Site(num_dims=2, num_channels=3, resolution=(40, 20))


def build(config: FourierConfig, site: Site = SITE) -> FourierEncoding:
    return config.build(site, generator(0, "fourier"))


def axes_of(encoding: FourierEncoding) -> tuple[Tensor, Tensor]:
    """Frequencies along each axis, after a check that none is oblique."""
    count = len(encoding.frequencies) // 2
    along_x, along_y = encoding.frequencies[:count], encoding.frequencies[count:]
    assert not along_x[:, 1].any()
    assert not along_y[:, 0].any()
    return along_x[:, 0], along_y[:, 1]


def test_features_are_cosines_then_sines():
    encoding = build(FourierConfig(num_frequencies=3, amplitude_power=0.5))
    point = torch.tensor([[0.3, 0.8]])
    expected = [
        float(amplitude) * wave(2 * math.pi * float(frequency @ point[0]))
        for wave in (math.cos, math.sin)
        for amplitude, frequency in zip(
            encoding.amplitudes, encoding.frequencies, strict=True
        )
    ]
    assert encoding(point)[0].tolist() == pytest.approx(expected, abs=1e-5)


def test_basic_features_have_one_cycle_per_side():
    encoding = build(FourierConfig(family="basic"))
    assert encoding.num_features == 4
    x, y = 0.2, 0.7
    angles = (2 * math.pi * x, 2 * math.pi * y)
    expected = [math.cos(a) for a in angles] + [math.sin(a) for a in angles]
    found = encoding(torch.tensor([[x, y]]))[0].tolist()
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("includes_pi", "factor"), [(True, math.pi), (False, 1.0)])
def test_nerf_features_double_their_frequency(includes_pi: bool, factor: float):
    config = FourierConfig(
        family="nerf", num_frequencies=4, includes_pi=includes_pi, includes_coords=True
    )
    encoding = build(config)
    assert encoding.num_features == 2 + 2 * 2 * 4
    features = encoding(torch.tensor([[0.3, 0.6]]))[0]
    assert features[:2].tolist() == pytest.approx([0.3, 0.6])
    sines = features[2 + 8 :]
    expected = [math.sin(2**k * factor * x) for x in (0.3, 0.6) for k in range(4)]
    assert sines.tolist() == pytest.approx(expected, abs=1e-5)


def test_transformer_features_count_samples():
    encoding = build(FourierConfig(family="transformer", num_frequencies=4))
    sample = 7
    point = torch.tensor([[sample / 40, sample / 20]])
    sines = encoding(point)[0, 8:]
    expected = [math.sin(sample / 10000 ** (i / 4)) for i in range(4)]
    assert sines.tolist() == pytest.approx(expected * 2, abs=1e-5)


def test_transformer_features_without_samples_count_sides():
    site = Site(num_dims=2, num_channels=3)
    encoding = build(FourierConfig(family="transformer", num_frequencies=4), site)
    along_x, along_y = axes_of(encoding)
    assert along_x[0] == pytest.approx(1 / (2 * math.pi))
    assert torch.equal(along_x, along_y)


def test_posenc_new_spaces_one_band_in_two_ways():
    octaves, count = 5.0, 11
    logarithmic = build(
        FourierConfig(family="posenc-new", num_frequencies=count, octaves=octaves)
    )
    linear = build(
        FourierConfig(
            family="posenc-new-linear", num_frequencies=count, octaves=octaves
        )
    )
    expected = [2 ** (octaves * i / (count - 1)) - 1 for i in range(count)]
    assert axes_of(logarithmic)[0].tolist() == pytest.approx(expected)
    steps = [31 * i / (count - 1) for i in range(count)]
    assert axes_of(linear)[1].tolist() == pytest.approx(steps)


def test_amplitudes_fall_as_a_power_of_the_frequency():
    encoding = build(
        FourierConfig(family="nerf", num_frequencies=4, amplitude_power=1.5)
    )
    expected = [2 ** (-1.5 * k) for k in range(4)]
    assert encoding.amplitudes.tolist() == pytest.approx(expected * 2)
    flat = build(FourierConfig(family="nerf", num_frequencies=4))
    assert flat.amplitudes.tolist() == [1.0] * 8


def test_a_constant_feature_has_a_finite_amplitude():
    """The lowest frequency of posenc-new is 0."""
    encoding = build(
        FourierConfig(family="posenc-new", num_frequencies=3, amplitude_power=1.0)
    )
    assert encoding.amplitudes.isfinite().all()
    assert encoding.amplitudes.max() == 1
    alone = build(
        FourierConfig(family="posenc-new", num_frequencies=1, amplitude_power=1.0)
    )
    assert alone.amplitudes.tolist() == [1.0, 1.0]


def test_the_bandwidth_scales_gaussian_frequencies():
    narrow = build(FourierConfig(num_frequencies=2000, bandwidth_cycles=2.0))
    wide = build(FourierConfig(num_frequencies=2000, bandwidth_cycles=6.0))
    assert torch.allclose(wide.frequencies, 3 * narrow.frequencies, rtol=1e-5)
    assert narrow.frequencies.std() == pytest.approx(2.0, rel=0.05)


def test_frequencies_are_kept_with_the_field_but_not_trained():
    encoding = build(FourierConfig())
    assert set(encoding.state_dict()) == {"frequencies", "amplitudes"}
    assert not list(encoding.parameters())
    assert encoding.parameter_groups() == {}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_frequencies": 0}, "a whole number >= 1, got 0"),
        ({"bandwidth_cycles": 0.0}, "bandwidth_cycles above 0"),
        ({"bandwidth_cycles": float("nan")}, "bandwidth_cycles above 0"),
        ({"octaves": -1.0}, "octaves above 0"),
        ({"octaves": 40.0}, "octaves above 0 and at most 24, got 10.0 and 40.0"),
        ({"family": "nerf"}, "at most 24 frequencies, each twice the one before"),
    ],
)
def test_settings_without_frequencies_are_refused(settings: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        FourierConfig(**settings)
