"""How the tangent kernel of a field moved while it was trained, on disk."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tangrid.errors import ConfigError, DataError
from tangrid.runs.codec import from_plain, to_plain
from tangrid.runs.store import RunFolder

TRACK_FILE = "kernel_track.json"
"""Name of the record in the folder of a run."""

CurveName = Literal["linearised", "alone", "gradient-descent"]


@dataclass(frozen=True, kw_only=True)
class KernelNumbers:
    """One kernel at one step, compared with the same kernel before training.

    None stands where a number is not defined, as all ratios of a kernel that is 0.
    """

    relative: float | None
    """Frobenius norm of the change over that of the kernel at the start."""
    scale: float | None
    """The best rescaling of the kernel at the start."""
    rest: float | None
    """What no rescaling explains, over the norm of the kernel at the start."""
    alignment: float | None
    """Cosine between the kernel and the one at the start."""
    trace_ratio: float | None
    """Trace over that at the start."""
    leading_degrees: float | None
    """Largest angle between the spaces of leading eigenvectors, in degrees."""
    num_leading: int
    """Eigenvectors in each of them; 0 if rounding decides them all."""
    largest: float | None
    """Largest eigenvalue over all pairs of channels."""
    largest_stable_rate: float | None
    """Rate on half the sum of squares from which gradient descent diverges."""
    effective_rank: float | None
    """Exponential of the entropy of the eigenvalues."""
    residual_alignment: float | None
    """Cosine between the kernel and the products of the residual; none without one."""


@dataclass(frozen=True, kw_only=True)
class KernelLook:
    """What one look at the field in training found."""

    step: int
    """Steps taken before it."""
    seconds: float
    """Wall time of training before it."""
    looking_seconds: float
    """Wall time of the look, which is no time of training."""
    mse: float | None
    """Mean squared error at the points; none without wanted values."""
    loss: float | None
    """Loss of the task at the points; none without wanted values."""
    shares: dict[str, float]
    """Share of the trace of the kernel of all parameters, by group."""
    kernels: dict[str, KernelNumbers]
    """Kernels by the group of parameters; ``all`` is the NTK, ``grid`` the GTK."""


@dataclass(frozen=True, kw_only=True)
class PredictedCurve:
    """A training at the points alone that is computed beside the fit.

    ``linearised`` is that of the field to first order in its parameters at the start,
    ``alone`` that of the field itself, both by the optimiser of the fit;
    ``gradient-descent`` is what the kernel at the start says of all points at once.
    """

    name: CurveName
    """Which training."""
    step: tuple[int, ...] = ()
    """Steps taken."""
    mse: tuple[float | None, ...] = ()
    """Mean squared error at the points after them."""
    rate: float | None = None
    """Rate of gradient descent on half the sum of squares."""
    refused: str = ""
    """Why there is no such curve; empty if there is one."""
    seconds: float = 0.0
    """Wall time that it took."""


@dataclass(frozen=True, kw_only=True)
class KernelTrack:
    """All that was seen of a field's tangent kernel while it was trained."""

    schema: int = 1
    """Version of this format."""
    points: int
    """Points that the kernels are of."""
    seed: int
    """What the points were drawn with."""
    how: str
    """Where they were drawn, in words."""
    values: str
    """Whose kernel it is, in words: the values of the field, or its density."""
    num_channels: int
    """Values per point."""
    has_psnr: bool
    """Whether a PSNR belongs to a mean squared error of the values."""
    optimizer: str
    """What moved the parameters of the fit."""
    groups: dict[str, int]
    """Trained parameters by group, at the start."""
    looks: tuple[KernelLook, ...] = ()
    """One per step that was asked for and reached."""
    curves: tuple[PredictedCurve, ...] = ()
    """What was computed once the fit was trained."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kernels that there are, that of all parameters first."""
        return tuple(self.looks[0].kernels) if self.looks else ()

    @property
    def seconds(self) -> float:
        """Wall time of all looks and curves."""
        looks = sum(look.looking_seconds for look in self.looks)
        return looks + sum(curve.seconds for curve in self.curves)

    def curve(self, name: CurveName) -> PredictedCurve | None:
        """Return a curve, or nothing if it was not computed.

        Args:
            name: Which one.
        """
        found = (it for it in self.curves if it.name == name and not it.refused)
        return next(found, None)


def finite(value: float) -> float | None:
    """Return a number as a record has it: None if it is not finite.

    Args:
        value: Any number.

    Example:
        >>> finite(1.5), finite(float("nan"))
        (1.5, None)
    """
    return value if math.isfinite(value) else None


def all_finite(values: Sequence[float]) -> tuple[float | None, ...]:
    """Return numbers as a record has them.

    Args:
        values: Any numbers.
    """
    return tuple(finite(value) for value in values)


def write_track(folder: RunFolder, track: KernelTrack) -> None:
    """Write the record, whole or not at all.

    Args:
        folder: The run.
        track: What was seen so far.
    """
    folder.write_json(TRACK_FILE, to_plain(track))


def read_track(folder: RunFolder) -> KernelTrack | None:
    """Return the record of a run, or nothing if its kernel was not tracked.

    Args:
        folder: The run.

    Raises:
        DataError: If the file is damaged, or of another version.
    """
    if not folder.has(TRACK_FILE):
        return None
    try:
        return from_plain(folder.read_json(TRACK_FILE), KernelTrack)
    except ConfigError as error:
        raise DataError(
            f"{folder.path / TRACK_FILE}: {error} It is damaged, or from another "
            "version; run the fit again."
        ) from error
