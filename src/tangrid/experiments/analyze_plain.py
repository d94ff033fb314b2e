"""Records of the tangent room as plain values, as ``kernel.json`` has them."""

from typing import Any

import torch
from torch import Tensor

from tangrid.tangent.dynamics.drift import KernelChange
from tangrid.tangent.dynamics.stationarity import Stationarity
from tangrid.tangent.generalisation.bound import BoundForm, GeneralisationBound
from tangrid.tangent.spectra.lattice import Lattice
from tangrid.tangent.spectra.spectrum_record import FourierSpectrum

_KEPT_EIGENVALUES = 512


def plain_eigenvalues(values: Tensor) -> dict[str, Any]:
    """Return eigenvalues and their numbers from 1, thinned out evenly by octave.

    Args:
        values: All of them, largest first.

    Example:
        >>> found = plain_eigenvalues(torch.tensor([2.0, 1.0]))
        >>> found["eigenvalues"], found["eigenvalue_index"]
        ([2.0, 1.0], [1, 2])
    """
    count = len(values)
    index = torch.arange(count)
    if count > _KEPT_EIGENVALUES:
        spread = torch.logspace(0, torch.log10(torch.tensor(count)), _KEPT_EIGENVALUES)
        index = (spread.round().long() - 1).clamp(0, count - 1).unique()
    return {
        "eigenvalues": values[index].tolist(),
        "eigenvalue_index": (index + 1).tolist(),
    }


def plain_spectrum(
    plain: FourierSpectrum,
    tapered: FourierSpectrum,
    row: FourierSpectrum,
    rows: FourierSpectrum,
    lattice: Lattice,
) -> dict[str, Any]:
    """Return radial averages of the spectra of a kernel.

    Args:
        plain: Fourier-Rayleigh spectrum.
        tapered: The same with tapered waves.
        row: Spectrum of one row.
        rows: Mean magnitude over several rows.
        lattice: Where they were taken.
    """
    shells, high = plain.radial(), max(lattice.sizes) / 4
    axis, diagonal = plain.along("axis"), plain.along("diagonal")
    return {
        "frequency": shells.frequency.tolist(),
        "rayleigh": shells.energy.tolist(),
        "rayleigh_hann": tapered.radial().energy.tolist(),
        "row": row.radial().energy.tolist(),
        "row_magnitude": rows.radial().energy.tolist(),
        "nonstationarity": plain.non_stationarity,
        "axis_frequency": axis.frequency.tolist(),
        "axis": axis.energy.tolist(),
        "diagonal_frequency": diagonal.frequency.tolist(),
        "diagonal": diagonal.energy.tolist(),
        "high": high,
        "high_share": plain.share_above(high),
    }


def plain_bound(bound: GeneralisationBound, rate: float, steps: int) -> dict[str, Any]:
    """Return Theorem 3 in its three forms, with every condition.

    Args:
        bound: The bound.
        rate: Learning rate of the finite-time form.
        steps: Steps after which training stops there.
    """
    return {
        "raw": bound.raw.total,
        "trace_normalised": bound.trace_normalised.total,
        "finite_time": bound.finite_time.total,
        "forms": [_plain_form(form) for form in bound.forms],
        "confidence": bound.raw.confidence,
        "delta_quadratic": bound.energy.value,
        "delta_quadratic_words": str(bound.energy),
        "conditions": [
            {
                "name": condition.name,
                "holds": condition.holds,
                "needed": condition.required,
                "found": condition.found,
                "needed_by": list(condition.needed_by),
                "words": str(condition),
            }
            for condition in bound.conditions
        ],
        "is_vacuous": all(form.is_vacuous for form in bound.forms),
        "displacement": bound.displacement,
        "radius": bound.radius,
        "loss": bound.loss,
        "rate": rate,
        "steps": steps,
        "words": str(bound),
    }


def _plain_form(form: BoundForm) -> dict[str, Any]:
    return {
        "name": form.name,
        "training_loss": form.training_loss,
        "complexity": form.complexity,
        "confidence": form.confidence,
        "total": form.total,
        "is_proven": form.is_proven,
        "is_vacuous": form.is_vacuous,
        "words": str(form),
    }


def plain_stationarity(verdict: Stationarity) -> dict[str, Any]:
    """Return what Theorem 2 says of a model.

    Args:
        verdict: The test of its assumptions.
    """
    return {
        "is_exact": verdict.holds,
        "deviation": verdict.deviation,
        "assumptions": [
            {
                "statement": assumption.statement,
                "holds": assumption.holds,
                "deviation": assumption.deviation,
            }
            for assumption in verdict.assumptions
        ],
        "reasons": list(verdict.reasons),
        "words": str(verdict),
    }


def plain_drift(change: KernelChange) -> dict[str, Any]:
    """Return how a kernel changed.

    Args:
        change: The change of the whole kernel.
    """
    return {
        "relative": change.relative,
        "alignment": change.alignment,
        "scale": change.scale,
        "rest": change.rest,
        "trace_ratio": change.trace_ratio,
        "leading_degrees": change.leading.degrees,
        "num_leading": change.leading.num_leading,
    }
