"""What an encoding of tiny-cuda-nn does, free of modules and of parameters of its own.

A part maps coordinates to features and reads its parameters, if it has any, from a
flat vector that somebody else holds. Parts are padded with constant channels up to a
width that others want; the padding takes the place of a network's biases.

References:
    tiny-cuda-nn ``encoding.h`` (``set_alignment``) and ``encodings/*.h``.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.encodings.fourier import octave_waves
from tangrid.encodings.one_blob import one_blob
from tangrid.encodings.spherical_harmonics import spherical_harmonics
from tangrid.encodings.triangle_wave import triangle_waves
from tangrid.notation import Coords, Features
from tangrid.ops.pcg32 import Pcg32

Flat = Float[Tensor, " p"]
"""Parameters of one part, one after the other."""


def next_multiple(number: int, divisor: int) -> int:
    """Return the smallest multiple of a divisor that is not below a number.

    Args:
        number: What must fit.
        divisor: At least 1.
    """
    return -(-number // divisor) * divisor


class Part(ABC):
    """An encoding as a function of coordinates and flat parameters."""

    num_dims: int
    """Coordinates that it reads (d)."""

    @property
    def alignment(self) -> int:
        """What its width must be a multiple of."""
        return 1

    @property
    def num_params(self) -> int:
        """Numbers that it reads from the flat vector."""
        return 0

    @property
    @abstractmethod
    def output_width(self) -> int:
        """Number of features, padding included."""

    @abstractmethod
    def padded(self, output_width: int) -> Self:
        """Return the part with another padding.

        Args:
            output_width: Number of features, padding included.
        """

    @abstractmethod
    def evaluate(self, coords: Coords, params: Flat) -> Features:
        """Return the features of each point, padding included.

        Args:
            coords: Points, meant to lie in the unit box.
            params: The part's parameters.
        """

    @abstractmethod
    def hyperparams(self) -> dict[str, object]:
        """Return the settings by the names that tiny-cuda-nn has for them."""

    def initial_params(self, stream: Pcg32) -> Flat:
        """Return fresh parameters.

        Args:
            stream: Where random numbers come from.
        """
        del stream
        return torch.empty(0, dtype=torch.float32)

    def aligned(self, multiple: int) -> Self:
        """Return the part, padded until its width suits it and others.

        Args:
            multiple: What others want its width to be a multiple of.
        """
        wanted = math.lcm(multiple, self.alignment)
        return self.padded(next_multiple(self.output_width, wanted))


@dataclass(frozen=True, kw_only=True)
class PaddedPart(Part):
    """A part with features of its own and constant channels beside them."""

    num_dims: int
    padding: int = 0
    fill: ClassVar[float] = 1.0
    """What the constant channels hold."""
    pads_in_front: ClassVar[bool] = False
    """Whether they come before the features."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Number of features without padding."""

    @abstractmethod
    def features(self, coords: Coords, params: Flat) -> Features:
        """Return the features of each point without padding.

        Args:
            coords: Points, meant to lie in the unit box.
            params: The part's parameters.
        """

    @property
    def output_width(self) -> int:
        """Number of features, padding included."""
        return self.width + self.padding

    def padded(self, output_width: int) -> Self:
        """Return the part with another padding.

        Args:
            output_width: Number of features, padding included.
        """
        return dataclasses.replace(self, padding=output_width - self.width)

    def evaluate(self, coords: Coords, params: Flat) -> Features:
        """Return the features of each point, padding included.

        Args:
            coords: Points, meant to lie in the unit box.
            params: The part's parameters.
        """
        return self.filled_up(self.features(coords, params))

    def filled_up(self, features: Features) -> Features:
        """Return features with the constant channels beside them.

        Args:
            features: The part's own.
        """
        if not self.padding:
            return features
        sides = (self.padding, 0) if self.pads_in_front else (0, self.padding)
        return torch.nn.functional.pad(features, sides, value=self.fill)


