"""What a radiance field is: a density, and a colour that depends on the direction."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.fields.contract import Field, FieldConfig
from tangrid.notation import Coords, Features, Values
from tangrid.registry import Registry
from tangrid.signals.site import Site

RADIANCE_FIELDS = Registry("radiance field")
"""Every kind of radiance field by its public name."""


Views = Float[Tensor, "n v"]
"""Features of the directions that samples are seen in, of which there are v."""


class Density(NamedTuple):
    """What a radiance field says of places, whatever they are seen from."""

    density: Float[Tensor, " n"]
    """Share of light that is lost per length; lengths are sides of the unit box."""
    hidden: Features
    """What the colour is made from."""


class RadianceField(Field, ABC):
    """Map places to a density, and places and directions to a colour.

    As a field of values it is its density, with one channel.

    Attributes:
        num_hidden: Features between density and colour.
    """

    num_dims: int = 3
    num_channels: int = 1
    num_hidden: int

    @abstractmethod
    def density(self, coords: Coords) -> Density:
        """Return density and hidden features of places.

        Args:
            coords: Points in the unit box.
        """

    @abstractmethod
    def encode_directions(self, directions: Float[Tensor, "r 3"]) -> Features:
        """Return features of directions, which all samples of a ray share.

        Args:
            directions: Unit vectors away from the camera.
        """

    @abstractmethod
    def colour(self, hidden: Features, views: Views) -> Float[Tensor, "n 3"]:
        """Return red, green and blue from 0 to 1.

        Args:
            hidden: Hidden features of the places.
            views: Views of the directions that they are seen in.
        """

    def forward(self, coords: Coords) -> Values:
        """Return the density, as one channel.

        Args:
            coords: Points in the unit box.
        """
        return self.density(coords).density[:, None]


class RadianceFieldConfig(FieldConfig, ABC):
    """Settings of one kind of radiance field; ``kind`` is its registered name."""

    @abstractmethod
    def build(self, site: Site, generator: torch.Generator) -> RadianceField:
        """Return the field for one site.

        Args:
            site: Three coordinates.
            generator: Source of the initial values.
        """

    def grown_to(self, fraction: float) -> "RadianceFieldConfig":
        """Return the settings of the field that this one is at some time of training.

        What is built from them has the shapes of a field that was trained so long, and
        grows as that would from there. The default is a field that stays as it is.

        Args:
            fraction: How much of training is over, from 0 to 1.
        """
        del fraction
        return self


def check_space(config: RadianceFieldConfig, site: Site) -> None:
    """Refuse a site that is not in space.

    Args:
        config: Settings that are to be built.
        site: Where.

    Raises:
        ConfigError: If places there have another number of coordinates than three.
    """
    if site.num_dims != 3:
        raise ConfigError(
            f"{type(config).__name__}.build: expected a site of three coordinates, got "
            f"one of {site.num_dims}. Radiance fields are in space."
        )
