"""Models by name, each with its source."""

from tangrid.presets import grids as grids
from tangrid.presets import images as images
from tangrid.presets import linear as linear
from tangrid.presets import networks as networks
from tangrid.presets import radiance as radiance
from tangrid.presets import sdfs as sdfs
from tangrid.presets.contract import PRESETS as PRESETS
from tangrid.presets.contract import SCENE_PRESETS as SCENE_PRESETS
from tangrid.presets.contract import SDF_PRESETS as SDF_PRESETS
from tangrid.presets.contract import Preset as Preset
from tangrid.presets.contract import TaskName as TaskName
from tangrid.presets.contract import find_model as find_model
from tangrid.presets.contract import model_names as model_names
from tangrid.presets.contract import scene_model_names as scene_model_names
