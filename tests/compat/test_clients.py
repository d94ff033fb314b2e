"""The calls that published projects make: their settings, shapes, ways and tricks.

Settings are facts of these projects at these commits: nerfstudio 50e0e3c7
(encodings.py, mlp.py, sdf_field.py, nerfacto's fields), torch-ngp b6e0804
(network_tcnn.py of nerf and sdf), ngp_pl 1b49af1 (networks.py), instant-nsr-pl e5fe3f2
(network_utils.py, configs).
"""

import copy
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tangrid.compat import install_tinycudann
from tangrid.seeding import generator

POINTS = 40
NAMES = ("tinycudann", "tinycudann.modules")
"""What `install_tinycudann` writes into ``sys.modules``."""


@pytest.fixture
def tcnn(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What a client gets that imports tinycudann."""
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    install_tinycudann(replace=True)
    import tinycudann as tcnn  # noqa: PLC0415 # pyright: ignore

    yield tcnn
    for name in NAMES:
        sys.modules.pop(name, None)


def growth(finest: float, base: int = 16, levels: int = 16) -> float:
    return np.exp(np.log(finest / base) / (levels - 1))


def hash_grid(log2_size: int = 19, **changes: Any) -> dict[str, Any]:
    # The tables of the projects are as large as memory allows: here, small ones.
    config: dict[str, Any] = {
        "otype": "HashGrid",
        "n_levels": 16,
        "n_features_per_level": 2,
        "log2_hashmap_size": min(log2_size, 14),
        "base_resolution": 16,
        "per_level_scale": growth(2048),
    }
    return config | changes


def perceptron(
    width: int = 64, hidden: int = 1, output: str = "None", **changes: Any
) -> dict[str, Any]:
    config: dict[str, Any] = {
        "otype": "FullyFusedMLP",
        "activation": "ReLU",
        "output_activation": output,
        "n_neurons": width,
        "n_hidden_layers": hidden,
    }
    return config | changes


HARMONICS = {"otype": "SphericalHarmonics", "degree": 4}

Sizes = tuple[int, int]


class Call(NamedTuple):
    """One module that a project makes: of an encoding, a network or both."""

    client: str
    sizes: Sizes
    encoding: dict[str, Any] | None = None
    network: dict[str, Any] | None = None


PROGRESSIVE = hash_grid(
    base_resolution=32,
    per_level_scale=1.3195079107728942,
    include_xyz=True,
    start_level=4,
    start_step=0,
    update_steps=1000,
)
SPHERE = {"sphere_init": True, "sphere_init_radius": 0.5, "weight_norm": True}

CALLS = [
    Call("nerfstudio hash encoding", (3, 32), hash_grid(per_level_scale=growth(1024))),
    Call("nerfstudio one level", (3, 2), hash_grid(n_levels=1, per_level_scale=1)),
    Call("nerfstudio nearest", (3, 32), hash_grid(interpolation="Nearest")),
    Call("nerfstudio smoothstep", (3, 32), hash_grid(interpolation="Smoothstep")),
    Call("nerfstudio frequencies", (3, 24), {"otype": "Frequency", "n_frequencies": 4}),
    Call("nerfstudio harmonics", (3, 16), HARMONICS),
    Call("nerfstudio base", (3, 16), hash_grid(), perceptron()),
    Call(
        "nerfstudio proposal",
        (3, 1),
        hash_grid(17, n_levels=5, per_level_scale=growth(128, levels=5)),
        perceptron(16),
    ),
    Call("nerfstudio colour", (63, 3), None, perceptron(hidden=2, output="Sigmoid")),
    Call(
        "nerfstudio wide",
        (32, 256),
        None,
        perceptron(256, 7, "ReLU", otype="CutlassMLP"),
    ),
    Call("nerfstudio leaky", (32, 3), None, perceptron(activation="LeakyReLU")),
    Call("nerfstudio softplus", (32, 3), None, perceptron(output="Softplus")),
    Call("nerfstudio tanh", (32, 3), None, perceptron(activation="Tanh")),
    Call(
        "nerfstudio surface",
        (3, 32),
        hash_grid(otype="DenseGrid", base_resolution=2, per_level_scale=1.1),
    ),
    Call("torch-ngp encoder", (3, 32), hash_grid()),
    Call("torch-ngp sigma", (32, 16), None, perceptron()),
    Call("torch-ngp directions", (3, 16), HARMONICS),
    Call("torch-ngp colour", (31, 3), None, perceptron(hidden=2)),
    Call("torch-ngp distance encoder", (3, 32), hash_grid(per_level_scale=1.3819)),
    Call("torch-ngp distance", (32, 1), None, perceptron(hidden=2)),
    Call(
        "ngp_pl points",
        (3, 16),
        hash_grid(otype="Grid", type="Hash", interpolation="Linear"),
        perceptron(),
    ),
    Call("ngp_pl directions", (3, 16), HARMONICS),
    Call("ngp_pl colour", (32, 3), None, perceptron(hidden=2, output="Sigmoid")),
    Call("ngp_pl tone", (1, 1), None, perceptron(output="Sigmoid")),
    Call(
        "instant-nsr-pl nerf",
        (3, 16),
        hash_grid(per_level_scale=1.447269237440378),
        perceptron(output="none"),
    ),
    Call("instant-nsr-pl surface", (3, 32), hash_grid(include_xyz=True)),
    Call("instant-nsr-pl in steps", (3, 32), PROGRESSIVE),
    Call("instant-nsr-pl sphere", (35, 13), None, perceptron(**SPHERE)),
    Call("instant-nsr-pl texture", (35, 3), None, perceptron(hidden=2, output="none")),
]


def make(tcnn: Any, call: Call) -> nn.Module:
    num_inputs, num_outputs = call.sizes
    if call.network is None:
        return tcnn.Encoding(n_input_dims=num_inputs, encoding_config=call.encoding)
    if call.encoding is None:
        return tcnn.Network(num_inputs, num_outputs, call.network)
    return tcnn.NetworkWithInputEncoding(
        n_input_dims=num_inputs,
        n_output_dims=num_outputs,
        encoding_config=call.encoding,
        network_config=call.network,
    )


def points(count: int, num_dims: int, name: str) -> Tensor:
    return torch.rand(count, num_dims, generator=generator(0, "client", name))


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.client)
def test_every_module_is_made_and_trained(tcnn: Any, call: Call):
    before = copy.deepcopy((call.encoding, call.network))
    module = make(tcnn, call)
    assert (call.encoding, call.network) == before, "a client's dictionary was changed"
    assert (module.n_input_dims, module.n_output_dims) == call.sizes
    coords = points(POINTS, call.sizes[0], call.client)
    values = module(coords)
    assert values.shape == (POINTS, call.sizes[1])
    assert values.dtype == module.dtype
    assert values.isfinite().all()
    (only,) = module.parameters()
    assert only is module.params
    assert only.ndim == 1
    if len(only):
        values.float().square().sum().backward()
        assert only.grad is not None
        assert only.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("call", "count"),
    [
        # Levels of 8 to 2^14 rows, by the rules that tiny-cuda-nn's grid.h states.
        (Call("", (32, 16), None, perceptron()), 64 * 32 + 16 * 64),
        (Call("", (31, 3), None, perceptron(hidden=2)), 64 * 32 + 64 * 64 + 16 * 64),
        (Call("", (1, 1), None, perceptron()), 64 * 16 + 16 * 64),
        (Call("", (35, 13), None, perceptron(**SPHERE)), 64 * 48 + 16 * 64),
        (Call("", (3, 16), HARMONICS), 0),
    ],
)
def test_numbers_of_parameters_are_the_clients(tcnn: Any, call: Call, count: int):
    """instant-nsr-pl asserts this before it writes its own weights into the vector."""
    assert len(make(tcnn, call).params) == count


class Radiance(nn.Module):
    """A radiance field in four modules, as torch-ngp puts it together."""

    def __init__(self, tcnn: Any) -> None:
        super().__init__()
        self.encoder = tcnn.Encoding(n_input_dims=3, encoding_config=hash_grid(12))
        self.density = tcnn.Network(32, 16, perceptron())
        self.directions = tcnn.Encoding(n_input_dims=3, encoding_config=HARMONICS)
        size = self.directions.n_output_dims + 15
        self.colour = tcnn.Network(size, 3, perceptron(hidden=2))

    def forward(self, x: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.density(self.encoder((x + 1) / 2))
        around = self.directions((d + 1) / 2)
        seen = self.colour(torch.cat([around, hidden[..., 1:]], dim=-1))
        return torch.exp(hidden[..., 0]), torch.sigmoid(seen)


def test_a_radiance_field_of_four_modules_learns(tcnn: Any):
    field = Radiance(tcnn)
    optimizer = torch.optim.Adam(
        [{"params": part.parameters(), "lr": 1e-2} for part in field.children()],
        betas=(0.9, 0.99),
        eps=1e-15,
    )
    x = 2 * points(512, 3, "places") - 1
    d = nn.functional.normalize(points(512, 3, "directions") - 0.5, dim=1)
    density, colour = x.norm(dim=1), (d + 1) / 2
    losses = []
    for _ in range(60):
        sigma, rgb = field(x, d)
        loss = (sigma - density).square().mean() + (rgb - colour).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


def test_a_part_of_the_points_is_asked_for(tcnn: Any):
    """torch-ngp asks for colours where a mask says so, which may be nowhere."""
    field = Radiance(tcnn)
    mask = torch.zeros(POINTS, dtype=torch.bool)
    x = points(POINTS, 3, "mask")
    assert field(x[mask], x[mask])[1].shape == (0, 3)
    mask[::3] = True
    whole, part = field(x, x)[1], field(x[mask], x[mask])[1]
    assert torch.allclose(whole[mask], part)


def sphere_weights(inputs: int, outputs: int, width: int) -> Tensor:
    """Layers one after the other, row by row, padded to 16 as instant-nsr-pl has it."""
    source = generator(0, "sphere")
    first = torch.zeros(width, -(-inputs // 16) * 16)
    first[:, :3].normal_(0.0, (2 / width) ** 0.5, generator=source)
    last = torch.empty(-(-outputs // 16) * 16, width)
    last.normal_((torch.pi / width) ** 0.5, 1e-4, generator=source)
    return torch.cat((first.flatten(), last.flatten()))


def test_weights_of_ones_own_make_a_sphere(tcnn: Any):
    """instant-nsr-pl writes weights that make the distance of a ball."""
    network = tcnn.Network(35, 13, perceptron(**SPHERE))
    next(iter(network.parameters())).data.copy_(sphere_weights(35, 13, 64))
    directions = nn.functional.normalize(points(POINTS, 3, "ball") - 0.5, dim=1)
    padding = points(POINTS, 32, "features")
    near, far = (
        network(torch.cat((radius * directions, padding), 1))[:, 0].float()
        for radius in (0.25, 0.5)
    )
    assert (far > near).all()
    assert torch.allclose(far, 2 * near, rtol=0.02)
    spread = far.std() / far.mean()
    assert spread < 0.3


def test_normals_of_a_surface_are_trained(tcnn: Any):
    """instant-nsr-pl's loss holds the gradient, of a field that it makes itself."""
    encoding = tcnn.Encoding(3, hash_grid(12, n_levels=8, include_xyz=True))
    network = tcnn.Network(3 + encoding.n_output_dims, 13, perceptron())
    parts = nn.ModuleList((encoding, network))
    optimizer = torch.optim.AdamW(parts.parameters(), lr=1e-2, eps=1e-15)
    x = points(256, 3, "surface")

    def eikonal() -> Tensor:
        inputs = x.clone().requires_grad_()
        features = torch.cat((inputs * 2 - 1, encoding(inputs)), dim=-1)
        distance = network(features)[..., 0].float()
        (normal,) = torch.autograd.grad(distance.sum(), inputs, create_graph=True)
        return (normal.norm(dim=-1) - 1).square().mean()

    first = eikonal().item()
    for _ in range(30):
        optimizer.zero_grad()
        eikonal().backward()
        assert encoding.params.grad is not None
        assert encoding.params.grad.abs().sum() > 0
        optimizer.step()
    assert eikonal().item() < 0.2 * first


def test_levels_are_let_in_one_by_one(tcnn: Any):
    """instant-nsr-pl masks the features of levels that are still to come."""
    encoding = tcnn.Encoding(3, PROGRESSIVE)
    mask = torch.zeros(PROGRESSIVE["n_levels"] * PROGRESSIVE["n_features_per_level"])
    mask[: 4 * PROGRESSIVE["n_features_per_level"]] = 1.0
    (encoding(points(POINTS, 3, "levels")) * mask).sum().backward()
    assert encoding.params.grad is not None
    rows = encoding.params.grad.nonzero()
    assert len(rows)
    # The first four levels are the first of the vector.
    assert rows.max() < len(encoding.params) / 2


def test_memory_is_given_back_when_asked(tcnn: Any):
    tcnn.free_temporary_memory()


def test_a_client_finds_the_module_there(tcnn: Any):
    """nerfstudio goes by whether the import fails."""
    assert __import__("tinycudann") is tcnn
    assert tcnn.Encoding.__name__ == "Encoding"
