import pytest
import torch
from torch.func import functional_call, vmap

from tangrid.decoders import LinearConfig
from tangrid.encodings import IdentityConfig
from tangrid.errors import ShapeError
from tangrid.fields import EncodedFieldConfig, Field
from tangrid.seeding import generator
from tangrid.signals.site import Site

SITE = Site(num_dims=2, num_channels=3)


@pytest.fixture
def field() -> Field:
    config = EncodedFieldConfig(encoding=IdentityConfig(), decoder=LinearConfig())
    return config.build(SITE, generator(0))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("coords", "words"),
    [
        ([[0.5, 0.5]], "expected a torch tensor of shape [n, 2], got list"),
        (torch.zeros(2), "expected shape [n, 2], got [2]"),
        (torch.zeros(5, 3), "expected shape [n, 2], got [5, 3]"),
        (torch.zeros(5, 2, 2), "expected shape [n, 2], got [5, 2, 2]"),
        (torch.zeros(5, 2).double(), "expected dtype torch.float32, as the field has"),
        (torch.zeros(5, 2).long(), "got torch.int64"),
        (
            torch.tensor([[0.5, 0.5], [0.5, 1.5], [-0.1, 0.0]]),
            "got 2 of 3 points outside, the first at row 1: [0.5, 1.5]",
        ),
        (
            torch.tensor([[0.5, 0.5], [float("nan"), 0.5]]),
            "got 1 of 2 points outside (1 of them not a number), the first at row 1",
        ),
        (torch.full((4, 2), torch.inf), "got 4 of 4 points outside"),
    ],
)
def test_wrong_coordinates_are_refused(field: Field, coords, words: str):
    with pytest.raises(ShapeError) as caught:
        field(coords)
    assert str(caught.value).startswith("field(coords=...): ")
    assert words in str(caught.value)


def test_the_edges_and_no_points_are_taken(field: Field):
    assert field(torch.tensor([[0.0, 1.0], [1.0, 0.0]])).shape == (2, 3)
    assert field(torch.empty(0, 2)).shape == (0, 3)


def test_a_field_in_float64_takes_float64(field: Field):
    field.double()
    assert field(torch.zeros(1, 2).double()).dtype == torch.float64
    with pytest.raises(ShapeError, match=r"expected dtype torch\.float64"):
        field(torch.zeros(1, 2))


def test_the_doors_let_transforms_through(field: Field):
    coords = torch.rand(5, 2)
    expected = field(coords)
    each = vmap(lambda point: field(point[None])[0])(coords)
    called = functional_call(field, dict(field.named_parameters()), (coords,))
    assert torch.allclose(each, expected, atol=1e-6)
    assert torch.equal(called, expected)


@pytest.mark.usefixtures("unchecked")
def test_a_transform_cannot_take_the_axis_of_points_away(field: Field):
    with pytest.raises(ShapeError, match=r"expected shape \[n, 2\], got \[2\]"):
        vmap(field)(torch.rand(5, 2))


def test_points_on_another_device_are_refused(field: Field, pretend: torch.device):
    field.to(pretend)
    with pytest.raises(ShapeError, match="expected points on pretend:0, where the"):
        field(torch.zeros(3, 2))
