r"""The map of the GTK slides: the bound of two points for every pair of labels.

With two points :math:`\Delta = Y^\top K^{-1} Y` is a quadratic form on the square of
labels, and the bound its root. The maps are compared as they are. Dividing each by its
own largest value first, as a published script does, leaves their shapes and makes the
comparison of two models meaningless.

For n = 2 the term of chance alone, :math:`3\sqrt{\log(2/\delta)/4}`, is above 1 at
every :math:`\delta` below 1: what the maps hold is the complexity term, and as bounds
on a loss all of it is vacuous.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.errors import ConfigError, ShapeError
from tangrid.tangent.generalisation.bound_forms import ball_complexity
from tangrid.tangent.generalisation.label_energy import is_in_range
from tangrid.tangent.kernels.kernel import TangentKernel

Map = Float[Tensor, "m m"]

_MARGIN = 1e-12
"""Relative difference of two maps that may be rounding."""


@dataclass(frozen=True, kw_only=True)
class BoundMap:
    """Hold the complexity term of Theorem 3 for all labels of two points.

    Attributes:
        labels: Values of each label, from -1 to 1.
        raw: As published, [label of the first point, label of the second]; infinite
            where the labels cannot be fitted.
        trace_normalised: The same for any scale of the kernel.
        eigenvalues: Of the kernel of both points, largest first.
        trace: Their sum.
    """

    labels: Float[Tensor, " m"]
    raw: Map
    trace_normalised: Map
    eigenvalues: Float[Tensor, " 2"]
    trace: float

    @property
    def on_host(self) -> "BoundMap":
        """The same in ordinary memory, wherever it was found."""
        return BoundMap(
            labels=self.labels.cpu(),
            raw=self.raw.cpu(),
            trace_normalised=self.trace_normalised.cpu(),
            eigenvalues=self.eigenvalues.cpu(),
            trace=self.trace,
        )


@dataclass(frozen=True, kw_only=True)
class MapDifference:
    """Hold how two models' maps differ, in units of the bound itself.

    Attributes:
        raw: First minus second.
        trace_normalised: The same for the scale-free form.
        share_lower_raw: Share of labels for which the first is lower, ties left out,
            and differences that are rounding; nan if nothing else is left.
        share_lower_normalised: The same for the scale-free form.
    """

    raw: Map
    trace_normalised: Map
    share_lower_raw: float
    share_lower_normalised: float


def two_point_map(kernel: TangentKernel, *, num_labels: int = 101) -> BoundMap:
    r"""Return the bound of Theorem 3 for all labels of two points in [-1, 1].

    Args:
        kernel: Kernel of two points and one channel, 2 by 2.
        num_labels: Labels along each side of the map.

    Raises:
        ShapeError: If the kernel is not that of two points.
        ConfigError: If the map has fewer than two labels a side.

    Example:
        >>> from tangrid.tangent.kernels.kernel import DenseKernel
        >>> found = two_point_map(DenseKernel(torch.eye(2).double()), num_labels=3)
        >>> [round(bound, 6) for bound in found.raw[2].tolist()]
        [1.414214, 1.0, 1.414214]
    """
    kernel.check_symmetric("two_point_map(kernel=...)")
    if kernel.outputs == "trace":
        raise ShapeError(
            "two_point_map(kernel=...): expected the kernel of one channel, got the "
            "sum of channels ('trace'), which is larger than that of any. Make it with "
            "outputs=0."
        )
    if kernel.shape != (2, 2) or kernel.num_outputs != 1:
        raise ShapeError(
            "two_point_map(kernel=...): expected the kernel of two points and one "
            f"channel, got {kernel.num_points[0]} points with {kernel.num_outputs} "
            "outputs. Make it with outputs=0 and two points."
        )
    if num_labels < 2:
        raise ConfigError(
            f"two_point_map(num_labels=...): expected at least 2, got {num_labels}."
        )
    found = kernel.eigensystem
    labels = torch.linspace(
        -1, 1, num_labels, dtype=torch.float64, device=kernel.device
    )
    pairs = torch.cartesian_prod(labels, labels)
    powers = found.coefficients(pairs.T.to(kernel.dtype)).square()
    resolved = found.clipped > 0
    energy = (powers[resolved] / found.values[resolved, None]).sum(0)
    energy[~is_in_range(powers, resolved)] = torch.inf
    trace = max(float(found.values.sum()), 0.0)
    size = energy.sqrt().reshape(num_labels, num_labels)
    return BoundMap(
        labels=labels,
        raw=size,  # sqrt(2 Delta / n) with n = 2
        # What cannot be fitted is so at any scale, a trace of 0 included.
        trace_normalised=torch.where(
            torch.isinf(size), size, size * ball_complexity(1.0, trace, 2)
        ),
        eigenvalues=found.values,
        trace=trace,
    )


def map_difference(first: BoundMap, second: BoundMap) -> MapDifference:
    """Return where the bound of one model is below that of another, and by how much.

    Args:
        first: Map of one model.
        second: Map of the other, of the same labels.

    Raises:
        ShapeError: If the maps have different labels.
    """
    if len(first.labels) != len(second.labels):
        raise ShapeError(
            "map_difference(first, second): expected maps of the same labels, got "
            f"{len(first.labels)} and {len(second.labels)} a side."
        )
    return MapDifference(
        raw=first.raw - second.raw,
        trace_normalised=first.trace_normalised - second.trace_normalised,
        share_lower_raw=_share_below(first.raw, second.raw),
        share_lower_normalised=_share_below(
            first.trace_normalised, second.trace_normalised
        ),
    )


def _share_below(first: Map, second: Map) -> float:
    """Return the share of lower numbers among those that differ by more than rounding.

    Of infinities of both there is no difference, of one there is.
    """
    larger = torch.maximum(first.abs(), second.abs())
    margin = torch.where(torch.isinf(larger), 0.0, _MARGIN * larger)
    lower = int((second - first > margin).sum())
    decided = lower + int((first - second > margin).sum())
    return lower / decided if decided else math.nan
