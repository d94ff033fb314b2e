"""The small perceptron: a GPU's program, interpreted, against the reference."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, jacrev, jvp, vmap

from tangrid.decoders import ReluMlpConfig
from tangrid.errors import ImplementationError, ShapeError
from tangrid.ops.contract import (
    ImplementationName,
    implementation,
    is_interpreted,
    used_implementations,
)
from tangrid.ops.small_mlp import ACTIVATIONS, Activation, activated, small_mlp
from tangrid.ops.wanted import gradients_of_coords_only
from tangrid.seeding import generator
from tests.ops.comparison import assert_close, assert_same_bits
from tests.tolerances import (
    CUT_PERCEPTRON,
    HALF_PERCEPTRON,
    PARITY_FLOAT32,
    PARITY_HALF,
    PARITY_ROUNDED_GRADIENTS,
)

SMOOTH: tuple[Activation, ...] = tuple(
    name for name in ACTIVATIONS if name not in {"relu", "leaky-relu"}
)
FORMULAS = {
    "none": lambda x: x,
    "relu": lambda x: x.clamp(min=0),
    "leaky-relu": lambda x: torch.maximum(x, x / 100),
    "silu": lambda x: x / (1 + (-x).exp()),
    "exponential": lambda x: x.exp(),
    "sine": lambda x: x.sin(),
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "tanh": lambda x: 1 - 2 / (1 + (2 * x).exp()),
    "squareplus": lambda x: ((10 * x) + ((10 * x) ** 2 + 4).sqrt()) / 20,
    "softplus": lambda x: (1 + (10 * x).exp()).log() / 10,
}
"""What tiny-cuda-nn computes, written a second time."""


def by(name: ImplementationName) -> AbstractContextManager[None]:
    """The context of one implementation; Triton is an extra, which may be absent."""
    if name == "triton":
        pytest.importorskip("triton")
    return implementation(name)


class Case:
    """Points, matrices and a gradient of the outputs."""

    def __init__(
        self,
        *sizes: int,
        count: int = 15,
        activation: Activation = "relu",
        output_activation: Activation = "none",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        source = generator(0, "small mlp", count, *sizes)
        self.inputs = torch.randn(count, sizes[0], generator=source).to(dtype)
        self.weights = tuple(
            (torch.randn(b, a, generator=source) / a**0.5).to(dtype)
            for a, b in pairwise(sizes)
        )
        self.upstream = torch.randn(count, sizes[-1], generator=source).to(dtype)
        self.activations = activation, output_activation

    def to(self, dtype: torch.dtype) -> "Case":
        """The same numbers in another dtype."""
        other = Case.__new__(Case)
        other.inputs = self.inputs.to(dtype)
        other.weights = tuple(weight.to(dtype) for weight in self.weights)
        other.upstream = self.upstream.to(dtype)
        other.activations = self.activations
        return other

    def results(self, name: ImplementationName) -> dict[str, Tensor]:
        """Outputs and all gradients, by one implementation."""
        leaves = [t.detach().requires_grad_() for t in (self.inputs, *self.weights)]
        with by(name):
            values = small_mlp(leaves[0], leaves[1:], *self.activations)
            grads = torch.autograd.grad(values, leaves, self.upstream)
        assert used_implementations()["small_mlp"] == name
        names = ("inputs", *(f"matrix {i}" for i in range(len(self.weights))))
        return {"values": values.detach(), **dict(zip(names, grads, strict=True))}


def assert_triton_is_the_reference(case: Case, tolerance: float = PARITY_FLOAT32):
    assert_close(case.results("triton"), case.results("reference"), tolerance)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_those_of_tiny_cuda_nn(activation: Activation):
    numbers = torch.linspace(-4, 4, 401).double()
    expected = FORMULAS[activation](numbers)
    found = activated(numbers, activation)
    assert_close({"values": found}, {"values": expected}, tolerance=1e-14)
    half = activated(numbers.half(), activation)
    exact = FORMULAS[activation](numbers.half().double()).half()
    assert_close({"values": half}, {"values": exact}, PARITY_HALF)


@pytest.mark.parametrize("activation", ["squareplus", "softplus"])
def test_long_tails_are_not_lost(activation: Activation):
    """Far from 0 the plain formulas overflow, or cancel to nothing."""
    far = torch.tensor([-9.0, 1e6])
    found = activated(far, activation)
    exact = {"squareplus": 1 / 900, "softplus": 8.194e-41}[activation]
    assert found[0].item() == pytest.approx(exact, rel=1e-3)
    assert found[1] == far[1]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_triton_has_every_activation(activation: Activation):
    sizes = 3, 16, 16, 3
    case = Case(*sizes, activation=activation, output_activation=activation)
    # Exponentials of exponentials overflow where matrices are larger.
    case.weights = tuple(weight / 4 for weight in case.weights)
    assert_triton_is_the_reference(case)
    large = Case(*sizes, activation="none", output_activation=activation)
    large.inputs = 8 * large.inputs
    assert_triton_is_the_reference(large)


@pytest.mark.parametrize("outputs", [1, 3, 16, 17])
@pytest.mark.parametrize("inputs", [3, 16, 32, 33])
def test_triton_takes_any_channels(inputs: int, outputs: int):
    assert_triton_is_the_reference(Case(inputs, 32, outputs, output_activation="tanh"))


@pytest.mark.parametrize("width", [16, 32, 64, 128])
@pytest.mark.parametrize("num_hidden", [1, 2, 4])
def test_triton_takes_any_depth(width: int, num_hidden: int):
    assert_triton_is_the_reference(Case(32, *(width,) * num_hidden, 3, count=70))


@pytest.mark.parametrize("count", [0, 1, 15, 1000])
def test_triton_takes_any_batch(count: int):
    assert_triton_is_the_reference(Case(5, 16, 16, 4, count=count))


def test_memory_order_does_not_change_the_bits():
    case = Case(6, 16, 16, 5, count=100, activation="silu")
    expected = case.results("triton")
    for name in ("inputs", "upstream"):
        tensor = getattr(case, name)
        apart = torch.stack((tensor.T, tensor.T), dim=2)[..., 0].T
        assert not apart.is_contiguous()
        setattr(case, name, apart)
    case.weights = tuple(weight.T.contiguous().T for weight in case.weights)
    assert_same_bits(case.results("triton"), expected)


def test_gradients_are_the_same_every_time():
    """Sums of many blocks have one order: no program adds to another's."""
    case = Case(6, 32, 32, 5, count=400)
    assert_same_bits(case.results("triton"), case.results("triton"))


