r"""A radiance field on two encodings: one for the density, one for the colour.

The density is a function of the sum of the first one's features. The colour comes from
the second one's features, by a linear basis or as they are, and from the direction.
TensoRF and DVGO have this form.

References:
    Chen et al. 2022, "TensoRF: Tensorial Radiance Fields"; Sun et al. 2022, "Direct
    Voxel Grid Optimization".
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tangrid.choices import check_choice
from tangrid.decoders import Decoder, DecoderConfig, LinearConfig, ReluMlpConfig
from tangrid.encodings import Encoding, EncodingConfig, TensorfVmConfig
from tangrid.errors import ConfigError
from tangrid.fields.contract import FieldConfig
from tangrid.fields.radiance.activations import DensityActivation, positive_density
from tangrid.fields.radiance.contract import (
    RADIANCE_FIELDS,
    Density,
    RadianceFieldConfig,
    Views,
    check_space,
)
from tangrid.fields.radiance.directions import DirectionEncoding
from tangrid.fields.radiance.growth import GrowingRadiance, Growth, encoding_at
from tangrid.notation import Coords, Features
from tangrid.signals.site import Site

_MOST_BANDS = 16


def opacity_shift(opacity: float) -> float:
    r"""Return what is added to a raw density of 0 for a wanted opacity.

    It is DVGO's :math:`\log(1 / (1 - \alpha) - 1)`: a softplus of it makes a layer of
    length 1 that opaque.

    Args:
        opacity: Share of light that is lost over length 1, above 0 and below 1.

    Example:
        >>> round(opacity_shift(0.01), 4)
        -4.5951
    """
    return math.log(1 / (1 - opacity) - 1)


def _colour_head() -> ReluMlpConfig:
    return ReluMlpConfig(
        width=128, num_hidden=2, bias=True, init="uniform", output_activation="sigmoid"
    )


def _appearance() -> TensorfVmConfig:
    return TensorfVmConfig(num_ranks=48)


def _views() -> DirectionEncoding:
    return DirectionEncoding(family="waves", order=2)


@RADIANCE_FIELDS.register("separate-radiance")
@dataclass(frozen=True, kw_only=True)
class SeparateRadianceConfig(RadianceFieldConfig):
    """Two encodings, the second of which is read for places that have a colour only."""

    density_encoding: EncodingConfig = field(default_factory=TensorfVmConfig)
    """Coordinates to features, whose sum becomes the density."""
    appearance_encoding: EncodingConfig = field(default_factory=_appearance)
    """Coordinates to features of the colour."""
    num_appearance: int | None = 27
    """Features that a linear basis makes of those; None leaves them as they are."""
    feature_bands: int = 2
    """Octaves of sines and cosines of these features that the head sees beside them."""
    directions: DirectionEncoding = field(default_factory=_views)
    """Features of directions."""
    colour_head: DecoderConfig = field(default_factory=_colour_head)
    """Features of the place and of the direction to a colour."""
    density_activation: DensityActivation = "softplus"
    """From the sum of features to the density."""
    density_shift: float = -10.0
    """Added before the activation."""
    density_scale: float = 75.0
    """Factor of the density: TensoRF's 25 per unit of a box of three units."""
    growth: Growth | None = None
    """When both encodings get finer; None for never."""

    def __post_init__(self) -> None:
        """Refuse a field without a density or a colour.

        Raises:
            ConfigError: If a setting is out of range.
        """
        where = "SeparateRadianceConfig"
        check_choice(
            f"{where}.density_activation", self.density_activation, DensityActivation
        )
        if self.num_appearance is not None and self.num_appearance < 1:
            raise ConfigError(
                f"{where}.num_appearance: expected at least 1, or none for the "
                f"features as they are, got {self.num_appearance}."
            )
        if not 0 <= self.feature_bands <= _MOST_BANDS:
            raise ConfigError(
                f"{where}.feature_bands: expected 0 to {_MOST_BANDS}, got "
                f"{self.feature_bands}."
            )
        if not 0 < self.density_scale < math.inf:
            raise ConfigError(
                f"{where}.density_scale: expected a finite number above 0, got "
                f"{self.density_scale}."
            )

    def families(self) -> tuple[Callable[[float], FieldConfig], ...]:
        """Return the ways of both encodings to have another size at once.

        A field that gets finer while it is trained has none: its last size counts.
        """
        if self.growth is not None:
            return ()

        def joint(
            density: Callable[[float], EncodingConfig],
            appearance: Callable[[float], EncodingConfig],
        ) -> Callable[[float], FieldConfig]:
            return lambda size: dataclasses.replace(
                self,
                density_encoding=density(size),
                appearance_encoding=appearance(size),
            )

        pairs = zip(
            self.density_encoding.families(),
            self.appearance_encoding.families(),
            strict=False,
        )
        return tuple(joint(density, appearance) for density, appearance in pairs)

    def grown_to(self, fraction: float) -> "SeparateRadianceConfig":
        """Return the settings of the field that this one is at some time of training.

        Args:
            fraction: How much of training is over, from 0 to 1.
        """
        if self.growth is None:
            return self
        density, appearance = (
            encoding_at(config, self.growth, fraction)
            for config in (self.density_encoding, self.appearance_encoding)
        )
        return dataclasses.replace(
            self,
            density_encoding=density,
            appearance_encoding=appearance,
            growth=self.growth.after(fraction),
        )

    def build(self, site: Site, generator: torch.Generator) -> "SeparateRadiance":
        """Return the field for one site.

        Args:
            site: Three coordinates.
            generator: Source of the initial values.

        Raises:
            ConfigError: If the density would have nothing to learn.
        """
        check_space(self, site)
        density = self.density_encoding.build(site, generator)
        if not density.parameter_groups():
            raise ConfigError(
                "SeparateRadianceConfig.density_encoding: expected an encoding with "
                "features to learn, the sum of which is the density, got "
                f"'{self.density_encoding.kind}'. Choose a grid."
            )
        appearance = self.appearance_encoding.build(site, generator)
        num_seen, basis = appearance.num_features, None
        if self.num_appearance is not None:
            basis = LinearConfig(bias=False).build(
                num_seen, self.num_appearance, generator
            )
            num_seen = self.num_appearance
        num_seen *= 1 + 2 * self.feature_bands
        num_seen += self.directions.num_features
        head = self.colour_head.build(num_seen, 3, generator)
        return SeparateRadiance(self, (density, appearance), basis, head)


