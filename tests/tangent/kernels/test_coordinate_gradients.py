"""Kernels through piecewise constant encodings: features yes, moves no."""

import threading
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from tangrid.encodings import HashGridConfig, MulfaGridConfig
from tangrid.errors import ConfigError
from tangrid.fields import EncodedFieldConfig, Field
from tangrid.ops.grid_lookup.layout import Interpolation
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent import tangent_kernel
from tangrid.tangent.dynamics.linearisation import (
    LinearisedField,
    predicted_displacement,
)
from tangrid.tangent.kernels.coordinate_gradients import check_coordinate_gradients
from tangrid.tangent.kernels.subject import subject_of

pytestmark = pytest.mark.usefixtures("unchecked")

SITE = Site(num_dims=2, num_channels=2)


class Moved(Field):
    """A field read at moved points; which way they move is trained."""

    def __init__(
        self,
        interpolation: Interpolation,
        config: Callable[..., HashGridConfig],
        how: str = "plain",
    ) -> None:
        super().__init__()
        self.how = how
        self.num_dims, self.num_channels = SITE.num_dims, SITE.num_channels
        encoding = config(num_levels=2, log2_table_size=6, interpolation=interpolation)
        field = EncodedFieldConfig(encoding=encoding)
        self.inner = field.build(SITE, generator(0, "init"))
        self.move = nn.Parameter(torch.zeros(2))

    def forward(self, coords: Tensor) -> Tensor:
        coords = coords + self.move
        encoding, decoder = self.inner.encoding, self.inner.decoder
        match self.how:
            case "by name":
                return decoder(encoding(coords=coords))
            case "point by point":
                return decoder(vmap(lambda point: encoding(point[None])[0])(coords))
        return self.inner.forward(coords)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {**self.inner.parameter_groups(), "move": [self.move]}


def points() -> Tensor:
    return torch.rand(5, 2, generator=generator(0, "points"))


WORDS = "a TableGrid is read that is piecewise constant"
IMPLEMENTATIONS = ("structured", "jacobian", "matrix-free")


@pytest.mark.parametrize("config", [HashGridConfig, MulfaGridConfig])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_moves_through_nearest_nodes_are_refused(implementation: str, config: type):
    field = Moved("nearest", config)
    for parameters in ("all", "move"):
        with pytest.raises(ConfigError, match="is read that is piecewise constant"):
            tangent_kernel(
                field, points(), parameters=parameters, implementation=implementation
            )
    features = tangent_kernel(
        field, points(), parameters=("grid", "decoder"), implementation=implementation
    )
    assert float(features.diagonal().min()) > 0


@pytest.mark.parametrize("how", ["by name", "point by point"])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_they_are_however_the_encoding_is_called(implementation: str, how: str):
    field = Moved("nearest", HashGridConfig, how)
    with pytest.raises(ConfigError, match=WORDS):
        tangent_kernel(field, points(), implementation=implementation)


@pytest.mark.parametrize("interpolation", get_args(Interpolation)[1:])
def test_moves_through_slopes_are_not(interpolation: Interpolation):
    field = Moved(interpolation, HashGridConfig)
    kernel = tangent_kernel(field, points(), parameters="move")
    assert float(kernel.diagonal().min()) > 0


def test_a_single_node_may_have_a_kernel_with_slopes():
    field = Moved("nearest", partial(MulfaGridConfig, normaliser="none"))
    kernel = tangent_kernel(field, points(), parameters="move")
    assert float(kernel.diagonal().min()) > 0


def as_function(field: Field) -> Callable[[Mapping[str, Tensor], Tensor], Tensor]:
    return lambda parameters, x: functional_call(field, dict(parameters), (x,))


def test_moves_inside_a_callable_are_refused():
    field = Moved("nearest", HashGridConfig).double()
    values, at = as_function(field), points().double()
    with pytest.raises(ConfigError, match="leave out the parameters that move points"):
        tangent_kernel(values, at, parameters={"move": torch.zeros(2)})
    # Moves that are not among the parameters are those of somebody else.
    assert field.move.requires_grad
    decoder = {n: p for n, p in field.named_parameters() if "decoder" in n}
    found = tangent_kernel(values, at, parameters=decoder).to_dense()
    wanted = tangent_kernel(field, at, parameters="decoder").to_dense()
    assert torch.allclose(found, wanted)


def test_gradients_in_points_that_nothing_moves_are_not_refused():
    field = Moved("nearest", HashGridConfig).double()
    table = {"inner.encoding.table": field.inner.encoding.table}
    values, at = as_function(field), points().double()

    def with_slopes(parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        slopes = vmap(jacrev(lambda point: values(parameters, point[None])[0].sum()))
        return values(parameters, x) + slopes(x)

    found = tangent_kernel(with_slopes, at, parameters=table).to_dense()
    wanted = tangent_kernel(values, at, parameters=table).to_dense()
    assert torch.allclose(found, wanted)


def test_other_threads_are_left_alone():
    encoding = Moved("nearest", HashGridConfig).inner.encoding
    weight, found = {"weight": torch.ones(2, 1)}, []

    def other() -> None:
        found.append(encoding(points().requires_grad_()))

    def values(parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return x @ parameters["weight"]

    tangent_kernel(values, points(), parameters=weight, implementation="matrix-free")
    assert found


def test_trials_warn_of_nothing():
    def values(parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        weight = parameters["weight"]
        if weight.requires_grad:
            warnings.warn("What nobody asked for.", stacklevel=1)
        return x @ weight

    subject = subject_of(values, {"weight": torch.ones(2, 1)}, torch.float64)
    check_coordinate_gradients(subject, points().double())


def test_linearised_moves_are_refused():
    field = Moved("nearest", HashGridConfig)
    with pytest.raises(ConfigError, match=WORDS):
        LinearisedField(field)
    with pytest.raises(ConfigError, match=WORDS):
        predicted_displacement(field, points(), torch.ones(5, 2), "move")
    assert LinearisedField(field, "grid").names == ("inner.encoding.table",)