@dataclass(frozen=True, kw_only=True)
class EmptyPart(PaddedPart):
    """``Empty``: no features, whatever the point."""

    @property
    def width(self) -> int:
        """Number of features without padding."""
        return 0

    def features(self, coords: Coords, params: Flat) -> Features:
        """Return no features.

        Args:
            coords: Points.
            params: None.
        """
        del params
        return coords[:, :0]

    def hyperparams(self) -> dict[str, object]:
        """Return the settings by the names that tiny-cuda-nn has for them."""
        return {"otype": "Empty"}


@dataclass(frozen=True, kw_only=True)
class IdentityPart(PaddedPart):
    """``Identity``: the coordinates times a scale, plus an offset."""

    scale: float = 1.0
    offset: float = 0.0

    @property
    def width(self) -> int:
        """Number of features without padding."""
        return self.num_dims

    def features(self, coords: Coords, params: Flat) -> Features:
        """Return the scaled coordinates.

        Args:
            coords: Points.
            params: None.
        """
        del params
        return coords * self.scale + self.offset

    def hyperparams(self) -> dict[str, object]:
        """Return the settings by the names that tiny-cuda-nn has for them."""
        return {"otype": "Identity", "scale": self.scale, "offset": self.offset}


@dataclass(frozen=True, kw_only=True)
class FrequencyPart(PaddedPart):
    """``Frequency``: sines and cosines of doubling frequency."""

    num_octaves: int

    @property
    def width(self) -> int:
        """Number of features without padding."""
        return 2 * self.num_dims * self.num_octaves

    def features(self, coords: Coords, params: Flat) -> Features:
        """Return sine and cosine of octave after octave.

        Args:
            coords: Points.
            params: None.
        """
        del params
        return octave_waves(coords, self.num_octaves)

    def hyperparams(self) -> dict[str, object]:
        """Return the settings by the names that tiny-cuda-nn has for them."""
        return {"otype": "Frequency", "n_frequencies": self.num_octaves}


@dataclass(frozen=True, kw_only=True)
class TriangleWavePart(PaddedPart):
    """``TriangleWave``: triangle waves of doubling frequency."""

    num_octaves: int

    @property
    def width(self) -> int:
        """Number of features without padding."""
        return self.num_dims * self.num_octaves

    def features(self, coords: Coords, params: Flat) -> Features:
        """Return octave after octave of each coordinate.

        Args:
            coords: Points.
            params: None.
        """
        del params
        return triangle_waves(coords, self.num_octaves)

    def hyperparams(self) -> dict[str, object]:
        """Return the settings by the names that tiny-cuda-nn has for them."""
        return {"otype": "TriangleWave", "n_frequencies": self.num_octaves}


@dataclass(frozen=True, kw_only=True)
class OneBlobPart(PaddedPart):
    """``OneBlob``: how much of a blob falls into each bin."""

    num_bins: int

    @property
    def width(self) -> int:
        """Number of features without padding."""
        return self.num_dims * self.num_bins

    def features(self, coords: Coords, params: Flat) -> Features:
        """Return the bins of each coordinate.

        Args:
            coords: Points.
            params: None.
        """
        del params
        return one_blob(coords, self.num_bins)

    def hyperparams(self) -> dict[str, object]:
        """Return the settings by the names that tiny-cuda-nn has for them."""
        return {"otype": "OneBlob", "n_bins": self.num_bins}


@dataclass(frozen=True, kw_only=True)
class SphericalHarmonicsPart(PaddedPart):
    """``SphericalHarmonics``: of the direction from the middle of the unit box."""

    num_degrees: int
    pads_in_front: ClassVar[bool] = True

    @property
    def width(self) -> int:
        """Number of features without padding."""
        return self.num_degrees**2

    def features(self, coords: Coords, params: Flat) -> Features:
        """Return the harmonics of 2x - 1, degree by degree.

        Args:
            coords: Directions v as (v + 1) / 2.
            params: None.
        """
        del params
        return spherical_harmonics(2 * coords - 1, self.num_degrees)

    def hyperparams(self) -> dict[str, object]:
        """Return the settings by the names that tiny-cuda-nn has for them."""
        return {"otype": "SphericalHarmonics", "degree": self.num_degrees}
