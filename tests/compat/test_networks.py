"""Networks of the drop-in: layout of the flat vector, padding, activations."""

import math

import pytest
import torch
from torch import Tensor

from tangrid.compat import tinycudann as tcnn
from tangrid.compat.encodings import encoding_part
from tangrid.compat.evaluation import Model
from tangrid.compat.perceptron import perceptron
from tangrid.seeding import generator
from tests.compat import plain
from tests.tolerances import PARITY_FLOAT32, PARITY_FLOAT64

RANDOM = generator(0, "networks")


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=RANDOM, dtype=torch.float64) / math.sqrt(
        shape[-1]
    )


@pytest.mark.parametrize("name", plain.ACTIVATIONS)
@pytest.mark.parametrize("otype", ["FullyFusedMLP", "CutlassMLP"])
def test_values_of_matrices_laid_out_by_hand(otype: str, name: str):
    """Five inputs are padded with ones to 16, three outputs to 16."""
    first, second, last = draw(32, 16), draw(32, 32), draw(16, 32)
    config = {"otype": otype, "n_neurons": 32, "n_hidden_layers": 2,
              "activation": name, "output_activation": "Sigmoid"}  # fmt: skip
    network = tcnn.Network(5, 3, config).double()
    flat = torch.cat([matrix.flatten() for matrix in (first, second, last)])
    network.load_state_dict({"params": flat})
    x = torch.rand(20, 5, generator=RANDOM, dtype=torch.float64)
    act = plain.ACTIVATIONS[name]
    hidden = act(act(torch.cat((x, torch.ones(20, 11)), 1) @ first.T) @ second.T)
    wanted = plain.ACTIVATIONS["Sigmoid"](hidden @ last[:3].T)
    assert torch.allclose(network(x), wanted, rtol=0, atol=PARITY_FLOAT64)
    found = network.float()(x.float()).double()
    assert torch.allclose(found, wanted, atol=PARITY_FLOAT32)


@pytest.mark.parametrize("name", plain.ACTIVATIONS)
def test_output_activations(name: str):
    config = {"otype": "CutlassMLP", "n_neurons": 24, "n_hidden_layers": 0,
              "output_activation": name.upper()}  # fmt: skip
    network = tcnn.Network(16, 4, config).double()
    matrix = draw(16, 16)
    network.load_state_dict({"params": matrix.flatten()})
    x = draw(30, 16) * 8
    wanted = plain.ACTIVATIONS[name](x @ matrix[:4].T)
    assert torch.allclose(network(x), wanted, rtol=1e-9, atol=PARITY_FLOAT64)


@pytest.mark.parametrize(
    ("inputs", "outputs", "width", "hidden", "parameters"),
    [
        (32, 16, 64, 1, 3072),
        (32, 3, 64, 2, 7168),
        (31, 3, 64, 2, 7168),
        (33, 17, 16, 1, 16 * 48 + 16 * 32),
        (3, 1, 128, 5, 128 * 16 + 4 * 128 * 128 + 16 * 128),
    ],
)
def test_numbers_of_parameters(inputs, outputs, width, hidden, parameters):
    config = {"otype": "FullyFusedMLP", "n_neurons": width, "n_hidden_layers": hidden}
    network = tcnn.Network(inputs, outputs, config)
    assert network.params.shape == (parameters,)
    same = tcnn.Network(inputs, outputs, {**config, "otype": "CutlassMLP"})
    assert torch.equal(network.params, same.params)


def test_network_before_encoding_in_the_flat_vector():
    """A state dict of tiny-cuda-nn, flat and in half precision, made by hand."""
    grid = {"otype": "HashGrid", "n_levels": 4, "log2_hashmap_size": 8,
            "per_level_scale": 1.5}  # fmt: skip
    config = {"otype": "FullyFusedMLP", "n_neurons": 16, "n_hidden_layers": 1}
    model = tcnn.NetworkWithInputEncoding(3, 2, grid, config)
    # 4 levels of 256 rows of 2 features are 8 features; the other 8 are zeros.
    first, last, table = draw(16, 16), draw(16, 16), draw(4 * 256, 2)
    flat = torch.cat([part.flatten() for part in (first, last, table)]).half()
    model.load_state_dict({"params": flat}, strict=True)
    x = torch.rand(30, 3, generator=RANDOM)
    first, last = (part.double().view(16, 16) for part in flat[:512].split(256))
    rows = flat[512:].double().view(-1, 2).numpy()
    features = torch.from_numpy(plain.hash_grid_features(x, rows, 1.5, 4, 8))
    wanted = (features @ first[:, :8].T).clamp(min=0) @ last[:2].T
    assert model.params.dtype == torch.float32
    assert torch.allclose(model(x).double(), wanted, atol=PARITY_FLOAT32)


