"""The numbers of every tangent kernel, each with what it means."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean

from tangrid.reports.kernel_entries import (
    Analysis,
    Variant,
    kernel_name,
    number,
    section_of,
)
from tangrid.reports.kernel_table import Block, Row, comparison_table
from tangrid.reports.kernel_words import over_seeds, percent, short_number
from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.measures import MISSING
from tangrid.reports.page import section

_LEAD = (
    "A tangent kernel says how much a step of gradient descent at one point moves the "
    "output at another. The NTK counts every trained parameter, the GTK the features "
    "of a grid alone."
)


Path = tuple[str | int, ...]
"""Where a number stands in the record of a kernel."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One number of a kernel."""

    path: Path
    """Where it stands in the record of the kernel."""
    label: Child
    """What it is called."""
    words: Child
    """What it means."""
    show: Callable[[Variant, str, Path], Child] | None = None
    """What stands in its cell, where it is not just the number."""

    def cell(self, variant: Variant, kind: str) -> Child:
        """Return its cell of the table.

        Args:
            variant: The column.
            kind: Name of the kernel.
        """
        if self.show is not None:
            return self.show(variant, kind, self.path)
        return over_seeds(variant.numbers("kernels", kind, *self.path))


def quantity_table(
    label: str,
    analysis: Analysis,
    quantities: Sequence[Quantity],
    before: Sequence[Block] = (),
) -> Html | None:
    """Return a table of numbers of every kernel of every model.

    Args:
        label: What it holds.
        analysis: What was found.
        quantities: The rows; those that nothing has are left out.
        before: Rows above them.
    """
    blocks = list(before)
    for position, kind in enumerate(analysis.kinds):
        rows = [
            Row(
                label=quantity.label,
                words=quantity.words if position == 0 else None,
                cells=[quantity.cell(it, kind) for it in analysis.variants],
            )
            for quantity in quantities
        ]
        known = [row for row in rows if any(cell != [MISSING] for cell in row.cells)]
        blocks.append(Block(title=kernel_name(kind), rows=known))
    return comparison_table(label, analysis.variants, blocks)


def summary_section(analysis: Analysis) -> Html | None:
    """Return the numbers of every kernel.

    Args:
        analysis: What was found.

    Returns:
        The section, or nothing if there are none.
    """
    quantities = (*_OF_ALONE, *_steps(analysis), *_OF_SIGNAL)
    sizes = [_size(it) for it in analysis.variants]
    size = Row(label="Trained parameters", cells=sizes)
    table = quantity_table(
        "The kernels in numbers", analysis, quantities, [Block(rows=[size])]
    )
    if table is None:
        return None
    several = len(analysis.seeds) > 1
    spread = "Mean over seeds, with the standard deviation." if several else None
    return section(
        "The kernels in numbers",
        table,
        tag("p", spread, class_="note") if spread else None,
        lead=_LEAD,
    )


def _size(variant: Variant) -> Child:
    count = number(variant.first.values, "params_trainable")
    return MISSING if count is None else f"{count:,}"


def _smallest(variant: Variant, kind: str, path: Path) -> list[Child]:
    summary = section_of(variant.first.kernel(kind), "summary")
    if summary.get("smallest_is_resolved") is False:
        below = short_number(summary.get("resolution"), 2)
        return ["unresolved", tag("small", f"below {below}", class_="under")]
    return over_seeds(variant.numbers("kernels", kind, *path))


def _or_infinite(variant: Variant, kind: str, path: Path) -> list[Child]:
    found = variant.numbers("kernels", kind, *path)
    # What is infinite is null on disk.
    if not found and path[-1] in section_of(variant.first.kernel(kind), *path[:-1]):
        return ["\N{INFINITY}"]
    return over_seeds(found)


def _steps_taken(variant: Variant, kind: str, path: Path) -> list[Child]:
    found = variant.numbers("kernels", kind, *path)
    if found:
        return over_seeds([float(ceil(steps)) for steps in found], 4)
    return ["never"] if _or_infinite(variant, kind, path) != [MISSING] else [MISSING]


def _rank(variant: Variant, kind: str, path: Path) -> list[Child]:
    shown = over_seeds(variant.numbers("kernels", kind, *path))
    summary = section_of(variant.first.kernel(kind), "summary")
    points, outputs = number(summary, "num_points"), number(summary, "num_outputs")
    if shown == [MISSING] or points is None or outputs is None:
        return shown
    return [*shown, tag("small", f" of {points * outputs:,}")]


def share_cell(variant: Variant, kind: str, path: Path) -> list[Child]:
    """Return a share in percent, the mean over seeds.

    Args:
        variant: Whose.
        kind: Name of the kernel.
        path: Where it stands.
    """
    found = variant.numbers("kernels", kind, *path)
    return [percent(fmean(found))] if found else [MISSING]


def _steps(analysis: Analysis) -> list[Quantity]:
    """Return a row for every quality whose steps were predicted."""
    plans = (
        section_of(it.first.kernel(kind), "summary", "learning").get("steps")
        for it in analysis.variants
        for kind in analysis.kinds
    )
    steps = next((plan for plan in plans if isinstance(plan, list)), [])
    levels = [number({"steps": steps}, "steps", i, "psnr") for i in range(len(steps))]
    words = "predicted for gradient descent at half the largest stable rate"
    return [
        Quantity(
            path=("summary", "learning", "steps", place, "steps"),
            label=f"Steps to {level:g} dB",
            words=words if place == 0 else None,
            show=_steps_taken,
        )
        for place, level in enumerate(levels)
        if level is not None
    ]


_OF_ALONE = (
    Quantity(
        path=("summary", "trace_per_point"),
        label="Trace per point",
        words="how far outputs move at a unit step: mere scale, no quality",
    ),
    Quantity(
        path=("summary", "largest"),
        label="Largest eigenvalue",
        words="what is learned first; it limits the learning rate",
    ),
    Quantity(
        path=("summary", "smallest"),
        label="Smallest eigenvalue",
        words="what is learned last; unresolved where rounding hides it",
        show=_smallest,
    ),
    Quantity(
        path=("summary", "condition"),
        label="Condition number",
        words="largest over smallest: how many times slower the last is learned",
        show=_or_infinite,
    ),
    Quantity(
        path=("summary", "rank"),
        label="Numerical rank",
        words="eigenvalues that stand out of rounding",
        show=_rank,
    ),
    Quantity(
        path=("summary", "effective_rank"),
        label="Effective rank",
        words="how many eigenvalues share the trace, by their entropy",
    ),
    Quantity(
        path=("summary", "decay", "exponent"),
        label="Decay exponent",
        words="a, where the i-th eigenvalue falls like i to the power \N{MINUS SIGN}a",
    ),
    Quantity(
        path=("summary", "max_rate"),
        label="Largest stable rate",
        words="of gradient descent on half the sum of squares",
    ),
)
_OF_SIGNAL = (
    Quantity(
        path=("summary", "learning", "alignment"),
        label="Alignment with the signal",
        words="cosine between the kernel and the products of labels; 1: made for them",
    ),
    Quantity(
        path=("summary", "learning", "outside_range"),
        label="Never learned",
        words="share of the signal that no resolved eigenvector holds",
        show=share_cell,
    ),
)
