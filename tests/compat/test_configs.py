"""Configurations: names, defaults, and messages about what is wrong."""

from typing import Any

import numpy as np
import pytest
import torch

from tangrid.compat import tinycudann as tcnn
from tangrid.compat.configs import PASSED_OVER
from tangrid.compat.grids import grid_part
from tangrid.errors import ConfigError

OTYPES = (
    "Composite", "Empty", "Frequency", "Grid", "HashGrid", "TiledGrid", "DenseGrid",
    "Identity", "NRC", "OneBlob", "OneBlobFrequency", "SphericalHarmonics",
    "TriangleWave",
)  # fmt: skip
"""tiny-cuda-nn's ``src/encoding.cu``."""


def config_of(otype: str) -> dict[str, Any]:
    config: dict[str, Any] = {"otype": otype}
    if "grid" in otype.lower():
        config |= {"n_levels": 2, "log2_hashmap_size": 6, "base_resolution": 4,
                   "per_level_scale": 2.0}  # fmt: skip
    if otype.lower() == "composite":
        config["nested"] = [{"otype": "identity"}]
    return config


@pytest.mark.parametrize("otype", OTYPES)
def test_names_may_be_written_small_or_large(otype: str):
    dims = 8 if otype in {"NRC", "OneBlobFrequency"} else 3
    x = torch.rand(4, dims)
    found = [
        tcnn.Encoding(dims, config_of(name))(x)
        for name in (otype, otype.lower(), otype.upper())
    ]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_defaults_are_those_of_tiny_cuda_nn():
    assert tcnn.Encoding(2, {}).n_output_dims == 2 * 16  # OneBlob
    assert tcnn.Encoding(2, {"otype": "Frequency"}).n_output_dims == 2 * 2 * 12
    assert tcnn.Encoding(2, {"otype": "TriangleWave"}).n_output_dims == 2 * 12
    assert tcnn.Encoding(3, {"otype": "SphericalHarmonics"}).n_output_dims == 16
    told = grid_part({"otype": "Grid"}, 2).hyperparams()
    assert told == {
        "otype": "Grid", "type": "Hash", "n_levels": 16, "n_features_per_level": 2,
        "base_resolution": 16, "per_level_scale": 2.0, "interpolation": "Linear",
        "hash": "CoherentPrime", "log2_hashmap_size": 19,
    }  # fmt: skip
    assert tcnn.Network(3, 4, {}).params.numel() == 128 * 16 + 4 * 128**2 + 16 * 128
    assert "'otype': 'CutlassMLP'" in repr(tcnn.Network(3, 4, {}))


@pytest.mark.parametrize("key", sorted(PASSED_OVER))
def test_keys_that_clients_hand_on_are_passed_over(key: str):
    tcnn.Encoding(2, {"otype": "Identity", key: 1})
    tcnn.Network(2, 2, {"otype": "CutlassMLP", key: 1})


@pytest.mark.parametrize("otype", ["Frequency", "TriangleWave"])
def test_there_may_be_no_waves(otype: str):
    config = {"otype": otype, "n_frequencies": 0}
    assert tcnn.Encoding(3, config)(torch.rand(4, 3)).shape == (4, 0)
    both = [{**config, "n_dims_to_encode": 1}, {"otype": "Identity"}]
    nested = tcnn.Encoding(3, {"otype": "Composite", "nested": both})
    assert nested(torch.rand(4, 3)).shape == (4, 2)
    without = {"otype": "NRC", "n_frequencies": 0, "n_bins": 4}
    assert tcnn.Encoding(8, without)(torch.rand(4, 8)).shape == (4, 5 * 4)


