"""Sums of features weighted by sines of radial values: both forms, all derivatives."""

import pytest
import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap

from tangrid.errors import ImplementationError, ShapeError
from tangrid.ops import accumulate_into
from tangrid.ops.contract import implementation, single_threaded, used_implementations
from tangrid.ops.rbf_lookup import rbf_lookup
from tangrid.seeding import generator
from tests.ops.comparison import assert_close, assert_same_bits

Case = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def inputs(points: int, neighbours: int, channels: int, nodes: int = 50) -> Case:
    source = generator(0, "rbf", points, neighbours, channels)
    rows = torch.randint(nodes, (points, neighbours), generator=source)
    values = torch.rand(points, neighbours, generator=source)
    table = torch.randn(nodes, channels, generator=source)
    upstream = torch.randn(points, channels, generator=source)
    frequencies = 2 ** torch.linspace(-3, 7, channels)
    return rows, values, table, frequencies, upstream


def results(case: Case) -> dict[str, Tensor]:
    rows, values, table, frequencies, upstream = case
    leaves = [t.detach().clone().requires_grad_() for t in (values, table)]
    features = rbf_lookup(rows, *leaves, frequencies)
    grads = torch.autograd.grad(features, leaves, upstream)
    return {"features": features.detach(), "values": grads[0], "table": grads[1]}


@pytest.mark.parametrize("points", [0, 1, 255, 600])
@pytest.mark.parametrize(("neighbours", "channels"), [(1, 1), (4, 32), (5, 7)])
def test_numba_is_the_reference(points: int, neighbours: int, channels: int):
    case = inputs(points, neighbours, channels)
    with implementation("numba"):
        found = results(case)
    assert used_implementations()["rbf_lookup"] == "numba"
    with implementation("reference"):
        assert_close(found, results(case))


def test_angles_of_thousands_of_radians_are_exact():
    """A wrong reduction of the angle would show in the highest channels."""
    rows, values, table, _, _ = inputs(500, 4, 32)
    frequencies = 2 ** torch.linspace(-3, 12, 32)
    with implementation("numba"):
        found = rbf_lookup(rows, values, table, frequencies)
    # The product is rounded before its sine is taken, here as there.
    angles = (values[:, :, None] * frequencies).double()
    wanted = (angles.sin() * table.double()[rows]).sum(1)
    assert (found.double() - wanted).abs().max() < 2e-6


def test_threads_and_memory_order_do_not_change_the_bits():
    case = inputs(1300, 4, 20)
    expected = results(case)
    with single_threaded():
        assert_same_bits(results(case), expected)
    turned = tuple(t.T.contiguous().T if t.ndim == 2 else t for t in case)
    assert_same_bits(results(turned), expected)


def test_gradients_can_be_added_to_a_buffer():
    rows, values, table, frequencies, upstream = inputs(70, 3, 8)
    wanted = results((rows, values, table, frequencies, upstream))["table"]
    leaf = table.requires_grad_()
    buffer = torch.ones_like(table)
    with accumulate_into({leaf: buffer}):
        features = rbf_lookup(rows, values, leaf, frequencies)
        (grad_table,) = torch.autograd.grad(features, leaf, upstream, allow_unused=True)
    assert grad_table is None
    assert_close({"table": buffer - 1}, {"table": wanted})


def second_order(case: Case) -> dict[str, Tensor]:
    rows, values, table, frequencies, upstream = case
    leaves = [t.detach().clone().requires_grad_() for t in (values, table, upstream)]
    features = rbf_lookup(rows, leaves[0], leaves[1], frequencies)
    first = torch.autograd.grad(features, leaves[:2], leaves[2], create_graph=True)
    scalar = sum((g * g.detach().cos()).sum() for g in first)
    second = torch.autograd.grad(scalar, leaves)
    return dict(zip(("values", "table", "upstream"), second, strict=True))


def test_second_derivatives_are_the_references():
    case = inputs(63, 4, 8)
    with implementation("numba"):
        found = second_order(case)
    with implementation("reference"):
        assert_close(found, second_order(case), tolerance=3e-5)


def test_derivatives_are_exact_in_float64():
    rows, values, table, frequencies, _ = inputs(4, 3, 3, nodes=5)
    leaves = [t.double().requires_grad_() for t in (values, table)]

    def read(v: Tensor, t: Tensor) -> Tensor:
        return rbf_lookup(rows, v, t, frequencies.double() / 10)

    assert torch.autograd.gradcheck(read, leaves)
    assert torch.autograd.gradgradcheck(read, leaves)


def test_reverse_transforms_agree_with_autograd():
    rows, values, table, frequencies, upstream = case = inputs(9, 3, 5)
    expected = results(case)

    def total(v: Tensor, t: Tensor, r: Tensor, w: Tensor) -> Tensor:
        return (rbf_lookup(r[None], v[None], t, frequencies)[0] * w).sum()

    each = vmap(grad(total), in_dims=(0, None, 0, 0))(values, table, rows, upstream)
    assert_close({"values": each}, {"values": expected["values"]})
    tables = vmap(grad(total, argnums=1), in_dims=(0, None, 0, 0))
    summed = tables(values, table, rows, upstream).sum(0)
    assert_close({"table": summed}, {"table": expected["table"]})
    jacobian = jacrev(lambda v: rbf_lookup(rows, v, table, frequencies))(values)
    pulled = torch.einsum("nfmk,nf->mk", jacobian, upstream)
    assert_close({"values": pulled}, {"values": expected["values"]})
    both = vmap(rbf_lookup, in_dims=(None, None, 0, None))(
        rows, values, torch.stack((table, 2 * table)), frequencies
    )
    assert_close({"features": both[1]}, {"features": 2 * expected["features"]})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: (c[0][:, :2], *c[1:4]), "two tensors"),
        (lambda c: (*c[:3], c[3][:-1]), "f factors"),
        (lambda c: (*c[:2], c[2].double(), c[3]), "one dtype"),
    ],
)
def test_tensors_that_do_not_belong_together_are_refused(change, words: str):
    with pytest.raises(ShapeError, match=words):
        rbf_lookup(*change(inputs(6, 3, 4)))


def test_numba_refuses_float64():
    rows, *tensors = inputs(6, 3, 4)[:4]
    with (
        implementation("numba"),
        pytest.raises(ImplementationError, match=r"values has dtype torch\.float64"),
    ):
        rbf_lookup(rows, *(t.double() for t in tensors))
