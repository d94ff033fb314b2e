"""Everything that one model's tangent kernels tell, of any model at any points.

Nothing here knows of images: a model is a function with parameters, a point is what it
takes. Shapes and scenes bring their own points, labels and lattice.
"""

import time
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from tangrid.experiments.analyze_curve import CurveMaker
from tangrid.experiments.analyze_group import (
    drift_of,
    group_kernel,
    numbers_of,
    pair_map,
    slices_of,
    spectrum_of,
)
from tangrid.experiments.analyze_probes import Probes
from tangrid.experiments.analyze_settings import KernelSettings
from tangrid.experiments.analyze_specimen import OnStage, Specimen
from tangrid.tangent.generalisation.bound_map import BoundMap

ALL, GRID = "all", "grid"


@dataclass(frozen=True, kw_only=True, eq=False)
class Examined:
    """Hold what was found of one model.

    Attributes:
        entry: Plain values, as ``kernel.json`` has them.
        arrays: Pictures by name.
        maps: The two-point map of each kernel.
        warnings: What the reader should know of.
    """

    entry: dict[str, Any]
    arrays: dict[str, Tensor]
    maps: dict[str, BoundMap]
    warnings: tuple[str, ...] = ()

    @property
    def on_host(self) -> "Examined":
        """The same in ordinary memory, wherever it was found."""
        arrays = {name: array.cpu() for name, array in self.arrays.items()}
        maps = {name: drawn.on_host for name, drawn in self.maps.items()}
        return replace(self, arrays=arrays, maps=maps)


def examine(
    specimen: Specimen,
    probes: Probes,
    settings: KernelSettings,
    on_stage: OnStage = lambda _: None,
) -> Examined:
    """Return everything that the tangent kernels of a model tell.

    Args:
        specimen: The model.
        probes: Where it is looked at.
        settings: What is looked at.
        on_stage: Called before each stage.

    Raises:
        ConfigError: If the learning rate is too large for the model.
        ResourceError: If the kernels do not fit into memory.
    """
    began = time.monotonic()
    looked = _Looking(specimen, probes, settings, on_stage)
    kernels = {name: looked.at(name) for name in specimen.kernels}
    entry = {
        "label": specimen.label,
        "model": specimen.model,
        "seed": specimen.seed,
        "state": specimen.state,
        "params_trainable": sum(specimen.counts().values()),
        "groups": specimen.counts(),
        "explicit": list(looked.explicit),
        "outputs": looked.outputs,
        "rows": looked.rows,
        "seconds": time.monotonic() - began,
        "kernels": kernels,
        "stationarity": kernels[ALL]["stationarity"],
        "curve": looked.curve,
        "fit": None,
        "run": None,
        **specimen.facts,
        "arrays": list(looked.arrays),
    }
    return Examined(
        entry=entry,
        arrays=looked.arrays,
        maps=looked.maps,
        warnings=tuple(f"{specimen.label}: {text}" for text in looked.warnings),
    )


class _Looking:
    """Collect what is found of one model, kernel by kernel."""

    def __init__(
        self,
        specimen: Specimen,
        probes: Probes,
        settings: KernelSettings,
        on_stage: OnStage,
    ) -> None:
        self._specimen, self._probes = specimen, probes
        self._settings, self._on_stage = settings, on_stage
        self._maker = CurveMaker(specimen, probes, settings, on_stage)
        self.arrays: dict[str, Tensor] = {}
        self.maps: dict[str, BoundMap] = {}
        self.warnings: list[str] = []
        self.curve: dict[str, Any] | None = None
        self.explicit: tuple[str, ...] = ()
        self.outputs, self.rows = "full", 0

    def at(self, name: str) -> dict[str, Any]:
        """Return what one kernel tells; that of all parameters predicts training too.

        Args:
            name: The group of parameters, or ``all``.
        """
        specimen, probes, settings = self._specimen, self._probes, self._settings
        what = {ALL: "NTK", GRID: "GTK"}.get(name, f"kernel of {name}")
        self._on_stage(f"{what}, {probes.num_points:,} points: eigenvalues")
        found = group_kernel(specimen, name, probes)
        if name == ALL:
            self._maker.check_rate(found)
        self._on_stage(f"{what}: bounds")
        told = numbers_of(found, specimen, probes, settings)
        if told["bound"] is None:
            self.warnings.append(f"the {what} is 0 at all points: it learns nothing.")
        if name == ALL:
            self.explicit = found.explicit
            self.outputs, self.rows = str(found.dense.outputs), found.dense.shape[0]
            self.curve = self._maker.curve(found)
            self.warnings += self._maker.warnings
        del found  # all numbers and eigenvectors, before the next kernel is made
        self._on_stage(f"{what}: spectrum on {probes.lattice.num_points:,} points")
        told["spectrum"] = spectrum_of(specimen, name, probes, settings)
        self._on_stage(f"{what}: maps")
        self._draw(name)
        told["pair"] = {
            "eigenvalues": self.maps[name].eigenvalues.tolist(),
            "trace": self.maps[name].trace,
        }
        told["drift"] = None
        if specimen.before is not None:
            self._on_stage(f"{what}: drift since initialisation")
            told["drift"] = drift_of(specimen.before(), specimen, name, probes)
        return told

    def _draw(self, name: str) -> None:
        specimen, probes, settings = self._specimen, self._probes, self._settings
        end = "" if name == ALL else f"_{name}"
        drawn = pair_map(specimen, name, probes, settings)
        self.maps[name] = drawn
        self.arrays |= {
            f"slice_map{end}": slices_of(specimen, name, probes),
            f"bound_map{end}": drawn.raw,
            f"bound_map_trace{end}": drawn.trace_normalised,
        }
