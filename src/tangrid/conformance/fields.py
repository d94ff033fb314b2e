"""The conformance suite of fields: what the library relies on, check by check."""

from tangrid.conformance.components import COMPONENT_CHECKS, findings_of
from tangrid.conformance.subjects import Finding
from tangrid.fields import FieldConfig


def check_field(config: FieldConfig | type[FieldConfig]) -> list[Finding]:
    """Run every check on a field.

    Args:
        config: Its settings, or their class for the defaults.

    Returns:
        One finding per check, in the order of `COMPONENT_CHECKS`.

    Example:
        >>> from tangrid.fields import SirenConfig
        >>> {finding.error for finding in check_field(SirenConfig(width=8))}
        {None}
    """
    settings = config() if isinstance(config, type) else config
    return findings_of(COMPONENT_CHECKS, settings)
