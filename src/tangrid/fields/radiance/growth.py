"""Radiance fields whose grids get finer while they are trained.

References:
    Chen et al. 2022, "TensoRF: Tensorial Radiance Fields": from 128 to 300 vertices
    after 2000, 3000, 4000, 5500 and 7000 of 30 000 steps, even in the logarithm; Sun et
    al. 2022, "Direct Voxel Grid Optimization": twice as many voxels after 1000, 2000,
    3000 and 4000 of 20 000.
"""

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch

from tangrid.encodings import Encoding, EncodingConfig
from tangrid.encodings.resampling import ResampledEncoding, Resampling
from tangrid.errors import ConfigError
from tangrid.fields.budget import count_parameters, num_trained
from tangrid.fields.radiance.contract import RadianceField
from tangrid.signals.site import Site

_SPACE = Site(num_dims=3, num_channels=3)


@dataclass(frozen=True, kw_only=True)
class Growth:
    """When the grids of a field get finer, and how fine.

    Example:
        >>> growth = Growth.even((0.1, 0.2), 16, 64)
        >>> growth.resolutions
        (32, 64)
        >>> [growth.resolution_at(fraction) for fraction in (0.0, 0.1, 0.9)]
        [None, 32, 64]
    """

    at: tuple[float, ...] = (0.067, 0.1, 0.133, 0.183, 0.233)
    """Fractions of training after which the resolution changes; TensoRF's."""
    resolutions: tuple[int, ...] = (152, 180, 213, 253, 300)
    """Vertices along each axis of the finest level from then on; TensoRF's from 128."""

    def __post_init__(self) -> None:
        """Refuse a growth that does not rise.

        Raises:
            ConfigError: If times or resolutions do not rise, or are not as many.
        """
        if not self.at or len(self.at) != len(self.resolutions):
            raise ConfigError(
                "Growth: expected a resolution for each of one or more times, got "
                f"{len(self.at)} times and {len(self.resolutions)} resolutions."
            )
        times = (0.0, *self.at, 1.0)
        sizes = (1, *self.resolutions)
        if not all(a < b for row in (times, sizes) for a, b in pairwise(row)):
            raise ConfigError(
                "Growth: expected times between 0 and 1 and resolutions that both "
                f"rise, got {self.at} and {self.resolutions}."
            )

    @classmethod
    def even(cls, at: tuple[float, ...], first: int, last: int) -> "Growth":
        """Return the growth by one factor every time.

        Args:
            at: Fractions of training after which the resolution changes.
            first: Resolution before the first of them.
            last: Resolution after the last.
        """
        ratio = (last / first) ** (1 / max(len(at), 1))
        sizes = (round(first * ratio**step) for step in range(1, len(at) + 1))
        return cls(at=at, resolutions=tuple(sizes))

    def resolution_at(self, fraction: float) -> int | None:
        """Return the resolution at some time; None while it is the first one.

        Args:
            fraction: How much of training is over.
        """
        due = [size for at, size in self._steps if at <= fraction]
        return due[-1] if due else None

    def after(self, fraction: float) -> "Growth | None":
        """Return the growth that is still to come; None if there is none.

        Args:
            fraction: How much of training is over.
        """
        left = [(at, size) for at, size in self._steps if at > fraction]
        if not left:
            return None
        times, sizes = zip(*left, strict=True)
        return Growth(at=times, resolutions=sizes)

    @property
    def _steps(self) -> list[tuple[float, int]]:
        return list(zip(self.at, self.resolutions, strict=True))


def encoding_at(
    config: EncodingConfig, growth: Growth | None, fraction: float
) -> EncodingConfig:
    """Return the settings of an encoding as they are at some time of training.

    Args:
        config: Those at the start.
        growth: How it grows; None if it does not.
        fraction: How much of training is over.
    """
    resolution = None if growth is None else growth.resolution_at(fraction)
    return config if resolution is None else config.reaching(float(resolution))


class GrowingRadiance(RadianceField, ABC):
    """A radiance field on encodings that may grow.

    Args:
        growth: How they grow; None if they do not.
        configs: Settings of each encoding at the start, by the name that the field has
            for it.

    Raises:
        ConfigError: If an encoding cannot grow, or starts as fine as it should become.
    """

    def __init__(
        self, growth: Growth | None, configs: Mapping[str, EncodingConfig]
    ) -> None:
        super().__init__()
        self._growth = growth
        self._configs = dict(configs)
        self._reached: int | None = None
        if growth is not None:
            for name, config in configs.items():
                _check_growth(f"{type(self).__name__}.{name}", config, growth)

    def grow(self, fraction: float) -> dict[str, Resampling] | None:
        """Make the grids as fine as they are to be by now.

        Args:
            fraction: How much of training is over.

        Returns:
            None if nothing has changed, which is found at once. Else, by the name of
            every parameter that was replaced, what makes what belongs to the new one,
            such as moments, of what belonged to the old one.
        """
        if self._growth is None:
            return None
        resolution = self._growth.resolution_at(fraction)
        if resolution is None or resolution == self._reached:
            return None
        self._reached = resolution
        maps: dict[str, Resampling] = {}
        for name, config in self._configs.items():
            encoding = cast("ResampledEncoding", getattr(self, name))
            finer = _on_meta(config.reaching(float(resolution)))
            # A field that is asked about an earlier time stays as fine as it is.
            if num_trained(finer) > num_trained(encoding):
                found = encoding.resample_like(cast("ResampledEncoding", finer))
                maps |= {f"{name}.{part}": found[part] for part in found}
        return maps or None


def _on_meta(config: EncodingConfig) -> Encoding:
    with torch.device("meta"):
        return config.build(_SPACE, torch.Generator())


def _check_growth(where: str, config: EncodingConfig, growth: Growth) -> None:
    first = _on_meta(config)
    if not isinstance(first, ResampledEncoding):
        raise ConfigError(
            f"{where}: expected an encoding that can grow, as 'tensorf-vm-grid', "
            f"'tensorf-cp-grid', 'plane-grid' and 'dense-grid' can, got "
            f"'{config.kind}'. Set growth to none."
        )
    least = config.reaching(float(growth.resolutions[0]))
    if count_parameters(least, _SPACE) <= num_trained(first):
        raise ConfigError(
            f"{where}: expected an encoding that is coarser than the "
            f"{growth.resolutions[0]} vertices along each axis that it grows to first, "
            f"got {config}. Set a lower resolution or another growth."
        )
    first.resample_like(cast("ResampledEncoding", _on_meta(least)))
