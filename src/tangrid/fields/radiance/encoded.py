"""A radiance field on one encoding: one head for the density, one for the colour."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tangrid.choices import check_choice
from tangrid.decoders import Decoder, DecoderConfig, ReluMlpConfig
from tangrid.encodings import Encoding, EncodingConfig, HashGridConfig
from tangrid.errors import ConfigError
from tangrid.fields.contract import DecoderDtype, FieldConfig
from tangrid.fields.encoded import decode
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


def _density_head() -> ReluMlpConfig:
    return ReluMlpConfig(num_hidden=1)


def _colour_head() -> ReluMlpConfig:
    # The paper has two hidden layers: nearly twice the products of a sample.
    return ReluMlpConfig(num_hidden=1, output_activation="sigmoid")


@RADIANCE_FIELDS.register("encoded-radiance")
@dataclass(frozen=True, kw_only=True)
class EncodedRadianceConfig(RadianceFieldConfig):
    """One encoding, and two heads that read it one after the other (InstantNGP).

    Example:
        >>> from tangrid.seeding import generator
        >>> site = Site(num_dims=3, num_channels=3)
        >>> built = EncodedRadianceConfig().build(site, generator(0))
        >>> density, hidden = built.density(torch.rand(2, 3))
        >>> views = built.encode_directions(torch.eye(3)[:2])
        >>> density.shape, built.colour(hidden, views).shape
        (torch.Size([2]), torch.Size([2, 3]))
    """

    encoding: EncodingConfig = field(default_factory=HashGridConfig)
    """Coordinates to features."""
    density_head: DecoderConfig = field(default_factory=_density_head)
    """Features to hidden features, the first of which becomes the density."""
    num_hidden: int = 16
    """Hidden features, all of which the colour is made from."""
    directions: DirectionEncoding = field(default_factory=DirectionEncoding)
    """Features of directions."""
    colour_head: DecoderConfig = field(default_factory=_colour_head)
    """Hidden features and features of directions to a colour."""
    decoder_dtype: DecoderDtype = "float32"
    """Arithmetic of both heads; bfloat16 was slower where batches change their size."""
    density_activation: DensityActivation = "exp"
    """From the first hidden feature to the density."""
    density_shift: float = 0.0
    """Added before the activation."""
    growth: Growth | None = None
    """When the encoding gets finer; None for never."""

    def __post_init__(self) -> None:
        """Refuse a field without a density.

        Raises:
            ConfigError: If a setting is out of range.
        """
        check_choice(
            "EncodedRadianceConfig.density_activation",
            self.density_activation,
            DensityActivation,
        )
        if self.num_hidden < 1:
            raise ConfigError(
                "EncodedRadianceConfig.num_hidden: expected at least 1, the density, "
                f"got {self.num_hidden}."
            )

    def families(self) -> tuple[Callable[[float], FieldConfig], ...]:
        """Return the ways of the encoding to have another size.

        A field that gets finer while it is trained has none: its last size counts.
        """
        if self.growth is not None:
            return ()

        def grown(family: Callable[[float], EncodingConfig]) -> Callable:
            return lambda size: dataclasses.replace(self, encoding=family(size))

        return tuple(grown(family) for family in self.encoding.families())

    def grown_to(self, fraction: float) -> "EncodedRadianceConfig":
        """Return the settings of the field that this one is at some time of training.

        Args:
            fraction: How much of training is over, from 0 to 1.
        """
        if self.growth is None:
            return self
        return dataclasses.replace(
            self,
            encoding=encoding_at(self.encoding, self.growth, fraction),
            growth=self.growth.after(fraction),
        )

    def build(self, site: Site, generator: torch.Generator) -> "EncodedRadiance":
        """Return the field for one site.

        Args:
            site: Three coordinates.
            generator: Source of the initial values.
        """
        check_space(self, site)
        encoding = self.encoding.build(site, generator)
        density_head = self.density_head.build(
            encoding.num_features, self.num_hidden, generator
        )
        num_seen = self.num_hidden + self.directions.num_features
        colour_head = self.colour_head.build(num_seen, 3, generator)
        return EncodedRadiance(self, encoding, density_head, colour_head)


class EncodedRadiance(GrowingRadiance):
    """Read density and colour off one encoding.

    Args:
        config: Settings.
        encoding: Coordinates to features.
        density_head: Features to hidden features.
        colour_head: Hidden features and directions to colours.
    """

    def __init__(
        self,
        config: EncodedRadianceConfig,
        encoding: Encoding,
        density_head: Decoder,
        colour_head: Decoder,
    ) -> None:
        super().__init__(config.growth, {"encoding": config.encoding})
        self.encoding = encoding
        self.density_head = density_head
        self.colour_head = colour_head
        self._directions = config.directions
        self._dtype: DecoderDtype = config.decoder_dtype
        self.num_hidden = config.num_hidden
        self.stops_gradients = encoding.stops_gradients
        self._activation: DensityActivation = config.density_activation
        self._shift = config.density_shift

    def density(self, coords: Coords) -> Density:
        """Return density and hidden features of places.

        Args:
            coords: Points in the unit box.
        """
        hidden = decode(self.density_head, self.encoding(coords), self._dtype)
        density = positive_density(hidden[:, 0], self._activation, self._shift)
        return Density(density, hidden)

    def encode_directions(self, directions: Float[Tensor, "r 3"]) -> Features:
        """Return features of directions.

        Args:
            directions: Unit vectors away from the camera.
        """
        return self._directions(directions)

    def colour(self, hidden: Features, views: Views) -> Float[Tensor, "n 3"]:
        """Return red, green and blue from 0 to 1.

        Args:
            hidden: Hidden features of the places.
            views: Views of the directions that they are seen in.
        """
        seen = torch.cat((hidden, views), dim=1)
        return decode(self.colour_head, seen, self._dtype)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the encoding's groups, and both heads as group ``decoder``."""
        heads = [*self.density_head.parameters(), *self.colour_head.parameters()]
        return {**self.encoding.parameter_groups(), "decoder": heads}