@pytest.mark.parametrize("activation", ["relu", "leaky-relu", "silu", "squareplus"])
def test_float16_is_rounded_where_the_reference_rounds(activation: Activation):
    case = Case(
        33,
        *(64, 64, 17),
        count=200,
        activation=activation,
        output_activation="squareplus",
        dtype=torch.float16,
    )
    assert_triton_is_the_reference(case, PARITY_ROUNDED_GRADIENTS)


@pytest.mark.parametrize("activation", SMOOTH)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["triton", "reference"])
def test_half_precision_is_near_the_exact_values(
    name: ImplementationName, dtype: torch.dtype, activation: Activation
):
    case = Case(8, 16, 16, 3, count=64, activation=activation, dtype=dtype)
    # Steep activations magnify what is rounded before them.
    case.weights = tuple(weight / 2 for weight in case.weights)
    expected = case.to(torch.float64).results("reference")
    is_cut = name == "triton" and dtype == torch.bfloat16 and is_interpreted()
    epsilons = CUT_PERCEPTRON if is_cut else HALF_PERCEPTRON
    assert_close(case.results(name), expected, epsilons * torch.finfo(dtype).eps)


def test_many_points_do_not_wear_the_sum_out():
    """Half precision would lose what a block adds to 1024 or more: sums are float32."""
    case = Case(16, 16, 16, count=8000, activation="none", dtype=torch.float16)
    case.inputs = torch.ones_like(case.inputs)
    case.upstream = torch.full_like(case.upstream, 1 + 2**-10)
    case.weights = tuple(torch.eye(16).half() for _ in case.weights)
    found = case.results("triton")
    exact = torch.full((16, 16), 8000 * (1 + 2**-10)).half()
    assert torch.equal(found["matrix 1"], exact)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["triton", "reference"])
