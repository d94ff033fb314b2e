"""Small fields that are linear in what is trained, and their dense design matrices."""

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from tangrid.decoders import LinearConfig, SumConfig
from tangrid.encodings import DenseGridConfig, FourierConfig, HashGridConfig
from tangrid.fields import EncodedFieldConfig, Field
from tangrid.linear.recognition import trained_names
from tangrid.notation import Coords, Values
from tangrid.ops import single_threaded
from tangrid.seeding import generator
from tangrid.signals.site import Site

NUM_POINTS = 300
_DENSE = DenseGridConfig(num_levels=3, channels_per_level=3, base_resolution=3)
_HASHED = HashGridConfig(
    num_levels=3, channels_per_level=3, base_resolution=4, growth=2.0, log2_table_size=5
)
CONFIGS = {
    "dense": EncodedFieldConfig(encoding=_DENSE, decoder=SumConfig()),
    # The finest level has 256 vertices in 32 rows.
    "hashed": EncodedFieldConfig(encoding=_HASHED, decoder=SumConfig()),
    "features": EncodedFieldConfig(
        encoding=FourierConfig(num_frequencies=20, bandwidth_cycles=2.0),
        decoder=LinearConfig(),
    ),
    "features-plain": EncodedFieldConfig(
        encoding=FourierConfig(num_frequencies=20, bandwidth_cycles=2.0),
        decoder=LinearConfig(bias=False),
    ),
    "frozen-decoder": EncodedFieldConfig(
        encoding=DenseGridConfig(num_levels=2, channels_per_level=2, base_resolution=2),
        decoder=LinearConfig(),
    ),
}


def small_field(name: str, num_channels: int = 3) -> Field:
    site = Site(num_dims=2, num_channels=num_channels)
    field = CONFIGS[name].build(site, generator(0, "init"))
    if name == "frozen-decoder":
        for parameter in field.parameter_groups()["decoder"]:
            parameter.requires_grad_(False)
    return field


@cache
def small_system(name: str) -> tuple[Tensor, Tensor]:
    """The dense design matrix and targets of a small field at the small data."""
    return dense_problem(small_field(name), *small_data())


def least_loss(matrix: Tensor, targets: Tensor) -> float:
    """Mean squared error of the best weights there are."""
    # Levels say some things twice: what float32 makes of that is no direction.
    cut = 1e-4
    best = np.linalg.lstsq(matrix.numpy(), targets.numpy(), rcond=cut)[0]
    return float((targets - matrix @ torch.from_numpy(best)).square().mean())


def small_data(num_points: int = NUM_POINTS) -> tuple[Coords, Values]:
    """Points, and a wave with noise in three channels."""
    draw = generator(1, "points")
    coords = torch.rand(num_points, 2, generator=draw)
    phases = torch.tensor([0.0, 1.0, 2.0])
    clean = 0.5 + 0.3 * torch.sin(9 * coords[:, :1] + 5 * coords[:, 1:] + phases)
    return coords, clean + 0.05 * torch.randn(num_points, 3, generator=draw)


def dense_problem(
    field: Field, coords: Coords, values: Values
) -> tuple[Tensor, Tensor]:
    """The design matrix over all channels and the targets, by unit weights."""
    own = dict(field.named_parameters())
    shapes = {name: own[name].shape for name in trained_names(field)}
    sizes = [shape.numel() for shape in shapes.values()]

    def outputs(weights: Tensor) -> Tensor:
        parts = zip(shapes.items(), weights.split(sizes), strict=True)
        parameters = {name: part.view(shape) for (name, shape), part in parts}
        return functional_call(field, parameters, (coords,)).flatten()

    with torch.no_grad(), single_threaded():
        nothing = outputs(torch.zeros(sum(sizes)))
        columns = [outputs(unit) - nothing for unit in torch.eye(sum(sizes))]
        left = values.flatten() - nothing
    return torch.stack(columns, dim=1).double(), left.double()


def all_trained(field: Field) -> Tensor:
    own = dict(field.named_parameters())
    parts = [own[name].detach().double().flatten() for name in trained_names(field)]
    return torch.cat(parts)
