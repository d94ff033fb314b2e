"""What every table that the grid lookup reads has in common: rows, weights, a start."""

import torch
from torch import Tensor, nn

from tangrid.encodings.contract import Lookup, Selection
from tangrid.notation import Coords
from tangrid.ops.grid_lookup import GridLayout, reference

INITIAL_RANGE = 1e-4
"""Features start uniform from the negative of this to this, as InstantNGP's do."""


def level_rows(coords: Coords, layout: GridLayout) -> Selection:
    """Return the rows that every level reads for each point.

    Args:
        coords: Points in the unit box.
        layout: Where the nodes are.
    """
    points = coords.detach()
    return tuple(
        reference.corner_rows(points, layout, level) for level in layout.levels
    )


def level_lookups(
    table: str, coords: Coords, layout: GridLayout, rows: tuple[Tensor, ...]
) -> tuple[Lookup, ...]:
    """Return one read of a table per level.

    Args:
        table: Name of the parameter that is read.
        coords: Points in the unit box.
        layout: Where the nodes are.
        rows: Rows per level, from `level_rows`.
    """
    return tuple(
        Lookup(table, own, reference.corner_weights(coords, layout, level))
        for own, level in zip(rows, layout.levels, strict=True)
    )


def small_random(generator: torch.Generator, *shape: int) -> nn.Parameter:
    """Return features that start small.

    Args:
        generator: Source of the values.
        shape: Their shape.
    """
    values = torch.empty(shape)
    values.uniform_(-INITIAL_RANGE, INITIAL_RANGE, generator=generator)
    return nn.Parameter(values)
