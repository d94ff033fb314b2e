r"""A tangent kernel in a few numbers, alone and with what is to be learned.

With eigenpairs :math:`\lambda_i, v_i`, largest first, their shares
:math:`p_i = \lambda_i/\sum\lambda` and the residual r of the targets:

=======================  ===========================================================
rank                     eigenvalues above the resolution, n eps lambda_1
effective rank           :math:`\exp(-\sum_i p_i \log p_i)`, of the entropy
participation ratio      :math:`1/\sum_i p_i^2`
effective dimension      :math:`d(\mu) = \sum_i \lambda_i/(\lambda_i + \mu)`
decay exponent           slope of :math:`\log\lambda_i` against :math:`\log i`, negated
alignment                :math:`\langle K, rr^\top\rangle/(\|K\|\,\|rr^\top\|)`
cumulative power         :math:`C(\rho) = \sum_{i\le\rho}(v_i^\top r)^2/\|r\|^2`
=======================  ===========================================================

They describe a kernel. To choose between models there are leave-one-out residuals.

References:
    Roy, Vetterli: The Effective Rank, EUSIPCO 2007. Cristianini et al.: On
    Kernel-Target Alignment, NIPS 2001. Cortes, Mohri, Rostamizadeh: Algorithms for
    Learning Kernels Based on Centered Alignment, JMLR 2012. Canatar, Bordelon,
    Pehlevan: arXiv 2006.13198 (cumulative power).
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.errors import ConfigError, ResourceError, ShapeError
from tangrid.tangent.algebra.extreme_eigenvalues import DENSE_LIMIT
from tangrid.tangent.dynamics.descent import Descent, GradientDescent
from tangrid.tangent.dynamics.prediction import (
    Labels,
    ResidualModes,
    psnr_of,
    residual_modes,
    residual_of,
    steps_to_psnr,
)
from tangrid.tangent.kernels.kernel import TangentKernel
from tangrid.tangent.summary_record import (
    CumulativePower,
    Decay,
    EffectiveDimension,
    KernelSummary,
    Learning,
    StepsTo,
)

_FITTED_RANKS = 64
"""Ranks at which a decay is fitted, evenly spread so that every octave counts alike."""
_FEWEST_RANKS = 5
_LOST = 1e-12
"""Share of a kernel's norm below which what is left of it is rounding."""


def summarise(
    kernel: TangentKernel,
    targets: Labels | None = None,
    initial: Labels | None = None,
    *,
    descent: Descent | None = None,
    relative_ridges: Sequence[float] = (1e-2, 1e-4, 1e-6),
    fractions: Sequence[float] = (0.01, 0.05, 0.1, 0.25, 0.5),
    psnr_levels: Sequence[float] = (20.0, 30.0, 40.0),
    ranks: tuple[int, int] | None = None,
) -> KernelSummary:
    """Return a tangent kernel in numbers.

    The largest stable rate is that of values with this very kernel, whatever the
    targets. For a kernel over the sum of channels (``trace``) that is not the field's,
    whose channels train apart: what is learned is predicted with the mean over the
    channels of the targets, and the default rate is half of what is stable for that.

    Args:
        kernel: Kernel of points with themselves; its eigensystem is computed.
        targets: Values to be learned, [n, c] with peak 1.
        initial: Outputs before training; None for 0.
        descent: How they would be learned; gradient descent at half the largest stable
            rate by default.
        relative_ridges: Ridges for the effective dimension, over the mean diagonal.
        fractions: Shares of the eigenvectors for the cumulative power.
        psnr_levels: Decibels for the predicted steps.
        ranks: First and last rank, from 1, of the eigenvalues whose decay is fitted;
            by default from a fiftieth to half of the resolved ones.

    Raises:
        ConfigError: If a setting is out of range.
        ShapeError: If the kernel is empty or not of points with themselves, or targets
            do not fit.
        ResourceError: If the kernel has too many rows for all eigenvalues.
        NumericalError: If the kernel is not finite.

    Example:
        >>> from tangrid.tangent.kernels.kernel import DenseKernel
        >>> found = summarise(DenseKernel(torch.eye(4).double()))
        >>> found.rank, round(found.effective_rank, 6), found.max_rate
        (4, 4.0, 2.0)
    """
    _check_size(kernel)
    _check_positive("relative_ridges", relative_ridges)
    _check_positive("fractions", fractions)
    system = kernel.eigensystem
    values, rows = system.clipped.double(), kernel.shape[0]
    trace = float(kernel.diagonal().double().sum())
    shared = 1
    if targets is not None and kernel.outputs == "trace":
        shared = residual_of(kernel, targets, initial)[0].shape[1]
    largest = max(system.largest, 0.0)
    way = descent or GradientDescent(_half_stable_rate(largest / shared))
    return KernelSummary(
        num_points=kernel.num_points[0],
        num_outputs=kernel.num_outputs,
        mean_diagonal=trace / rows,
        trace_per_point=trace / kernel.num_points[0],
        largest=system.largest,
        smallest=system.smallest,
        resolution=system.resolution,
        smallest_is_resolved=not system.is_singular,
        condition=system.condition,
        rank=system.rank,
        effective_rank=_effective_rank(values),
        participation_ratio=_ratio(float(values.sum()) ** 2, _squares(values)),
        effective_dimensions=tuple(
            _effective_dimension(values, share, share * trace / rows)
            for share in relative_ridges
        ),
        decay=_decay(values, system.rank, ranks),
        max_rate=way.largest_stable_rate(largest),
        learning=None
        if targets is None
        else _learning(kernel, targets, initial, way, fractions, psnr_levels),
    )


