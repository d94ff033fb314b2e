"""Where rays take samples: on a lattice of steps, in the cells that hold something."""

from tangrid.ops.ray_march.boxes import cells_of as cells_of
from tangrid.ops.ray_march.boxes import spans as spans
from tangrid.ops.ray_march.occupied import OccupiedCells as OccupiedCells
from tangrid.ops.ray_march.occupied import occupied_cells as occupied_cells
from tangrid.ops.ray_march.operator import RaySamples as RaySamples
from tangrid.ops.ray_march.operator import march as march
from tangrid.ops.ray_march.operator import observe as observe
from tangrid.ops.ray_march.steps import Steps as Steps
