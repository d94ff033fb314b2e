"""NeRF: a deep rectified network on encoded coordinates.

With eight layers of 256, ten octaves of places and four of directions it is the
network of the released code, with 595 844 weights.

References:
    Mildenhall et al. 2020, "NeRF: Representing Scenes as Neural Radiance Fields for
    View Synthesis".
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tangrid.choices import check_choice
from tangrid.decoders.layers import apply_dense, dense_layer
from tangrid.encodings import Encoding, EncodingConfig, FourierConfig
from tangrid.errors import ConfigError
from tangrid.fields.contract import FieldConfig
from tangrid.fields.radiance.activations import DensityActivation, positive_density
from tangrid.fields.radiance.contract import (
    RADIANCE_FIELDS,
    Density,
    RadianceField,
    RadianceFieldConfig,
    Views,
    check_space,
)
from tangrid.fields.radiance.directions import DirectionEncoding
from tangrid.notation import Coords, Features
from tangrid.signals.site import Site


def _places() -> FourierConfig:
    return FourierConfig(family="nerf", num_frequencies=10, includes_coords=True)


def _views() -> DirectionEncoding:
    return DirectionEncoding(family="waves", order=4)


@RADIANCE_FIELDS.register("nerf")
@dataclass(frozen=True, kw_only=True)
class NerfConfig(RadianceFieldConfig):
    r"""Rectified network that sees the encoded place again half-way.

    Waves of places are :math:`2^k \pi x` in the unit box. The released code has
    :math:`2^k x` in units of the scene, which is the same in a box of pi units; the box
    of its synthetic scenes has three.
    """

    encoding: EncodingConfig = field(default_factory=_places)
    """Coordinates to what the network sees."""
    width: int = 256
    """Channels of each hidden layer; the one for the colour has half as many."""
    num_hidden: int = 8
    """Hidden layers before the density."""
    seen_again_after: int | None = 5
    """Hidden layers after which the encoded place is joined on; None for never."""
    directions: DirectionEncoding = field(default_factory=_views)
    """Features of directions."""
    density_activation: DensityActivation = "softplus"
    """From the network to the density; the released code cuts negative ones off, which
    can leave a network without any gradient."""
    density_shift: float = -3.0
    """Added before the activation, so that the box is nearly clear at the start."""
    density_scale: float = 10.0
    """Factor of the density, so that few steps make a surface."""

    def __post_init__(self) -> None:
        """Refuse a network without layers, or a density that is none.

        Raises:
            ConfigError: If a setting is out of range.
        """
        where = "NerfConfig"
        check_choice(
            f"{where}.density_activation", self.density_activation, DensityActivation
        )
        if self.width < 2 or self.num_hidden < 1:
            raise ConfigError(
                f"{where}: expected width >= 2 and num_hidden >= 1, got {self.width} "
                f"and {self.num_hidden}."
            )
        again = self.seen_again_after
        if again is not None and not 1 <= again < self.num_hidden:
            raise ConfigError(
                f"{where}.seen_again_after: expected 1 to {self.num_hidden - 1}, a "
                f"hidden layer with another after it, or none, got {again}."
            )
        if not 0 < self.density_scale < math.inf:
            raise ConfigError(
                f"{where}.density_scale: expected a finite number above 0, got "
                f"{self.density_scale}."
            )

    def families(self) -> tuple[Callable[[float], FieldConfig], ...]:
        """Return growth of the width, from 4 to 16384 channels."""
        return (lambda size: dataclasses.replace(self, width=round(4 * 4096**size)),)

    def build(self, site: Site, generator: torch.Generator) -> "Nerf":
        """Return the field for one site.

        Args:
            site: Three coordinates.
            generator: Source of the initial values.
        """
        check_space(self, site)
        return Nerf(self, self.encoding.build(site, generator), generator)


class Nerf(RadianceField):
    """Read density and colour off a deep network.

    Args:
        config: Settings.
        encoding: Coordinates to what the network sees.
        generator: Source of the initial weights.
    """

    def __init__(
        self, config: NerfConfig, encoding: Encoding, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.encoding = encoding
        self.num_hidden = config.width
        self.stops_gradients = encoding.stops_gradients
        self._config = config

        def layer(num_inputs: int, num_outputs: int) -> nn.Linear:
            return dense_layer(num_inputs, num_outputs, True, "xavier", generator)

        width, half = config.width, config.width // 2
        sizes = [encoding.num_features, *(width,) * config.num_hidden]
        self.trunk = nn.ModuleList(
            layer(a + (index == config.seen_again_after) * sizes[0], b)
            for index, (a, b) in enumerate(pairwise(sizes))
        )
        self.density_layer = layer(width, 1)
        self.colour_layers = nn.ModuleList((
            layer(width, width),
            layer(width + config.directions.num_features, half),
            layer(half, 3),
        ))

    def density(self, coords: Coords) -> Density:
        """Return density and hidden features of places.

        Args:
            coords: Points in the unit box.
        """
        seen = self.encoding(coords)
        hidden = seen
        for index, layer in enumerate(cast("list[nn.Linear]", list(self.trunk))):
            if index == self._config.seen_again_after:
                hidden = torch.cat((seen, hidden), dim=1)
            hidden = apply_dense(layer, hidden).relu_()
        raw = apply_dense(self.density_layer, hidden)[:, 0]
        config = self._config
        density = positive_density(raw, config.density_activation, config.density_shift)
        return Density(density * config.density_scale, hidden)

    def encode_directions(self, directions: Float[Tensor, "r 3"]) -> Features:
        """Return features of directions.

        Args:
            directions: Unit vectors away from the camera.
        """
        return self._config.directions(directions)

    def colour(self, hidden: Features, views: Views) -> Float[Tensor, "n 3"]:
        """Return red, green and blue from 0 to 1.

        Args:
            hidden: Hidden features of the places.
            views: Views of the directions that they are seen in.
        """
        joint, branch, last = cast("list[nn.Linear]", list(self.colour_layers))
        seen = torch.cat((apply_dense(joint, hidden), views), dim=1)
        return apply_dense(last, apply_dense(branch, seen).relu_()).sigmoid()

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the encoding's groups, and all layers as group ``decoder``."""
        layers = (self.trunk, self.density_layer, self.colour_layers)
        weights = [parameter for part in layers for parameter in part.parameters()]
        return {**self.encoding.parameter_groups(), "decoder": weights}
