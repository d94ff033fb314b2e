"""From what was traced at the points of both sides to the parts of a kernel."""

from collections import Counter
from collections.abc import Sequence

import torch

from tangrid.devices import require_memory, room_bytes
from tangrid.errors import ShapeError
from tangrid.fields import Field
from tangrid.notation import Coords
from tangrid.tangent.kernels.parts import Part
from tangrid.tangent.kernels.sites import GradientSite, LookupSite
from tangrid.tangent.kernels.subject import ALL, Subject, subject_of
from tangrid.tangent.kernels.tracing import Trace, TracedRead, trace

_LOOKED_AT = 16
"""Points from which it is told how much memory all need."""
_Groups = list[tuple[str, list[list[GradientSite]]]]
"""Parts to be: a name, and the sites of every side."""


def gradient_parts(
    field: Field, coords: Coords, dtype: torch.dtype = torch.float64
) -> list[Part]:
    """Return a field's gradients in all its parameters, part by part.

    Args:
        field: The field at its present parameters.
        coords: Points in the unit box, on the device of the field.
        dtype: What to compute in.

    Raises:
        ResourceError: If memory does not hold the gradients of so many points.

    Example:
        >>> import tangrid
        >>> field = tangrid.build("siren", num_dims=2, num_channels=3, seed=0)
        >>> parts = gradient_parts(field, torch.rand(4, 2))
        >>> (parts[0].num_points, parts[0].num_outputs)
        (4, 3)
    """
    with torch.inference_mode(False), torch.no_grad():
        subject, points = subject_of(field, ALL, dtype), coords.detach().to(dtype)
        require_room(subject, points, len(points), "gradient_parts", "Take fewer.")
        (parts,) = assemble([trace(subject, points)])
    return parts


def require_room(
    subject: Subject, sample: Coords, count: int, where: str, to_do: str
) -> None:
    """Refuse more points than memory holds gradients of, before they are made.

    Args:
        subject: Whose gradients they will be.
        sample: Points, of which the first few are looked at.
        count: How many there will be.
        where: The function that was asked for them.
        to_do: What whoever asked may do.

    Raises:
        ResourceError: If they do not fit.
    """
    few, room = sample[:_LOOKED_AT], room_bytes()
    # They never take much more than the whole Jacobian: where that fits nobody looks.
    numbers = count * subject.num_channels(few) * subject.num_parameters
    if room is None or 2 * numbers * subject.dtype.itemsize <= room:
        return
    (parts,) = assemble([trace(subject, few)])
    each = sum(part.num_bytes for part in parts) / len(few)
    require_memory(
        # While it is made, every cotangent is there twice.
        2 * each * count,
        f"{where}: the factored gradients of {count:,} points",
        to_do,
        points=count,
    )


def assemble(traces: Sequence[Trace]) -> list[list[Part]]:
    """Return the parts of every side, in one order and under the same names.

    Sites of the same parameters become one part: calls of one layer, and reads of one
    table that may share rows, of whichever side.

    Args:
        traces: What was traced at the points of each side.

    Raises:
        ShapeError: If the field does different things at the sides.
    """
    shapes = {
        (
            tuple((layer.weight, layer.bias) for layer in trace.layers),
            tuple((read.table, read.level) for read in trace.reads),
            tuple(trace.explicit),
        )
        for trace in traces
    }
    if len(shapes) > 1:
        raise ShapeError(
            "tangent_kernel(x2=...): expected a field that does the same at all "
            "points, got one that uses its parameters in different ways at x and x2. "
            "Use implementation='jacobian'."
        )
    groups = [*_table_groups(traces), *_layer_groups(traces)]
    num_structured = len(groups)
    groups += [
        (name, [[trace.explicit[name]] for trace in traces])
        for name in traces[0].explicit
    ]
    names = _unique([name for name, _ in groups])
    sides: list[list[Part]] = [[] for _ in traces]
    for number, (name, (_, sites)) in enumerate(zip(names, groups, strict=True)):
        for side, mine in zip(sides, sites, strict=True):
            side.append(Part(name, tuple(mine), number >= num_structured))
    return sides


def _layer_groups(traces: Sequence[Trace]) -> _Groups:
    keys = dict.fromkeys((layer.weight, layer.bias) for layer in traces[0].layers)
    groups: _Groups = []
    for key in keys:
        sites: list[list[GradientSite]] = [
            [call.site for call in trace.layers if (call.weight, call.bias) == key]
            for trace in traces
        ]
        parameter = key[0] or key[1] or ""
        groups.append((parameter.rpartition(".")[0] or parameter, sites))
    # Several matrices of one module go by their own names.
    shared = Counter(name for name, _ in groups)
    return [
        (name if shared[name] == 1 else key[0] or key[1] or name, sites)
        for key, (name, sites) in zip(keys, groups, strict=True)
    ]


def _table_groups(traces: Sequence[Trace]) -> _Groups:
    groups: _Groups = []
    reads = traces[0].reads
    for table in dict.fromkeys(read.table for read in reads):
        mine = [number for number, read in enumerate(reads) if read.table == table]
        for numbers in _overlapping(mine, traces):
            levels = dict.fromkeys(str(reads[number].level) for number in numbers)
            has_levels = len({reads[number].level for number in mine}) > 1
            name = f"{table}, level {' and '.join(levels)}" if has_levels else table
            sites: list[list[GradientSite]] = [
                [trace.reads[number].site for number in numbers] for trace in traces
            ]
            groups.append((name, sites))
    return groups


def _overlapping(numbers: list[int], traces: Sequence[Trace]) -> list[list[int]]:
    """Return reads in groups that cannot share a row, at whichever side.

    Levels of a grid own disjoint rows, which their ends already tell.
    """
    ends = {
        number: _ends([trace.reads[number] for trace in traces]) for number in numbers
    }
    groups: list[list[int]] = []
    reach = -1
    for number in sorted(numbers, key=lambda number: ends[number]):
        first, last = ends[number]
        if not groups or first > reach:
            groups.append([])
        groups[-1].append(number)
        reach = max(reach, last)
    return groups


def _ends(reads: list[TracedRead]) -> tuple[int, int]:
    sites: list[LookupSite] = [read.site for read in reads]
    return (
        min(int(site.rows.min()) for site in sites),
        max(int(site.rows.max()) for site in sites),
    )


def _unique(names: list[str]) -> list[str]:
    """Return names that differ: a second one of the same name is numbered."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found
