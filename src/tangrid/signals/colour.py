"""The sRGB curve: values as pictures store them, and linear light."""

from typing import Literal

import numpy as np
from jaxtyping import Float

Colour = Literal["srgb", "linear"]
"""How a value relates to light: coded with the sRGB curve, or proportional to it."""


def linear_from_srgb(values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Turn sRGB-coded values into linear light.

    Args:
        values: Coded values; 0 is black and 1 is white.

    Returns:
        Linear values in the dtype of `values`; 0 and 1 stay where they are.

    Example:
        >>> float(linear_from_srgb(np.array([0.5])).round(4)[0])
        0.214
    """
    curved = ((np.maximum(values, 0.0) + 0.055) / 1.055) ** 2.4
    linear = np.where(values <= 0.04045, values / 12.92, curved)
    return linear.astype(values.dtype, copy=False)


def srgb_from_linear(values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Turn linear light into sRGB-coded values; the inverse of `linear_from_srgb`.

    Args:
        values: Linear values; 0 is black and 1 is white.

    Returns:
        Coded values in the dtype of `values`; 0 and 1 stay where they are.

    Example:
        >>> float(srgb_from_linear(np.array([0.214])).round(3)[0])
        0.5
    """
    root = np.maximum(values, 0.0) ** (1.0 / 2.4)
    # 1.055 root - 0.055, in a form that rounding leaves at 1 for 1.
    curved = root + 0.055 * (root - 1.0)
    coded = np.where(values <= 0.0031308, values * 12.92, curved)
    return coded.astype(values.dtype, copy=False)
