"""The numbers of a run in words: labels, units, digits and which way is better."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeGuard

MISSING = "\N{EN DASH}"
"""What stands where a run has no number."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """How one entry of ``metrics.json`` is shown."""

    key: str
    label: str
    unit: str = ""
    digits: int | None = 2
    """Digits after the point; None for whole numbers."""
    better: int = 0
    """1 if more is better, -1 if less is better, 0 if neither."""

    def text(self, metrics: Mapping[str, Any]) -> str:
        """Return the number without its unit.

        Args:
            metrics: Entries of ``metrics.json``.
        """
        return self.format(metrics.get(self.key))

    def format(self, value: object) -> str:
        """Return a number of this measure without its unit.

        Args:
            value: A number; anything else gives a dash.
        """
        if not is_number(value):
            return MISSING
        return f"{value:,.0f}" if self.digits is None else f"{value:,.{self.digits}f}"


QUALITY = (
    Measure(key="psnr", label="PSNR", unit="dB", better=1),
    Measure(key="psnr_8bit", label="PSNR, 8 bit", unit="dB", better=1),
    Measure(key="psnr_heldout", label="PSNR, held out", unit="dB", better=1),
    Measure(key="ssim", label="SSIM", digits=4, better=1),
    Measure(key="lpips", label="LPIPS", digits=4, better=-1),
    Measure(key="iou", label="IoU", digits=4, better=1),
    Measure(key="nae", label="Normal error", unit="°", better=-1),
    Measure(key="chamfer_l1", label="Chamfer L1", digits=5, better=-1),
    Measure(key="sdf_error", label="SDF error", digits=6, better=-1),
)
"""What tells how well a field fits."""

COST = (
    Measure(key="params_trainable", label="Parameters", digits=None),
    Measure(key="params_stored", label="Stored", digits=None),
    Measure(key="steps", label="Steps", digits=None),
    Measure(key="seconds", label="Seconds", unit="s", digits=1),
    Measure(key="rays_per_second", label="Rays/s", digits=None),
    Measure(key="samples_per_second", label="Samples/s", digits=None),
)
"""What a fit took."""


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a finite number.

    Args:
        value: Any plain value.
    """
    is_numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_numeric and isfinite(value)  # pyright: ignore[reportArgumentType]


def duration(seconds: object) -> tuple[str, str]:
    """Return a span of time as a number and its unit.

    Args:
        seconds: How long it took.

    Returns:
        Number and unit, such as ``("3:20", "min")``.

    Example:
        >>> duration(12.34), duration(200.0), duration(None)
        (('12.3', 's'), ('3:20', 'min'), ('–', ''))
    """
    if not is_number(seconds):
        return MISSING, ""
    if seconds < 100:
        return f"{seconds:.1f}", "s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes}:{rest:02d}", "min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}", "h"