def test_float32_masters_are_rounded_on_the_way_in(
    name: ImplementationName, dtype: torch.dtype
):
    exact = Case(8, 16, 3, activation="sine")
    case = exact.to(dtype)
    expected = case.results(name)
    case.weights = exact.weights
    found = case.results(name)
    assert found["matrix 0"].dtype == torch.float32
    assert found["values"].dtype == dtype
    assert_same_bits({k: v.to(dtype) for k, v in found.items()}, expected)


def test_numbers_that_are_not_finite_stay_so():
    """A program that repaired them would hide that training has failed."""
    case = Case(4, 16, 16, 2)
    case.inputs[3] = torch.nan
    found = case.results("triton")
    assert found["values"].isnan().any(dim=1).nonzero().flatten().tolist() == [3]
    assert found["matrix 0"].isnan().any()


@pytest.mark.parametrize("activation", SMOOTH)
def test_derivatives_are_exact_in_float64(activation: Activation):
    case = Case(2, 3, 2, count=3, activation=activation, output_activation=activation)
    leaves = [t.double().requires_grad_() for t in (case.inputs, *case.weights)]

    def compute(inputs: Tensor, *weights: Tensor) -> Tensor:
        return small_mlp(inputs, weights, *case.activations)

    assert torch.autograd.gradcheck(compute, leaves)
    assert torch.autograd.gradgradcheck(compute, leaves)


def eikonal(case: Case, name: ImplementationName) -> dict[str, Tensor]:
    """Gradients of a loss of the points' gradient, with those of its weights too."""
    leaves = [t.detach().requires_grad_() for t in (case.inputs, *case.weights)]
    upstream = case.upstream.detach().requires_grad_()
    with by(name):
        values = small_mlp(leaves[0], leaves[1:], *case.activations)
        slopes = torch.autograd.grad(values, leaves, upstream, create_graph=True)
        loss = (slopes[0].norm(dim=1) - 1).square().mean() + values.square().mean()
        loss = loss + sum(slope.cos().mean() for slope in slopes[1:])
        grads = torch.autograd.grad(loss, (*leaves, upstream))
    return {str(number): grad for number, grad in enumerate(grads)}


@pytest.mark.parametrize("activation", ["relu", "softplus", "sine"])
def test_gradients_of_gradients_are_the_references(activation: Activation):
    case = Case(3, 16, 16, 1, count=40, activation=activation)
    assert_close(eikonal(case, "triton"), eikonal(case, "reference"), tolerance=3e-5)


@pytest.mark.parametrize("of_points", [True, False])
def test_only_what_is_needed_is_computed(of_points: bool):
    case = Case(3, 16, 2)
    expected = case.results("triton")
    inputs = case.inputs.clone().requires_grad_(of_points)
    weights = [weight.clone().requires_grad_(not of_points) for weight in case.weights]
    with by("triton"):
        values = small_mlp(inputs, weights)
        values.backward(case.upstream)
    of_weights = {f"matrix {i}": weight.grad for i, weight in enumerate(weights)}
    found = {"inputs": inputs.grad} if of_points else of_weights
    assert_same_bits(found, {name: expected[name] for name in found})


def test_matrices_get_no_gradient_where_only_coordinates_ask():
    case = Case(3, 16, 2)
    inputs = case.inputs.clone().requires_grad_()
    weights = [weight.clone().requires_grad_() for weight in case.weights]
    with by("triton"), gradients_of_coords_only():
        small_mlp(inputs, weights).backward(case.upstream)
    assert torch.equal(inputs.grad, case.results("triton")["inputs"])
    assert all(weight.grad is None for weight in weights)


@pytest.mark.parametrize("name", ["triton", "reference"])
def test_reverse_transforms_agree_with_autograd(name: ImplementationName):
    case = Case(3, 16, 16, 2, count=5, activation="silu")
    expected = case.results("reference")

    def total(row: Tensor, upstream: Tensor, *weights: Tensor) -> Tensor:
        return (small_mlp(row[None], weights, *case.activations)[0] * upstream).sum()

    with by(name):
        shared = (None,) * len(case.weights)
        each = vmap(grad(total), in_dims=(0, 0, *shared))(
            case.inputs, case.upstream, *case.weights
        )
        assert_close({"inputs": each}, {"inputs": expected["inputs"]})
        of_first = vmap(grad(total, argnums=2), in_dims=(0, 0, *shared))(
            case.inputs, case.upstream, *case.weights
        )
        assert_close({"m": of_first.sum(0)}, {"m": expected["matrix 0"]})
        jacobian = jacrev(lambda x: small_mlp(x, case.weights, *case.activations))(
            case.inputs
        )
    pulled = torch.einsum("ncmk,nc->mk", jacobian, case.upstream)
    assert_close({"inputs": pulled}, {"inputs": expected["inputs"]})


