"""Peak signal-to-noise ratio with peak 1, on values clipped to [0, 1]."""

import math
from dataclasses import dataclass

import numpy as np

from tangrid.metrics.strips import Image, check_same_shape, clipped, strips

# Scores must stand in JSON and be compared, which infinity cannot.
_SMALLEST = 1e-30


@dataclass(frozen=True, kw_only=True)
class SquaredError:
    """Hold the squared error of the strips seen so far.

    Example:
        >>> target = np.zeros((4, 4, 1), dtype=np.float32)
        >>> error = SquaredError()
        >>> for start in (0, 2):
        ...     strip = target[start : start + 2]
        ...     error = error.with_strip(strip + np.float32(0.5), strip)
        >>> error.mse
        0.25
    """

    total: float = 0.0
    """Sum of squared differences."""
    count: int = 0
    """Number of values seen."""
    eight_bits: bool = False
    """Whether the reconstruction is rounded to 8 bits first, as a saved PNG is."""

    def with_strip(self, reconstruction: Image, target: Image) -> "SquaredError":
        """Return the error with one more strip of rows.

        Args:
            reconstruction: Values of the strip; clipped here.
            target: The values that they should equal.
        """
        check_same_shape("psnr", reconstruction, target)
        total = self.total
        for strip in strips(target.shape):
            found = clipped(reconstruction[strip])
            if self.eight_bits:
                found = np.round(found * 255.0) / 255.0
            total += float(np.square(found - clipped(target[strip])).sum())
        return SquaredError(
            total=total, count=self.count + target.size, eight_bits=self.eight_bits
        )

    @property
    def mse(self) -> float:
        """Mean squared error over pixels and channels; NaN before the first strip."""
        return self.total / self.count if self.count else math.nan

    @property
    def psnr(self) -> float:
        """Ratio in decibels, 300 where nothing differs."""
        return -10.0 * math.log10(max(self.mse, _SMALLEST)) if self.count else math.nan


def psnr(reconstruction: Image, target: Image) -> float:
    """Compute the peak signal-to-noise ratio, not quantised.

    Args:
        reconstruction: Values; clipped to [0, 1] here.
        target: The values that they should equal; clipped likewise.

    Returns:
        Decibels: -10 log10 of the mean squared error over pixels and channels;
        300 for equal images, NaN where a value is NaN.

    Example:
        >>> target = np.zeros((4, 4, 1), dtype=np.float32)
        >>> round(psnr(target + np.float32(0.1), target), 3)
        20.0
    """
    return SquaredError().with_strip(reconstruction, target).psnr


def psnr_8bit(reconstruction: Image, target: Image) -> float:
    """Compute the peak signal-to-noise ratio after rounding to 8 bits.

    Args:
        reconstruction: Values; clipped to [0, 1] and rounded to 8 bits here.
        target: The values that they should equal; clipped, not rounded.

    Returns:
        Decibels; 300 where the rounded image equals the target.

    Example:
        >>> target = np.zeros((4, 4, 1), dtype=np.float32)
        >>> psnr_8bit(target + np.float32(0.001), target)
        300.0
    """
    return SquaredError(eight_bits=True).with_strip(reconstruction, target).psnr
