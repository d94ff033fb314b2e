"""Experiments that take a moment."""

import dataclasses

from tangrid.experiments import FitImage
from tangrid.experiments.fit_image import ImageSource, plan_fit
from tangrid.signals.image import ImageSignal
from tangrid.training import TrainingSettings
from tests.training.small_fits import smooth_image

TRAINING = TrainingSettings(steps=6, batch_size=100, threads=2)
PARAMS = 20_000


def image(side: int = 16, name: str = "waves") -> ImageSignal:
    return dataclasses.replace(smooth_image(side), name=name)


def plan(model: str = "instant-ngp", **changes) -> FitImage:
    settings = {"params": PARAMS, "training": TRAINING, **changes}
    return plan_fit(image(), ImageSource(name="waves"), model=model, **settings)
