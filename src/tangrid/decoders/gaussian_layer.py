r"""A decoder of one layer of Gaussians and one linear map (GNF).

:math:`\phi_r(z) = \exp(-\tfrac12 \sum_f e^{\beta_{rf}} (z_f - c_{rf})^2)`, values are
linear in the :math:`\phi_r`. The square is expanded into matrix products.

References:
    Bouzidi et al. 2025, "GNF: Gaussian Neural Fields for Multidimensional Signal
    Representation and Reconstruction".
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tangrid.decoders.contract import DECODERS, Decoder, DecoderConfig
from tangrid.decoders.layers import apply_dense, dense_layer
from tangrid.errors import ConfigError
from tangrid.notation import Features, Values

_INITIAL_CENTRES = 1e-4


@DECODERS.register("gaussian-rbf")
@dataclass(frozen=True, kw_only=True)
class GaussianLayerConfig(DecoderConfig):
    """One layer of Gaussians of the features, then a linear map."""

    num_gaussians: int = 64
    """Number of Gaussians (R)."""

    def __post_init__(self) -> None:
        """Refuse a layer without Gaussians.

        Raises:
            ConfigError: If there are none.
        """
        if self.num_gaussians < 1:
            raise ConfigError(
                "GaussianLayerConfig.num_gaussians: expected a whole number >= 1, got "
                f"{self.num_gaussians}."
            )

    def families(self) -> tuple[Callable[[float], DecoderConfig], ...]:
        """Return growth in Gaussians, from 4 to 16384."""
        return (
            lambda size: dataclasses.replace(self, num_gaussians=round(4 * 4096**size)),
        )

    def build(
        self, num_features: int, num_channels: int, generator: torch.Generator
    ) -> "GaussianLayer":
        """Return the decoder.

        Args:
            num_features: Channels that come in.
            num_channels: Channels that go out.
            generator: Source of the initial centres and weights.
        """
        return GaussianLayer(self.num_gaussians, num_features, num_channels, generator)


class GaussianLayer(Decoder):
    """Weigh Gaussians of the features.

    Args:
        num_gaussians: Number of Gaussians.
        num_features: Channels that come in.
        num_channels: Channels that go out.
        generator: Source of the initial centres and weights.

    Attributes:
        centres: Where the Gaussians stand (c).
        log_sharpness: Logarithms of their inverse squared widths (beta).
    """

    def __init__(
        self,
        num_gaussians: int,
        num_features: int,
        num_channels: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        shape = num_gaussians, num_features
        centres = torch.empty(shape)
        centres.uniform_(-_INITIAL_CENTRES, _INITIAL_CENTRES, generator=generator)
        self.centres = nn.Parameter(centres)
        self.log_sharpness = nn.Parameter(torch.zeros(shape))
        self.output = dense_layer(
            num_gaussians, num_channels, True, "uniform", generator
        )

    def forward(self, features: Features) -> Values:
        """Return the values of each point.

        Args:
            features: What the encoding gave.
        """
        return apply_dense(self.output, self.gaussians(features))

    def gaussians(self, features: Features) -> Tensor:
        """Return the Gaussians at the features of each point, [n, r].

        Args:
            features: What the encoding gave.
        """
        # The terms cancel: in bfloat16 nothing would be left of small distances.
        exact = features.to(self.centres.dtype)
        sharpness = self.log_sharpness.exp()
        squared = (
            exact.square() @ sharpness.T
            - 2 * exact @ (sharpness * self.centres).T
            + (sharpness * self.centres.square()).sum(1)
        )
        # Rounding can take a small sum of squares below 0.
        return torch.exp(-0.5 * squared.clamp(min=0)).to(features.dtype)
