"""What ``import tinycudann as tcnn`` gives, on a CPU as on a GPU."""

from tangrid.compat.tinycudann.modules import Encoding as Encoding
from tangrid.compat.tinycudann.modules import Network as Network
from tangrid.compat.tinycudann.modules import (
    NetworkWithInputEncoding as NetworkWithInputEncoding,
)
from tangrid.compat.tinycudann.modules import (
    free_temporary_memory as free_temporary_memory,
)
from tangrid.compat.tinycudann.modules import supports_jit_fusion as supports_jit_fusion

__all__ = [
    "Encoding",
    "Network",
    "NetworkWithInputEncoding",
    "free_temporary_memory",
    "supports_jit_fusion",
]