@pytest.mark.parametrize("number", [np.float64(1.5), np.float32(1.5), 1.5])
def test_numbers_of_numpy_are_numbers(number: Any):
    config = {**config_of("HashGrid"), "per_level_scale": number}
    assert tcnn.Encoding(2, {**config, "n_levels": np.int64(2)}).n_output_dims == 4
    assert tcnn.Encoding(2, {**config, "n_levels": 2.0}).n_output_dims == 4


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"otype": "HashGird"}, r"encoding config\['otype'\]: expected one of 'Comp"),
        ({"otype": 3}, r"\['otype'\]: expected one of .*, got 3"),
        ({"otype": "HashGrid", "log2_hash_size": 3},
         "'HashGrid': expected keys among .*'log2_hashmap_size'.*got 'log2_hash_size'"),
        ({"otype": "Frequency", "n_frequency": 3}, "'n_frequencies'.*got 'n_freq"),
        ({"otype": "OneBlob", "n_bins": 12}, r"\['n_bins'\]: expected a power of two"),
        ({"otype": "OneBlob", "n_bins": 1.5}, "a whole number from 1 on, got 1.5"),
        ({"otype": "OneBlob", "n_bins": 0}, r"a whole number from 1 on, got 0\.$"),
        ({"otype": "HashGrid", "base_resolution": 1}, r"from 2 on, got 1\.$"),
        ({"otype": "HashGrid", "log2_hashmap_size": 2}, r"3 to 28, got 2\."),
        ({"otype": "HashGrid", "log2_hashmap_size": 29}, r"3 to 28, got 29\."),
        ({"otype": "OneBlob", "n_bins": "8"}, "expected a number, got '8'"),
        ({"otype": "OneBlob", "n_bins": True}, "expected a number, got True"),
        ({"otype": "SphericalHarmonics"}, "expected the three coordinates"),
        ({"otype": "SphericalHarmonics", "degree": 9}, "expected at most 8, got 9"),
        ({"otype": "HashGrid", "n_features_per_level": 3}, "expected 1, 2, 4 or 8"),
        ({"otype": "HashGrid", "n_levels": 2, "n_features": 8}, "got both"),
        ({"otype": "HashGrid", "n_features": 7}, "expected a multiple of n_features_p"),
        ({"otype": "HashGrid", "type": "Sparse"}, "expected one of 'Dense', 'Hash', "),
        ({"otype": "HashGrid", "interpolation": "Cubic"}, "'Linear', 'Nearest', 'Smoo"),
        ({"otype": "HashGrid", "hash": "MD5"}, "'BaseConvert', 'CoherentPrime'"),
        ({"otype": "HashGrid", "per_level_scale": 0.5}, r"0\.5\. \(growth is 'per_le"),
        ({"otype": "HashGrid", "stochastic_interpolation": 3}, "true or false, got 3"),
        ({"otype": "Composite"}, r"\['nested'\]: expected a list of encodings, got No"),
        ({"otype": "Composite", "nested": []}, "expected at least one encoding"),
        ({"otype": "Composite", "nested": [{"n_dims_to_encode": 3}]}, "at most 2 coor"),
        ({"otype": "Composite", "nested": [{}, {}]}, "in all but one nested"),
        ({"otype": "Composite", "nested": [
            {"n_dims_to_encode": 2, "dims_to_encode_begin": 1}]}, "ordinates below 2"),
        ({"otype": "Composite", "reduction": "Sum", "nested": [
            {"n_dims_to_encode": 1}, {"otype": "Identity"}]}, "widths 16, 1"),
        ({"otype": "Composite", "reduction": "Mean", "nested": [{}]}, "'Concatenati"),
        ("HashGrid", "expected a dictionary of settings"),
    ],
)  # fmt: skip
def test_wrong_encodings_are_refused_in_words(config: Any, words: str):
    with pytest.raises(ConfigError, match=words):
        tcnn.Encoding(2, config)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"otype": "MLPs"}, r"network config\['otype'\]: expected one of 'CutlassMLP'"),
        ({"otype": "FullyFusedMLP", "n_neurons": 48}, "Use 'CutlassMLP' for any other"),
        ({"otype": "FullyFusedMLP", "n_hidden_layers": 0}, "a whole number from 1 on"),
        ({"activation": "GELU"}, "'LeakyReLU', 'None'.*got 'GELU'"),
        ({"n_neuron": 64}, "expected keys among .*'n_neurons'.*, got 'n_neuron'"),
    ],
)
def test_wrong_networks_are_refused_in_words(config: dict[str, Any], words: str):
    with pytest.raises(ConfigError, match=words):
        tcnn.Network(2, 3, config)
    with pytest.raises(ConfigError, match=words):
        tcnn.NetworkWithInputEncoding(2, 3, {"otype": "Identity"}, config)


def test_a_configuration_is_not_changed():
    nested = [{"otype": "Identity", "n_dims_to_encode": 1}, {"otype": "OneBlob"}]
    config = {"otype": "Composite", "nested": nested}
    encoding = tcnn.Encoding(2, config)
    assert config == {"otype": "Composite", "nested": nested}
    assert encoding.encoding_config is config
