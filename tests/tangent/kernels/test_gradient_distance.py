import pytest
import torch
from torch import Tensor

import tangrid
from tangrid.errors import ShapeError
from tangrid.ops import implementation
from tangrid.seeding import generator
from tangrid.tangent import DenseKernel, Outputs, tangent_kernel
from tangrid.tangent.kernels.gradient_distance import (
    gradient_cosines,
    gradient_distances,
)

POINTS = torch.tensor([0, 3, 5])


def coords(count: int = 6) -> Tensor:
    drawn = generator(0, "coords")
    return torch.rand(count, 2, dtype=torch.float64, generator=drawn)


def field_of(model: str) -> tangrid.fields.Field:
    field = tangrid.build(model, num_dims=2, num_channels=2, params=20_000, seed=0)
    return field.double()


@pytest.mark.parametrize(
    ("model", "outputs"),
    [("instant-ngp", "full"), ("mulfagrid", "trace"), ("fourier-mlp", 1)],
)
def test_it_is_the_distance_of_gradients(model: str, outputs: Outputs):
    field = field_of(model)
    kernel = tangent_kernel(field, coords(), outputs=outputs)
    trained = [p for p in field.parameters() if p.requires_grad]
    gradients = []
    with implementation("reference"):
        all_values = field(coords())
    for values in all_values:
        chosen = values[[outputs]] if isinstance(outputs, int) else values
        gradients.append(
            torch.cat([
                part.flatten()
                for value in chosen
                for part in torch.autograd.grad(value, trained, retain_graph=True)
            ])
        )
    stacked = torch.stack(gradients)
    expected = torch.cdist(stacked[POINTS], stacked)
    found = gradient_distances(kernel, POINTS)
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-7)
    unit = stacked / stacked.norm(dim=1, keepdim=True)
    cosines = gradient_cosines(kernel, POINTS)
    assert torch.allclose(cosines, unit[POINTS] @ unit.T, atol=1e-12)


def test_it_obeys_the_laws_of_a_distance():
    everything = torch.arange(6)
    kernel = tangent_kernel(field_of("instant-ngp"), coords(), outputs="trace")
    found = gradient_distances(kernel, everything)
    assert torch.equal(found.diagonal(), torch.zeros(6, dtype=torch.float64))
    assert torch.allclose(found, found.T)
    detours = found[:, :, None] + found[None]
    assert (detours.min(dim=1).values >= found - 1e-9).all()


def test_a_vanishing_gradient_is_at_right_angles_to_all():
    gradients = torch.tensor([[1.0, 2.0], [0.0, 0.0], [2.0, 4.0]])
    kernel = DenseKernel(gradients @ gradients.T)
    cosines = gradient_cosines(kernel, torch.tensor([0, 1]))
    expected = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    assert torch.allclose(cosines, expected)


def test_bad_input():
    kernel = DenseKernel(torch.eye(3))
    with pytest.raises(
        ShapeError, match=r"gradient_distances\(points=.* 0 to 2, got 3"
    ):
        gradient_distances(kernel, torch.tensor([0, 3]))
    between = DenseKernel(torch.ones(3, 2), is_symmetric=False)
    with pytest.raises(ShapeError, match=r"gradient_cosines.*Leave x2 out"):
        gradient_cosines(between, torch.tensor([0]))


def test_a_kernel_in_float32_gets_no_further_roundings():
    """Squared lengths of 3 channels whose sum float32 would round."""
    matrix = torch.diag(torch.tensor([1.0, 2.0**-24, 2.0**-24, 1.0, 0.0, 0.0]))
    kernel = DenseKernel(matrix, num_outputs=3)
    found = gradient_distances(kernel, torch.tensor([0]))
    assert found.dtype == torch.float32
    matrix[0, 3] = matrix[3, 0] = 1.0
    close = gradient_distances(DenseKernel(matrix, num_outputs=3), torch.tensor([0]))
    assert float(close[0, 1]) == pytest.approx((2.0**-23) ** 0.5, rel=1e-6)
