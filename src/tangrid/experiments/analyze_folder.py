"""The folder of an analysis: written anew after every model, gone on with, finished."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from tangrid.devices import HOST, working_on
from tangrid.experiments.analyze_group import outputs_for
from tangrid.experiments.analyze_kernels import Examined, examine
from tangrid.experiments.analyze_probes import Probes
from tangrid.experiments.analyze_settings import MAX_ROWS, KernelSettings
from tangrid.experiments.analyze_specimen import OnStage, Specimen
from tangrid.experiments.fitting import describe_start
from tangrid.runs.codec import to_plain
from tangrid.runs.record import read_kernels
from tangrid.runs.store import RunFolder
from tangrid.tangent.generalisation.bound_map import BoundMap, map_difference
from tangrid.training.checkpoint import save_tensors

KERNEL_FILE = "kernel.json"
ARRAY_FILE = "kernel.safetensors"

_THEOREM_3 = (
    "Theorem 3 speaks of the end of training of a field that is affine in its trained "
    "parameters, on points drawn independently, and of a bounded loss. The raw form "
    "scales with the kernel and may not be compared across models; only the "
    "finite-time form is a theorem whose constants are known. A total of 1 or more "
    "says nothing."
)


@dataclass(frozen=True, kw_only=True)
class PlannedSpecimen:
    """One field to look at, made only when its turn comes.

    Attributes:
        label: Short name, unlike those beside it.
        build: Makes it.
    """

    label: str
    build: Callable[[], Specimen]


@dataclass(frozen=True, kw_only=True, eq=False)
class Analysis:
    """What is looked at, and where: all that differs from task to task is inside.

    Attributes:
        experiment: The settings, for the record.
        settings: What of them is about kernels.
        signal: Name, dimensions, channels and resolution of the signal.
        probes: Points, labels, lattice, maps and pair.
        planned: The fields.
        warnings: What the reader should know beforehand.
    """

    experiment: object
    settings: KernelSettings
    signal: Mapping[str, Any]
    probes: Probes
    planned: Sequence[PlannedSpecimen]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class KernelAnalysis:
    """Hold what the tangent kernels of several fields tell.

    Attributes:
        kernel: Everything in plain values, as in ``kernel.json``.
        arrays: Maps, by number of the entry and name: ``0/slice_map``.
        folder: Where everything is kept; None if nothing is.
    """

    kernel: Mapping[str, Any]
    arrays: Mapping[str, Tensor]
    folder: RunFolder | None = None

    @property
    def entries(self) -> Sequence[Mapping[str, Any]]:
        """What was found of each model, seed and state of training."""
        return self.kernel["entries"]


def run_analysis(
    analysis: Analysis,
    folder: RunFolder | None = None,
    *,
    resume: bool = False,
    device: torch.device = HOST,
    command: Sequence[str] = (),
    on_field: Callable[[int, int, str], None] | None = None,
    on_stage: OnStage = lambda _: None,
) -> Iterator[KernelAnalysis]:
    """Look at every field in turn and yield what was found so far.

    Args:
        analysis: What to look at.
        folder: Where everything is kept; None to keep nothing on disk.
        resume: Whether to keep the fields that were finished.
        device: Where to compute.
        command: The words that began it, for the record.
        on_field: Called before each field with its number, their number, and its label.
        on_stage: Called before each stage.

    Yields:
        What the folder holds after each field.
    """
    kept = _Record(analysis)
    if folder is not None and resume and folder.has(KERNEL_FILE):
        kept.restore(folder)
    elif folder is not None:
        folder.write_json("config.json", to_plain(analysis.experiment))
        folder.write_json("environment.json", describe_start(command, device))
    if kept.is_finished:
        yield kept.so_far(folder)
    for number, planned in enumerate(analysis.planned):
        if number < len(kept.entries):
            continue
        if on_field is not None:
            on_field(number, len(analysis.planned), planned.label)
        with working_on(device):
            specimen, probes = planned.build().to(device), analysis.probes.to(device)
            found = examine(specimen, probes, analysis.settings, on_stage)
        kept.add(found.on_host)
        if folder is not None:
            kept.write(folder)
        yield kept.so_far(folder)


class _Record:
    """What ``kernel.json`` and ``kernel.safetensors`` hold so far."""

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        self.entries: list[dict[str, Any]] = []
        self.arrays: dict[str, Tensor] = {}
        self._maps: list[dict[str, BoundMap]] = []
        self._warnings = [*analysis.warnings, *_notes(analysis)]

    @property
    def is_finished(self) -> bool:
        """Whether every field was looked at."""
        return len(self.entries) == len(self._analysis.planned)

    @property
    def plain(self) -> dict[str, Any]:
        """The content of ``kernel.json``."""
        analysis = self._analysis
        return {
            "schema": 1,
            "is_finished": self.is_finished,
            "signal": dict(analysis.signal),
            **analysis.probes.words,
            "delta": analysis.settings.delta,
            "entries": self.entries,
            "differences": list(self._differences()),
            "theorem_3": {"note": _THEOREM_3},
            "warnings": list(dict.fromkeys(self._warnings)),
        }

    def so_far(self, folder: RunFolder | None) -> KernelAnalysis:
        """Return what was found so far.

        Args:
            folder: Where it is kept.
        """
        return KernelAnalysis(kernel=self.plain, arrays=self.arrays, folder=folder)

    def add(self, found: Examined) -> None:
        """Take one more field in.

        Args:
            found: What was found of it.
        """
        number = len(self.entries)
        self.entries.append(found.entry)
        self.arrays |= {f"{number}/{k}": array for k, array in found.arrays.items()}
        self._maps.append(found.maps)
        self._warnings += found.warnings

    def write(self, folder: RunFolder) -> None:
        """Write both files, the arrays first: no entry names one that is not there.

        Args:
            folder: Where.
        """
        save_tensors(folder, ARRAY_FILE, self.arrays, {})
        folder.write_json(KERNEL_FILE, self.plain)

    def restore(self, folder: RunFolder) -> None:
        """Take in what an earlier run of the same analysis finished.

        Args:
            folder: Where it is.
        """
        record = read_kernels(folder.path)
        self._warnings += record.kernel.get("warnings", [])
        self.arrays = {
            name: torch.from_numpy(array) for name, array in record.arrays.items()
        }
        for number, entry in enumerate(record.entries):
            self.entries.append(dict(entry))
            self._maps.append(_maps_of(entry, number, self.arrays))

    def _differences(self) -> Iterator[dict[str, Any]]:
        for one, two in combinations(range(len(self._maps)), 2):
            for kernel in (k for k in self._maps[one] if k in self._maps[two]):
                maps = self._maps[one][kernel], self._maps[two][kernel]
                found = map_difference(*maps)
                yield {
                    "first": one,
                    "second": two,
                    "kernel": kernel,
                    "share_lower_raw": found.share_lower_raw,
                    "share_lower_normalised": found.share_lower_normalised,
                }


def _notes(analysis: Analysis) -> Iterator[str]:
    points, channels = analysis.probes.num_points, analysis.probes.num_channels
    if outputs_for(points, channels) == "trace" and channels > 1:
        yield (
            f"{points:,} points and {channels} channels make more than {MAX_ROWS:,} "
            "rows: eigenvalues and bounds are of the kernel summed over channels; "
            "gradient descent is predicted with all pairs of channels."
        )


def _maps_of(
    entry: Mapping[str, Any], number: int, arrays: Mapping[str, Tensor]
) -> dict[str, BoundMap]:
    """Return the two-point maps of a finished entry."""
    maps = {}
    for kernel, told in entry["kernels"].items():
        end = "" if kernel == "all" else f"_{kernel}"
        raw = arrays[f"{number}/bound_map{end}"]
        maps[kernel] = BoundMap(
            labels=torch.linspace(-1, 1, len(raw), dtype=torch.float64),
            raw=raw,
            trace_normalised=arrays[f"{number}/bound_map_trace{end}"],
            eigenvalues=torch.tensor(told["pair"]["eigenvalues"]).double(),
            trace=told["pair"]["trace"],
        )
    return maps
