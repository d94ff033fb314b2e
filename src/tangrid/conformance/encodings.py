"""The conformance suite of encodings: what the library relies on, check by check.

Run it on an encoding of your own before you fit anything with it.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from tangrid.conformance.components import COMPONENT_CHECKS, findings_of
from tangrid.conformance.derivatives import check_steps
from tangrid.conformance.subjects import (
    FLOAT32_TOLERANCE,
    Finding,
    components_of,
    corners,
    distance,
    expect,
    points,
)
from tangrid.conformance.tangent import check_tangent_kernel
from tangrid.encodings import EncodingConfig, GridEncoding

Check = Callable[[EncodingConfig], None]

FLOAT64_TOLERANCE = 1e-9
"""Two ways to compute one thing in float64, where only a wrong formula shows."""


def check_lookups(config: EncodingConfig) -> None:
    """A grid's forward equals what its lookups read and combine joins.

    Args:
        config: Settings of the encoding.
    """
    for encoding in components_of(config):
        if not isinstance(encoding, GridEncoding):
            continue
        coords = torch.cat((points(encoding.num_dims), corners(encoding.num_dims)))
        expect_lookups(encoding, coords, FLOAT32_TOLERANCE)
        wide = cast("GridEncoding", encoding.double())
        expect_lookups(wide, coords.double(), FLOAT64_TOLERANCE)


def expect_lookups(encoding: GridEncoding, coords: Tensor, tolerance: float) -> None:
    """Raise unless lookups are reads of tables that give the features.

    Args:
        encoding: The grid.
        coords: Points in the unit box.
        tolerance: Largest relative RMS difference.
    """
    selection = encoding.select(coords)
    lookups = encoding.lookups(coords, selection)
    parameters = dict(encoding.named_parameters())
    for lookup in lookups:
        known = lookup.table in parameters
        expect(known, "lookups", f"a table of {list(parameters)}", lookup.table)
        rows, size = lookup.rows, len(parameters[lookup.table])
        expect(rows.dtype == torch.int64, "rows", torch.int64, rows.dtype)
        inside = bool(((rows >= 0) & (rows < size)).all())
        expect(inside, "rows", f"numbers below {size}", "some outside")
        shape = tuple(lookup.weights.shape[:2])
        expect(shape == tuple(rows.shape), "shape of weights", rows.shape, shape)
    reads = tuple(encoding.read(lookup) for lookup in lookups)
    error = distance(encoding.combine(reads, coords), encoding(coords))
    sentence = f"other features, by {error:.1e}"
    what = f"combine(lookups) in {coords.dtype}"
    expect(error <= tolerance, what, "the features of forward", sentence)


CHECKS: tuple[Check, ...] = (
    *COMPONENT_CHECKS,
    check_steps,
    check_lookups,
    check_tangent_kernel,
)
"""Every check; each takes the settings of an encoding and raises what is wrong."""


def check_encoding(
    config: EncodingConfig | type[EncodingConfig],
) -> list[Finding]:
    """Run every check on an encoding.

    Args:
        config: Its settings, or their class for the defaults.

    Returns:
        One finding per check, in the order of `CHECKS`.

    Example:
        >>> from tangrid.encodings import IdentityConfig
        >>> {finding.error for finding in check_encoding(IdentityConfig)}
        {None}
    """
    settings = config() if isinstance(config, type) else config
    return findings_of(CHECKS, settings)
