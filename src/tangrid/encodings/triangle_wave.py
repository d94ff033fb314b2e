r"""Triangle waves of doubling frequency, a cheap stand-in for sines.

Wave k = 0 ... m - 1 of a coordinate x is :math:`4\, |v - \lfloor v \rfloor - 1/2| - 1`
with :math:`v = 2^{k-1} x + k/4`; the shift by a quarter of a period from octave to
octave keeps places apart that symmetric waves would confuse.

References:
    Mueller et al. 2021, "Real-time Neural Radiance Caching for Path Tracing";
    tiny-cuda-nn ``encodings/triangle_wave.h``.
"""

from dataclasses import dataclass

import torch

from tangrid.encodings.contract import ENCODINGS, Encoding, EncodingConfig
from tangrid.errors import ConfigError
from tangrid.notation import Coords, Features
from tangrid.signals.site import Site

# Of higher frequencies float32 coordinates hold not even the phase.
_MOST_OCTAVES = 24


@ENCODINGS.register("triangle-wave")
@dataclass(frozen=True, kw_only=True)
class TriangleWaveConfig(EncodingConfig):
    """Triangle waves of every coordinate.

    Example:
        >>> from tangrid.seeding import generator
        >>> site = Site(num_dims=2, num_channels=3)
        >>> TriangleWaveConfig().build(site, generator(0)).num_features
        24
    """

    num_octaves: int = 12
    """Waves along each axis (m), each of twice the frequency of the one before."""

    def __post_init__(self) -> None:
        """Refuse waves that float32 cannot tell apart, or none.

        Raises:
            ConfigError: If the number of octaves is out of range.
        """
        if not 1 <= self.num_octaves <= _MOST_OCTAVES:
            raise ConfigError(
                "TriangleWaveConfig.num_octaves: expected a whole number from 1 to "
                f"{_MOST_OCTAVES}, got {self.num_octaves}."
            )

    def build(self, site: Site, generator: torch.Generator) -> "TriangleWaveEncoding":
        """Return the encoding; it has no parameters.

        Args:
            site: Gives the number of coordinates.
            generator: Not used.
        """
        del generator
        return TriangleWaveEncoding(site.num_dims, self.num_octaves)


class TriangleWaveEncoding(Encoding):
    """Map every coordinate to its waves.

    Args:
        num_dims: Number of coordinates.
        num_octaves: Waves along each axis.
    """

    def __init__(self, num_dims: int, num_octaves: int) -> None:
        super().__init__()
        self.num_dims = num_dims
        self.num_features = num_dims * num_octaves
        self.num_octaves = num_octaves

    def forward(self, coords: Coords) -> Features:
        """Return the waves of the first coordinate, then those of the next.

        Args:
            coords: Points in the unit box.
        """
        return triangle_waves(coords, self.num_octaves)


def triangle_waves(coords: Coords, num_octaves: int) -> Features:
    """Return triangle waves of each coordinate.

    Args:
        coords: Points in the unit box, or anywhere: waves go on.
        num_octaves: Waves along each axis (m).

    Returns:
        The waves of the first coordinate, then those of the next, from -1 to 1.
    """
    octave = torch.arange(num_octaves, dtype=coords.dtype, device=coords.device)
    phase = coords[:, :, None] * torch.exp2(octave - 1) + octave / 4
    return (4 * (phase - phase.detach().floor() - 0.5).abs() - 1).flatten(1)
