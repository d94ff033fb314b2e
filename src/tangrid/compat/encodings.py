"""From a configuration of tiny-cuda-nn to the part that does what it says.

References:
    tiny-cuda-nn ``src/encoding.cu`` (names and defaults) and ``encodings/*.h``.
"""

from collections.abc import Callable, Mapping

from tangrid.compat.composite import CompositePart, Reduction
from tangrid.compat.configs import Settings
from tangrid.compat.grids import grid_part
from tangrid.compat.parts import (
    EmptyPart,
    FrequencyPart,
    IdentityPart,
    OneBlobPart,
    Part,
    SphericalHarmonicsPart,
    TriangleWavePart,
)
from tangrid.encodings.spherical_harmonics import MOST_DEGREES
from tangrid.errors import ConfigError

Config = Mapping[str, object]

_REDUCTIONS: Mapping[str, Reduction] = {
    "Concatenation": "concatenation",
    "Sum": "sum",
    "Product": "product",
}


def encoding_part(config: Config, num_dims: int) -> Part:
    """Return the encoding that a configuration describes, without padding.

    Args:
        config: The configuration; ``otype`` names the encoding, large or small.
        num_dims: Coordinates that it reads.

    Raises:
        ConfigError: If a name or a setting is unknown or cannot be had.
    """
    settings = Settings(config, "encoding config")
    return settings.choice("otype", "OneBlob", _MAKERS)(config, num_dims)


def _settings(config: Config, default: str) -> Settings:
    settings = Settings(config, f"encoding config of '{config.get('otype', default)}'")
    settings.take("otype", default)
    return settings


def _empty(config: Config, num_dims: int) -> Part:
    _settings(config, "Empty").finish()
    return EmptyPart(num_dims=num_dims)


def _identity(config: Config, num_dims: int) -> Part:
    settings = _settings(config, "Identity")
    scale, offset = settings.number("scale", 1.0), settings.number("offset", 0.0)
    settings.finish()
    return IdentityPart(num_dims=num_dims, scale=scale, offset=offset)


def _frequency(config: Config, num_dims: int) -> Part:
    settings = _settings(config, "Frequency")
    octaves = settings.count("n_frequencies", 12, least=0)
    settings.finish()
    return FrequencyPart(num_dims=num_dims, num_octaves=octaves)


def _triangle_wave(config: Config, num_dims: int) -> Part:
    settings = _settings(config, "TriangleWave")
    octaves = settings.count("n_frequencies", 12, least=0)
    settings.finish()
    return TriangleWavePart(num_dims=num_dims, num_octaves=octaves)


def _one_blob(config: Config, num_dims: int) -> Part:
    settings = _settings(config, "OneBlob")
    bins = settings.count("n_bins", 16)
    settings.finish()
    if bins & (bins - 1):
        raise settings.wrong("n_bins", "a power of two", bins)
    return OneBlobPart(num_dims=num_dims, num_bins=bins)


def _spherical_harmonics(config: Config, num_dims: int) -> Part:
    settings = _settings(config, "SphericalHarmonics")
    degrees = settings.count("degree", 4)
    settings.finish()
    if degrees > MOST_DEGREES:
        raise settings.wrong("degree", f"at most {MOST_DEGREES}", degrees)
    if num_dims != 3:
        raise ConfigError(
            f"{settings.where}: expected the three coordinates of a direction, got "
            f"{num_dims}. Use a Composite whose nested encoding has "
            "'n_dims_to_encode': 3."
        )
    return SphericalHarmonicsPart(num_dims=3, num_degrees=degrees)


def _neural_radiance_caching(config: Config, num_dims: int) -> Part:
    settings = _settings(config, "OneBlobFrequency")
    octaves = settings.count("n_frequencies", 12, least=0)
    bins = settings.count("n_bins", 4)
    settings.finish()
    nested: list[Config] = [
        {"otype": "TriangleWave", "n_frequencies": octaves, "n_dims_to_encode": 3},
        {"otype": "OneBlob", "n_bins": bins, "n_dims_to_encode": 5},
        {"otype": "Identity"},
    ]
    return _composite({"otype": "Composite", "nested": nested}, num_dims)


def _composite(config: Config, num_dims: int) -> Part:
    settings = _settings(config, "Composite")
    reduction = settings.choice("reduction", "Concatenation", _REDUCTIONS)
    nested = settings.take("nested", None)
    settings.finish()
    if not isinstance(nested, list | tuple):
        raise settings.wrong("nested", "a list of encodings", nested)
    parts, begins = [], []
    for inner, begin, width in _places(nested, num_dims, settings):
        if width:
            parts.append(encoding_part(inner, width).aligned(1))
            begins.append(begin)
    if not parts:
        raise settings.wrong("nested", "at least one encoding of a coordinate", nested)
    made = CompositePart.of(num_dims, tuple(parts), tuple(begins), reduction)
    if made is None:
        widths = ", ".join(str(part.output_width) for part in parts)
        raise ConfigError(
            f"{settings.where}: expected nested encodings of one width for the "
            f"reduction '{reduction}', got widths {widths}."
        )
    return made


def _places(
    nested: list[Config] | tuple[Config, ...], num_dims: int, settings: Settings
) -> list[tuple[Config, int, int]]:
    """Return each nested encoding with its first coordinate and how many it reads."""
    where = [Settings(inner, f"{settings.where}['nested']") for inner in nested]
    has_begins = any(inner.has("dims_to_encode_begin") for inner in where)
    counts = [inner.count("n_dims_to_encode", 0, least=0) for inner in where]
    rest = None if has_begins else num_dims - sum(counts)
    if rest is not None and rest < 0:
        raise ConfigError(
            f"{settings.where}: expected nested encodings of at most {num_dims} "
            f"coordinates, got {sum(counts)}. Give 'dims_to_encode_begin' where they "
            "share coordinates."
        )
    places, begin = [], 0
    for config, inner, count in zip(nested, where, counts, strict=True):
        if inner.has("n_dims_to_encode"):
            begin = inner.count("dims_to_encode_begin", begin, least=0)
            width = count
        elif rest is None:
            raise ConfigError(
                f"{inner.where}: expected 'n_dims_to_encode' in all but one nested "
                "encoding, and in all where one has 'dims_to_encode_begin'."
            )
        else:
            width, rest = rest, None
        if begin + width > num_dims:
            raise ConfigError(
                f"{inner.where}: expected coordinates below {num_dims}, got "
                f"{begin} to {begin + width - 1}."
            )
        places.append((config, begin, width))
        begin += width
    return places


_MAKERS: Mapping[str, Callable[[Config, int], Part]] = {
    "Composite": _composite,
    "Empty": _empty,
    "Frequency": _frequency,
    "Grid": grid_part,
    "HashGrid": grid_part,
    "TiledGrid": grid_part,
    "DenseGrid": grid_part,
    "Identity": _identity,
    "NRC": _neural_radiance_caching,
    "OneBlob": _one_blob,
    "OneBlobFrequency": _neural_radiance_caching,
    "SphericalHarmonics": _spherical_harmonics,
    "TriangleWave": _triangle_wave,
}
