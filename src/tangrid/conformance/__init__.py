"""What components must do to work with the rest; for components of one's own too."""

from tangrid.conformance.components import COMPONENT_CHECKS as COMPONENT_CHECKS
from tangrid.conformance.components import name_of as name_of
from tangrid.conformance.encodings import CHECKS as CHECKS
from tangrid.conformance.encodings import check_encoding as check_encoding
from tangrid.conformance.fields import check_field as check_field
from tangrid.conformance.radiance import RADIANCE_CHECKS as RADIANCE_CHECKS
from tangrid.conformance.radiance import check_radiance_field as check_radiance_field
from tangrid.conformance.subjects import ConformanceError as ConformanceError
from tangrid.conformance.subjects import Finding as Finding
