"""Predict how well candidates would fill in one image."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from tangrid.experiments.analyze_image import describe_signal
from tangrid.experiments.contract import EXPERIMENTS
from tangrid.experiments.fit_image import FitImage, ImageSource, plan_fit
from tangrid.experiments.predict_plan import (
    Prediction,
    PredictionPlan,
    planned_candidates,
)
from tangrid.experiments.predict_sample import Window, image_windows
from tangrid.signals.image import ImageSignal
from tangrid.signals.pixels import digest_of
from tangrid.tasks.image_regression import Sampling


@EXPERIMENTS.register("predict-image")
@dataclass(frozen=True, kw_only=True)
class PredictImage(Prediction):
    """Which candidates on which image."""

    signal: ImageSource = field(default_factory=ImageSource)
    """The image."""
    num_channels: int | None = None
    """Values per pixel; None until the image is opened."""
    resolution: tuple[int, ...] | None = None
    """Pixels along x and y; None until the image is opened."""
    digest: str = ""
    """Hash of its pixels: a file may change while its name stays."""
    sampling: Sampling = "auto"
    """Which points each step of the fits would train on."""
    holdout: bool = False
    """Whether only every second pixel along each axis is trained on."""
    heldout_share: float | None = None
    """Share of the pixels, drawn at random, that is not trained on."""


def plan_image_prediction(
    experiment: PredictImage, signal: ImageSignal
) -> PredictionPlan[FitImage]:
    """Return all candidates with all settings resolved, before anything runs.

    Args:
        experiment: What is asked for.
        signal: The image, opened.

    Raises:
        ConfigError: If a candidate is not possible, or the image is too small.
    """

    def plan_one(model: str, settings: Mapping[str, str]) -> FitImage:
        return plan_fit(
            signal,
            experiment.signal,
            model=model,
            params=experiment.params,
            training=experiment.training,
            sampling=experiment.sampling,
            holdout=experiment.holdout,
            heldout_share=experiment.heldout_share,
            settings=settings,
        )

    def windows(fit: FitImage) -> list[Window]:
        look = experiment.look
        return image_windows(
            signal,
            fit.split(signal),
            count=look.windows,
            points=look.points,
            judged=look.judged,
            seed=fit.seed,
        )

    experiment = dataclasses.replace(
        experiment,
        num_channels=signal.num_channels,
        resolution=(signal.width, signal.height),
        digest=digest_of(signal.pixels, stored=signal.stored, wanted=signal.colour),
    )
    planned = planned_candidates(experiment, "image", signal.site, plan_one)
    windows(planned[0].fits[0])  # an image too small is refused before anything begins
    return PredictionPlan(
        experiment=experiment,
        quantity="psnr",
        signal=describe_signal(signal),
        site=signal.site,
        candidates=planned,
        windows=windows,
    )
