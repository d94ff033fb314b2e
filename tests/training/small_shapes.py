"""Meshes of shapes whose distance is known, small fields in space, a small pool."""

from functools import cache

import numpy as np
import torch
import trimesh
from torch import Tensor, nn

from tangrid.decoders import ReluMlpConfig
from tangrid.encodings import HashGridConfig, MulfaGridConfig, RingGridConfig
from tangrid.fields import EncodedFieldConfig, Field, FieldConfig, SirenConfig
from tangrid.seeding import generator
from tangrid.signals.mesh import MeshSignal
from tangrid.signals.point_pool import PointPool, PoolSettings, draw_pool
from tangrid.signals.site import Site
from tangrid.tasks.sdf_evaluation import FittedShape
from tangrid.tasks.sdf_losses import SdfLoss
from tangrid.tasks.sdf_regression import SdfRegression
from tests.analytic_shapes import AnalyticShape, Box, Sphere, Torus

SPACE = Site(num_dims=3, num_channels=1)
BALL = Sphere(radius=2.0)
BLOCK = Box(sides=(1.0, 2.0, 3.0))
RING = Torus(radius=1.0, tube=0.4)


def signal_of(mesh: trimesh.Trimesh, name: str = "shape") -> MeshSignal:
    vertices = np.asarray(mesh.vertices, dtype=np.float64)
    return MeshSignal.from_arrays(vertices, np.asarray(mesh.faces), name=name)


@cache
def ball_signal(subdivisions: int = 5) -> MeshSignal:
    """The mesh of `BALL`; it fills 0.9 of the box, so its radius there is 0.45."""
    return signal_of(
        trimesh.creation.icosphere(subdivisions=subdivisions, radius=2.0), "ball"
    )


@cache
def block_signal() -> MeshSignal:
    return signal_of(trimesh.creation.box(extents=BLOCK.sides), "block")


@cache
def ring_signal() -> MeshSignal:
    made = trimesh.creation.torus(1.0, 0.4, major_sections=128, minor_sections=64)
    # It turns around z there and around y here; a swap of axes is a reflection.
    vertices = np.asarray(made.vertices)[:, [0, 2, 1]]
    faces = np.asarray(made.faces)[:, ::-1]
    return signal_of(trimesh.Trimesh(vertices, faces, process=False), "ring")


@cache
def sheet_signal() -> MeshSignal:
    """A square at z = 0.5, which winds around nothing."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=float)
    return MeshSignal.from_arrays(corners, np.array([[0, 1, 2], [0, 2, 3]]))


def exact_shape(
    signal: MeshSignal, shape: AnalyticShape, *, grown: float = 0.0, scale: float = 1.0
) -> FittedShape:
    """The exact distance in the signal's box, less what it grows by, times a scale."""

    def values(coords: Tensor) -> Tensor:
        own = signal.frame.to_own(coords.double().numpy())
        distance = shape.distance(own) / signal.frame.side - grown
        return torch.from_numpy(scale * distance).float()

    def gradients(coords: Tensor) -> Tensor:
        own = signal.frame.to_own(coords.double().numpy())
        return torch.from_numpy(scale * shape.normal(own)).float()

    return FittedShape(values=values, gradients=gradients)


def level_shape(value: float) -> FittedShape:
    """A field with one value, which has no surface."""
    return FittedShape(
        values=lambda coords: torch.full((len(coords),), value),
        gradients=torch.zeros_like,
    )


_DECODER = ReluMlpConfig(width=16, num_hidden=1)
_HASHED = {"num_levels": 3, "base_resolution": 4, "log2_table_size": 7}
_FILTERED = {**_HASHED, "num_levels": 2, "num_frequencies": 2}


def _encoded(encoding) -> EncodedFieldConfig:
    return EncodedFieldConfig(encoding=encoding, decoder=_DECODER)


SMOOTH_FIELDS: dict[str, FieldConfig] = {
    "hash grid, smoothstep": _encoded(
        HashGridConfig(**_HASHED, interpolation="smoothstep")
    ),
    "hash grid, quintic": _encoded(HashGridConfig(**_HASHED, interpolation="quintic")),
    "mulfa grid": _encoded(MulfaGridConfig(**_FILTERED)),
    "mulfa grid, quintic": _encoded(
        MulfaGridConfig(**_FILTERED, interpolation="quintic")
    ),
    "ring grid": _encoded(RingGridConfig(num_levels=2, base_resolution=3)),
    "siren": SirenConfig(width=12, num_hidden=1),
}
"""Fields whose gradient can be trained, small enough for finite differences."""


def build_in_space(config: FieldConfig, seed: int = 0) -> Field:
    """A field with slopes to speak of: a fresh grid is flat."""
    source = generator(seed, "init")
    field = config.build(SPACE, source)
    with torch.no_grad():
        for parameter in field.parameters():
            noise = torch.randn(parameter.shape, generator=source, dtype=torch.float32)
            parameter.add_(0.1 * noise.to(parameter.dtype))
    return field


def trained(field: Field) -> dict[str, nn.Parameter]:
    """What is trained of a field; some kernels keep a part as it is."""
    return {key: p for key, p in field.named_parameters() if p.requires_grad}


@cache
def ball_pool(size: int) -> PointPool:
    return draw_pool(ball_signal(3), PoolSettings(size=size))


def shape_task(
    loss: SdfLoss, *, size: int = 512, batch_size: int = 64, seed: int = 0
) -> SdfRegression:
    signal = ball_signal(3)
    return SdfRegression(
        signal, ball_pool(size), loss=loss, batch_size=batch_size, seed=seed
    )