class SeparateRadiance(GrowingRadiance):
    """Read the density off one encoding, and the colour off another.

    Hidden features are the places themselves, so that nothing of a colour is computed
    for places that turn out to have none.

    Args:
        config: Settings.
        encodings: Of the density and of the appearance.
        basis: Makes features of the appearance of those of its encoding.
        colour_head: Features of places and directions to colours.
    """

    num_hidden = 3

    def __init__(
        self,
        config: SeparateRadianceConfig,
        encodings: tuple[Encoding, Encoding],
        basis: Decoder | None,
        colour_head: Decoder,
    ) -> None:
        parts = {
            "density_encoding": config.density_encoding,
            "appearance_encoding": config.appearance_encoding,
        }
        super().__init__(config.growth, parts)
        self.density_encoding, self.appearance_encoding = encodings
        self.basis = basis
        self.colour_head = colour_head
        self.stops_gradients = any(part.stops_gradients for part in encodings)
        self._config = config

    def density(self, coords: Coords) -> Density:
        """Return the density of places, and the places.

        Args:
            coords: Points in the unit box.
        """
        config = self._config
        raw = self.density_encoding(coords).sum(1)
        density = positive_density(raw, config.density_activation, config.density_shift)
        return Density(density * config.density_scale, coords)

    def encode_directions(self, directions: Float[Tensor, "r 3"]) -> Features:
        """Return features of directions.

        Args:
            directions: Unit vectors away from the camera.
        """
        return self._config.directions(directions)

    def colour(self, hidden: Features, views: Views) -> Float[Tensor, "n 3"]:
        """Return red, green and blue from 0 to 1.

        Args:
            hidden: The places.
            views: Views of the directions that they are seen in.
        """
        features = self.appearance_encoding(hidden)
        if self.basis is not None:
            features = self.basis(features)
        seen = [features]
        for band in range(self._config.feature_bands):
            angles = features * 2.0**band
            seen += [angles.sin(), angles.cos()]
        return self.colour_head(torch.cat((*seen, views), dim=1))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the groups of both encodings, and all layers as group ``decoder``."""
        groups: dict[str, list[nn.Parameter]] = {}
        for encoding in (self.density_encoding, self.appearance_encoding):
            for name, parameters in encoding.parameter_groups().items():
                groups.setdefault(name, []).extend(parameters)
        layers = [] if self.basis is None else list(self.basis.parameters())
        return {**groups, "decoder": [*layers, *self.colour_head.parameters()]}