def _half_stable_rate(largest: float) -> float:
    return 1.0 / largest if largest > 0 else 1.0


def _check_size(kernel: TangentKernel) -> None:
    kernel.check_symmetric("summarise(kernel=...)")
    rows = kernel.shape[0]
    if rows == 0:
        raise ShapeError(
            "summarise(kernel=...): expected at least one point, got none."
        )
    if rows > DENSE_LIMIT and not kernel.has_eigensystem:
        raise ResourceError(
            f"summarise: expected at most {DENSE_LIMIT} rows, got {rows}. Take fewer "
            "points, or see kernel.eigenvalues(k), spectral_density and quadratic_form "
            "for what can be had of a large kernel."
        )


def _check_positive(where: str, numbers: Sequence[float]) -> None:
    bad = [number for number in numbers if not (number > 0 and math.isfinite(number))]
    if bad:
        raise ConfigError(
            f"summarise({where}=...): expected numbers > 0, got {bad[0]}."
        )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def _squares(values: Tensor) -> float:
    return float(values.square().sum())


def _effective_rank(values: Float[Tensor, " n"]) -> float:
    """Return exp of the entropy; 0 for a kernel that is 0."""
    kept = values[values > 0]
    if len(kept) == 0:
        return 0.0
    shares = kept / kept.sum()
    return math.exp(-float((shares * shares.log()).sum()))


def _effective_dimension(
    values: Float[Tensor, " n"], share: float, ridge: float
) -> EffectiveDimension:
    found = float((values / (values + ridge)).sum()) if ridge > 0 else 0.0
    return EffectiveDimension(relative_ridge=share, ridge=ridge, value=found)


def _decay(
    values: Float[Tensor, " n"], rank: int, ranks: tuple[int, int] | None
) -> Decay | None:
    first, last = ranks or (max(2, math.ceil(rank / 50)), rank // 2)
    if ranks is not None and not 1 <= first < last <= rank:
        raise ConfigError(
            f"summarise(ranks={ranks}): expected two ranks from 1 to {rank}, the "
            "number of resolved eigenvalues, the smaller first."
        )
    if ranks is None and last - first + 1 < _FEWEST_RANKS:
        return None
    spread = torch.logspace(
        math.log10(first), math.log10(last), _FITTED_RANKS, dtype=torch.float64
    )
    numbers = spread.round().clamp(first, last).unique()
    x = numbers.log()
    y = values.cpu()[numbers.long() - 1].log()
    x, y = x - x.mean(), y - y.mean()
    slope = float((x * y).sum() / x.square().sum())
    # A flat spectrum varies by rounding alone, and the law explains all there is.
    varied = _squares(y) > _LOST * len(y)
    r_squared = 1.0 - _squares(y - slope * x) / _squares(y) if varied else 1.0
    return Decay(exponent=-slope, first=first, last=last, r_squared=r_squared)


def _learning(
    kernel: TangentKernel,
    targets: Labels,
    initial: Labels | None,
    descent: Descent,
    fractions: Sequence[float],
    psnr_levels: Sequence[float],
) -> Learning:
    modes = residual_modes(kernel, targets, initial)
    powers = modes.coefficients.double().square().sum(1)
    total, count = float(powers.sum()), len(powers)
    outside = float(powers[modes.values == 0].sum())
    sizes = modes.targets.numel()
    return Learning(
        alignment=_alignment(modes),
        centred_alignment=_centred_alignment(kernel, modes),
        cumulative_power=tuple(
            CumulativePower(
                fraction=fraction,
                count=(number := min(count, math.ceil(fraction * count))),
                power=_ratio(float(powers[:number].sum()), total),
            )
            for fraction in fractions
        ),
        outside_range=math.sqrt(_ratio(outside, total)),
        rate=descent.rate,
        initial_psnr=_psnr(total / sizes),
        limit_psnr=_psnr(outside / sizes),
        steps=tuple(
            StepsTo(
                psnr=level,
                steps=steps_to_psnr(kernel, targets, initial, descent, level),
            )
            for level in psnr_levels
        ),
    )


def _psnr(mse: float) -> float:
    return float(psnr_of(torch.tensor(mse, dtype=torch.float64)))


def _alignment(modes: ResidualModes) -> float:
    inner = modes.coefficients.double()
    both = float((modes.values.double() @ inner.square()).sum())
    size = math.sqrt(_squares(modes.values.double()))
    size *= float(torch.linalg.matrix_norm(inner.T @ inner))
    return both / size if size > 0 else math.nan


def _centred_alignment(kernel: TangentKernel, modes: ResidualModes) -> float:
    r"""Return the alignment of H K H and H r, H taking means over points out.

    With E the normalised constant functions, H = I - E E^T, and
    |H K H|^2 = |K|^2 - 2 |K E|^2 + |E^T K E|^2 needs no matrix.
    """
    points, channels = kernel.num_points[0], kernel.num_outputs
    values, vectors = modes.values.double(), modes.vectors.double()
    eye = torch.eye(channels, dtype=torch.float64, device=vectors.device)
    means = vectors.T @ eye.repeat(points, 1) / math.sqrt(points)
    image = values[:, None] * means
    whole = _squares(values)
    left = whole - 2.0 * _squares(image) + _squares(means.T @ image)
    inner = modes.coefficients.double()
    centred = inner - means @ (means.T @ inner)
    sizes = float(torch.linalg.matrix_norm(centred.T @ centred))
    both = float((values @ centred.square()).sum())
    if left <= _LOST * whole or sizes <= _LOST * _squares(inner):
        return math.nan
    return both / (math.sqrt(left) * sizes)
