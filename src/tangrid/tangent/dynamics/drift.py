r"""How far a tangent kernel has moved while its field was trained (Theorem 2).

Theorem 2 says :math:`K_t = K_0`. It holds exactly where the field is affine in what is
trained; elsewhere the change splits in two at right angles, a rescaling and a rest:

.. math::
    \frac{\|K_t - K_0\|^2}{\|K_0\|^2} = (\alpha^* - 1)^2
        + \frac{\|K_t - \alpha^* K_0\|^2}{\|K_0\|^2}, \qquad
    \alpha^* = \frac{\langle K_t, K_0 \rangle}{\|K_0\|^2}

with Frobenius products. A rescaling changes how fast modes are learned, but neither
their order nor their shape.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import eigh, subspace_angles
from torch import Tensor

from tangrid.errors import ConfigError, ShapeError
from tangrid.tangent.algebra.finiteness import check_gradients
from tangrid.tangent.kernels.kernel import TangentKernel

Matrix = Float[Tensor, "n n"]

_USUAL_LEADING = 10
_SAFE_GAPS = 1e3
"""A cut is kept if rounding turns the space by less than the inverse of this."""


@dataclass(frozen=True, kw_only=True)
class SubspaceAngle:
    r"""Hold the largest principal angle between two spaces of leading eigenvectors.

    Where the eigenvalues on both sides of the cut are equal, the space is not defined.
    So the cut moves to the next smaller one that both kernels resolve.

    Attributes:
        radians: The angle; nan if no cut up to the one asked for is resolved.
        num_leading: Eigenvectors in each space, at most as many as were asked for.
        num_asked: How many were asked for.
        rounding: What rounding errors may add to the angle, in radians.
    """

    radians: float
    num_leading: int
    num_asked: int
    rounding: float

    @property
    def degrees(self) -> float:
        """The angle in degrees."""
        return math.degrees(self.radians)


@dataclass(frozen=True, kw_only=True)
class KernelChange:
    r"""Compare a kernel with what it was.

    Attributes:
        relative: :math:`\|K_t - K_0\| / \|K_0\|`; infinite if the kernel was 0.
        scale: The best rescaling :math:`\alpha^*`; nan if the kernel was 0.
        rest: :math:`\|K_t - \alpha^* K_0\| / \|K_0\|`, what no rescaling explains.
        alignment: :math:`\langle K_t, K_0 \rangle / (\|K_t\| \|K_0\|)`, the cosine
            between both (CKA without centring); nan if one of them is 0.
        trace_ratio: :math:`\operatorname{tr} K_t / \operatorname{tr} K_0`.
        leading: Angle between the spaces of the leading eigenvectors.
    """

    relative: float
    scale: float
    rest: float
    alignment: float
    trace_ratio: float
    leading: SubspaceAngle


@dataclass(frozen=True, kw_only=True)
class KernelDrift:
    """Hold the change of a kernel and of each of its parts.

    Attributes:
        whole: Change of the kernel.
        parts: Change of the terms that add up to it, by the part of the field; empty
            where the kernels were not made from parts.
    """

    whole: KernelChange
    parts: Mapping[str, KernelChange]


def kernel_drift(
    before: TangentKernel, after: TangentKernel, *, num_leading: int | None = None
) -> KernelDrift:
    """Return how a tangent kernel changed, as a whole and part by part.

    Args:
        before: Kernel of the field as it was, of one set of points with itself.
        after: Kernel of the same points after training.
        num_leading: Eigenvectors in the spaces between which the angle is taken; None
            for 10, or all of a smaller kernel.

    Raises:
        ShapeError: If the two are not kernels of the same points and outputs.
        ConfigError: If there is no such number of eigenvectors, or parts differ.
        NumericalError: If a kernel holds numbers that are not finite.

    Example:
        >>> from tangrid.tangent.kernels.kernel import DenseKernel
        >>> kernel = DenseKernel(torch.diag(torch.tensor([3.0, 2.0, 1.0])).double())
        >>> doubled = DenseKernel(2 * kernel.to_dense())
        >>> change = kernel_drift(kernel, doubled, num_leading=2).whole
        >>> change.relative, round(change.scale, 12), round(change.alignment, 12)
        (1.0, 2.0, 1.0)
    """
    _check_comparable(before, after)
    if num_leading is None:
        num_leading = min(_USUAL_LEADING, before.shape[0])
    if not 1 <= num_leading <= before.shape[0]:
        raise ConfigError(
            f"kernel_drift(num_leading=...): expected 1 to {before.shape[0]}, the rows "
            f"of the kernel, got {num_leading}."
        )
    if before.parts.keys() != after.parts.keys():
        raise ConfigError(
            "kernel_drift(before, after): expected kernels with the same parts, got "
            f"{sorted(before.parts)} and {sorted(after.parts)}. Make both of the same "
            "field with the same implementation."
        )
    return KernelDrift(
        whole=_change(before, after, num_leading),
        parts={
            name: _change(part, after.parts[name], num_leading)
            for name, part in before.parts.items()
        },
    )


def drift_curve(
    kernel_now: Callable[[], TangentKernel],
    train_to: Callable[[int], object],
    steps: Iterable[int],
    *,
    num_leading: int | None = None,
) -> dict[int, KernelDrift]:
    """Return the drift after numbers of steps, training on between them.

    Args:
        kernel_now: Makes the kernel of the field as it is, always of the same points.
        train_to: Trains the field until it has made so many steps in all.
        steps: Increasing numbers of steps.
        num_leading: Eigenvectors in the spaces between which the angle is taken; None
            for 10, or all of a smaller kernel.

    Raises:
        ConfigError: If the numbers do not increase.
    """
    wanted = list(steps)
    if any(later <= sooner for sooner, later in pairwise(wanted)):
        raise ConfigError(
            f"drift_curve(steps=...): expected increasing numbers, got {wanted}."
        )
    before = kernel_now()
    found = {}
    for step in wanted:
        train_to(step)
        found[step] = kernel_drift(before, kernel_now(), num_leading=num_leading)
    return found


def _check_comparable(before: TangentKernel, after: TangentKernel) -> None:
    before.check_symmetric("kernel_drift(before)")
    after.check_symmetric("kernel_drift(after)")
    one, two = (
        (kernel.num_points[0], kernel.num_outputs, kernel.outputs)
        for kernel in (before, after)
    )
    if one != two:
        raise ShapeError(
            "kernel_drift(before, after): expected kernels of the same points and "
            f"outputs, got {one[0]} points with outputs {one[2]!r} and {two[0]} points "
            f"with outputs {two[2]!r}."
        )
    if one[0] == 0:
        raise ShapeError("kernel_drift: expected at least one point, got kernels of 0.")


def _change(
    before: TangentKernel, after: TangentKernel, num_leading: int
) -> KernelChange:
    old, new = before.to_dense(), after.to_dense()
    check_gradients("kernel_drift(before=...)", old)
    check_gradients("kernel_drift(after=...)", new)
    # In units of the larger one no square over- or underflows; a power of 2 is exact.
    largest = float(torch.maximum(old.abs().max(), new.abs().max()))
    unit = 2.0 ** math.frexp(largest)[1]
    old, new = old / unit, new / unit
    norm, new_norm = float(old.norm()), float(new.norm())
    difference = float((new - old).norm())
    inner = float((new * old).sum())
    scale = inner / norm**2 if norm > 0 else math.nan
    rest = float((new - scale * old).norm()) if norm > 0 else new_norm
    both = norm * new_norm
    return KernelChange(
        relative=_ratio(difference, norm),
        scale=scale,
        rest=_ratio(rest, norm),
        alignment=inner / both if both > 0 else math.nan,
        trace_ratio=_ratio(float(new.trace()), float(old.trace()), nothing=1.0),
        leading=_leading_angle((before, after), (old, new), num_leading),
    )


def _ratio(part: float, whole: float, nothing: float = 0.0) -> float:
    if whole == 0:
        return nothing if part == 0 else math.inf
    return part / whole


def _leading_angle(
    kernels: tuple[TangentKernel, TangentKernel],
    matrices: tuple[Matrix, Matrix],
    asked: int,
) -> SubspaceAngle:
    """Return the angle at the last cut, up to the one asked for, that both resolve."""
    rows = len(matrices[0])
    pairs = zip(kernels, matrices, strict=True)
    spectra = [_leading(kernel, matrix, asked) for kernel, matrix in pairs]
    for count in range(asked, 0, -1):
        rounding = max(_rounding(values, rows, count) for values, _ in spectra)
        if rounding < 1 / _SAFE_GAPS:
            spaces = (vectors[:, :count] for _, vectors in spectra)
            angle = float(subspace_angles(*spaces).max())
            return SubspaceAngle(
                radians=angle, num_leading=count, num_asked=asked, rounding=rounding
            )
    return SubspaceAngle(
        radians=math.nan, num_leading=0, num_asked=asked, rounding=math.inf
    )


def _leading(
    kernel: TangentKernel, matrix: Matrix, asked: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the leading eigenvalues, one more than asked for, and their vectors."""
    rows = len(matrix)
    if kernel.has_eigensystem:
        # Gaps count in units of the largest one, so that any unit will do.
        system, few = kernel.eigensystem, slice(0, asked + 1)
        return (
            system.values[few].numpy(force=True),
            system.vectors[:, few].numpy(force=True),
        )
    last = [max(rows - asked - 1, 0), rows - 1]
    values, vectors = eigh(matrix.numpy(force=True), subset_by_index=last)
    return values[::-1], vectors[:, ::-1]


def _rounding(values: np.ndarray, rows: int, count: int) -> float:
    """Return how far rounding may turn the space of the leading eigenvectors.

    That is the size of rounding errors over the gap to the next eigenvalue (Davis and
    Kahan 1970). All of the space has no next one and cannot turn.
    """
    if count == rows:
        return 0.0
    resolution = rows * np.finfo(values.dtype).eps * max(float(values[0]), 0.0)
    gap = float(values[count - 1] - values[count])
    return resolution / gap if gap > 0 else math.inf
