"""What a field is: coordinates in the unit box to values."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from tangrid.devices import HOST
from tangrid.encodings.resampling import Resampling
from tangrid.fields.doors import check_coords
from tangrid.notation import Coords, Values
from tangrid.registry import Registry
from tangrid.signals.site import Site

FIELDS = Registry("field")
"""Every kind of field by its public name."""

DecoderDtype = Literal["float32", "bfloat16", "float16"]


class Field(nn.Module, ABC):
    """Map coordinates to values.

    Attributes:
        num_dims: Coordinates per point (d).
        num_channels: Values per point (c).
        stops_gradients: Whether gradients leave out parts of the derivatives on
            purpose, as a paper's do.
    """

    num_dims: int
    num_channels: int
    stops_gradients: bool = False

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        first = next(self.parameters(), None)
        return HOST if first is None else first.device

    def __call__(self, coords: Coords) -> Values:
        """Return the values at points, after a check of the points.

        Args:
            coords: Points in the unit box.

        Raises:
            ShapeError: If the points have a wrong shape, dtype, device or range.
        """
        check_coords(coords, self.num_dims, next(self.parameters(), None))
        return super().__call__(coords)

    @abstractmethod
    def forward(self, coords: Coords) -> Values:
        """Return the values at points that are known to be in the box.

        Args:
            coords: Points in the unit box.
        """

    def grow(self, fraction: float) -> dict[str, Resampling] | None:
        """Replace parameters by those of a finer field, if it is time for that.

        The default is a field that stays as it was built.

        Args:
            fraction: How much of training is over, from 0 to 1.

        Returns:
            None if nothing has changed. Else, by the name of every parameter that was
            replaced, what makes what belongs to the new one, such as moments, of what
            belonged to the old one.
        """
        del fraction
        return None

    @abstractmethod
    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return all trainable parameters by group, as ``grid`` and ``decoder``."""


@dataclass(frozen=True, kw_only=True)
class FieldConfig(ABC):
    """Settings of one kind of field; ``kind`` is its registered name."""

    kind: ClassVar[str]

    @abstractmethod
    def build(self, site: Site, generator: torch.Generator) -> Field:
        """Return the field for one site.

        Args:
            site: Dimensions, channels and resolution of the signal.
            generator: Source of the initial values.
        """

    def families(self) -> tuple[Callable[[float], "FieldConfig"], ...]:
        """Return ways to change the number of parameters, as encodings do."""
        return ()
