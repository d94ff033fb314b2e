"""A small image and small fields, and what two fits of them have in common."""

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor

from tangrid.decoders import LinearConfig, ReluMlpConfig
from tangrid.devices import HOST
from tangrid.encodings import HashGridConfig, IdentityConfig
from tangrid.fields import EncodedFieldConfig, Field
from tangrid.runs.store import RunFolder
from tangrid.seeding import generator
from tangrid.signals.image import ImageSignal
from tangrid.tasks import ImageRegression
from tangrid.training import TrainingSettings


def smooth_image(side: int = 16) -> ImageSignal:
    """Slow waves in three channels."""
    axis = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(axis, axis)
    waves = [np.sin(5 * x + 2 * y), np.cos(4 * x * y), np.sin(3 * (x - y))]
    pixels = 0.5 + 0.4 * np.stack(waves, axis=2)
    return ImageSignal.from_array(pixels.astype(np.float32), name="waves")


GRID = EncodedFieldConfig(
    encoding=HashGridConfig(num_levels=4, base_resolution=4, log2_table_size=7),
    decoder=ReluMlpConfig(width=16, num_hidden=1),
)
LINE = EncodedFieldConfig(encoding=IdentityConfig(), decoder=LinearConfig())
SETTINGS = TrainingSettings(steps=12, batch_size=100, piece_size=32, threads=2)
"""Batches that are no multiple of the pieces, pieces that are none of a vector."""


def build(config: EncodedFieldConfig = GRID, seed: int = 0) -> Field:
    return config.build(smooth_image().site, generator(seed, "init"))


def task(
    seed: int = 0, batch_size: int = 100, device: torch.device = HOST
) -> ImageRegression:
    return ImageRegression(
        smooth_image(),
        batch_size=batch_size,
        sampling="pixels",
        seed=seed,
        device=device,
    )


def with_changes(**changes) -> TrainingSettings:
    return dataclasses.replace(SETTINGS, **changes)


def tensors_of(field: Field) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in field.state_dict().items()}


def assert_same_field(found: Field, expected: Field) -> None:
    for name, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), f"{name}: other bits"


def curve(folder: RunFolder) -> list[dict]:
    """The log without wall times, which no two runs share."""
    lines = folder.read_lines("metrics.jsonl")
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def psnr(field: Field, image: ImageSignal) -> float:
    pixels = torch.arange(image.num_pixels)
    with torch.no_grad():
        found = field(image.pixel_coords(pixels)).clamp(0, 1)
    error = torch.nn.functional.mse_loss(found, image.pixel_values(pixels))
    return -10 * math.log10(float(error))
