"""Run a field once and note, at every site of its parameters, inputs and cotangents.

Nothing of a field has to be declared. Linear layers are seen as calls of
`torch.nn.functional.linear`, grids say themselves what they read, and both compute with
detached parameters. What still gets a gradient afterwards is used in some other way
too, and is left to an explicit gradient for every point.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tangrid.encodings.contract import GridEncoding, Lookup
from tangrid.errors import ConfigError, ShapeError
from tangrid.notation import Coords, Features, Values
from tangrid.ops import implementation
from tangrid.seeding import generator
from tangrid.tangent.kernels.coordinate_gradients import requiring_coordinate_gradients
from tangrid.tangent.kernels.jacobian import jacobian
from tangrid.tangent.kernels.sites import LookupSite, OuterSite
from tangrid.tangent.kernels.subject import Subject


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


@dataclass
class _Recorder(TorchFunctionMode):
    """Watch linear layers with chosen parameters, and the reads of grids."""

    parameters: Mapping[str, Tensor]
    num_points: int
    tables: Mapping[int, Tensor]
    calls: list[_LinearCall] = field(default_factory=list)
    reads: list[_Read] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.names = {id(tensor): name for name, tensor in self.parameters.items()}

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Return what a function returns, and note what it does with parameters."""
        if func is nn.functional.linear:
            return self._linear(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _linear(
        self,
        input: Tensor,  # noqa: A002 (the name that callers use)
        weight: Tensor,
        bias: Tensor | None = None,
    ) -> Tensor:
        names = self.names.get(id(weight)), self.names.get(id(bias))
        is_plain = input.ndim == 2 and len(input) == self.num_points
        if names == (None, None) or not is_plain:
            return nn.functional.linear(input, weight, bias)
        weight, bias = (
            given.detach() if name is not None and given is not None else given
            for name, given in zip(names, (weight, bias), strict=True)
        )  # pyright: ignore[reportAssignmentType]
        result = nn.functional.linear(input, weight, bias)
        probe = torch.zeros_like(result, requires_grad=True)
        self.calls.append(_LinearCall(*names, input.detach(), probe))
        return result + probe

    @property
    def probes(self) -> list[Tensor]:
        """The probes of all sites so far: calls, then reads."""
        return [entry.probe for entry in (*self.calls, *self.reads)]

    def leaves(self) -> list[Tensor]:
        """Return what gradients of the chosen parameters arrive at so far."""
        return [*self.parameters.values(), *self.probes]

    def read(self, grid: GridEncoding, level: int, lookup: Lookup) -> Tensor:
        """Return what a lookup reads, and note it.

        Args:
            grid: The grid.
            level: Number of the lookup.
            lookup: Rows and weights.
        """
        table = attrgetter(lookup.table)(grid)
        name = self.names.get(id(table))
        if name is None or len(lookup.rows) != self.num_points:
            return grid.read(lookup)
        # A table that was not copied is in its own arithmetic.
        known = self.tables.get(id(table), table).detach()
        read = lookup.read(known).to(table.dtype)
        probe = torch.zeros_like(read, requires_grad=True)
        self.reads.append(_Read(name, level, lookup, probe))
        return read + probe


@dataclass(frozen=True)
class TracedLayer:
    """One call of a linear layer.

    Attributes:
        weight: Name of its matrix; None if it is not chosen.
        bias: Name of its bias; None if it is not chosen or there is none.
        site: Its gradients.
    """

    weight: str | None
    bias: str | None
    site: OuterSite


@dataclass(frozen=True)
class TracedRead:
    """One read of a table.

    Attributes:
        table: Name of the table.
        level: Number of the lookup in its grid.
        site: Its gradients.
    """

    table: str
    level: int
    site: LookupSite


@dataclass(frozen=True)
class Trace:
    """What a field does with its chosen parameters at some points.

    Attributes:
        layers: Calls of linear layers, in order.
        reads: Reads of tables, in order.
        explicit: Gradients of the parameters without a structure that is known.
        num_channels: Values per point.
    """

    layers: tuple[TracedLayer, ...]
    reads: tuple[TracedRead, ...]
    explicit: dict[str, OuterSite]
    num_channels: int


def trace(subject: Subject, coords: Coords) -> Trace:
    """Return the sites of a field's chosen parameters at some points.

    Args:
        subject: The field.
        coords: Points in its box.

    Raises:
        ConfigError: If the subject is no field, whose points are independent.
        ShapeError: If the points of the field are not independent after all.
    """
    if subject.field is None:
        raise ConfigError(
            "tangent_kernel(implementation='structured'): expected a field, whose "
            "points are known to be independent of each other, got another callable. "
            "Use implementation='jacobian' or 'matrix-free'."
        )
    recorder = _Recorder(subject.parameters, len(coords), subject.tables)
    watched = _watched(subject, recorder)
    with torch.enable_grad(), watched, requiring_coordinate_gradients(recorder.leaves):
        values = subject.field.forward(coords)
        subject.check_values(values, len(coords))
        irregular = _irregular(recorder, values)
        _require_rows_alone(subject, recorder, irregular)
        cotangents = _cotangents(recorder, values)
    count = len(recorder.calls)
    layers = tuple(
        TracedLayer(call.weight, call.bias, _layer_site(call, found))
        for call, found in zip(recorder.calls, cotangents[:count], strict=True)
        if not irregular.intersection(call.parameters)
    )
    reads = tuple(
        TracedRead(read.table, read.level, _read_site(read, found))
        for read, found in zip(recorder.reads, cotangents[count:], strict=True)
        if read.table not in irregular
    )
    structured = {name for call in recorder.calls for name in call.parameters}
    structured |= {read.table for read in recorder.reads}
    structured -= irregular
    others = [name for name in subject.parameters if name not in structured]
    explicit = _explicit_sites(subject, coords, others)
    return Trace(layers, reads, explicit, values.shape[1])


@contextmanager
def _watched(subject: Subject, recorder: _Recorder) -> Iterator[None]:
    """Let layers and grids pass the recorder, and parameters collect gradients."""
    assert subject.module is not None
    grids = [
        part for part in subject.module.modules() if isinstance(part, GridEncoding)
    ]
    forwards = [grid.__dict__.get("forward") for grid in grids]
    for grid in grids:
        grid.forward = _watched_forward(grid, recorder)  # pyright: ignore
    for parameter in subject.parameters.values():
        parameter.requires_grad_(True)
    try:
        with implementation("reference"), recorder:
            yield
    finally:
        for parameter in subject.parameters.values():
            parameter.requires_grad_(False)
        for grid, forward in zip(grids, forwards, strict=True):
            del grid.__dict__["forward"]  # pyright: ignore[reportIndexIssue]
            if forward is not None:
                grid.forward = forward


def _watched_forward(
    grid: GridEncoding, recorder: _Recorder
) -> Callable[[Coords], Features]:
    def forward(coords: Coords) -> Features:
        # No layer is looked for in there: watching those many small steps takes half of
        # the time. What they use of parameters is found by its gradient.
        with torch._C.DisableTorchFunction():  # noqa: SLF001 # pyright: ignore
            lookups = grid.lookups(coords, grid.select(coords))
            reads = tuple(
                recorder.read(grid, level, lookup)
                for level, lookup in enumerate(lookups)
            )
        return grid.combine(reads, coords)

    return forward


def _irregular(recorder: _Recorder, values: Values) -> set[str]:
    """Return the parameters that enter in ways that no site describes.

    Raises:
        ShapeError: If values of some points depend on sites of others.
    """
    tables = {read.table for read in recorder.reads}
    layers: dict[str, set[tuple[str | None, str | None]]] = {}
    for call in recorder.calls:
        for name in call.parameters:
            layers.setdefault(name, set()).add((call.weight, call.bias))
    # A weight with two biases would meet itself in two parts.
    irregular = {n for n, pairs in layers.items() if len(pairs) > 1 or n in tables}
    irregular |= _still_reached(recorder, values)
    for pair in {pair for pairs in layers.values() for pair in pairs}:
        if irregular.intersection(pair):
            irregular.update(name for name in pair if name)
    return irregular


def _require_rows_alone(
    subject: Subject, recorder: _Recorder, irregular: set[str]
) -> None:
    """Refuse to go on without a copy of tables that are not only read by rows."""
    reads = {read.table for read in recorder.reads} - irregular
    if subject.shared_names - reads:
        raise ConfigError(
            "tangent_kernel(field=...): expected tables that are read row by row, got "
            "one that is used in another way too. Copy it."
        )


def _still_reached(recorder: _Recorder, values: Values) -> set[str]:
    """Return the parameters that a gradient reaches past all sites.

    The gradient is that of a random half of the points, so that the same pass shows
    whether the other half has anything to do with them.
    """
    if not values.requires_grad:
        return set()
    source = generator(0, "tracing")
    half = torch.rand(len(values), generator=source).to(values.device) < 0.5
    weights = torch.randn(values.shape, generator=source).to(values) * half[:, None]
    found = torch.autograd.grad(
        values, recorder.leaves(), weights, retain_graph=True, allow_unused=True
    )
    count = len(recorder.parameters)
    # Gradients that overflow are not 0 anywhere, not even times 0: no sign of mixing.
    strange = (
        answer[~half].nan_to_num(0, 0, 0)
        for answer in found[count:]
        if answer is not None
    )
    if any(answer.any() for answer in strange):
        raise ShapeError(
            "tangent_kernel(field=...): expected a field whose value at a point "
            "depends on that point alone, in the same row, got one that mixes points. "
            "Use implementation='jacobian', which asks for every point by itself."
        )
    return {
        name
        for name, gradient in zip(recorder.parameters, found[:count], strict=True)
        if gradient is not None
    }


def _cotangents(recorder: _Recorder, values: Values) -> list[Tensor]:
    """Return the gradient of every channel in every probe, [n, c, o]."""
    probes = recorder.probes
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


def _layer_site(call: _LinearCall, cotangents: Tensor) -> OuterSite:
    columns = [call.inputs] if call.weight else []
    columns += [call.inputs.new_ones(len(call.inputs), 1)] if call.bias else []
    return OuterSite(cotangents, torch.cat(columns, dim=1))


def _read_site(read: _Read, cotangents: Tensor) -> LookupSite:
    return LookupSite(cotangents, read.lookup.rows, read.lookup.weights.detach())


def _explicit_sites(
    subject: Subject, coords: Coords, names: list[str]
) -> dict[str, OuterSite]:
    """Return a site for every parameter whose gradients must be written out."""
    if not names:
        return {}
    chosen = {name: subject.parameters[name] for name in names}
    gradients = jacobian(subject, chosen, coords)
    ones = coords.new_ones(len(coords), 1)
    return {name: OuterSite(found, ones) for name, found in gradients.items()}
