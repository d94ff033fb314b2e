"""Places and directions to densities and colours."""

from tangrid.fields.radiance.contract import RADIANCE_FIELDS as RADIANCE_FIELDS
from tangrid.fields.radiance.contract import Density as Density
from tangrid.fields.radiance.contract import RadianceField as RadianceField
from tangrid.fields.radiance.contract import RadianceFieldConfig as RadianceFieldConfig
from tangrid.fields.radiance.directions import DirectionEncoding as DirectionEncoding
from tangrid.fields.radiance.encoded import EncodedRadiance as EncodedRadiance
from tangrid.fields.radiance.encoded import (
    EncodedRadianceConfig as EncodedRadianceConfig,
)
from tangrid.fields.radiance.growth import Growth as Growth
from tangrid.fields.radiance.nerf import NerfConfig as NerfConfig
from tangrid.fields.radiance.separate import (
    SeparateRadianceConfig as SeparateRadianceConfig,
)
from tangrid.fields.radiance.separate import opacity_shift as opacity_shift
