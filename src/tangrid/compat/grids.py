"""tiny-cuda-nn's multi-resolution grids, which read features from the flat vector.

References:
    Mueller et al. 2022, "Instant Neural Graphics Primitives"; tiny-cuda-nn
    ``encodings/grid.h`` (``GridEncodingTemplated``, ``create_grid_encoding``).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from tangrid.compat.configs import Settings
from tangrid.compat.initial_values import table_values
from tangrid.compat.parts import Flat, PaddedPart
from tangrid.errors import ConfigError
from tangrid.notation import Coords, Features, Table
from tangrid.ops.grid_lookup import GridLayout, grid_layout
from tangrid.ops.grid_lookup.anywhere import read_anywhere
from tangrid.ops.grid_lookup.chosen_corners import read_with_chosen_corners
from tangrid.ops.grid_lookup.hashing import HashFunction
from tangrid.ops.grid_lookup.layout import Interpolation, Storage
from tangrid.ops.pcg32 import Pcg32

_INITIAL_BOUND = 1e-4
_FINEST_DENSE = 256
_CHANNELS = (1, 2, 4, 8)

_STORAGES: Mapping[str, Storage] = {
    "Hash": "hashed",
    "Dense": "dense",
    "Tiled": "tiled",
    "Tile": "tiled",
}
_INTERPOLATIONS: Mapping[str, Interpolation] = {
    "Nearest": "nearest",
    "Linear": "linear",
    "Smoothstep": "smoothstep",
}
_HASHES: Mapping[str, HashFunction] = {
    "CoherentPrime": "coherent-prime",
    "Prime": "prime",
    "ReversedPrime": "reversed-prime",
    "BaseConvert": "base-convert",
    "Rng": "rng",
}


class _Options(NamedTuple):
    """Arguments of `grid_layout` by their names."""

    num_levels: int
    base_resolution: int
    growth: float
    log2_table_size: int
    storage: Storage
    interpolation: Interpolation
    hash_function: HashFunction


@dataclass(frozen=True, kw_only=True)
class GridPart(PaddedPart):
    """``Grid``, ``HashGrid``, ``DenseGrid`` and ``TiledGrid``."""

    layout: GridLayout
    """Where the vertices are."""
    channels: int
    """Features per level."""
    is_stochastic: bool
    """Whether gradients of the table go to one corner drawn at random."""
    options: _Options
    """What the layout was made of."""

    # Unlike all others, grids pad with zeros.
    fill: ClassVar[float] = 0.0

    @property
    def width(self) -> int:
        """Number of features without padding."""
        return len(self.layout.levels) * self.channels

    @property
    def alignment(self) -> int:
        """What its width must be a multiple of."""
        return self.channels

    @property
    def num_params(self) -> int:
        """Numbers that it reads from the flat vector."""
        return self.layout.num_rows * self.channels

    def table(self, params: Flat) -> Table:
        """Return the flat vector as the rows of all levels; nothing is copied.

        Args:
            params: The part's parameters.
        """
        return params.view(self.layout.num_rows, self.channels)

    def features(self, coords: Coords, params: Flat) -> Features:
        """Return the features of all levels, the coarsest first.

        Args:
            coords: Points; outside the unit box the grid is repeated in some way.
            params: The part's parameters.
        """
        table = self.table(params)
        if self.is_stochastic:
            return read_with_chosen_corners(coords, table, self.layout)
        return read_anywhere(coords, table, self.layout)

    def initial_params(self, stream: Pcg32) -> Flat:
        """Return small random features.

        Args:
            stream: Where random numbers come from.
        """
        return table_values(stream, self.num_params, _INITIAL_BOUND)

    def hyperparams(self) -> dict[str, object]:
        """Return the settings by the names that tiny-cuda-nn has for them."""
        options = self.options
        told = {
            "otype": "Grid",
            "type": _name_of(options.storage, _STORAGES),
            "n_levels": options.num_levels,
            "n_features_per_level": self.channels,
            "base_resolution": options.base_resolution,
            "per_level_scale": options.growth,
            "interpolation": _name_of(options.interpolation, _INTERPOLATIONS),
            "hash": _name_of(options.hash_function, _HASHES),
        }
        if options.storage == "hashed":
            told["log2_hashmap_size"] = options.log2_table_size
        return told


def grid_part(config: Mapping[str, object], num_dims: int) -> GridPart:
    """Return the grid that a configuration describes.

    Args:
        config: The configuration.
        num_dims: Coordinates that it reads.

    Raises:
        ConfigError: If a setting is unknown or cannot be had.
    """
    otype = str(config.get("otype", "Grid"))
    settings = Settings(config, f"encoding config of '{otype}'")
    settings.take("otype", otype)
    channels = settings.count("n_features_per_level", 2)
    if channels not in _CHANNELS:
        raise settings.wrong("n_features_per_level", "1, 2, 4 or 8", channels)
    num_levels = _num_levels(settings, channels)
    default = {"tiledgrid": "Tiled", "densegrid": "Dense"}.get(otype.lower(), "Hash")
    storage = settings.choice("type", default, _STORAGES)
    base = settings.count("base_resolution", 16, least=2)
    usual = 2.0
    if storage == "dense" and num_levels > 1:
        usual = _dense_growth(base, num_levels)
    options = _Options(
        num_levels=num_levels,
        base_resolution=base,
        growth=settings.number("per_level_scale", usual),
        log2_table_size=settings.count("log2_hashmap_size", 19),
        storage=storage,
        interpolation=settings.choice("interpolation", "Linear", _INTERPOLATIONS),
        hash_function=settings.choice("hash", "CoherentPrime", _HASHES),
    )
    is_stochastic = settings.flag("stochastic_interpolation", False)
    # Of positions inside tiny-cuda-nn's just-in-time compiled programs alone.
    settings.flag("fixed_point_pos", False)
    settings.finish()
    return GridPart(
        num_dims=num_dims,
        layout=_layout(num_dims, options, settings.where),
        channels=channels,
        is_stochastic=is_stochastic and options.interpolation != "nearest",
        options=options,
    )


def _dense_growth(base: int, num_levels: int) -> float:
    """Return the growth at which the finest of several levels has 256 vertices."""
    # Rounded to float32 after each step, as there: a growth one place larger can have a
    # vertex more. Steps are taken in float64, as NumPy's own float32 ones vary.
    finest = np.float32(_FINEST_DENSE) / np.float32(base)
    exponent = np.float32(math.log(finest)) / np.float32(num_levels - 1)
    return float(np.float32(math.exp(exponent)))


def _layout(num_dims: int, options: _Options, where: str) -> GridLayout:
    """Return where the vertices are; refuse in the words of the configuration."""
    try:
        return grid_layout(
            num_dims=num_dims, stops_at_overflow=False, **options._asdict()
        )
    except ConfigError as error:
        raise ConfigError(
            f"{where}: {error} (growth is 'per_level_scale', num_levels 'n_levels', "
            "log2_table_size 'log2_hashmap_size', num_dims 'n_input_dims', storage "
            "'type'.)"
        ) from None


def _num_levels(settings: Settings, channels: int) -> int:
    """Return the number of levels, which may be told by that of all features."""
    names = [key for key in ("n_features", "n_grid_features") if settings.has(key)]
    if not names:
        return settings.count("n_levels", 16)
    if settings.has("n_levels"):
        raise ConfigError(
            f"{settings.where}: expected 'n_levels' or '{names[0]}', of which each "
            "determines the other, got both. Remove one of them."
        )
    for name in names[1:]:
        settings.take(name, None)
    num_features = settings.count(names[0], 2)
    if num_features % channels:
        raise settings.wrong(
            names[0], f"a multiple of n_features_per_level, {channels}", num_features
        )
    return num_features // channels


def _name_of(meaning: str, names: Mapping[str, str]) -> str:
    return next(name for name, found in names.items() if found == meaning)
