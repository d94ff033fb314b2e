"""Coordinates to values."""

from tangrid.fields.bacon import BaconConfig as BaconConfig
from tangrid.fields.budget import count_parameters as count_parameters
from tangrid.fields.budget import fit_budget as fit_budget
from tangrid.fields.budget import num_trained as num_trained
from tangrid.fields.contract import FIELDS as FIELDS
from tangrid.fields.contract import Field as Field
from tangrid.fields.contract import FieldConfig as FieldConfig
from tangrid.fields.encoded import EncodedField as EncodedField
from tangrid.fields.encoded import EncodedFieldConfig as EncodedFieldConfig
from tangrid.fields.finer import FinerConfig as FinerConfig
from tangrid.fields.mfn import FourierNetConfig as FourierNetConfig
from tangrid.fields.mfn import GaborNetConfig as GaborNetConfig
from tangrid.fields.nffb import NffbConfig as NffbConfig
from tangrid.fields.siren import SirenConfig as SirenConfig
from tangrid.fields.wire import WireConfig as WireConfig
