"""Multi-resolution grids read with MulFAGrid's node-dependent kernel function."""

from tangrid.ops.mulfa_lookup.filters import FilterKernel as FilterKernel
from tangrid.ops.mulfa_lookup.filters import KernelSettings as KernelSettings
from tangrid.ops.mulfa_lookup.filters import Normaliser as Normaliser
from tangrid.ops.mulfa_lookup.filters import Units as Units
from tangrid.ops.mulfa_lookup.operator import mulfa_lookup as mulfa_lookup
