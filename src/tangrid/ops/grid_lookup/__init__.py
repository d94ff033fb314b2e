"""Multi-resolution dense, hashed and tiled grids in one to four dimensions."""

from tangrid.ops.grid_lookup.layout import GridLayout as GridLayout
from tangrid.ops.grid_lookup.layout import GridLevel as GridLevel
from tangrid.ops.grid_lookup.layout import grid_layout as grid_layout
from tangrid.ops.grid_lookup.operator import grid_lookup as grid_lookup
