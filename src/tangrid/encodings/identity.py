"""The coordinates themselves, scaled and shifted."""

from dataclasses import dataclass

import torch

from tangrid.encodings.contract import ENCODINGS, Encoding, EncodingConfig
from tangrid.notation import Coords, Features
from tangrid.signals.site import Site


@ENCODINGS.register("identity")
@dataclass(frozen=True, kw_only=True)
class IdentityConfig(EncodingConfig):
    """Pass coordinates on; by default mapped from [0, 1] to [-1, 1]."""

    scale: float = 2.0
    """Factor of every coordinate."""
    shift: float = -1.0
    """Added after scaling."""

    def build(self, site: Site, generator: torch.Generator) -> "IdentityEncoding":
        """Return the encoding; it has no parameters.

        Args:
            site: Gives the number of coordinates.
            generator: Not used.
        """
        del generator
        return IdentityEncoding(site.num_dims, self.scale, self.shift)


class IdentityEncoding(Encoding):
    """Map x to ``scale x + shift``.

    Args:
        num_dims: Number of coordinates.
        scale: Factor of every coordinate.
        shift: Added after scaling.
    """

    def __init__(self, num_dims: int, scale: float, shift: float) -> None:
        super().__init__()
        self.num_dims = self.num_features = num_dims
        self.scale = scale
        self.shift = shift

    def forward(self, coords: Coords) -> Features:
        """Return the scaled coordinates.

        Args:
            coords: Points in the unit box.
        """
        return coords * self.scale + self.shift
