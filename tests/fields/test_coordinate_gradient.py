import pytest
import torch
from torch import Tensor

from tangrid.encodings import HashGridConfig
from tangrid.fields import EncodedFieldConfig, Field
from tangrid.fields.coordinate_gradient import value_and_gradient
from tangrid.ops.contract import ImplementationName, implementation
from tangrid.seeding import generator
from tests.ops.comparison import assert_close
from tests.training.small_shapes import SMOOTH_FIELDS, SPACE, build_in_space

NAMES = sorted(SMOOTH_FIELDS)


def central_differences(field: Field, coords: Tensor, step: float = 1e-6) -> Tensor:
    columns = []
    for axis in range(3):
        shift = torch.zeros(3, dtype=coords.dtype)
        shift[axis] = step
        difference = field(coords + shift) - field(coords - shift)
        columns.append(difference[:, 0] / (2 * step))
    return torch.stack(columns, dim=1).detach()


@pytest.fixture
def coords(seeded: torch.Generator) -> Tensor:
    return 0.05 + 0.9 * torch.rand(12, 3, generator=seeded)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_differences(name: str, coords: Tensor):
    field = build_in_space(SMOOTH_FIELDS[name]).double()
    local = value_and_gradient(field, coords.double())
    assert torch.equal(local.values, field(coords.double())[:, 0].detach())
    expected = central_differences(field, coords.double())
    assert local.gradients.norm(dim=1).min() > 1e-4
    assert torch.allclose(local.gradients, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_each_point_alone(name: str, coords: Tensor):
    field = build_in_space(SMOOTH_FIELDS[name])

    alone = [coords[k : k + 1].clone().requires_grad_() for k in range(len(coords))]
    found = value_and_gradient(field, coords).gradients
    with implementation("reference"):
        each = [torch.autograd.grad(field(point), point)[0] for point in alone]
    assert_close({"gradients": found}, {"gradients": torch.cat(each)})


def test_only_what_is_trained_keeps_a_graph(coords: Tensor):
    field = build_in_space(SMOOTH_FIELDS["siren"])
    seen = value_and_gradient(field, coords)
    assert not seen.values.requires_grad
    assert not seen.gradients.requires_grad
    trained = value_and_gradient(field, coords, is_trained=True)
    assert trained.values.requires_grad
    assert trained.gradients.requires_grad
    assert torch.equal(trained.gradients.detach(), seen.gradients)
    assert all(parameter.grad is None for parameter in field.parameters())


def test_points_are_left_alone_and_graphs_do_not_matter(coords: Tensor):
    field = build_in_space(SMOOTH_FIELDS["hash grid, quintic"])
    with torch.no_grad():
        without = value_and_gradient(field, coords)
    assert not coords.requires_grad
    assert torch.equal(without.gradients, value_and_gradient(field, coords).gradients)
    part_of_a_graph = coords.clone().requires_grad_()
    found = value_and_gradient(field, 1 * part_of_a_graph)
    assert part_of_a_graph.grad is None
    assert torch.equal(found.gradients, without.gradients)


@pytest.mark.parametrize("name", ["numba", "reference"])
@pytest.mark.parametrize("is_trained", [False, True])
def test_steps_have_no_slope(
    name: ImplementationName, is_trained: bool, coords: Tensor
):
    """Under the reference such a field does not depend on its points at all."""
    grid = HashGridConfig(num_levels=2, log2_table_size=8, interpolation="nearest")
    field = EncodedFieldConfig(encoding=grid).build(SPACE, generator(0))
    with implementation(name):
        local = value_and_gradient(field, coords, is_trained=is_trained)
    assert not local.gradients.any()
    assert local.gradients.shape == coords.shape
