"""Kernels through encodings that are constant but for jumps: features yes, moves no."""

from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from tangrid.encodings import HashGridConfig, MulfaGridConfig
from tangrid.errors import ConfigError
from tangrid.fields import EncodedFieldConfig, Field
from tangrid.ops.grid_lookup.layout import Interpolation
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent import tangent_kernel

pytestmark = pytest.mark.usefixtures("unchecked")

SITE = Site(num_dims=2, num_channels=2)


class Moved(Field):
    """A field read at moved points; which way they move is trained."""

    def __init__(self, interpolation: Interpolation, config: type) -> None:
        super().__init__()
        self.num_dims, self.num_channels = SITE.num_dims, SITE.num_channels
        encoding = config(num_levels=2, log2_table_size=6, interpolation=interpolation)
        field = EncodedFieldConfig(encoding=encoding).build(SITE, generator(0, "init"))
        self.inner = field
        self.move = nn.Parameter(torch.zeros(2))

    def forward(self, coords: Tensor) -> Tensor:
        return self.inner.forward(coords + self.move)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {**self.inner.parameter_groups(), "move": [self.move]}


def points() -> Tensor:
    return torch.rand(5, 2, generator=generator(0, "points"))


@pytest.mark.parametrize("config", [HashGridConfig, MulfaGridConfig])
@pytest.mark.parametrize("implementation", ["structured", "jacobian", "matrix-free"])
def test_moves_through_nearest_nodes_are_refused(implementation: str, config: type):
    field = Moved("nearest", config)
    for parameters in ("all", "move"):
        with pytest.raises(ConfigError, match="features are constant but for jumps"):
            tangent_kernel(
                field, points(), parameters=parameters, implementation=implementation
            )
    features = tangent_kernel(
        field, points(), parameters=("grid", "decoder"), implementation=implementation
    )
    assert float(features.diagonal().min()) > 0


@pytest.mark.parametrize("interpolation", get_args(Interpolation)[1:])
def test_moves_through_slopes_are_not(interpolation: Interpolation):
    field = Moved(interpolation, HashGridConfig)
    kernel = tangent_kernel(field, points(), parameters="move")
    assert float(kernel.diagonal().min()) > 0


def test_moves_inside_a_callable_are_refused():
    field = Moved("nearest", HashGridConfig).double()

    def values(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(field, parameters, (x,))

    with pytest.raises(ConfigError, match="leave out the parameters that move points"):
        tangent_kernel(values, points().double(), parameters={"move": torch.zeros(2)})
    # Nothing is watched any more.
    assert field(points().double()).requires_grad
