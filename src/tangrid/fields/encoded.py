"""An encoding followed by a decoder."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

from tangrid.decoders import Decoder, DecoderConfig, ReluMlpConfig, SumConfig
from tangrid.encodings import Encoding, EncodingConfig, HashGridConfig
from tangrid.errors import ConfigError
from tangrid.fields.contract import FIELDS, DecoderDtype, Field, FieldConfig
from tangrid.notation import Coords, Features, Values
from tangrid.signals.site import Site


@FIELDS.register("encoded")
@dataclass(frozen=True, kw_only=True)
class EncodedFieldConfig(FieldConfig):
    """Settings of an encoding and of the decoder that reads it."""

    encoding: EncodingConfig = field(default_factory=HashGridConfig)
    """Coordinates to features."""
    decoder: DecoderConfig = field(default_factory=ReluMlpConfig)
    """Features to values."""
    decoder_dtype: DecoderDtype = "float32"
    """Arithmetic of the decoder; bfloat16 is faster where the processor has it, float16
    where a GPU has it."""

    def families(self) -> tuple[Callable[[float], FieldConfig], ...]:
        """Return the ways to grow of the part that holds the parameters.

        That is the encoding if it has any, and else the decoder; where it cannot grow,
        the other does.
        """
        encodings = tuple(self._grown("encoding", f) for f in self.encoding.families())
        decoders = tuple(self._grown("decoder", f) for f in self.decoder.families())
        if self._encoding_has_parameters:
            return encodings or decoders
        return decoders or encodings

    @property
    def _encoding_has_parameters(self) -> bool:
        with torch.device("meta"):
            site = Site(num_dims=2, num_channels=1, resolution=(16, 16))
            encoding = self.encoding.build(site, torch.Generator())
        return any(True for _ in encoding.parameters())

    def _grown(
        self, part: str, family: Callable[[float], EncodingConfig | DecoderConfig]
    ) -> Callable[[float], FieldConfig]:
        return lambda size: dataclasses.replace(self, **{part: family(size)})

    def build(self, site: Site, generator: torch.Generator) -> "EncodedField":
        """Return the field for one site.

        Args:
            site: Dimensions, channels and resolution of the signal.
            generator: Source of the initial values.
        """
        self._check_levels(site)
        encoding = self.encoding.build(site, generator)
        decoder = self.decoder.build(
            encoding.num_features, site.num_channels, generator
        )
        return EncodedField(encoding, decoder, site.num_channels, self.decoder_dtype)

    def _check_levels(self, site: Site) -> None:
        """Refuse sums over levels that do not have the signal's channels."""
        channels = getattr(self.encoding, "channels_per_level", site.num_channels)
        if isinstance(self.decoder, SumConfig) and channels != site.num_channels:
            raise ConfigError(
                "field.encoding.channels_per_level: expected as many as the signal has "
                f"with the decoder sum, {site.num_channels}, got {channels}. Say --set "
                f"field.encoding.channels-per-level={site.num_channels}."
            )


def decode(decoder: Decoder, features: Features, dtype: DecoderDtype) -> Values:
    """Return what a decoder makes of features, in some arithmetic.

    Args:
        decoder: Features to values.
        features: Its input.
        dtype: The arithmetic of a decoder whose parameters are float32. One that was
            converted computes in what it was converted to.

    Returns:
        The values, in float32 or what decoder and features were converted to.
    """
    own = next((p.dtype for p in decoder.parameters()), torch.float32)
    # Whoever asks for float64 wants its digits.
    if own != torch.float32 or features.dtype == torch.float64:
        return decoder(features)
    return decoder(features.to(getattr(torch, dtype))).float()


class EncodedField(Field):
    """Decode the features of an encoding.

    Args:
        encoding: Coordinates to features.
        decoder: Features to values.
        num_channels: Values per point.
        decoder_dtype: Arithmetic of the decoder.
    """

    def __init__(
        self,
        encoding: Encoding,
        decoder: Decoder,
        num_channels: int,
        decoder_dtype: DecoderDtype = "float32",
    ) -> None:
        super().__init__()
        self.encoding = encoding
        self.decoder = decoder
        self.num_dims = encoding.num_dims
        self.num_channels = num_channels
        self.stops_gradients = encoding.stops_gradients
        self.decoder_dtype: DecoderDtype = decoder_dtype

    def forward(self, coords: Coords) -> Values:
        """Return the values at each point.

        Args:
            coords: Points in the unit box.
        """
        return decode(self.decoder, self.encoding(coords), self.decoder_dtype)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the encoding's groups and the group ``decoder``."""
        groups = self.encoding.parameter_groups()
        return {**groups, "decoder": list(self.decoder.parameters())}
