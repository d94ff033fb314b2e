"""What a tangent kernel in numbers is kept in."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class EffectiveDimension:
    """Hold how many directions a ridge leaves.

    Attributes:
        relative_ridge: The ridge over the mean of the diagonal.
        ridge: The ridge itself.
        value: d(ridge).
    """

    relative_ridge: float
    ridge: float
    value: float


@dataclass(frozen=True, kw_only=True)
class Decay:
    """Hold a power law fitted to eigenvalues.

    Attributes:
        exponent: a in lambda_i ~ i^-a.
        first: Rank of the first eigenvalue that was used, from 1.
        last: Rank of the last.
        r_squared: Share of the variance of log lambda that the law explains; a
            spectrum that is no power law has less.
    """

    exponent: float
    first: int
    last: int
    r_squared: float


@dataclass(frozen=True, kw_only=True)
class CumulativePower:
    """Hold how much of the targets the leading eigenvectors have.

    Attributes:
        fraction: Share of all eigenvectors.
        count: Their number.
        power: Share of the squared norm of what is to be learned.
    """

    fraction: float
    count: int
    power: float


@dataclass(frozen=True, kw_only=True)
class StepsTo:
    """Hold when a quality is predicted to be reached.

    Attributes:
        psnr: Decibels, for values whose peak is 1.
        steps: Steps; infinite where it is never reached.
    """

    psnr: float
    steps: float


@dataclass(frozen=True, kw_only=True)
class Learning:
    """Hold what a kernel makes of given targets, less the initial outputs.

    Attributes:
        alignment: Kernel-target alignment, 0 to 1; NaN if there is nothing to learn.
        centred_alignment: The same without the means over points.
        cumulative_power: Of the leading eigenvectors.
        outside_range: Share of the norm that no resolved eigenvector has: what
            training never reaches.
        rate: Learning rate that is assumed, on half the sum of squares.
        initial_psnr: Before training.
        limit_psnr: After any number of steps; 300 if nothing is left.
        steps: Predicted for gradient descent with the kernel as it is now.
    """

    alignment: float
    centred_alignment: float
    cumulative_power: tuple[CumulativePower, ...]
    outside_range: float
    rate: float
    initial_psnr: float
    limit_psnr: float
    steps: tuple[StepsTo, ...]


@dataclass(frozen=True, kw_only=True)
class KernelSummary:
    """Hold a tangent kernel in numbers.

    Attributes:
        num_points: Points (n).
        num_outputs: Rows per point.
        mean_diagonal: Trace over the number of rows.
        trace_per_point: Trace over the number of points.
        largest: Largest eigenvalue.
        smallest: Smallest eigenvalue as computed: rounding if it is not resolved.
        resolution: Size of rounding, rows eps largest.
        smallest_is_resolved: Whether the smallest eigenvalue can be told from 0.
        condition: Largest over smallest eigenvalue; infinite if that is not resolved.
        rank: Resolved eigenvalues.
        effective_rank: Exponential of the entropy of the eigenvalues.
        participation_ratio: Squared trace over squared Frobenius norm.
        effective_dimensions: At several ridges.
        decay: Power law; None if too few eigenvalues are resolved.
        max_rate: Learning rate on half the sum of squares from which on gradient
            descent diverges, of values with this very kernel: 2 over the largest
            eigenvalue, without momentum.
        learning: What it makes of targets; None without them.
    """

    num_points: int
    num_outputs: int
    mean_diagonal: float
    trace_per_point: float
    largest: float
    smallest: float
    resolution: float
    smallest_is_resolved: bool
    condition: float
    rank: int
    effective_rank: float
    participation_ratio: float
    effective_dimensions: tuple[EffectiveDimension, ...]
    decay: Decay | None
    max_rate: float
    learning: Learning | None

    def to_plain(self) -> dict[str, Any]:
        """Return the numbers as JSON knows them: None stands for infinity and NaN."""
        return _plain(self)


def _plain(value: object) -> Any:  # noqa: ANN401
    if dataclasses.is_dataclass(value):
        return {
            field.name: _plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
        }
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
