"""Batches worked through in pieces have the values and gradients of whole ones."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad

from tangrid.compat import tinycudann as tcnn
from tangrid.compat.pieces import suits_pieces
from tangrid.compat.reused_memory import KEPT_LAYERS
from tangrid.seeding import generator
from tests.tolerances import SUMS_IN_PIECES

GRID = {"otype": "HashGrid", "n_levels": 5, "log2_hashmap_size": 10,
        "per_level_scale": 1.5}  # fmt: skip
MLP = {"otype": "FullyFusedMLP", "n_neurons": 16, "n_hidden_layers": 2}
SHALLOW = {"otype": "CutlassMLP", "n_neurons": 16, "n_hidden_layers": 0}
ENCODINGS: dict[str, dict[str, Any]] = {
    "grid": GRID,
    "OneBlob": {"otype": "OneBlob", "n_bins": 4},
    "Identity": {"otype": "Identity"},
}


def model_of(
    encoding: dict[str, Any], network: dict[str, Any] = MLP
) -> tcnn.NetworkWithInputEncoding:
    model = tcnn.NetworkWithInputEncoding(3, 2, encoding, network)
    with torch.no_grad():
        model.params.normal_(generator=generator(0)).mul_(0.3)
    return model


def batch(count: int, reach: float = 1.0) -> tuple[Tensor, Tensor]:
    random = generator(0, "pieces", count)
    x = torch.rand(count, 3, generator=random) * reach
    return x, torch.randn(count, 2, generator=random)


def whole(
    model: tcnn.NetworkWithInputEncoding, x: Tensor, factors: Tensor
) -> tuple[Tensor, Tensor]:
    values = model._model.evaluate(x, model.params)
    return values, torch.autograd.grad(values, model.params, factors)[0]


def near(found: Tensor, wanted: Tensor) -> bool:
    return float((found - wanted).norm() / wanted.norm()) < SUMS_IN_PIECES


@pytest.mark.parametrize("count", [1, 100, 4096, 9000])
@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("reach", [1.0, 1.5])
def test_gradients_are_those_of_the_whole(name: str, count: int, reach: float):
    model = model_of(ENCODINGS[name])
    x, factors = batch(count, reach)
    assert suits_pieces(model._model, x, model.params)
    values, wanted = whole(model, x, factors)
    found = model(x)
    assert torch.allclose(found, values, atol=1e-6)
    found.backward(factors)
    assert near(model.params.grad, wanted)


@pytest.mark.parametrize("count", [0, 1, 4096, 9000])
def test_values_without_gradients_come_in_pieces_too(count: int):
    model = model_of(GRID)
    x, _ = batch(count)
    wanted = model(x)
    with torch.no_grad():
        found = model(x)
    assert found.shape == (count, 2)
    assert torch.allclose(found, wanted, atol=1e-6)


def test_a_network_may_be_a_single_matrix():
    model = model_of(GRID, SHALLOW)
    x, factors = batch(5000)
    _, wanted = whole(model, x, factors)
    model(x).backward(factors)
    assert near(model.params.grad, wanted)


def test_a_gradient_that_is_there_is_added_to():
    model = model_of(GRID)
    x, factors = batch(5000)
    _, wanted = whole(model, x, factors)
    for _ in range(3):
        model(x).backward(factors)
    assert near(model.params.grad, 3 * wanted)


def test_a_second_pass_computes_again():
    model = model_of(GRID)
    x, factors = batch(5000)
    _, wanted = whole(model, x, factors)
    values = model(x)
    for _ in range(2):
        (found,) = torch.autograd.grad(values, model.params, factors, retain_graph=True)
        assert near(found, wanted)


def test_two_batches_at_once_do_not_meet():
    model = model_of(GRID)
    (x, factors), (y, others) = batch(5000), batch(4200)
    values = model(x), model(y)
    loss = (values[0] * factors).sum() + (values[1] * others).sum()
    loss.backward()
    wanted = whole(model, x, factors)[1] + whole(model, y, others)[1]
    assert near(model.params.grad, wanted)


def test_the_same_bits_every_time():
    model = model_of(GRID)
    x, factors = batch(20_000)
    found = []
    for _ in range(3):
        model.params.grad = None
        model(x).backward(factors)
        found.append(model.params.grad)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_parameters_changed_in_between_are_noticed():
    model = model_of(GRID)
    x, factors = batch(100)
    values = model(x)
    with torch.no_grad():
        model.params.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        values.backward(factors)


def test_second_derivatives_in_parameters():
    model = model_of(GRID)
    x, factors = batch(50)
    found = model(x)
    (first,) = torch.autograd.grad(found, model.params, factors, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), model.params)
    values = model._model.evaluate(x, model.params)
    (first,) = torch.autograd.grad(values, model.params, factors, create_graph=True)
    (wanted,) = torch.autograd.grad(first.square().sum(), model.params)
    assert near(second, wanted)


def test_gradients_of_functions():
    model = model_of(GRID)
    x, factors = batch(5000)
    _, wanted = whole(model, x, factors)

    def loss(params: Tensor) -> Tensor:
        return (functional_call(model, {"params": params}, (x,)) * factors).sum()

    assert near(grad(loss)(model.params.detach()), wanted)


def test_what_is_kept_is_given_back():
    model = model_of(GRID)
    x, factors = batch(100)
    values = model(x)
    work = values.grad_fn.next_functions[0][0].work
    assert work.layers is not None
    values.backward(factors)
    assert work.layers is None
    assert not hasattr(work, "features")


@pytest.mark.parametrize("reason", ["other", "wide", "points", "frozen", "off"])
def test_who_takes_the_usual_way(reason: str):
    model = model_of(GRID)
    x, _ = batch(10)
    params = model.params
    if reason == "other":
        model = model_of({**GRID, "stochastic_interpolation": True})
    elif reason == "wide":
        x, params = x.double(), params.double()
    elif reason == "points":
        x.requires_grad_()
    elif reason == "frozen":
        params.requires_grad_(False)
    with torch.set_grad_enabled(reason != "off"):
        assert not suits_pieces(model._model, x, params)


@pytest.mark.parametrize("last", ["None", "Sigmoid", "Softplus"])
@pytest.mark.parametrize("hidden", ["ReLU", "Tanh", "Squareplus"])
def test_every_activation_has_its_gradients(hidden: str, last: str):
    activations = {"activation": hidden, "output_activation": last}
    model = model_of(GRID, {**MLP, **activations})
    x, factors = batch(5000)
    values, wanted = whole(model, x, factors)
    found = model(x)
    assert torch.allclose(found, values, atol=1e-6)
    found.backward(factors)
    assert near(model.params.grad, wanted)


def test_memory_that_is_used_again_holds_nothing_of_before():
    model = model_of(GRID)
    for count in (9000, 100, 5000, 12_000, 9000):
        x, factors = batch(count)
        _, wanted = whole(model, x, factors)
        model(x + 0.0)  # nobody goes back from here
        model.params.grad = None
        model(x).backward(factors)
        assert near(model.params.grad, wanted)
    tcnn.free_temporary_memory()
    assert not KEPT_LAYERS._free
