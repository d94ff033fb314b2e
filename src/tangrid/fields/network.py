"""What all networks on bare coordinates have in common: a width, a depth, one group."""

import dataclasses
import math
from abc import ABC
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from tangrid.errors import ConfigError
from tangrid.fields.contract import Field, FieldConfig


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(FieldConfig, ABC):
    """Settings that every network on bare coordinates has."""

    width: int = 256
    """Channels of each hidden layer."""
    num_hidden: int = 3
    """Hidden layers after the first."""

    def __post_init__(self) -> None:
        """Refuse a network without channels.

        Raises:
            ConfigError: If a number is out of range.
        """
        if self.width < 1 or self.num_hidden < 0:
            raise ConfigError(
                f"{type(self).__name__}: expected width >= 1 and num_hidden >= 0, got "
                f"{self.width} and {self.num_hidden}."
            )

    def check_positive(self, *names: str) -> None:
        """Refuse settings that are not above 0, or not finite.

        Args:
            names: Settings that are numbers.

        Raises:
            ConfigError: If one is not.
        """
        for name in names:
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ConfigError(
                    f"{type(self).__name__}.{name}: expected a finite number above 0, "
                    f"got {value}."
                )

    def families(self) -> tuple[Callable[[float], FieldConfig], ...]:
        """Return growth of the width, from 4 to 16384 channels."""
        return (lambda size: dataclasses.replace(self, width=round(4 * 4096**size)),)


class Network(Field, ABC):
    """A field whose parameters are all trained alike.

    Args:
        num_dims: Coordinates per point.
        num_channels: Values per point.
    """

    def __init__(self, num_dims: int, num_channels: int) -> None:
        super().__init__()
        self.num_dims = num_dims
        self.num_channels = num_channels

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return all parameters as group ``decoder``."""
        return {"decoder": list(self.parameters())}