@pytest.mark.parametrize(
    ("encoding", "front", "fill"),
    [
        ({"otype": "OneBlob", "n_bins": 4}, False, 1.0),
        ({"otype": "Frequency", "n_frequencies": 3}, False, 1.0),
        ({"otype": "TriangleWave", "n_frequencies": 3}, False, 1.0),
        ({"otype": "Identity"}, False, 1.0),
        ({"otype": "SphericalHarmonics", "degree": 3}, True, 1.0),
        ({"otype": "HashGrid", "n_levels": 3, "log2_hashmap_size": 6}, False, 0.0),
        ({"otype": "Composite", "nested": [
            {"otype": "Identity", "n_dims_to_encode": 1}, {"otype": "OneBlob"}]},
         False, 1.0),
    ],
    ids=lambda value: value["otype"] if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_fills_up_features_before_a_network(encoding, front: bool, fill: float):
    """Grids are filled up with zeros, harmonics in front."""
    alone = tcnn.Encoding(3, encoding)
    part = encoding_part(encoding, 3).aligned(16)
    x = torch.rand(9, 3, generator=RANDOM)
    found = part.evaluate(x, alone.params)
    assert found.shape[1] % 16 == 0
    count = found.shape[1] - alone.n_output_dims
    assert 0 < count < 16
    own = found[:, count:] if front else found[:, :-count]
    filling = found[:, :count] if front else found[:, -count:]
    assert torch.equal(own, alone(x))
    assert bool((filling == fill).all())


def test_sums_of_encodings_add_their_filling_too():
    nested = [{"otype": "OneBlob", "n_bins": 4, "n_dims_to_encode": 1}] * 2
    config = {"otype": "Composite", "reduction": "Sum", "nested": nested}
    part = encoding_part(config, 2).aligned(16)
    found = part.evaluate(torch.rand(5, 2), torch.empty(0))
    assert found.shape == (5, 16)
    assert bool((found[:, 4:] == 2).all())


def test_half_precision_of_a_gpu_keeps_small_gradients():
    """Parts of 2^-24 are lost in half precision; of numbers times 128 they are not."""
    config = {"otype": "FullyFusedMLP", "n_neurons": 16, "n_hidden_layers": 1}
    part = encoding_part({"otype": "Identity"}, 16).aligned(16)
    model = Model(part, perceptron(config, 16, 1))
    network = tcnn.Network(16, 1, config)
    x = torch.rand(100, 16, generator=RANDOM).requires_grad_()
    found = model.evaluate(x, network.params, 128.0)
    assert found.dtype == torch.float16
    wanted = model.evaluate(x, network.params)
    assert torch.allclose(found.float(), wanted, atol=2e-3)
    inputs = (x, network.params)
    factor = 2.0**-22
    got = torch.autograd.grad(found.float().mul(factor).sum(), inputs)
    expected = torch.autograd.grad(wanted.mul(factor).sum(), inputs)
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == torch.float32
        assert float((one - other).norm() / other.norm()) < 0.05


def test_sine_networks_begin_as_siren_does():
    config = {"otype": "CutlassMLP", "n_neurons": 32, "n_hidden_layers": 2,
              "activation": "Sine"}  # fmt: skip
    network = tcnn.Network(16, 16, config)
    first, second, last = network.params.detach().split([512, 1024, 512])
    assert 0.98 * 30 / 16 < float(first.abs().max()) <= 30 / 16
    bound = math.sqrt(6 / 32)
    for matrix in (second, last):
        assert 0.98 * bound < float(matrix.abs().max()) <= bound
