"""Mean absolute error, on values clipped to [0, 1]."""

import math
from dataclasses import dataclass

import numpy as np

from tangrid.metrics.strips import Image, check_same_shape, clipped, strips


@dataclass(frozen=True, kw_only=True)
class AbsoluteError:
    """Hold the absolute error of the strips seen so far."""

    total: float = 0.0
    """Sum of absolute differences."""
    count: int = 0
    """Number of values seen."""

    def with_strip(self, reconstruction: Image, target: Image) -> "AbsoluteError":
        """Return the error with one more strip of rows.

        Args:
            reconstruction: Values of the strip; clipped here.
            target: The values that they should equal.
        """
        check_same_shape("mae", reconstruction, target)
        total = self.total
        for strip in strips(target.shape):
            difference = clipped(reconstruction[strip]) - clipped(target[strip])
            total += float(np.abs(difference).sum())
        return AbsoluteError(total=total, count=self.count + target.size)

    @property
    def mae(self) -> float:
        """Mean over pixels and channels; NaN before the first strip."""
        return self.total / self.count if self.count else math.nan


def mae(reconstruction: Image, target: Image) -> float:
    """Compute the mean absolute error.

    Args:
        reconstruction: Values; clipped to [0, 1] here.
        target: The values that they should equal; clipped likewise.

    Returns:
        The mean over pixels and channels, in the unit of the values.

    Example:
        >>> target = np.zeros((4, 4, 1), dtype=np.float32)
        >>> mae(target + np.float32(0.25), target)
        0.25
    """
    return AbsoluteError().with_strip(reconstruction, target).mae
