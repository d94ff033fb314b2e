"""The sine residual h + sin(f h) of a decoder's first layer."""

from tangrid.ops.sine_residual.operator import sine_residual as sine_residual