def test_one_batch_for_each_of_many_networks():
    case = Case(3, 16, 2)
    scales = torch.tensor([1.0, 0.5, -2.0])

    def scaled(scale: Tensor) -> Tensor:
        return small_mlp(case.inputs, (case.weights[0], scale * case.weights[1]))

    with by("triton"):
        found = vmap(scaled)(scales)
        expected = scales[:, None, None] * small_mlp(case.inputs, case.weights)
    assert_close({"values": found}, {"values": expected})


def test_the_reference_has_forward_mode():
    case = Case(3, 16, 2, activation="softplus")

    def compute(inputs: Tensor) -> Tensor:
        return small_mlp(inputs, case.weights, *case.activations)

    with implementation("reference"):
        _, along = jvp(compute, (case.inputs,), (torch.ones_like(case.inputs),))
        jacobian = jacrev(compute)(case.inputs)
    assert_close({"slope": along}, {"slope": jacobian.sum(dim=(2, 3))})


def test_the_decoder_is_the_operator():
    config = ReluMlpConfig(width=32, num_hidden=2, output_activation="sigmoid")
    decoder = config.build(5, 3, generator(0, "decoder"))
    features = torch.randn(40, 5, generator=generator(1))
    with by("triton"):
        found = decoder(features)
    assert used_implementations()["small_mlp"] == "triton"
    expected = decoder(features)
    assert used_implementations()["small_mlp"] == "reference"
    assert_close({"values": found.detach()}, {"values": expected.detach()})
    doubled = {name: 2 * weight for name, weight in decoder.named_parameters()}
    with by("triton"):
        found = functional_call(decoder, doubled, (features,))
    assert not torch.equal(found, expected)


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ((3, 2), r"has 0 hidden layers"),
        ((3, *(16,) * 9, 2), r"has 9 hidden layers"),
        ((3, 48, 2), r"\[48\] channels"),
        ((3, 16, 32, 2), r"\[16, 32\] channels"),
        ((3, 16, 129), r"3 channels come in and 129 go out"),
    ],
)
def test_other_networks_are_the_references(sizes: Sequence[int], reason: str):
    case = Case(*sizes)
    inputs = case.inputs
    with implementation("triton"), pytest.raises(ImplementationError, match=reason):
        small_mlp(inputs, case.weights)
    values = small_mlp(inputs, case.weights)
    assert used_implementations()["small_mlp"] == "reference"
    assert values.shape == (15, sizes[-1])


def test_who_asks_for_loops_gets_those_of_pytorch():
    case = Case(3, 16, 2)
    with implementation("numba"):
        small_mlp(case.inputs, case.weights)
    assert used_implementations()["small_mlp"] == "reference"


@pytest.mark.parametrize(
    ("inputs", "weights", "message"),
    [
        (torch.zeros(3), [torch.zeros(2, 3)], r"got inputs \[3\]"),
        (torch.zeros(4, 3), [], r"matrices \[\]"),
        (torch.zeros(4, 3), [torch.zeros(2, 4)], r"matrices \[\[2, 4\]\]"),
        (torch.zeros(4, 3), [torch.zeros(2, 3), torch.zeros(1, 3)], r"\[1, 3\]"),
        (torch.zeros(4, 3), [torch.zeros(2, 3).half()], r"torch.float16"),
        (torch.zeros(4, 3).double(), [torch.zeros(2, 3)], r"torch.float64"),
        (torch.zeros(4, 3).half(), [torch.zeros(2, 3).bfloat16()], r"bfloat16"),
    ],
)
def test_what_does_not_fit_is_refused(
    inputs: Tensor, weights: list[Tensor], message: str
):
    with pytest.raises(ShapeError, match=message):
        small_mlp(inputs, weights)


def test_unknown_activations_are_refused():
    with pytest.raises(ShapeError, match=r"among none, relu, .*, got 'gelu'"):
        small_mlp(torch.zeros(4, 3), [torch.zeros(2, 3)], "gelu")
