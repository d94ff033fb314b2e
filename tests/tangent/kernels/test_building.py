"""The door to tangent kernels: any callable comes in, nothing wrong does."""

import re

import pytest
import torch
from torch import Tensor, nn

import tangrid.tangent.kernels.building as building
from tangrid.decoders import LinearConfig
from tangrid.encodings import DenseGridConfig, FourierConfig
from tangrid.errors import ConfigError, ResourceError, ShapeError, TangridError
from tangrid.fields import EncodedFieldConfig, Field
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent import DenseKernel, tangent_kernel
from tangrid.tangent.kernels.matrix_free import MatrixFreeKernel
from tests.tolerances import PARITY_FLOAT64

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture
def field() -> Field:
    config = EncodedFieldConfig(
        encoding=DenseGridConfig(num_levels=1, base_resolution=3),
        decoder=LinearConfig(),
    )
    return config.build(Site(num_dims=2, num_channels=2), generator(0, "init"))


def points(count: int = 4) -> Tensor:
    return torch.rand(count, 2, generator=generator(0, "points"))


WRONG = {
    "no points": (lambda: {"x": torch.empty(0, 2)}, ShapeError, "at least one point"),
    "not a tensor": (lambda: {"x": [[0.1, 0.2]]}, ShapeError, "got list"),
    "integers": (lambda: {"x": torch.ones(2, 2).long()}, ShapeError, "torch.int64"),
    "not finite": (
        lambda: {"x": torch.tensor([[0.1, float("nan")], [0.2, 0.3]])},
        ShapeError,
        "got 1 of 2 points with others",
    ),
    "outside": (lambda: {"x": torch.full((2, 2), 1.5)}, ShapeError, "in [0, 1]"),
    "dimensions": (lambda: {"x": torch.rand(3, 5)}, ShapeError, "shape [n, 2]"),
    "other side": (
        lambda: {"x": points(), "x2": torch.empty(0, 2)},
        ShapeError,
        "tangent_kernel(x2=...)",
    ),
    "other device": (
        lambda: {"x": torch.empty(3, 2, device="meta")},
        ShapeError,
        "expected points on cpu",
    ),
    "unknown group": (
        lambda: {"x": points(), "parameters": "decodr"},
        ConfigError,
        "one of grid, decoder",
    ),
    "coordinates": (
        lambda: {"x": points(), "parameters": "coords"},
        ConfigError,
        "which are not trained",
    ),
    "no group": (lambda: {"x": points(), "parameters": ()}, ConfigError, "one of grid"),
    "tensors for a field": (
        lambda: {"x": points(), "parameters": {"a": torch.ones(1)}},
        ConfigError,
        "expected names",
    ),
    "channel": (
        lambda: {"x": points(), "outputs": 2},
        ConfigError,
        "a channel from 0 to 1",
    ),
    "outputs": (lambda: {"x": points(), "outputs": "sum"}, ConfigError, "'trace'"),
    "implementation": (
        lambda: {"x": points(), "implementation": "fast"},
        ConfigError,
        "expected one of auto, structured",
    ),
    "dtype": (lambda: {"x": points(), "dtype": torch.half}, ConfigError, "float64"),
    "several inputs": (
        lambda: {"x": (points(), points())},
        ConfigError,
        "expected one tensor of points",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_named(field: Field, case: str):
    arguments, kind, words = WRONG[case]
    with pytest.raises(kind, match=re.escape(words)):
        tangent_kernel(field, **arguments())


def test_a_field_without_trainable_parameters(field: Field):
    with pytest.raises(ConfigError, match="expected trainable parameters"):
        tangent_kernel(field.requires_grad_(False), points())


def test_a_group_that_is_frozen(field: Field):
    field.decoder.requires_grad_(False)
    with pytest.raises(ConfigError, match="one of grid, got a name without"):
        tangent_kernel(field, points(), parameters="decoder")
    assert list(tangent_kernel(field, points()).parts) == ["encoding.table"]


def test_an_encoding_without_parameters_has_no_grid_kernel():
    config = EncodedFieldConfig(
        encoding=FourierConfig(num_frequencies=4), decoder=LinearConfig()
    )
    fourier = config.build(Site(num_dims=2, num_channels=1), generator(0, "init"))
    with pytest.raises(ConfigError, match="one of decoder"):
        tangent_kernel(fourier, points(), parameters="grid")


def test_parameters_by_name(field: Field):
    by_name = tangent_kernel(field, points(), parameters="encoding.table").to_dense()
    by_group = tangent_kernel(field, points(), parameters="grid").to_dense()
    by_prefix = tangent_kernel(field, points(), parameters="encoding").to_dense()
    assert torch.equal(by_name, by_group)
    assert torch.equal(by_prefix, by_group)


def test_vectors_must_fit(field: Field):
    kernel = tangent_kernel(field, points())
    with pytest.raises(ShapeError, match=re.escape("expected shape [8] or [8, r]")):
        kernel @ torch.ones(4, dtype=torch.float64)
    with pytest.raises(ShapeError, match=r"expected torch\.float64"):
        kernel @ torch.ones(8)


def test_what_does_not_fit_into_memory_is_refused_first(
    field: Field, monkeypatch: pytest.MonkeyPatch
):
    kernel = tangent_kernel(field, points(20))
    monkeypatch.setattr("tangrid.devices.available_memory_mb", lambda: 1e-3)
    with pytest.raises(ResourceError, match="Use products"):
        kernel.to_dense()
    with pytest.raises(ResourceError, match="a matrix of 40 by 40 numbers"):
        tangent_kernel(field, points(20), implementation="jacobian")
    with pytest.raises(ResourceError, match="Jacobian of 2 points with 2 channels"):
        tangent_kernel(field, points(2), implementation="jacobian")
    with pytest.raises(ResourceError, match=r"About \d+ points would fit"):
        tangent_kernel(field, points(20))


def wave(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
    """A function of the user: no module, no field."""
    hidden = torch.sin(x @ parameters["weight"] + parameters["phase"])
    return hidden @ parameters["mix"]


@pytest.fixture
def weights() -> dict[str, Tensor]:
    source = generator(0, "wave")
    return {
        "weight": torch.randn(2, 5, generator=source),
        "phase": torch.randn(5, generator=source),
        "mix": torch.randn(5, 3, generator=source),
    }


@pytest.mark.parametrize("outputs", ["full", "trace", 1])
def test_any_callable(weights: dict[str, Tensor], outputs: str | int):
    x = points(9).double()
    kernel = tangent_kernel(wave, x, parameters=weights, outputs=outputs)
    assert isinstance(kernel, DenseKernel)
    rows = []
    leaves = [w.double().requires_grad_() for w in weights.values()]
    values = wave(dict(zip(weights, leaves, strict=True)), x)
    for value in values.flatten():
        found = torch.autograd.grad(value, leaves, retain_graph=True)
        rows.append(torch.cat([g.flatten() for g in found]))
    jacobian = torch.stack(rows).view(9, 3, -1)
    whole = torch.einsum("icp,jdp->icjd", jacobian, jacobian)
    wanted = {
        "full": whole.reshape(27, 27),
        "trace": torch.einsum("icjc->ij", whole),
        1: whole[:, 1, :, 1],
    }[outputs]
    assert torch.allclose(kernel.to_dense(), wanted, rtol=PARITY_FLOAT64)
    products = tangent_kernel(
        wave, x, parameters=weights, outputs=outputs, implementation="matrix-free"
    )
    vector = torch.randn(len(wanted), generator=generator(0, "v")).double()
    assert torch.allclose(products @ vector, wanted @ vector, rtol=1e-10)


def test_a_large_jacobian_is_not_made_unasked(
    weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(building, "_LARGEST_JACOBIAN", 100)
    kernel = tangent_kernel(wave, points(), parameters=weights)
    assert isinstance(kernel, MatrixFreeKernel)


def test_any_module():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    kernel = tangent_kernel(model, points(), parameters=("0", "2.weight"))
    assert kernel.shape == (4, 4)
    with pytest.raises(ConfigError, match="expected a field"):
        tangent_kernel(model, points(), implementation="structured")


def test_functions_without_forward_mode(weights: dict[str, Tensor]):
    """Products then come from two reverse passes."""

    def bagged(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        image = parameters["image"].view(1, 1, 4, 4)
        grid = (2 * x - 1).view(1, 1, -1, 2)
        read = nn.functional.grid_sample(image, grid, align_corners=True)
        return read.view(-1, 1)

    x = points(6)
    image = torch.randn(16, generator=generator(0, "image"))
    kernels = [
        tangent_kernel(bagged, x, parameters={"image": image}, implementation=name)
        for name in ("jacobian", "matrix-free")
    ]
    vector = torch.ones(6, dtype=torch.float64)
    assert torch.allclose(kernels[0] @ vector, kernels[1] @ vector, rtol=1e-10)


def test_colours_of_rendered_rays(field: Field):
    """A tuple of inputs, and many reads of the field for every output."""
    steps = torch.linspace(0, 1, 5, dtype=torch.float64)
    field = field.double()

    def colours(parameters: dict[str, Tensor], rays: tuple[Tensor, Tensor]) -> Tensor:
        start, end = rays
        at = start[:, None] + (end - start)[:, None] * steps[:, None]
        values = torch.func.functional_call(
            Plain(field), parameters, (at.flatten(0, 1),)
        )
        density, colour = values.view(len(start), 5, 2).unbind(-1)
        alpha = 1 - torch.exp(-density.exp() / 5)
        ahead = torch.cumprod(
            torch.cat((torch.ones_like(alpha[:, :1]), 1 - alpha), 1), 1
        )
        return (ahead[:, :-1] * alpha * colour).sum(1, keepdim=True)

    parameters = {f"field.{n}": p for n, p in field.named_parameters()}
    rays = points(7).double(), points(7).flip(0).double()
    kernel = tangent_kernel(colours, rays, parameters=parameters)
    assert kernel.shape == (7, 7)
    assert kernel.eigensystem.smallest > -kernel.eigensystem.resolution
    products = tangent_kernel(
        colours, rays, parameters=parameters, implementation="matrix-free"
    )
    vector = torch.ones(7, dtype=torch.float64)
    assert torch.allclose(products @ vector, kernel @ vector, rtol=1e-10)


class Plain(nn.Module):
    """A field without the check of its points, as a renderer calls it."""

    def __init__(self, field: nn.Module) -> None:
        super().__init__()
        self.field = field

    def forward(self, coords: Tensor) -> Tensor:
        return self.field.forward(coords)


def test_rays_of_different_length(weights: dict[str, Tensor]):
    with pytest.raises(ShapeError, match="a row per point"):
        tangent_kernel(wave, (points(3), points(4)), parameters=weights)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("all", "expected the parameters of the callable by name"),
        ({}, "at least one tensor"),
        ({"weight": torch.ones(2).long()}, "which has no gradient"),
    ],
)
def test_parameters_of_a_callable(parameters: object, words: str):
    with pytest.raises(TangridError, match=words):
        tangent_kernel(wave, points(), parameters=parameters)


def test_values_of_a_callable_have_a_row_per_point(weights: dict[str, Tensor]):
    with pytest.raises(ShapeError, match=re.escape("shape [n, c]")):
        tangent_kernel(lambda p, x: wave(p, x).sum(), points(), parameters=weights)


def test_what_is_no_model_at_all():
    with pytest.raises(ConfigError, match="got str"):
        tangent_kernel("photo", points())
