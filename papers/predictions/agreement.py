"""How well predicted and trained held-out PSNR agree, image by image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from scipy.stats import spearmanr

from papers.predictions.study import Results
from tangrid.experiments.prediction_ranking import ranking

ESTIMATES = ("plain", "initial", "kernel", "lesson", "predicted")
BANDWIDTHS = "fourier-"
"""Beginning of the names among which the bandwidth is picked."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Hold how one image's candidates of one seed were ranked.

    Attributes:
        rank_correlation: Spearman's, between predicted and trained PSNR.
        regret: PSNR lost by taking the first of the prediction, in dB.
        error: Mean absolute difference of predicted and trained PSNR, in dB.
        bandwidth_regret: The same loss among the bandwidths alone.
    """

    rank_correlation: float
    regret: float
    error: float
    bandwidth_regret: float


Case = tuple[str, tuple[int, ...]]
"""Image and seeds, whose windows and outcomes are taken together."""


def cases(results: Results) -> list[Case]:
    """Return the images and single seeds of which every candidate is there.

    Args:
        results: Of one round.
    """
    return [
        (image, (seed,))
        for seed in results.asked.seeds
        for image in results.asked.images
        if all(
            (image, label, seed) in rows
            for label in results.asked.entrants
            for rows in (results.trained, results.predicted)
        )
    ]


def pooled(there: Sequence[Case]) -> list[Case]:
    """Return the images, each with all seeds that there are of it.

    Args:
        there: Images and single seeds.
    """
    images = dict.fromkeys(image for image, _ in there)
    return [
        (image, tuple(seed for name, seeds in there for seed in seeds if name == image))
        for image in images
    ]


def predictions(results: Results, case: Case, estimate: str) -> dict[str, float]:
    """Return the predicted PSNR of every candidate.

    Args:
        results: Of one round.
        case: Image and seeds.
        estimate: Which of the estimates; ``predicted`` is the one that is ranked by.
    """
    image, seeds = case
    errors = {
        label: torch.cat([
            torch.tensor(results.predicted[image, label, seed][estimate])
            for seed in seeds
        ])
        for label in results.asked.entrants
    }
    return {rank.label: rank.psnr for rank in ranking(errors)}


def outcomes(results: Results, case: Case) -> dict[str, float]:
    """Return the PSNR of the held-out pixels of every candidate.

    Args:
        results: Of one round.
        case: Image and seeds.
    """
    image, seeds = case
    return {
        label: fmean(
            results.trained[image, label, seed]["psnr_heldout"] for seed in seeds
        )
        for label in results.asked.entrants
    }


def agreement(found: Mapping[str, float], real: Mapping[str, float]) -> Agreement:
    """Return how well predictions agree with what training gave.

    Args:
        found: Predicted PSNR by candidate.
        real: That of training.
    """
    labels = list(real)
    bandwidths = [label for label in labels if label.startswith(BANDWIDTHS)]
    pairs = [found[label] for label in labels], [real[label] for label in labels]
    return Agreement(
        rank_correlation=float(spearmanr(*pairs).statistic),
        regret=_regret(labels, found, real),
        error=sum(abs(found[x] - real[x]) for x in labels) / len(labels),
        bandwidth_regret=_regret(bandwidths, found, real),
    )


def _regret(
    labels: Sequence[str], found: Mapping[str, float], real: Mapping[str, float]
) -> float:
    picked = max(labels, key=lambda label: found[label])
    return max(real[label] for label in labels) - real[picked]
