import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tangrid.decoders import ReluMlpConfig, SineResidualMlpConfig
from tangrid.decoders.mlp import Mlp
from tangrid.errors import ConfigError
from tangrid.seeding import generator

FEATURES = torch.randn(9, 6, generator=generator(0, "features"))


def by_hand(decoder: Mlp, features: Tensor, first) -> np.ndarray:
    """The network in NumPy's float64."""
    hidden = features.double().numpy()
    layers: list[Any] = list(decoder.layers)
    for number, layer in enumerate(layers):
        hidden = hidden @ layer.weight.detach().double().numpy().T
        if layer.bias is not None:
            hidden = hidden + layer.bias.detach().double().numpy()
        if number == 0:
            hidden = first(hidden)
        elif number < len(layers) - 1:
            hidden = np.maximum(hidden, 0)
    return hidden


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("num_hidden", [1, 2, 4])
def test_rectified_layers(num_hidden: int, bias: bool):
    config = ReluMlpConfig(width=11, num_hidden=num_hidden, bias=bias, init="uniform")
    decoder = config.build(6, 3, generator(0))
    expected = by_hand(decoder, FEATURES, lambda h: np.maximum(h, 0))
    assert np.allclose(decoder(FEATURES).detach().numpy(), expected, atol=1e-6)


def test_the_sine_residual_is_in_the_first_layer_alone():
    config = SineResidualMlpConfig(width=11, num_hidden=2, highest_frequency=20.0)
    decoder = config.build(6, 3, generator(0))
    frequencies = np.exp(np.linspace(0, math.log(20), 11))
    expected = by_hand(decoder, FEATURES, lambda h: h + np.sin(frequencies * h))
    assert np.allclose(decoder(FEATURES).detach().numpy(), expected, atol=1e-5)


def test_the_decoder_of_instant_ngp_has_its_size():
    decoder = ReluMlpConfig().build(32, 3, generator(0))
    # Without biases: 32 to 64, 64 to 64, 64 to 3.
    assert sum(p.numel() for p in decoder.parameters()) == 6336


def test_xavier_weights_fill_their_range():
    layer: Any = ReluMlpConfig().build(32, 3, generator(0)).layers[0]
    bound = math.sqrt(6 / (32 + 64))
    largest = float(layer.weight.detach().abs().max())
    assert 0.99 * bound < largest <= bound


def test_the_seed_decides_the_weights():
    first, again, other = (
        ReluMlpConfig().build(4, 3, generator(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first(FEATURES[:, :4]), again(FEATURES[:, :4]))
    assert not torch.equal(first(FEATURES[:, :4]), other(FEATURES[:, :4]))


def test_an_output_activation_bounds_the_values():
    plain = ReluMlpConfig().build(6, 3, generator(0))
    bounded = ReluMlpConfig(output_activation="sigmoid").build(6, 3, generator(0))
    assert torch.equal(bounded(FEATURES), torch.sigmoid(plain(FEATURES)))


@pytest.mark.parametrize("config", [ReluMlpConfig(), SineResidualMlpConfig()])
def test_bfloat16_arithmetic_keeps_float32_weights(config):
    decoder = config.build(6, 3, generator(0))
    exact = decoder(FEATURES)
    rounded = decoder(FEATURES.bfloat16())
    assert rounded.dtype == torch.bfloat16
    assert {p.dtype for p in decoder.parameters()} == {torch.float32}
    difference = (rounded.float() - exact).abs().max()
    assert 0 < difference < 0.05 * exact.abs().max()


@pytest.mark.parametrize("config", [ReluMlpConfig(), SineResidualMlpConfig()])
def test_second_derivatives_exist(config):
    """In-place activations must not spoil what the backward pass needs."""
    decoder = config.build(6, 1, generator(0)).double()
    features = FEATURES.double().requires_grad_()
    assert torch.autograd.gradcheck(decoder, features)
    assert torch.autograd.gradgradcheck(decoder, features)


def test_transforms_run_through_the_decoder():
    decoder = SineResidualMlpConfig(highest_frequency=5.0).build(6, 1, generator(0))
    leaf = FEATURES.clone().requires_grad_()
    (expected,) = torch.autograd.grad(decoder(leaf).sum(), leaf)
    slope = torch.func.grad(lambda x: decoder(x[None]).sum())
    assert torch.allclose(torch.vmap(slope)(FEATURES), expected, atol=1e-5)


@pytest.mark.parametrize("settings", [{"width": 0}, {"num_hidden": 0}])
def test_an_empty_network_is_refused(settings: dict):
    with pytest.raises(ConfigError, match="Use the decoder 'linear' for none"):
        ReluMlpConfig(**settings)
    with pytest.raises(ConfigError, match="SineResidualMlpConfig: expected width"):
        SineResidualMlpConfig(**settings)


@pytest.mark.parametrize(("lowest", "highest"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0)])
def test_frequencies_without_a_logarithm_are_refused(lowest: float, highest: float):
    with pytest.raises(ConfigError, match="expected 0 < lowest_frequency"):
        SineResidualMlpConfig(lowest_frequency=lowest, highest_frequency=highest)


def test_families_grow_the_width():
    (family,) = ReluMlpConfig().families()
    sized: list[Any] = [family(size) for size in (0.0, 0.5, 1.0)]
    assert [config.width for config in sized] == [4, 256, 16_384]
