"""The conformance suite of fields: what the library relies on, check by check."""

from collections.abc import Callable

from tangrid.conformance.components import (
    check_config,
    check_float64,
    check_groups,
    check_rows,
    check_seed,
    check_shape,
    check_sizes,
    check_state,
    findings_of,
)
from tangrid.conformance.derivatives import (
    check_corners,
    check_functional,
    check_gradients,
)
from tangrid.conformance.subjects import Finding
from tangrid.fields import FieldConfig

FIELD_CHECKS: tuple[Callable[[FieldConfig], None], ...] = (
    check_config,
    check_shape,
    check_float64,
    check_seed,
    check_rows,
    check_corners,
    check_gradients,
    check_groups,
    check_functional,
    check_state,
    check_sizes,
)
"""Every check; each takes the settings of a field and raises what is wrong."""


def check_field(config: FieldConfig | type[FieldConfig]) -> list[Finding]:
    """Run every check on a field.

    Args:
        config: Its settings, or their class for the defaults.

    Returns:
        One finding per check, in the order of `FIELD_CHECKS`.

    Example:
        >>> from tangrid.fields import SirenConfig
        >>> {finding.error for finding in check_field(SirenConfig(width=8))}
        {None}
    """
    settings = config() if isinstance(config, type) else config
    return findings_of(FIELD_CHECKS, settings)
