"""Sums over levels: the decoder without parameters, under which a grid is linear."""

from dataclasses import dataclass

import torch

from tangrid.decoders.contract import DECODERS, Decoder, DecoderConfig
from tangrid.errors import ConfigError
from tangrid.notation import Features, Values


@DECODERS.register("sum")
@dataclass(frozen=True, kw_only=True)
class SumConfig(DecoderConfig):
    """The sum of every channel over the levels; nothing in it is trained."""

    def build(
        self, num_features: int, num_channels: int, generator: torch.Generator
    ) -> "SumDecoder":
        """Return the decoder.

        Args:
            num_features: Channels that come in, those of one level after the other.
            num_channels: Channels that go out, as many as one level has.
            generator: Not used: there is nothing to draw.

        Raises:
            ConfigError: If the features are not whole levels of so many channels.
        """
        del generator
        if num_features % num_channels:
            raise ConfigError(
                "field.decoder=sum: expected features in whole levels of as many "
                f"channels as the signal has, {num_channels}, got {num_features} "
                f"features. Say --set field.encoding.channels-per-level={num_channels}."
            )
        return SumDecoder(num_channels)


class SumDecoder(Decoder):
    r"""Add up levels: :math:`y_c = \sum_l z_{lC + c}`.

    Args:
        num_channels: Channels that go out (C).
    """

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.num_channels = num_channels

    def forward(self, features: Features) -> Values:
        """Return the values of each point.

        Args:
            features: Those of one level after the other.
        """
        return features.unflatten(1, (-1, self.num_channels)).sum(1)
