"""Features to values."""

from tangrid.decoders.contract import DECODERS as DECODERS
from tangrid.decoders.contract import Decoder as Decoder
from tangrid.decoders.contract import DecoderConfig as DecoderConfig
from tangrid.decoders.gaussian_layer import GaussianLayerConfig as GaussianLayerConfig
from tangrid.decoders.linear import LinearConfig as LinearConfig
from tangrid.decoders.mlp import ReluMlpConfig as ReluMlpConfig
from tangrid.decoders.mlp import SineResidualMlpConfig as SineResidualMlpConfig
from tangrid.decoders.sum import SumConfig as SumConfig
