r"""Structural similarity as the papers on neural fields measure it.

.. math::
    \mathrm{SSIM} = \frac{(2 \mu_x \mu_y + c_1)(2 \sigma_{xy} + c_2)}
                         {(\mu_x^2 + \mu_y^2 + c_1)(\sigma_x^2 + \sigma_y^2 + c_2)}

with moments under a Gaussian window of 11 x 11 pixels and standard deviation 1.5, at
the pixels where the window lies inside the image; c1 = 0.01^2, c2 = 0.03^2; the mean
over pixels and channels; values clipped to [0, 1].
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from tangrid.errors import ShapeError
from tangrid.metrics.strips import Image, check_same_shape, clipped, strips

WINDOW = 11
"""Pixels along each side of the window; the smallest image that has an SSIM."""

_RADIUS = WINDOW // 2
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2


def _gaussian() -> Float[np.ndarray, " k"]:
    weights = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    return weights / weights.sum()


_WEIGHTS = _gaussian()


def _moment(values: Image) -> Float[np.ndarray, "v u c"]:
    """Return averages under the window, where it lies inside."""
    inside = slice(_RADIUS, -_RADIUS)
    down = ndimage.correlate1d(values, _WEIGHTS, axis=0)[inside]
    return ndimage.correlate1d(down, _WEIGHTS, axis=1)[:, inside]


def _similarity(x: Image, y: Image) -> Float[np.ndarray, "v u c"]:
    mean_x, mean_y = _moment(x), _moment(y)
    product, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance = _moment(x * y) - product
    variances = _moment(x * x + y * y) - squares
    numerator = (2.0 * product + _C1) * (2.0 * covariance + _C2)
    return numerator / ((squares + _C1) * (variances + _C2))


@dataclass(frozen=True, kw_only=True, eq=False)
class StructuralSimilarity:
    """Hold the similarity of the strips seen so far, given from top to bottom.

    The last 10 rows of both images are kept, so the result is that of whole images,
    however they are cut.

    Example:
        >>> image = np.linspace(0, 1, 600, dtype=np.float32).reshape(30, 20, 1)
        >>> similarity = StructuralSimilarity()
        >>> for start in range(0, 30, 7):
        ...     strip = image[start : start + 7]
        ...     similarity = similarity.with_strip(strip, strip)
        >>> round(similarity.ssim, 6)
        1.0
    """

    total: float = 0.0
    """Sum of the similarity over windows and channels."""
    count: int = 0
    """Number of windows and channels seen."""
    tail: tuple[Image, Image] | None = None
    """Last rows of the reconstruction and of the target."""

    def with_strip(
        self, reconstruction: Image, target: Image
    ) -> "StructuralSimilarity":
        """Return the similarity with one more strip of rows below the last.

        Args:
            reconstruction: Values of the strip; clipped here.
            target: The values that they should equal.

        Raises:
            ShapeError: If the strips differ in shape, or from those before in width,
                or are narrower than the window.
        """
        check_same_shape("ssim", reconstruction, target)
        if target.shape[1] < WINDOW:
            raise ShapeError(
                f"ssim: expected images at least {WINDOW} pixels wide, got "
                f"{target.shape[1]}. Leave SSIM out for images this small."
            )
        if self.tail is not None and self.tail[1].shape[1:] != target.shape[1:]:
            raise ShapeError(
                "ssim: expected a strip of the same width and channels as those "
                f"before, {self.tail[1].shape[1:]}, got {target.shape[1:]}. "
                "Start a new StructuralSimilarity for a new image."
            )
        total, count, tail = self.total, self.count, self.tail
        for strip in strips(target.shape):
            x, y = clipped(reconstruction[strip]), clipped(target[strip])
            if tail is not None:
                x = np.concatenate([tail[0], x])
                y = np.concatenate([tail[1], y])
            # A copy, or the tail would hold the whole strip in memory.
            tail = (x[1 - WINDOW :].copy(), y[1 - WINDOW :].copy())
            if len(x) >= WINDOW:
                similarity = _similarity(x, y)
                total += float(similarity.sum())
                count += similarity.size
        return StructuralSimilarity(total=total, count=count, tail=tail)

    @property
    def ssim(self) -> float:
        """Mean similarity over windows and channels.

        Raises:
            ShapeError: If fewer rows were seen than the window has.
        """
        if not self.count:
            rows = 0 if self.tail is None else len(self.tail[1])
            raise ShapeError(
                f"ssim: expected images at least {WINDOW} pixels high, got {rows}. "
                "Leave SSIM out for images this small."
            )
        return self.total / self.count


def ssim(reconstruction: Image, target: Image) -> float:
    """Compute the structural similarity of two images.

    Args:
        reconstruction: Values; clipped to [0, 1] here.
        target: The values that they should equal; clipped likewise.

    Returns:
        1 for equal images; NaN where a value is NaN. Images with a side shorter than
        11 pixels have no SSIM and raise a `ShapeError`.

    Example:
        >>> image = np.linspace(0, 1, 600, dtype=np.float32).reshape(30, 20, 1)
        >>> ssim(image, 1 - image) < ssim(image, image)
        True

    References:
        [wang2004]
    """
    return StructuralSimilarity().with_strip(reconstruction, target).ssim
