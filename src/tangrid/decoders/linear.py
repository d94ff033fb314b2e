"""One matrix: the decoder whose training theory can solve."""

from dataclasses import dataclass

import torch

from tangrid.decoders.contract import DECODERS, Decoder, DecoderConfig
from tangrid.decoders.layers import apply_dense, dense_layer
from tangrid.notation import Features, Values


@DECODERS.register("linear")
@dataclass(frozen=True, kw_only=True)
class LinearConfig(DecoderConfig):
    """A linear map of the features."""

    bias: bool = True
    """Whether a constant is added."""

    def build(
        self, num_features: int, num_channels: int, generator: torch.Generator
    ) -> "LinearDecoder":
        """Return the decoder.

        Args:
            num_features: Channels that come in.
            num_channels: Channels that go out.
            generator: Source of the initial weights.
        """
        return LinearDecoder(num_features, num_channels, self.bias, generator)


class LinearDecoder(Decoder):
    """Multiply features by one matrix.

    Args:
        num_features: Channels that come in.
        num_channels: Channels that go out.
        bias: Whether a constant is added.
        generator: Source of the initial weights.
    """

    def __init__(
        self,
        num_features: int,
        num_channels: int,
        bias: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.output = dense_layer(
            num_features, num_channels, bias, "uniform", generator
        )

    def forward(self, features: Features) -> Values:
        """Return the values of each point.

        Args:
            features: What the encoding gave.
        """
        return apply_dense(self.output, features)
