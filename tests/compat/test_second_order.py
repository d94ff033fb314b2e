"""Second derivatives through everything, and PyTorch's transforms."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, jacrev, jvp, vmap

from tangrid.compat import tinycudann as tcnn
from tangrid.ops import implementation
from tangrid.seeding import generator
from tests.compat import plain
from tests.tolerances import PARITY_FLOAT32, PARITY_FLOAT64

GRID = {"otype": "HashGrid", "n_levels": 3, "log2_hashmap_size": 6,
        "base_resolution": 4, "per_level_scale": 1.5}  # fmt: skip
SMOOTH = {**GRID, "interpolation": "Smoothstep"}
MLP = {"otype": "FullyFusedMLP", "n_neurons": 16, "n_hidden_layers": 2,
       "activation": "Softplus"}  # fmt: skip
ENCODINGS: dict[str, dict[str, Any]] = {
    "linear grid": GRID,
    "smooth grid": SMOOTH,
    "dense grid": {**SMOOTH, "otype": "DenseGrid"},
    "tiled grid": {**SMOOTH, "otype": "TiledGrid"},
    "other hash": {**SMOOTH, "hash": "BaseConvert"},
    "Frequency": {"otype": "Frequency", "n_frequencies": 3},
    "OneBlob": {"otype": "OneBlob", "n_bins": 4},
    "SphericalHarmonics": {"otype": "SphericalHarmonics", "degree": 5},
    "TriangleWave": {"otype": "TriangleWave", "n_frequencies": 3},
    "Identity": {"otype": "Identity", "scale": 2.0},
    "Composite": {"otype": "Composite", "nested": [
        {**SMOOTH, "n_dims_to_encode": 2, "dims_to_encode_begin": 0},
        {"otype": "OneBlob", "n_dims_to_encode": 2, "dims_to_encode_begin": 1}]},
    "Product": {"otype": "Composite", "reduction": "Product", "nested": [
        {**SMOOTH, "n_dims_to_encode": 2, "dims_to_encode_begin": begin}
        for begin in (0, 1)]},
}  # fmt: skip


def points(count: int = 4, dims: int = 3) -> Tensor:
    drawn = torch.rand(count, dims, generator=generator(3, "second"))
    return drawn.double() * 0.9 + 0.05


def fill(model: tcnn.Encoding) -> None:
    with torch.no_grad():
        model.params.normal_(generator=generator(0, "fill")).mul_(0.3)


def check(model: tcnn.Encoding, x: Tensor) -> bool:
    """First and second derivatives in coordinates and parameters, by differences."""
    fill(model)

    def call(coords: Tensor, params: Tensor) -> Tensor:
        return functional_call(model, {"params": params}, coords)

    inputs = (x.requires_grad_(), model.params)
    options = {"fast_mode": True, "atol": 1e-4}
    return torch.autograd.gradcheck(
        call, inputs, **options
    ) and torch.autograd.gradgradcheck(call, inputs, **options)


@pytest.mark.parametrize("name", ENCODINGS)
def test_encodings_have_second_derivatives(name: str):
    assert check(tcnn.Encoding(3, ENCODINGS[name]).double(), points())


@pytest.mark.parametrize("activation", plain.SMOOTH)
@pytest.mark.parametrize("place", ["activation", "output_activation"])
def test_activations_have_second_derivatives(activation: str, place: str):
    config = {**MLP, place: activation}
    model = tcnn.NetworkWithInputEncoding(3, 2, SMOOTH, config).double()
    assert check(model, points())


@pytest.mark.parametrize("activation", ["ReLU", "Softplus"])
@pytest.mark.parametrize("interpolation", ["Linear", "Smoothstep"])
def test_eikonal_loss(activation: str, interpolation: str):
    """float32 with fast loops gives what float64 gives by the reference."""
    grid = {**GRID, "interpolation": interpolation}
    model = tcnn.NetworkWithInputEncoding(3, 1, grid, {**MLP, "activation": activation})
    fill(model)
    losses, grads = [], []
    for subject in (model, tcnn.NetworkWithInputEncoding(
        3, 1, grid, {**MLP, "activation": activation}
    ).double()):  # fmt: skip
        subject.load_state_dict(model.state_dict())
        x = points(50).to(subject.params.dtype).requires_grad_()
        (slope,) = torch.autograd.grad(subject(x).sum(), x, create_graph=True)
        loss = (slope.norm(dim=1) - 1).square().mean()
        losses.append(float(loss.detach()))
        loss.backward()
        assert x.grad is not None
        grads.append(subject.params.grad.double())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert float((grads[0] - grads[1]).norm() / grads[1].norm()) < 1e-3
    assert int((grads[1][-128:] != 0).sum()) > 20


def test_stochastic_grids_have_second_derivatives_in_coordinates():
    config = {**SMOOTH, "stochastic_interpolation": True}
    encoding = tcnn.Encoding(3, config).double()
    fill(encoding)
    x = points().requires_grad_()
    assert torch.autograd.gradgradcheck(encoding, x)
    (slope,) = torch.autograd.grad(encoding(x).square().sum(), x, create_graph=True)
    (found,) = torch.autograd.grad(slope.sum(), encoding.params, retain_graph=True)
    assert bool(found.any())


def test_functional_call_and_gradients_of_functions():
    model = tcnn.NetworkWithInputEncoding(3, 2, SMOOTH, MLP).double()
    fill(model)
    x = points(6)
    state = {"params": model.params.detach()}

    def loss(params: dict[str, Tensor], coords: Tensor) -> Tensor:
        return functional_call(model, params, coords).square().sum()

    (wanted,) = torch.autograd.grad(model(x).square().sum(), model.params)
    found = grad(loss)(state, x)["params"]
    assert torch.allclose(found, wanted, atol=PARITY_FLOAT64)
    each = vmap(grad(loss), in_dims=(None, 0))(state, x[:, None])["params"]
    assert torch.allclose(each.sum(0), wanted, atol=PARITY_FLOAT64)
    slopes = vmap(jacrev(model))(x)
    assert slopes.shape == (6, 2, 3)


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_vmap_gives_what_a_batch_gives(shift: float):
    model = tcnn.NetworkWithInputEncoding(3, 2, GRID, MLP)
    fill(model)
    x = points(8).float() + shift
    found = vmap(model)(x)
    assert torch.allclose(found, model(x), atol=PARITY_FLOAT32)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_modules_give_the_same(backend: str):
    model = tcnn.NetworkWithInputEncoding(3, 2, SMOOTH, MLP)
    fill(model)
    compiled = torch.compile(model, backend=backend)
    x = points(20).float()
    assert torch.equal(compiled(x), model(x))
    compiled(x).square().sum().backward()
    found, model.params.grad = model.params.grad, None
    model(x).square().sum().backward()
    assert torch.allclose(found, model.params.grad, atol=PARITY_FLOAT32)


def test_forward_mode_by_the_reference():
    model = tcnn.NetworkWithInputEncoding(3, 2, SMOOTH, MLP)
    fill(model)
    x, along = points(6).float(), points(12)[6:].float()
    with implementation("reference"):
        values, slopes = jvp(model, (x,), (along,))
    x.requires_grad_()
    wanted = [
        (torch.autograd.grad(model(x)[:, channel].sum(), x)[0] * along).sum(1)
        for channel in range(2)
    ]
    assert torch.allclose(values, model(x), atol=PARITY_FLOAT32)
    assert torch.allclose(slopes, torch.stack(wanted, 1), atol=PARITY_FLOAT32)
