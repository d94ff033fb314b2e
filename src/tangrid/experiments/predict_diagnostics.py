"""What the untouched tangent kernel of a candidate says, of which nothing ranks.

Bounds, spectra and eigenvalues describe a kernel. A study of 130 trained models found
none of them to tell which model is best, where leave-one-out errors did; they stand
beside a prediction for whoever wants to know why.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tangrid.errors import NumericalError
from tangrid.experiments.analyze_plain import plain_bound
from tangrid.experiments.predict_sample import Window
from tangrid.fields import Field
from tangrid.notation import Coords, Values
from tangrid.tangent.dynamics.descent import GradientDescent
from tangrid.tangent.dynamics.regression import KernelRegression
from tangrid.tangent.generalisation.bound import generalisation_bound
from tangrid.tangent.kernels.building import tangent_kernel
from tangrid.tangent.kernels.kernel import DenseKernel
from tangrid.tangent.spectra.fourier_spectrum import fourier_rayleigh
from tangrid.tangent.spectra.lattice import Lattice
from tangrid.tangent.summary import summarise

MOST_POINTS = 256
"""Points of the kernel: whole windows, as many as there is room for."""
RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Ridges of cross-validation, in shares of the mean eigenvalue."""
BOUND_STEPS = 100
"""Steps after which the finite-time form of the bound stops."""

_LATTICE = {2: 16, 3: 6}
"""Points along each side of the lattice of the Fourier spectrum."""
_LAST_STEP = 10_000
_TIMES = 21
_SAFETY = 0.5
"""Learning rate of the predicted curve over the largest stable one."""
_DELTA = 0.1


def diagnose(field: Field, windows: Sequence[Window]) -> dict[str, Any]:
    """Return what the kernel of an untrained field tells, in plain values.

    Args:
        field: The field, as it is before training.
        windows: The sample of the signal; the first of them are looked at.

    Returns:
        ``points``, ``summary``, ``bound``, ``ridges``, ``spectrum`` and ``curve``;
        bound and curve are None for a kernel that is 0.
    """
    coords, values = _points(windows)
    coords, values = coords.to(field.device), values.to(field.device).double()
    kernel = _dense(field, coords)
    with torch.no_grad():
        initial = field.forward(coords).double()
    fitted = KernelRegression(kernel, values, initial)
    largest = float(fitted.modes.values.max())
    descent = None
    if largest > 0:
        stable = GradientDescent(1.0).largest_stable_rate(largest)
        descent = GradientDescent(_SAFETY * stable)
    return {
        "points": len(coords),
        "summary": _summary(kernel, values, initial),
        "bound": descent and _bound(kernel, values, initial, descent),
        "ridges": _ridges(fitted),
        "spectrum": _spectrum(field),
        "curve": descent and _curve(kernel, values, initial, descent),
    }


def _points(windows: Sequence[Window]) -> tuple[Coords, Values]:
    """Return the points of as many windows as there is room for, at least of one."""
    room, chosen = MOST_POINTS, []
    for window in windows:
        if chosen and len(window) > room:
            break
        chosen.append(window)
        room -= len(window)
    coords = torch.cat([window.coords for window in chosen])
    values = torch.cat([window.values for window in chosen])
    return coords[:MOST_POINTS], values[:MOST_POINTS]


def _dense(field: Field, coords: Coords) -> DenseKernel:
    kernel = tangent_kernel(field, coords, outputs="trace")
    return DenseKernel(kernel.to_dense(), outputs="trace")


def _summary(kernel: DenseKernel, values: Tensor, initial: Tensor) -> dict[str, Any]:
    found = summarise(kernel, values, initial)
    learning = found.learning
    return {
        "effective_rank": found.effective_rank,
        "largest": found.largest,
        "smallest": found.smallest,
        "smallest_is_resolved": found.smallest_is_resolved,
        "condition": found.condition,
        "alignment": None if learning is None else learning.alignment,
        "centred_alignment": None if learning is None else learning.centred_alignment,
    }


def _bound(
    kernel: DenseKernel, values: Tensor, initial: Tensor, descent: GradientDescent
) -> dict[str, Any]:
    bound = generalisation_bound(
        kernel,
        values,
        initial,
        descent=descent,
        time=float(BOUND_STEPS),
        delta=_DELTA,
    )
    plain = plain_bound(bound, descent.rate, BOUND_STEPS)
    kept = ("raw", "trace_normalised", "finite_time", "is_vacuous", "rate", "steps")
    return {name: plain[name] for name in kept} | {"delta": _DELTA}


def _ridges(fitted: KernelRegression) -> dict[str, Any]:
    """Return cross-validated mean square errors over a path of ridges."""
    left_out, generalised = [], []
    for share in RIDGES:
        try:
            ridge = fitted.relative_ridge(share)
            left_out.append(float(fitted.leave_one_out(ridge).square().mean()))
            generalised.append(fitted.generalised_cross_validation(ridge))
        except NumericalError:
            # A kernel of too few directions for a ridge so small.
            left_out.append(math.nan)
            generalised.append(math.nan)
    return {
        "share": list(RIDGES),
        "leave_one_out_mse": left_out,
        "cross_validation_mse": generalised,
    }


def _spectrum(field: Field) -> dict[str, Any] | None:
    dims = field.num_dims
    if dims not in _LATTICE:
        return None
    lattice = Lattice((_LATTICE[dims],) * dims)
    kernel = tangent_kernel(field, lattice.coords().to(field.device), outputs="trace")
    mean = DenseKernel(kernel.to_dense() / field.num_channels)
    found = fourier_rayleigh(mean, lattice)
    shells, high = found.radial(), max(lattice.sizes) / 4
    return {
        "frequency": shells.frequency.tolist(),
        "rayleigh": shells.energy.tolist(),
        "high": high,
        "high_share": found.share_above(high),
        "lattice": lattice.sizes[0],
    }


def _curve(
    kernel: DenseKernel, values: Tensor, initial: Tensor, descent: GradientDescent
) -> dict[str, Any]:
    """Return gradient descent with the frozen kernel, in closed form."""
    fitted = KernelRegression(kernel, values, initial, descent=descent)
    spread = torch.logspace(0, math.log10(_LAST_STEP), _TIMES, dtype=torch.float64)
    steps = [0, *spread.round().long().unique().tolist()]
    left = fitted.mode_residuals(steps).square().sum((1, 2)) / values.numel()
    return {
        "steps": steps,
        "train_mse": left.tolist(),
        "test_mse": [_stopped_at(fitted, step) for step in steps],
        "rate": descent.rate,
    }


def _stopped_at(fitted: KernelRegression, step: int) -> float:
    """Return what cross-validation says of a stop there; nan if nothing is left."""
    try:
        return float(fitted.cross_validation_at(step)[0])
    except NumericalError:
        return math.nan
