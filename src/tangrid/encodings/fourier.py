r"""Fourier features: sines and cosines of linear forms of the coordinates.

:math:`\gamma(x) = [a_j \cos(2\pi\, b_j \cdot x),\; a_j \sin(2\pi\, b_j \cdot x)]_j`
with amplitudes :math:`a_j` and frequencies :math:`b_j` in cycles per unit of
coordinate. The kernel that this map induces,
:math:`\sum_j a_j^2 \cos(2\pi\, b_j \cdot (x - y))`, depends on the difference of two
points alone.

References:
    Tancik et al. 2020, "Fourier Features Let Networks Learn High Frequency Functions in
    Low Dimensional Domains"; Mildenhall et al. 2020; Vaswani et al. 2017.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.encodings.contract import (
    ENCODINGS,
    Encoding,
    EncodingConfig,
    SizeFamily,
)
from tangrid.errors import ConfigError
from tangrid.notation import Coords, Features
from tangrid.signals.site import Site

FourierFamily = Literal[
    "basic", "gaussian", "nerf", "transformer", "posenc-new", "posenc-new-linear"
]

# Of higher frequencies float32 coordinates hold not even the phase.
_MOST_OCTAVES = 24


@ENCODINGS.register("fourier")
@dataclass(frozen=True, kw_only=True)
class FourierConfig(EncodingConfig):
    """Fourier features of one of the families in use.

    ``basic`` has one cycle per axis; ``gaussian`` draws b_j from N(0, bandwidth^2);
    ``nerf`` has b = 2^k / 2 along each axis (sin(2^k pi x), k from 0); ``transformer``
    has angular frequencies 1 / 10000^(i/m) over positions counted in samples of the
    signal; ``posenc-new`` has b = 2^(linspace(0, octaves, m)) - 1 along each axis and
    ``posenc-new-linear`` the same band spaced linearly.
    """

    family: FourierFamily = "gaussian"
    """Where the frequencies come from."""
    num_frequencies: int = 256
    """Frequencies m in all (gaussian) or along each axis (all others)."""
    bandwidth_cycles: float = 10.0
    """Standard deviation of Gaussian frequencies (sigma), cycles per box side."""
    octaves: float = 6.0
    """Band of posenc-new (s): the highest frequency is 2^s - 1 cycles per box side."""
    includes_pi: bool = True
    """Whether nerf frequencies are 2^k pi (the paper) or 2^k (its code), in radians."""
    amplitude_power: float = 0.0
    """Amplitudes fall as |b|^-power, the largest being 1; 0 keeps them all at 1."""
    includes_coords: bool = False
    """Whether the coordinates themselves come first."""

    def __post_init__(self) -> None:
        """Refuse settings that make no frequencies.

        Raises:
            ConfigError: If a number is out of range.
        """
        if self.num_frequencies < 1:
            raise ConfigError(
                "FourierConfig.num_frequencies: expected a whole number >= 1, got "
                f"{self.num_frequencies}."
            )
        if not (self.bandwidth_cycles > 0 and 0 < self.octaves <= _MOST_OCTAVES):
            raise ConfigError(
                "FourierConfig: expected bandwidth_cycles above 0 and octaves above 0 "
                f"and at most {_MOST_OCTAVES}, got {self.bandwidth_cycles} and "
                f"{self.octaves}."
            )
        if self.family == "nerf" and self.num_frequencies > _MOST_OCTAVES:
            raise ConfigError(
                f"FourierConfig(family='nerf'): expected at most {_MOST_OCTAVES} "
                f"frequencies, each twice the one before, got {self.num_frequencies}. "
                "10 is usual: set num_frequencies."
            )

    def families(self) -> tuple[SizeFamily, ...]:
        """Return growth in frequencies, for a decoder that cannot grow."""
        if self.family != "gaussian":
            return ()
        return (
            lambda size: dataclasses.replace(
                self, num_frequencies=round(2 ** (2 + 12 * size))
            ),
        )

    def build(self, site: Site, generator: torch.Generator) -> "FourierEncoding":
        """Return the encoding with its frequencies drawn.

        Args:
            site: Gives the number of coordinates and the samples along each.
            generator: Source of Gaussian frequencies.
        """
        frequencies = _frequencies(self, site, generator)
        size = frequencies.norm(dim=1)
        lowest = torch.where(size > 0, size, torch.inf).min()
        amplitudes = (size / lowest).clamp(min=1) ** -self.amplitude_power
        return FourierEncoding(frequencies, amplitudes, self.includes_coords)


def _frequencies(
    config: FourierConfig, site: Site, generator: torch.Generator
) -> Float[Tensor, "m d"]:
    dims = site.num_dims
    if config.family == "gaussian":
        drawn = torch.randn(config.num_frequencies, dims, generator=generator)
        return drawn * config.bandwidth_cycles
    if config.family == "basic":
        return torch.eye(dims)
    steps = torch.arange(config.num_frequencies, dtype=torch.float64)
    count = config.num_frequencies
    if config.family == "nerf":
        per_axis = 2.0**steps * (0.5 if config.includes_pi else 0.5 / math.pi)
        axes = per_axis.expand(dims, count)
    elif config.family == "transformer":
        # Positions are counted in samples, as words are: radians per sample -> cycles.
        sides = site.resolution or (1,) * dims
        radians = 10000.0 ** (-steps / count)
        axes = torch.stack([radians * side / (2 * math.pi) for side in sides])
    elif config.family == "posenc-new":
        axes = (2.0 ** torch.linspace(0, config.octaves, count) - 1).expand(dims, count)
    else:
        top = 2.0**config.octaves - 1
        axes = torch.linspace(0, top, count).expand(dims, count)
    rows = torch.zeros(dims, count, dims)
    for axis in range(dims):
        rows[axis, :, axis] = axes[axis].float()
    return rows.flatten(0, 1)


class FourierEncoding(Encoding):
    """Map x to amplitudes times cosines and sines of its frequencies.

    Args:
        frequencies: Cycles per unit of coordinate (b).
        amplitudes: Factor of each frequency's pair (a).
        includes_coords: Whether the coordinates come first.
    """

    frequencies: Tensor
    amplitudes: Tensor

    def __init__(
        self,
        frequencies: Float[Tensor, "m d"],
        amplitudes: Float[Tensor, " m"],
        includes_coords: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("frequencies", frequencies)
        self.register_buffer("amplitudes", amplitudes)
        self.includes_coords = includes_coords
        self.num_dims = frequencies.shape[1]
        self.num_features = 2 * len(frequencies) + includes_coords * self.num_dims

    def forward(self, coords: Coords) -> Features:
        """Return all cosines, then all sines.

        Args:
            coords: Points in the unit box.
        """
        angles = (2 * math.pi) * coords @ self.frequencies.T
        waves = torch.cat(
            (self.amplitudes * angles.cos(), self.amplitudes * angles.sin()), dim=1
        )
        return torch.cat((coords, waves), dim=1) if self.includes_coords else waves


def octave_waves(coords: Coords, num_octaves: int) -> Features:
    r"""Return :math:`\sin(2^k \pi x), \cos(2^k \pi x)` for k = 0 ... m - 1.

    Angles are reduced to one period before they are rounded, so that high octaves are
    as accurate as low ones.

    Args:
        coords: Points in the unit box, or anywhere.
        num_octaves: Octaves along each axis (m).

    Returns:
        Sine and cosine of octave after octave of the first coordinate, then of the
        next: the order of tiny-cuda-nn's ``Frequency``.
    """
    octave = torch.arange(num_octaves, dtype=coords.dtype, device=coords.device)
    turns = coords[:, :, None] * torch.exp2(octave)
    angles = math.pi * (turns - 2 * (turns.detach() / 2).round())
    return torch.stack((angles.sin(), angles.cos()), dim=3).flatten(1)
