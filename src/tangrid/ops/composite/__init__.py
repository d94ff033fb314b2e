"""What light gathers along rays of packed samples: colour, opacity and depth."""

from tangrid.ops.composite.operator import Composited as Composited
from tangrid.ops.composite.operator import VisibleSamples as VisibleSamples
from tangrid.ops.composite.operator import composite as composite
from tangrid.ops.composite.operator import ray_weights as ray_weights
from tangrid.ops.composite.operator import visible_samples as visible_samples
