"""Analyses of tangent kernels that take a moment."""

import torch

from tangrid.decoders import LinearConfig
from tangrid.encodings import DenseGridConfig
from tangrid.experiments.analyze_image import AnalyzeImage
from tangrid.experiments.analyze_probes import Probes, box_probes
from tangrid.experiments.analyze_settings import KernelSettings
from tangrid.experiments.analyze_specimen import Specimen
from tangrid.experiments.fit_image import ImageSource
from tangrid.fields import EncodedFieldConfig, Field
from tangrid.seeding import generator
from tangrid.signals.site import Site

SETTINGS = KernelSettings(points=20, steps=3, lattice=6, map_side=5, labels=5)
EXPERIMENT = AnalyzeImage(
    models=("instant-ngp", "siren"),
    signal=ImageSource(name="waves"),
    params=16_000,
    settings={},
    kernels=SETTINGS,
)
"""Two models at twenty pixels; the image itself is handed over."""


def linear_grid(num_dims: int = 2, num_channels: int = 2) -> Field:
    """A field that is linear in its trained parameters, the features of a grid."""
    config = EncodedFieldConfig(
        encoding=DenseGridConfig(num_levels=1, base_resolution=5),
        decoder=LinearConfig(),
    )
    site = Site(num_dims=num_dims, num_channels=num_channels)
    field = config.build(site, generator(0, "init"))
    field.get_submodule("decoder").requires_grad_(False)
    return field


def probes(
    num_dims: int = 2, num_channels: int = 2, settings: KernelSettings = SETTINGS
) -> Probes:
    """Random points with random labels."""
    source = generator(0, "points")
    points = torch.rand(settings.points, num_dims, generator=source)
    labels = torch.rand(settings.points, num_channels, generator=source)
    pair = torch.full((2, num_dims), 0.5)
    pair[1, 0] = 0.6
    return box_probes(points, labels, settings, pair=pair, how="drawn for a test")


def rays(count: int, seed: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Random origins and directions."""
    source = torch.Generator().manual_seed(seed)
    drawn = torch.rand(2, count, 3, dtype=torch.float64, generator=source)
    return drawn[0], drawn[1]


def rendered_rays() -> Specimen:
    """A stand-in for colours of rays: waves along origins, dimmed by directions."""

    def rendered(parameters, inputs):
        origins, directions = inputs
        waves = torch.sin(origins @ parameters["waves"]) * parameters["gain"]
        return waves * torch.exp(-directions.square().sum(1, keepdim=True))

    source = torch.Generator().manual_seed(1)
    return Specimen(
        label="rays",
        model="rendered",
        function=rendered,
        parameters={
            "waves": torch.randn(3, 4, generator=source),
            "gain": torch.randn(4, generator=source),
        },
        groups={"grid": ("gain",), "decoder": ("waves",)},
        kernels=("all", "grid"),
    )
