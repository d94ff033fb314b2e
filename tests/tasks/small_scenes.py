"""Photographs of a ball that are quickly made, and small fields of radiance for it."""

from dataclasses import replace

import numpy as np
import torch

from tangrid.decoders import ReluMlpConfig
from tangrid.encodings import HashGridConfig
from tangrid.fields.radiance import (
    DirectionEncoding,
    EncodedRadianceConfig,
    RadianceField,
)
from tangrid.rendering.camera_paths import turntable
from tangrid.rendering.occupancy import OccupancySettings
from tangrid.rendering.scene_space import SceneSpace
from tangrid.rendering.volume import MarchSettings
from tangrid.seeding import generator
from tangrid.signals.scene import Scene, View
from tangrid.signals.scene_bounds import SceneBounds
from tangrid.signals.site import Site
from tangrid.tasks.view_synthesis import ViewSettings, ViewSynthesis

BOUNDS = SceneBounds(
    scope="object", low=(-1.0,) * 3, high=(1.0,) * 3, near=0.0, far=9.0
)
SPACE = SceneSpace(low=BOUNDS.low, high=BOUNDS.high, near=BOUNDS.near, far=BOUNDS.far)
SETTINGS = ViewSettings(
    march=MarchSettings(step=1 / 48),
    occupancy=OccupancySettings(resolution=32, interval=4, warmup_steps=100),
)
PAINT = (255, 0, 51)
"""A colour of eight bits, which single precision has exactly enough."""
_RADIUS = 0.6
_SIDE = 12

TINY = EncodedRadianceConfig(
    encoding=HashGridConfig(num_levels=3, base_resolution=4, log2_table_size=9),
    density_head=ReluMlpConfig(width=16, num_hidden=1),
    colour_head=ReluMlpConfig(width=16, num_hidden=1, output_activation="sigmoid"),
    num_hidden=4,
    directions=DirectionEncoding(),
)


def photographs(kind: str = "ball", count: int = 4) -> Scene:
    """Views of a ball, of nothing, or of one colour all over; all rays meet the box."""
    cameras = turntable(
        count,
        20.0,
        centre=(0.0, 0.0, 0.0),
        distance=4.0,
        width=_SIDE,
        height=_SIDE,
        field_of_view=20.0,
    )
    views = []
    for number, camera in enumerate(cameras):
        origins, directions = (part.double() for part in camera.rays())
        along = (origins * directions).sum(1)
        apart = (origins.square().sum(1) - along.square()).sqrt()
        covered = {"ball": apart < _RADIUS, "nothing": apart < 0, "all": apart >= 0}
        alpha = (covered[kind].numpy() * 255).astype(np.uint8)
        rgba = np.empty((_SIDE * _SIDE, 4), np.uint8)
        rgba[:] = (*PAINT, 0)
        rgba[:, 3] = alpha
        pixels = rgba.reshape(_SIDE, _SIDE, 4)
        views.append(
            View(name=f"{number}.png", camera=camera, pixels=pixels, split="train")
        )
    return Scene.from_views(views, BOUNDS, name=kind)


def view_task(
    kind: str = "ball", *, batch_size: int = 8192, seed: int = 0, **changes
) -> ViewSynthesis:
    return ViewSynthesis(
        photographs(kind).of_split("train"),
        SPACE,
        settings=replace(SETTINGS, **changes),
        batch_size=batch_size,
        seed=seed,
    )


def tiny_field(seed: int = 0) -> RadianceField:
    site = Site(num_dims=3, num_channels=3)
    field = TINY.build(site, generator(seed, "init"))
    assert isinstance(field, torch.nn.Module)
    return field
