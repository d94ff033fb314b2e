"""Coordinates to features; one file per encoding: config, module, registered name."""

from tangrid.encodings.contract import ENCODINGS as ENCODINGS
from tangrid.encodings.contract import Encoding as Encoding
from tangrid.encodings.contract import EncodingConfig as EncodingConfig
from tangrid.encodings.contract import GridEncoding as GridEncoding
from tangrid.encodings.contract import Lookup as Lookup
from tangrid.encodings.contract import Selection as Selection
from tangrid.encodings.dense_grid import DenseGridConfig as DenseGridConfig
from tangrid.encodings.fourier import FourierConfig as FourierConfig
from tangrid.encodings.hash_grid import HashGridConfig as HashGridConfig
from tangrid.encodings.identity import IdentityConfig as IdentityConfig
from tangrid.encodings.k_planes import PlaneGridConfig as PlaneGridConfig
from tangrid.encodings.mulfa_grid import MulfaGridConfig as MulfaGridConfig
from tangrid.encodings.mulfa_nodes import MulfaNodesConfig as MulfaNodesConfig
from tangrid.encodings.neurbf import NeurbfConfig as NeurbfConfig
from tangrid.encodings.one_blob import OneBlobConfig as OneBlobConfig
from tangrid.encodings.ring_grid import RingGridConfig as RingGridConfig
from tangrid.encodings.spherical_harmonics import (
    SphericalHarmonicsConfig as SphericalHarmonicsConfig,
)
from tangrid.encodings.tensorf import TensorfCpConfig as TensorfCpConfig
from tangrid.encodings.tensorf import TensorfVmConfig as TensorfVmConfig
from tangrid.encodings.triangle_wave import TriangleWaveConfig as TriangleWaveConfig
