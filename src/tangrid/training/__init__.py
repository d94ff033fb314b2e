"""How a field is fitted."""

from tangrid.training.log import Moment as Moment
from tangrid.training.loop import FittedField as FittedField
from tangrid.training.loop import Probe as Probe
from tangrid.training.loop import fit as fit
from tangrid.training.settings import TrainingSettings as TrainingSettings
