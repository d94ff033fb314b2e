"""From errors in windows to a ranking, with standard errors of the differences.

Windows of one signal differ by ten decibels, models in one window by one: most of what
a predicted PSNR may be off by is the sample's, and all candidates share it. Standard
errors are the jackknife's, over windows; those of differences leave out the same window
for both.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from tangrid.tangent.dynamics.prediction import psnr_of

Windows = Float[Tensor, " windows"]


@dataclass(frozen=True, kw_only=True)
class Rank:
    """Say where a candidate stands.

    Attributes:
        label: The candidate.
        place: From 1, the best.
        psnr: Predicted, in dB with a peak of 1.
        psnr_error: Its standard error over windows, most of which all candidates share.
        behind: How far it is behind the best, in dB.
        behind_error: Standard error of that; 0 of the best itself.
    """

    label: str
    place: int
    psnr: float
    psnr_error: float
    behind: float
    behind_error: float


def ranking(errors: Mapping[str, Windows]) -> list[Rank]:
    """Return all candidates, the best first.

    Args:
        errors: Mean square error in every window of every seed, by candidate; the same
            windows in the same order for all.

    Example:
        >>> import torch
        >>> worse, better = torch.tensor([0.1, 0.01]), torch.tensor([0.01, 0.001])
        >>> [rank.label for rank in ranking({"worse": worse, "better": better})]
        ['better', 'worse']
    """
    found = {label: mean_psnr(each) for label, each in errors.items()}
    order = sorted(found, key=lambda label: -found[label])
    left_out = {label: _without_each(each) for label, each in errors.items()}
    best = left_out[order[0]]
    return [
        Rank(
            label=label,
            place=place,
            psnr=found[label],
            psnr_error=_jackknife(left_out[label]),
            behind=found[order[0]] - found[label],
            behind_error=_jackknife(best - left_out[label]),
        )
        for place, label in enumerate(order, start=1)
    ]


def mean_psnr(errors: Windows) -> float:
    """Return the PSNR of the mean square error over all windows.

    Args:
        errors: Mean square error in every window.
    """
    return float(psnr_of(errors.double().mean()))


def _without_each(errors: Windows) -> Windows:
    """Return the PSNR without one window, for every window."""
    count = max(len(errors) - 1, 1)
    return psnr_of((errors.double().sum() - errors.double()) / count)


def _jackknife(left_out: Windows) -> float:
    """Return the standard error that leaving out one window at a time shows."""
    if len(left_out) < 2:
        return math.inf
    spread = (left_out - left_out.mean()).square().sum()
    return float((spread * (len(left_out) - 1) / len(left_out)).sqrt())
