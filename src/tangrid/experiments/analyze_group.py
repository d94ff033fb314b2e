"""What one tangent kernel of one model tells: its numbers, its waves, its pictures."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tangrid.experiments.analyze_plain import (
    plain_bound,
    plain_drift,
    plain_eigenvalues,
    plain_spectrum,
    plain_stationarity,
)
from tangrid.experiments.analyze_probes import Probes
from tangrid.experiments.analyze_settings import MAX_ROWS, KernelSettings
from tangrid.experiments.analyze_specimen import Specimen
from tangrid.seeding import generator
from tangrid.tangent.algebra.extreme_eigenvalues import extreme_eigenvalues
from tangrid.tangent.dynamics.descent import GradientDescent
from tangrid.tangent.dynamics.drift import kernel_drift
from tangrid.tangent.dynamics.stationarity import Stationarity
from tangrid.tangent.generalisation.bound import generalisation_bound
from tangrid.tangent.generalisation.bound_map import BoundMap, two_point_map
from tangrid.tangent.kernels.kernel import DenseKernel, Outputs
from tangrid.tangent.kernels.subject import Inputs, take_rows
from tangrid.tangent.spectra.fourier_spectrum import fourier_rayleigh, row_spectrum
from tangrid.tangent.summary import summarise

_ROWS_AVERAGED = 64
_STRIP = 1024
_LEADING = 10
_SAFETY = 0.5
"""Learning rate over the largest stable one, where none is asked for."""


def outputs_for(num_points: int, num_channels: int) -> Outputs:
    """Return whether all pairs of channels are looked at, or their sum.

    Args:
        num_points: Points of the kernel.
        num_channels: Channels of the model.
    """
    return "full" if num_points * num_channels <= MAX_ROWS else "trace"


@dataclass(frozen=True, eq=False)
class GroupKernel:
    """Hold the kernel of one group of parameters at the points, dense.

    Attributes:
        name: The group, or ``all``.
        dense: All its numbers; eigenvectors are computed once.
        shares: Share of the trace of each part of the model.
        explicit: Parameters whose gradients were written out, for lack of structure.
        largest: Largest eigenvalue over all pairs of channels.
    """

    name: str
    dense: DenseKernel
    shares: dict[str, float]
    explicit: tuple[str, ...]
    largest: float

    def descent(self, rate: float | None) -> GradientDescent | None:
        """Return gradient descent at a rate; half the largest stable one by default.

        Args:
            rate: Learning rate on half the sum of squares.

        Returns:
            None for a kernel that is 0, at which nothing is learned.
        """
        if not self.largest > 0:
            return None
        return GradientDescent(rate or _SAFETY * self.largest_stable_rate)

    @property
    def largest_stable_rate(self) -> float:
        """Learning rate from which on gradient descent diverges."""
        return GradientDescent(1.0).largest_stable_rate(self.largest)


def group_kernel(specimen: Specimen, name: str, probes: Probes) -> GroupKernel:
    """Return a kernel with all its eigenvectors.

    Args:
        specimen: The model.
        name: The group of parameters, or ``all``.
        probes: The points.
    """
    outputs = outputs_for(probes.num_points, probes.num_channels)
    kernel = specimen.kernel(name, probes.points, outputs=outputs)
    trace = float(kernel.diagonal().sum())
    parts = {
        part: float(term.diagonal().sum()) / trace if trace > 0 else 0.0
        for part, term in kernel.parts.items()
    }
    dense = DenseKernel(
        kernel.to_dense(), num_outputs=kernel.num_outputs, outputs=outputs
    )
    largest = dense.eigensystem.largest
    if outputs == "trace" and probes.num_channels > 1:
        whole = specimen.kernel(name, probes.points)
        largest = float(extreme_eigenvalues(whole, 1).values[0])
    return GroupKernel(
        name=name,
        dense=dense,
        shares=parts or {"all parameters": 1.0},
        explicit=tuple(getattr(kernel, "explicit", ())),
        largest=largest,
    )


def numbers_of(
    found: GroupKernel, specimen: Specimen, probes: Probes, settings: KernelSettings
) -> dict[str, Any]:
    """Return what a kernel at the points tells of training and of new points.

    Args:
        found: The kernel.
        specimen: The model.
        probes: Points and labels.
        settings: Rate, steps and probability of the bound.
    """
    initial = specimen.values(probes.points)
    summary = summarise(
        found.dense,
        probes.labels,
        initial,
        descent=found.descent(settings.rate),
    )
    verdict = specimen.stationarity(found.name, probes.few_points)
    shares: dict[str, float] = {}
    for part, share in found.shares.items():
        group = specimen.group_of(part)
        shares[group] = shares.get(group, 0.0) + share
    return {
        "summary": summary.to_plain(),
        **plain_eigenvalues(found.dense.eigensystem.values),
        "shares": found.shares,
        "group_shares": shares,
        "bound": _bound(found, initial, probes, settings, verdict),
        "stationarity": plain_stationarity(verdict),
    }


def _bound(
    found: GroupKernel,
    initial: Tensor,
    probes: Probes,
    settings: KernelSettings,
    verdict: Stationarity,
) -> dict[str, Any] | None:
    descent = found.descent(settings.rate)
    if descent is None:
        return None
    bound = generalisation_bound(
        found.dense,
        probes.labels,
        initial,
        descent=descent,
        time=float(settings.horizon),
        delta=settings.delta,
        stationarity=verdict,
    )
    return plain_bound(bound, descent.rate, settings.horizon)


def spectrum_of(
    specimen: Specimen, name: str, probes: Probes, settings: KernelSettings
) -> dict[str, Any]:
    """Return the energy of a kernel by spatial frequency.

    Args:
        specimen: The model.
        name: The group of parameters, or ``all``.
        probes: The lattice.
        settings: Source of the rows that are averaged.
    """
    lattice = probes.lattice
    kernel = mean_kernel(specimen, name, probes.sites, probes.num_channels)
    source = generator(settings.seed, "rows")
    points = torch.randperm(lattice.num_points, generator=source)[:_ROWS_AVERAGED]
    return plain_spectrum(
        plain=fourier_rayleigh(kernel, lattice),
        tapered=fourier_rayleigh(kernel, lattice, window="hann"),
        row=row_spectrum(kernel, lattice),
        rows=row_spectrum(kernel, lattice, points=points),
        lattice=lattice,
    )


def slices_of(specimen: Specimen, name: str, probes: Probes) -> Tensor:
    """Return maps of a kernel around the centres, [centres, side, side].

    Args:
        specimen: The model.
        name: The group of parameters, or ``all``.
        probes: Map and centres.
    """
    # In strips: gradients in parameters without structure are large.
    strips = []
    for start in range(0, probes.map_side**2, _STRIP):
        sites = take_rows(probes.map_sites, slice(start, start + _STRIP))
        kernel = specimen.kernel(name, sites, probes.centres, outputs="trace")
        strips.append(kernel.to_dense())
    side = probes.map_side
    return torch.cat(strips).T.reshape(-1, side, side) / probes.num_channels


def pair_map(
    specimen: Specimen, name: str, probes: Probes, settings: KernelSettings
) -> BoundMap:
    """Return the map of the bound for all labels of two points.

    Args:
        specimen: The model.
        name: The group of parameters, or ``all``.
        probes: The pair.
        settings: Labels along a side.
    """
    kernel = mean_kernel(specimen, name, probes.pair, probes.num_channels)
    return two_point_map(kernel, num_labels=settings.labels)


def drift_of(
    before: Specimen, after: Specimen, name: str, probes: Probes
) -> dict[str, Any]:
    """Return how a kernel changed, summed over channels.

    Args:
        before: The model as it was.
        after: The same model later.
        name: The group of parameters, or ``all``.
        probes: The points.
    """
    kernels = (
        mean_kernel(specimen, name, probes.points, probes.num_channels)
        for specimen in (before, after)
    )
    leading = min(_LEADING, probes.num_points)
    return plain_drift(kernel_drift(*kernels, num_leading=leading).whole)


def mean_kernel(
    specimen: Specimen, name: str, points: Inputs, num_channels: int
) -> DenseKernel:
    """Return the mean over channels of a kernel of points with themselves, dense.

    Args:
        specimen: The model.
        name: The group of parameters, or ``all``.
        points: The points.
        num_channels: Channels of the model.
    """
    summed = specimen.kernel(name, points, outputs="trace")
    return DenseKernel(summed.to_dense() / num_channels)
