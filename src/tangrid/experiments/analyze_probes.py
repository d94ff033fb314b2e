"""Where tangent kernels are looked at: points with labels, a lattice, maps, a pair."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from tangrid.errors import ShapeError
from tangrid.experiments.analyze_settings import KernelSettings
from tangrid.notation import Coords, Values
from tangrid.tangent.kernels.subject import Inputs, rows_of, take_rows
from tangrid.tangent.spectra.lattice import Lattice

_FEW = 64
_CENTRES = ((0.5, 0.5), (0.22, 0.31), (0.87, 0.64))
"""Centres of kernel maps: the middle, and places that no coarse grid has nodes at."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Probes:
    """Hold every place where kernels are looked at, as the model takes them.

    Nothing here knows what a point is: pixels, points in space, or rays as a tuple of
    origins and directions.

    Attributes:
        points: What is trained on and predicted.
        labels: Values wanted there.
        lattice: Order of the sites that are transformed.
        sites: What stands at each point of the lattice.
        map_sites: What stands at each pixel of a square map, row by row.
        map_side: Pixels along its side.
        centres: What the maps are centred at.
        pair: Two points, for the map of the bound.
        words: The same for the record.
    """

    points: Inputs
    labels: Values
    lattice: Lattice
    sites: Inputs
    map_sites: Inputs
    map_side: int
    centres: Inputs
    pair: Inputs
    words: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Refuse labels and sites that do not fit.

        Raises:
            ShapeError: If numbers of points differ or a label is not finite.
        """
        count = rows_of(self.points)
        if self.labels.ndim != 2 or len(self.labels) != count:
            raise ShapeError(
                f"labels: expected shape [{count}, c], one row per point, got "
                f"{list(self.labels.shape)}."
            )
        bad = int((~torch.isfinite(self.labels)).any(1).sum())
        if bad:
            raise ShapeError(
                f"labels: expected finite numbers, got {bad} of {count} points with "
                "others. Leave those points out."
            )
        if rows_of(self.map_sites) != self.map_side**2 or rows_of(self.pair) != 2:
            raise ShapeError(
                f"map and pair: expected {self.map_side**2} and 2 points, got "
                f"{rows_of(self.map_sites)} and {rows_of(self.pair)}."
            )
        self.lattice.check_points(rows_of(self.sites), "sites")

    def to(self, device: torch.device) -> "Probes":
        """Return the same places on another device.

        Args:
            device: Where the models are.
        """
        names = ("points", "labels", "sites", "map_sites", "centres", "pair")
        return replace(self, **{n: _moved(getattr(self, n), device) for n in names})

    @property
    def num_points(self) -> int:
        """Points that are trained on (n)."""
        return rows_of(self.points)

    @property
    def few_points(self) -> Inputs:
        """Some of the points, where values are compared."""
        return take_rows(self.points, slice(0, _FEW))

    @property
    def num_channels(self) -> int:
        """Values per point (c)."""
        return self.labels.shape[1]


def _moved(inputs: Inputs, device: torch.device) -> Inputs:
    if isinstance(inputs, tuple):
        return tuple(part.to(device) for part in inputs)
    return inputs.to(device)


def box_probes(
    points: Coords,
    labels: Values,
    settings: KernelSettings,
    *,
    pair: Coords,
    how: str,
) -> Probes:
    """Return the places to look at in a box of any number of dimensions.

    Maps show the plane of the first two coordinates through the middle of the others.

    Args:
        points: What is trained on, in [0, 1].
        labels: Values wanted there.
        settings: How many of everything.
        pair: Two points, for the map of the bound.
        how: How the points were chosen, in words.

    Raises:
        ConfigError: If the lattice has too many points.

    Example:
        >>> pair = torch.tensor([[0.4, 0.5, 0.5], [0.6, 0.5, 0.5]])
        >>> settings = KernelSettings(points=7, lattice=4, map_side=8)
        >>> probes = box_probes(
        ...     torch.rand(7, 3), torch.rand(7, 1), settings, pair=pair, how="drawn"
        ... )
        >>> probes.sites.shape, probes.map_sites.shape, probes.centres[0].tolist()
        (torch.Size([64, 3]), torch.Size([64, 3]), [0.5, 0.5, 0.5])
    """
    dims = points.shape[1]
    settings.check_lattice(dims)
    lattice = Lattice((settings.lattice,) * dims)
    side = settings.map_side
    shown = Lattice((side, side)).coords()
    centres = torch.tensor(_CENTRES, dtype=torch.float64)
    distance = float((pair[1] - pair[0]).double().norm())
    return Probes(
        points=points.double(),
        labels=labels.double(),
        lattice=lattice,
        sites=lattice.coords(),
        map_sites=_in_the_middle(shown, dims),
        map_side=side,
        centres=_in_the_middle(centres, dims),
        pair=pair.double(),
        words={
            "points": {"count": len(points), "seed": settings.seed, "how": how},
            "lattice": {"side": settings.lattice, "points": lattice.num_points},
            "slice": {
                "side": side,
                "centres": _in_the_middle(centres, dims).tolist(),
                "axes": list(range(min(dims, 2))),
            },
            "pair": {
                "points": pair.tolist(),
                "distance": distance,
                "distance_in_pixels": None,
                "labels": torch.linspace(-1, 1, settings.labels).tolist(),
                "form": "mean over channels",
            },
        },
    )


def _in_the_middle(shown: Coords, dims: int) -> Coords:
    """Return points of a plane in a box: the middle of all other coordinates."""
    placed = torch.full((len(shown), dims), 0.5, dtype=torch.float64)
    both = min(dims, 2)
    placed[:, :both] = shown[:, :both]
    return placed
