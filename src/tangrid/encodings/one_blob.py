r"""One-blob encoding: how much of a blob around the coordinate falls into each bin.

The unit interval is cut into n bins, and a quartic blob of radius 1/n is centred on the
coordinate. Feature j is the blob's integral over bin j,
:math:`\int_{j/n}^{(j+1)/n} n\, K(n (t - x))\, dt` with
:math:`K(u) = \frac{15}{16} (1 - u^2)^2` for :math:`|u| \le 1`, summed with the blobs
around x - 1 and x + 1: the interval is closed to a ring.

References:
    Mueller et al. 2019, "Neural Importance Sampling"; tiny-cuda-nn
    ``encodings/oneblob.h``.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.encodings.contract import ENCODINGS, Encoding, EncodingConfig
from tangrid.errors import ConfigError
from tangrid.notation import Coords, Features
from tangrid.signals.site import Site


@ENCODINGS.register("one-blob")
@dataclass(frozen=True, kw_only=True)
class OneBlobConfig(EncodingConfig):
    """Bins of every coordinate, each filled by its share of a blob.

    Example:
        >>> from tangrid.seeding import generator
        >>> site = Site(num_dims=2, num_channels=3)
        >>> OneBlobConfig(num_bins=8).build(site, generator(0)).num_features
        16
    """

    num_bins: int = 16
    """Bins along each axis (n)."""

    def __post_init__(self) -> None:
        """Refuse an encoding without bins.

        Raises:
            ConfigError: If there is less than one.
        """
        if self.num_bins < 1:
            raise ConfigError(
                "OneBlobConfig.num_bins: expected a whole number >= 1, got "
                f"{self.num_bins}."
            )

    def build(self, site: Site, generator: torch.Generator) -> "OneBlobEncoding":
        """Return the encoding; it has no parameters.

        Args:
            site: Gives the number of coordinates.
            generator: Not used.
        """
        del generator
        return OneBlobEncoding(site.num_dims, self.num_bins)


class OneBlobEncoding(Encoding):
    """Map every coordinate to the shares of its blob.

    Args:
        num_dims: Number of coordinates.
        num_bins: Bins along each axis.
    """

    def __init__(self, num_dims: int, num_bins: int) -> None:
        super().__init__()
        self.num_dims = num_dims
        self.num_features = num_dims * num_bins
        self.num_bins = num_bins

    def forward(self, coords: Coords) -> Features:
        """Return the bins of the first coordinate, then those of the next.

        Args:
            coords: Points in the unit box.
        """
        return one_blob(coords, self.num_bins)


def one_blob(coords: Coords, num_bins: int) -> Features:
    """Return the share of each coordinate's blob in each bin.

    Args:
        coords: Points in the unit box; blobs farther than one side outside are lost.
        num_bins: Bins along each axis (n).

    Returns:
        The bins of the first coordinate, then those of the next; each sum to 1.
    """
    edges = torch.arange(num_bins + 1, dtype=coords.dtype, device=coords.device)
    distances = edges / num_bins - coords[:, :, None]
    below = (
        _quartic_integral(distances * num_bins)
        + _quartic_integral((distances - 1) * num_bins)
        + _quartic_integral((distances + 1) * num_bins)
    )
    return (below[:, :, 1:] - below[:, :, :-1]).flatten(1)


def _quartic_integral(
    offsets: Float[Tensor, "n d edges"],
) -> Float[Tensor, "n d edges"]:
    """Return how much of the blob lies below some offsets, in radii from its centre."""
    u = offsets.clamp(-1, 1)
    square = u * u
    return 15 / 16 * u * (1 - square * (2 / 3 - square / 5)) + 0.5
