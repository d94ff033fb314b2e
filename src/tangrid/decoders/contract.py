"""What a decoder is: features to values."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from tangrid.notation import Features, Values
from tangrid.registry import Registry

DECODERS = Registry("decoder")
"""Every decoder by its public name."""

OutputActivation = Literal["none", "sigmoid"]


class Decoder(nn.Module, ABC):
    """Map features to values."""

    @abstractmethod
    def forward(self, features: Features) -> Values:
        """Return the values of each point.

        Args:
            features: What the encoding gave.
        """


@dataclass(frozen=True, kw_only=True)
class DecoderConfig(ABC):
    """Settings of one decoder; ``kind`` is its registered name."""

    kind: ClassVar[str]

    @abstractmethod
    def build(
        self, num_features: int, num_channels: int, generator: torch.Generator
    ) -> Decoder:
        """Return the decoder.

        Args:
            num_features: Channels that come in.
            num_channels: Channels that go out.
            generator: Source of the initial weights.
        """

    def families(self) -> tuple[Callable[[float], "DecoderConfig"], ...]:
        """Return ways to change the number of parameters, as encodings do."""
        return ()


def activate(values: Tensor, activation: OutputActivation) -> Tensor:
    """Return values after an output activation.

    Args:
        values: Output of the last layer.
        activation: Its name.
    """
    return torch.sigmoid(values) if activation == "sigmoid" else values
