r"""Band-limited coordinate networks (Lindell et al. 2022, "BACON").

A multiplicative filter network whose frequencies are whole numbers of cycles per box
side and are not trained. Products of sines have the sums of their frequencies, so layer
i knows no frequency above (i + 1) K, and the field repeats with period 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tangrid.fields.contract import FIELDS
from tangrid.fields.mfn import Filter, FilterNetwork, draw_weights
from tangrid.fields.network import NetworkConfig
from tangrid.notation import Coords, Features
from tangrid.signals.site import Site

_SPREAD = 6.0
"""Of the weights, those of the output too."""


@FIELDS.register("bacon")
@dataclass(frozen=True, kw_only=True)
class BaconConfig(NetworkConfig):
    """Settings of a band-limited network on coordinates in [-1/2, 1/2].

    One output is trained, that of the last layer. The paper trains one at every layer,
    of ever larger bands, by a sum of losses.
    """

    num_hidden: int = 4
    """Hidden layers after the first."""
    cycles: float | None = None
    """Most cycles per box side of the output, before each layer's share is rounded to a
    whole number, at least 1; None for half the signal's samples along its longest side,
    which is all that they can show."""

    def __post_init__(self) -> None:
        """Refuse a network without channels or waves.

        Raises:
            ConfigError: If a number is out of range.
        """
        super().__post_init__()
        if self.cycles is not None:
            self.check_positive("cycles")

    def layer_cycles(self, site: Site) -> int:
        """Return the most cycles per box side of one layer's filters (K).

        Args:
            site: Gives the samples of the signal.
        """
        whole = self.cycles
        if whole is None:
            whole = max(site.resolution or (256,)) / 2
        return max(round(whole / (self.num_hidden + 1)), 1)

    def build(self, site: Site, generator: torch.Generator) -> "Bacon":
        """Return the network for one site.

        Args:
            site: Gives the numbers of coordinates, channels and samples.
            generator: Source of frequencies and of initial weights.
        """
        filters = [
            CycleFilter(site.num_dims, self.width, self.layer_cycles(site), generator)
            for _ in range(self.num_hidden + 1)
        ]
        return Bacon(self, site, filters, generator)


class CycleFilter(Filter):
    """Sines of whole numbers of cycles, which are not trained, and trained phases.

    Args:
        num_dims: Coordinates per point.
        width: Number of filters.
        most_cycles: Largest number of cycles along an axis.
        generator: Source of cycles and phases.
    """

    cycles: Tensor

    def __init__(
        self, num_dims: int, width: int, most_cycles: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        steps = torch.rand(width, num_dims, generator=generator)
        cycles = (steps * (2 * most_cycles + 1)).floor() - most_cycles
        self.register_buffer("cycles", cycles)
        phases = torch.empty(width).uniform_(-math.pi, math.pi, generator=generator)
        self.phases = nn.Parameter(phases)

    def forward(self, points: Coords) -> Features:
        """Return the sines at points.

        Args:
            points: Points in [-1/2, 1/2].
        """
        return torch.sin(2 * math.pi * points @ self.cycles.T + self.phases)


class Bacon(FilterNetwork):
    """Multiply sines of fixed frequencies with linear maps between.

    Args:
        config: Width and depth.
        site: Gives the numbers of coordinates and channels.
        filters: The sines of every layer.
        generator: Source of the weights.
    """

    def __init__(
        self,
        config: BaconConfig,
        site: Site,
        filters: Sequence[Filter],
        generator: torch.Generator,
    ) -> None:
        super().__init__(config, site, filters, _SPREAD, generator)
        draw_weights([self.output], _SPREAD, generator)

    def mapped(self, coords: Coords) -> Coords:
        """Return coordinates as the filters take them.

        Args:
            coords: Points in the unit box.
        """
        return coords - 0.5
