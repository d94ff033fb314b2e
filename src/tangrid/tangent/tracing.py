"""Run a field once and note, at every site of its parameters, inputs and cotangents.

Nothing of a field has to be declared. Linear layers are seen as calls of
`torch.nn.functional.linear`; grids say themselves what they read. A parameter that is
used in any other way, or twice, is left to an explicit gradient for every point.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tangrid.encodings.contract import GridEncoding, Lookup
from tangrid.errors import ShapeError
from tangrid.notation import Coords, Features, Values
from tangrid.ops import implementation
from tangrid.tangent.jacobian import jacobian
from tangrid.tangent.sites import LookupSite, OuterSite, Part, Site
from tangrid.tangent.subject import Subject


@dataclass(frozen=True)
class _LinearCall:
    """One call of a linear layer; the probe is added to what it gave."""

    weight: str | None
    bias: str | None
    inputs: Tensor
    probe: Tensor

    @property
    def parameters(self) -> list[str]:
        return [name for name in (self.weight, self.bias) if name is not None]


@dataclass(frozen=True)
class _Read:
    """One read of a table; the probe is added to what was read."""

    table: str
    level: int
    lookup: Lookup
    probe: Tensor

    @property
    def rows(self) -> Tensor:
        return self.lookup.rows


@dataclass
class _Recorder(TorchFunctionMode):
    """Watch every function that a chosen parameter goes into."""

    names: dict[int, str]
    num_points: int
    calls: list[_LinearCall] = field(default_factory=list)
    reads: list[_Read] = field(default_factory=list)
    otherwise_used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Return what a function returns, and note what it does with parameters."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func is nn.functional.linear:
            return self._linear(result, *args, **kwargs)
        if isinstance(result, Tensor):
            for value in (*args, *kwargs.values()):
                self._note(value, result)
        return result

    def _linear(
        self, result: Tensor, inputs: Tensor, weight: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        names = self.names.get(id(weight)), self.names.get(id(bias))
        self._note(inputs, result)
        if names == (None, None):
            return result
        if result.ndim != 2 or len(result) != self.num_points:
            self.otherwise_used.update(name for name in names if name)
            return result
        probe = torch.zeros_like(result, requires_grad=True)
        self.calls.append(_LinearCall(*names, inputs.detach(), probe))
        return result + probe

    def _note(self, value: object, result: Tensor) -> None:
        if isinstance(value, (list, tuple)):
            for item in value:
                self._note(item, result)
        # A conversion to the dtype that it has gives the parameter itself.
        elif id(value) in self.names and result is not value:
            self.otherwise_used.add(self.names[id(value)])


@dataclass(frozen=True)
class Trace:
    """What a field did at some points.

    Attributes:
        values: The outputs.
        parts: Gradients by the part of the field.
        explicit: Parameters without a structure that is known; their gradients stand
            whole in a site of their own.
    """

    values: Values
    parts: tuple[Part, ...]
    explicit: tuple[str, ...]


def trace(subject: Subject, coords: Coords) -> Trace:
    """Return the parts of a field's tangent kernel at some points.

    Args:
        subject: The field.
        coords: Points in its box.

    Raises:
        ShapeError: If the subject is no field, whose points are independent.
    """
    if subject.field is None:
        raise ShapeError(
            "tangent_kernel(implementation='structured'): expected a field, whose "
            "points are known to be independent of each other, got another callable. "
            "Use implementation='jacobian' or 'matrix-free'."
        )
    names = {id(tensor): name for name, tensor in subject.parameters.items()}
    recorder = _Recorder(names, len(coords))
    watched = _watched_grids(subject.field, recorder)
    with torch.enable_grad(), implementation("reference"), watched, recorder:
        values = subject.field.forward(coords)
    irregular = _irregular(recorder)
    parts = _parts(recorder, _cotangents(recorder, values), irregular)
    structured = {name for call in recorder.calls for name in call.parameters}
    structured |= {read.table for read in recorder.reads}
    structured -= irregular
    explicit = tuple(name for name in subject.parameters if name not in structured)
    parts += _explicit_parts(subject, coords, explicit)
    return Trace(values.detach(), tuple(parts), explicit)


def _irregular(recorder: _Recorder) -> set[str]:
    """Return the parameters that enter in ways that no site describes."""
    tables = {read.table for read in recorder.reads}
    layers: dict[str, set[tuple[str | None, str | None]]] = {}
    for call in recorder.calls:
        for name in call.parameters:
            layers.setdefault(name, set()).add((call.weight, call.bias))
    # A weight with two biases would meet itself in two parts.
    irregular = {n for n, pairs in layers.items() if len(pairs) > 1 or n in tables}
    irregular |= recorder.otherwise_used
    for pair in {pair for pairs in layers.values() for pair in pairs}:
        if irregular.intersection(pair):
            irregular.update(name for name in pair if name)
    return irregular


def _unwatched() -> AbstractContextManager[None]:
    """Return a context in which the recorder sees nothing."""
    return torch._C.DisableTorchFunction()  # noqa: SLF001 # pyright: ignore


@contextmanager
def _watched_grids(module: nn.Module, recorder: _Recorder) -> Iterator[None]:
    """Let grids read through their lookups, each with a probe."""
    grids = {
        name: part
        for name, part in module.named_modules()
        if isinstance(part, GridEncoding)
    }
    for name, grid in grids.items():
        prefix = f"{name}." if name else ""
        grid.forward = _watched_forward(grid, prefix, recorder)
    try:
        yield
    finally:
        for grid in grids.values():
            delattr(grid, "forward")


def _watched_forward(grid: GridEncoding, prefix: str, recorder: _Recorder) -> Any:  # noqa: ANN401
    # A grid with one parameter has its table and nothing that rows or weights could
    # depend on; looking away from those thousand small steps saves half of the time.
    is_plain = len(list(grid.parameters())) == 1

    def forward(coords: Coords) -> Features:
        reads = []
        with _unwatched() if is_plain else nullcontext():
            lookups = grid.lookups(coords, grid.select(coords))
        for level, lookup in enumerate(lookups):
            with _unwatched():
                read = grid.read(lookup)
            table = prefix + lookup.table
            if table in recorder.names.values():
                probe = torch.zeros_like(read, requires_grad=True)
                recorder.reads.append(_Read(table, level, lookup, probe))
                read = read + probe
            reads.append(read)
        return grid.combine(tuple(reads), coords)

    return forward


def _cotangents(recorder: _Recorder, values: Values) -> list[Tensor]:
    """Return the gradient of every channel in every probe, [n, c, o]."""
    probes = [entry.probe for entry in (*recorder.calls, *recorder.reads)]
    if not probes:
        return []
    by_channel = [
        torch.autograd.grad(
            channel.sum(), probes, retain_graph=True, allow_unused=True,
            materialize_grads=True,
        )
        for channel in values.unbind(1)
    ]  # fmt: skip
    return [torch.stack(each, dim=1) for each in zip(*by_channel, strict=True)]


def _parts(
    recorder: _Recorder, cotangents: list[Tensor], irregular: set[str]
) -> list[Part]:
    num_calls = len(recorder.calls)
    reads = zip(recorder.reads, cotangents[num_calls:], strict=True)
    parts = _table_parts([item for item in reads if item[0].table not in irregular])
    layers: dict[str, list[Site]] = {}
    for call, found in zip(recorder.calls, cotangents[:num_calls], strict=True):
        if irregular.intersection(call.parameters):
            continue
        ones = call.inputs.new_ones(len(call.inputs), 1)
        columns = [call.inputs] if call.weight else []
        columns += [ones] if call.bias else []
        name = call.parameters[0].rpartition(".")[0] or call.parameters[0]
        site = OuterSite(found, torch.cat(columns, dim=1))
        layers.setdefault(name, []).append(site)
    return parts + [Part(name, tuple(sites)) for name, sites in layers.items()]


def _table_parts(reads: list[tuple[_Read, Tensor]]) -> list[Part]:
    """Return a part per read; reads that may share rows of a table are one."""
    parts: list[Part] = []
    for table in dict.fromkeys(read.table for read, _ in reads):
        mine = [item for item in reads if item[0].table == table]
        groups: list[list[tuple[_Read, Tensor]]] = []
        reach = -1
        # Levels of a grid own disjoint rows, which their ends already tell.
        for read, found in sorted(mine, key=lambda item: int(item[0].rows.min())):
            if not groups or int(read.rows.min()) > reach:
                groups.append([])
            groups[-1].append((read, found))
            reach = max(reach, int(read.rows.max()))
        for group in groups:
            levels = " and ".join(str(read.level) for read, _ in group)
            name = f"{table}, level {levels}" if len(mine) > 1 else table
            parts.append(Part(name, tuple(_lookup_site(*item) for item in group)))
    return parts


def _lookup_site(read: _Read, cotangents: Tensor) -> LookupSite:
    return LookupSite(cotangents, read.rows, read.lookup.weights.detach())


def _explicit_parts(
    subject: Subject, coords: Coords, explicit: tuple[str, ...]
) -> list[Part]:
    """Return a part for every parameter whose gradients must be written out."""
    if not explicit:
        return []
    chosen = {name: subject.parameters[name] for name in explicit}
    gradients = jacobian(subject, chosen, coords)
    ones = coords.new_ones(len(coords), 1)
    return [Part(name, (OuterSite(g, ones),)) for name, g in gradients.items()]
