"""What is asked of a field."""

from tangrid.tasks.contract import Batch as Batch
from tangrid.tasks.contract import PointBatch as PointBatch
from tangrid.tasks.contract import Task as Task
from tangrid.tasks.image_regression import ImageRegression as ImageRegression
