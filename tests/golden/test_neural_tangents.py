"""Kernels of wide networks are those of the JAX package neural-tangents.

Its values lie beside this file, with the script that made them.
"""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tangrid.tangent import tangent_kernel
from tangrid.tangent.wide.finite_width import FiniteReluNetwork
from tangrid.tangent.wide.infinite_width import (
    ReluNetwork,
    infinite_width,
    infinite_width_of_gram,
)
from tests.tolerances import NEURAL_TANGENTS, PARITY_FLOAT64

GOLDEN = json.loads(
    Path(__file__).with_name("neural_tangents.json").read_text(encoding="utf-8")
)
CASES = [
    pytest.param(case["inputs"], values, id=f"{name}-{number}")
    for name, case in GOLDEN["infinite"].items()
    for number, values in enumerate(case["networks"])
]


def exact(numbers: list) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def network_of(values: dict, num_hidden: int) -> ReluNetwork:
    return ReluNetwork(
        num_hidden=num_hidden,
        weight_variance=values["weight_std"] ** 2,
        bias_variance=values["bias_std"] ** 2,
    )


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(("inputs", "values"), CASES)
def test_infinite_width(inputs: list, values: dict):
    points = exact(inputs)
    network = network_of(values, values["num_hidden"])
    found = infinite_width(points, network=network)
    size = points.shape[1]
    of_gram = infinite_width_of_gram(
        points @ points.T, num_features=size, network=network
    )
    lengths = points.norm(dim=1)
    apart = (points @ points.T).abs() < (1 - 1e-5) * lengths[:, None] * lengths
    for name in ("nngp", "ntk"):
        expected = exact(values[name])
        assert relative(getattr(found, name), expected) < NEURAL_TANGENTS
        # Where angles are not tiny the two packages agree to rounding.
        agree = relative(getattr(found, name)[apart], expected[apart])
        assert agree < PARITY_FLOAT64
        assert relative(getattr(of_gram, name), expected) < NEURAL_TANGENTS


def with_their_weights(values: dict, num_inputs: int) -> FiniteReluNetwork:
    network = network_of(values, len(values["weights"]) - 1)
    weights = [exact(weight) for weight in values["weights"]]
    model = FiniteReluNetwork(network, num_inputs, 1, 1, torch.Generator())
    model.weights = torch.nn.ParameterList(weights)
    model.biases = torch.nn.ParameterList(exact(bias) for bias in values["biases"])
    return model


def test_a_network_with_given_weights():
    inputs = exact(GOLDEN["empirical"]["inputs"])
    for values in GOLDEN["empirical"]["networks"]:
        model = with_their_weights(values, inputs.shape[1])
        expected = exact(values["values"])
        assert relative(model(inputs).detach(), expected) < PARITY_FLOAT64
        kernel = tangent_kernel(model, inputs).to_dense()
        # Theirs is [n, n, c, c], ours goes point by point.
        theirs = exact(values["ntk"]).permute(0, 2, 1, 3).reshape(kernel.shape)
        assert relative(kernel, theirs) < PARITY_FLOAT64
