"""Reads of the features of chosen nodes by sines of radial values."""

from tangrid.ops.rbf_lookup.operator import rbf_lookup as rbf_lookup
from tangrid.ops.rbf_lookup.radial import Profile as Profile
from tangrid.ops.rbf_lookup.radial import RadialValues as RadialValues
from tangrid.ops.rbf_lookup.radial import fading as fading
from tangrid.ops.rbf_lookup.radial import radial_values as radial_values
from tangrid.ops.rbf_lookup.radial import shared_values as shared_values
