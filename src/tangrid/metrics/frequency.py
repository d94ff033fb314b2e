"""Which frequencies of an image a reconstruction has, and which it lacks.

Power is averaged over rings of equal frequency and over channels. The mean is taken
out, and a Hann window keeps the image's borders from showing up as frequencies of
their own. The scale is such that white noise has its variance at every frequency.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tangrid.errors import ShapeError
from tangrid.metrics.strips import Image, check_same_shape

MAX_SIDE = 2048
"""Larger images are judged by their centre of at most this many pixels a side."""

_MIN_SIDE = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class PowerSpectra:
    """Hold the power of a target and of a reconstruction's error by frequency."""

    cycles_per_pixel: Float[np.ndarray, " b"]
    """Middle of each ring, in ascending order between 0 and 0.5."""
    target_power: Float[np.ndarray, " b"]
    """Power of the target."""
    error_power: Float[np.ndarray, " b"]
    """Power of reconstruction minus target."""
    centre: tuple[int, int, int, int]
    """The pixels judged: first column, first row, width and height."""


def centre_of(
    width: int, height: int, max_side: int = MAX_SIDE
) -> tuple[int, int, int, int]:
    """Return the part of an image whose spectrum is taken.

    Args:
        width: Columns of the image.
        height: Rows of the image.
        max_side: Longest side of the part.

    Returns:
        First column, first row, width and height of the part.

    Example:
        >>> centre_of(3250, 1000)
        (601, 0, 2048, 1000)
    """
    inner_width, inner_height = min(width, max_side), min(height, max_side)
    x, y = (width - inner_width) // 2, (height - inner_height) // 2
    return x, y, inner_width, inner_height


def _hann(size: int) -> Float[np.ndarray, " n"]:
    # Sampled between the ends, so that no pixel has weight zero.
    return np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2


def _power(image: Image) -> Float[np.ndarray, "h k"]:
    """Return the power at each frequency of a real Fourier transform."""
    height, width, channels = image.shape
    window = _hann(height)[:, None] * _hann(width)[None, :]
    power = np.zeros((height, width // 2 + 1))
    for channel in range(channels):
        values = image[..., channel].astype(np.float64)
        values = (values - np.average(values, weights=window)) * window
        power += np.abs(np.fft.rfft2(values)) ** 2
    return power / (channels * np.square(window).sum())


def _rings(height: int, width: int, num_rings: int) -> np.ndarray:
    """Return the ring of each frequency; `num_rings` stands for outside of all."""
    down = np.fft.fftfreq(height)[:, None]
    right = np.fft.rfftfreq(width)[None, :]
    radius = np.hypot(down, right)
    rings = np.minimum((radius * 2.0 * num_rings).astype(np.int64), num_rings)
    # The mean was taken out: its bin would only pull the lowest ring down.
    rings[0, 0] = num_rings
    return rings


def _multiplicity(width: int) -> Float[np.ndarray, " k"]:
    """Return how often each column of a real transform occurs in the full one."""
    counts = np.full(width // 2 + 1, 2.0)
    counts[0] = 1.0
    if width % 2 == 0:
        counts[-1] = 1.0
    return counts


def power_spectra(
    reconstruction: Image,
    target: Image,
    *,
    num_rings: int = 64,
    max_side: int = MAX_SIDE,
) -> PowerSpectra:
    """Compute radially averaged power spectra of a target and of the error.

    Args:
        reconstruction: Values, not clipped.
        target: The values that they should equal.
        num_rings: Number of rings between 0 and 0.5 cycles per pixel; small images
            get fewer, and a ring without any frequency is left out.
        max_side: Longest side of the centre that is judged.

    Returns:
        The spectra; corners of the frequency square beyond 0.5 are left out.

    Raises:
        ShapeError: If the images differ in shape or a side has fewer than 8 pixels.

    Example:
        >>> columns = np.arange(64, dtype=np.float32)
        >>> wave = np.cos(2 * np.pi * 0.25 * columns)[None, :, None]
        >>> target = np.broadcast_to(wave, (64, 64, 1))
        >>> spectra = power_spectra(np.zeros_like(target), target, num_rings=10)
        >>> float(spectra.cycles_per_pixel[spectra.error_power.argmax()])
        0.275
    """
    check_same_shape("power_spectra", reconstruction, target)
    x, y, width, height = centre_of(target.shape[1], target.shape[0], max_side)
    if min(width, height) < _MIN_SIDE:
        raise ShapeError(
            f"power_spectra: expected at least {_MIN_SIDE} pixels on each side, got "
            f"{width} x {height}. Leave the spectra out for images this small."
        )
    part = (slice(y, y + height), slice(x, x + width))
    error = reconstruction[part].astype(np.float32) - target[part]
    num_rings = min(num_rings, min(width, height) // 2)
    rings = _rings(height, width, num_rings).ravel()
    weights = np.broadcast_to(_multiplicity(width), (height, width // 2 + 1)).ravel()

    def ring_sums(values: np.ndarray) -> np.ndarray:
        return np.bincount(rings, values, minlength=num_rings + 1)[:num_rings]

    counts = ring_sums(weights)
    kept = counts > 0
    target_sums = ring_sums(_power(target[part]).ravel() * weights)
    error_sums = ring_sums(_power(error).ravel() * weights)
    middles = (np.arange(num_rings) + 0.5) / (2.0 * num_rings)
    return PowerSpectra(
        cycles_per_pixel=middles[kept],
        target_power=target_sums[kept] / counts[kept],
        error_power=error_sums[kept] / counts[kept],
        centre=(x, y, width, height),
    )
