"""One dataclass per thing one can run."""

from tangrid.experiments.analyze_folder import KernelAnalysis as KernelAnalysis
from tangrid.experiments.analyze_image import AnalyzeImage as AnalyzeImage
from tangrid.experiments.analyze_run import AnalyzeRun as AnalyzeRun
from tangrid.experiments.compare_images import CompareImages as CompareImages
from tangrid.experiments.compare_scenes import CompareScenes as CompareScenes
from tangrid.experiments.compare_sdfs import CompareSdfs as CompareSdfs
from tangrid.experiments.contract import EXPERIMENTS as EXPERIMENTS
from tangrid.experiments.fit_image import FitImage as FitImage
from tangrid.experiments.fit_scene import FitScene as FitScene
from tangrid.experiments.fit_sdf import FitSdf as FitSdf
from tangrid.experiments.fitting import FittedRun as FittedRun
from tangrid.experiments.loading import load as load
from tangrid.experiments.predict_images import PredictImage as PredictImage
from tangrid.experiments.predict_sdfs import PredictSdf as PredictSdf
