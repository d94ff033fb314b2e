r"""The neural Fourier filter bank: each grid level feeds the sine layer of its band.

.. math:: h_0 = \sin(\omega (W_0 x + b_0)), \qquad
          h_l = \sin(\omega (W_l h_{l-1} + b_l)) + \sin(2\pi B_{l-1} g_{l-1}(x))

with :math:`g_l` the features of a grid's level l and :math:`B_l` drawn ever wider, so
that details of a scale are carried by features that are local at that scale. Every
layer but the first feeds the head.

References:
    Wu et al. 2023, "Neural Fourier Filter Bank".
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import nn

from tangrid.decoders.layers import dense_layer
from tangrid.encodings import HashGridConfig
from tangrid.errors import ConfigError
from tangrid.fields.contract import FIELDS, Field, FieldConfig
from tangrid.fields.siren import sine_layers
from tangrid.notation import Coords, Values
from tangrid.signals.site import Site


@FIELDS.register("nffb")
@dataclass(frozen=True, kw_only=True)
class NffbConfig(FieldConfig):
    """Settings of a filter bank of grid levels and sine layers."""

    width: int = 128
    """Channels of each sine layer."""
    num_layers: int = 8
    """Sine layers; the grid has one level less."""
    frequency: float = 100.0
    """Factor inside every sine layer (omega)."""
    base_resolution: int = 96
    """Vertices per axis of the coarsest level."""
    growth: float = 1.5
    """Ratio of the resolutions of neighbouring levels."""
    channels_per_level: int = 2
    """Features per node (F)."""
    log2_table_size: int = 19
    """Logarithm of the most table rows a level may have."""
    band: float = 5.0
    """Standard deviation of the lowest level's B."""
    band_growth: float = 2.0
    """Ratio of those of neighbouring levels."""
    head_width: int = 64
    """Channels of the two rectified layers of the head."""

    def __post_init__(self) -> None:
        """Refuse a bank without layers or channels, or without a sound grid.

        Raises:
            ConfigError: If a number is out of range.
        """
        if min(self.width, self.head_width, self.num_layers - 1) < 1:
            raise ConfigError(
                "NffbConfig: expected width and head_width >= 1 and num_layers >= 2, "
                f"got {self.width}, {self.head_width} and {self.num_layers}."
            )
        waves = self.frequency, self.band, self.band_growth
        if not all(0 < number < math.inf for number in waves):
            raise ConfigError(
                "NffbConfig: expected finite frequency, band and band_growth above 0, "
                f"got {self.frequency}, {self.band} and {self.band_growth}."
            )
        self.grid()

    def grid(self) -> HashGridConfig:
        """Return the settings of the grid."""
        return HashGridConfig(
            num_levels=self.num_layers - 1,
            channels_per_level=self.channels_per_level,
            base_resolution=self.base_resolution,
            growth=self.growth,
            log2_table_size=self.log2_table_size,
        )

    def families(self) -> tuple[Callable[[float], FieldConfig], ...]:
        """Return growth of the grid's finest resolution, then of the width."""
        return (
            lambda size: dataclasses.replace(self, growth=1 + 2 * size),
            lambda size: dataclasses.replace(self, width=round(4 * 4096**size)),
        )

    def build(self, site: Site, generator: torch.Generator) -> "Nffb":
        """Return the filter bank for one site.

        Args:
            site: Gives the numbers of coordinates and channels.
            generator: Source of the initial values.
        """
        return Nffb(self, site, generator)


class Nffb(Field):
    """Add waves of grid features to the layers of a sine network.

    Args:
        config: Settings.
        site: Gives the numbers of coordinates and channels.
        generator: Source of the initial values.
    """

    def __init__(
        self, config: NffbConfig, site: Site, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.num_dims = site.num_dims
        self.num_channels = site.num_channels
        self.frequency = config.frequency
        self.grid = config.grid().build(site, generator)
        width, count = config.width, config.num_layers
        sizes = (site.num_dims, *(width,) * count)
        self.layers = sine_layers(sizes, config.frequency, generator)
        bands = torch.empty(count - 1, width, config.channels_per_level)
        bands.normal_(generator=generator)
        spreads = config.band * config.band_growth ** torch.arange(count - 1)
        self.bands = nn.Parameter(bands * spreads[:, None, None])
        head = ((count - 1) * width, *(config.head_width,) * 2, site.num_channels)
        self.head = nn.ModuleList(
            dense_layer(a, b, True, "uniform", generator) for a, b in pairwise(head)
        )

    def forward(self, coords: Coords) -> Values:
        """Return the values at each point.

        Args:
            coords: Points in the unit box.
        """
        levels = self.grid(coords).unflatten(1, (len(self.bands), -1))
        waves = torch.sin(
            2 * math.pi * torch.einsum("nlf,lwf->lnw", levels, self.bands)
        )
        first, *later = cast("list[nn.Linear]", list(self.layers))
        hidden = torch.sin(self.frequency * first(2 * coords - 1))
        found = []
        for layer, wave in zip(later, waves, strict=True):
            hidden = torch.sin(self.frequency * layer(hidden)) + wave
            found.append(hidden)
        values = torch.cat(found, dim=1)
        *inner, last = cast("list[nn.Linear]", list(self.head))
        for layer in inner:
            values = layer(values).relu()
        return last(values)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the tables as ``grid`` and all weights as ``decoder``."""
        weights = [*self.layers.parameters(), self.bands, *self.head.parameters()]
        return {"grid": [self.grid.table], "decoder": weights}
