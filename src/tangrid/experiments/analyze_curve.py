"""Predicted and measured gradient descent of one model, at a rate that suits both."""

import math
from typing import Any

import torch
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.experiments.analyze_descent import (
    MeasuredDescent,
    measured_descent,
    predicted_losses,
    recorded_steps,
)
from tangrid.experiments.analyze_group import GroupKernel, drift_of
from tangrid.experiments.analyze_probes import Probes
from tangrid.experiments.analyze_settings import KernelSettings
from tangrid.experiments.analyze_specimen import OnStage, Specimen
from tangrid.tangent.dynamics.descent import GradientDescent
from tangrid.tangent.dynamics.prediction import psnr_of

_OVERSHOT = 2.0
"""Loss over the first one beyond which descent is called unstable."""
_LOWERED = 4.0
_MOST_TRIES = 8


class CurveMaker:
    """Follow gradient descent on all points at once; in theory and in fact.

    The rate that is stable for the kernel at the start need not be so later: kernels
    grow. Where no rate was asked for and real descent overshoots, both curves are
    taken at a lower one, and that is said.

    Args:
        specimen: The model.
        probes: Points and labels.
        settings: Steps and rate.
        on_stage: Called before each stage.

    Attributes:
        warnings: What the reader should know of.
    """

    def __init__(
        self,
        specimen: Specimen,
        probes: Probes,
        settings: KernelSettings,
        on_stage: OnStage,
    ) -> None:
        self._specimen, self._probes = specimen, probes
        self._settings, self._on_stage = settings, on_stage
        self.warnings: list[str] = []

    def check_rate(self, found: GroupKernel) -> None:
        """Refuse a learning rate at which even the prediction diverges.

        Args:
            found: The kernel of all parameters.

        Raises:
            ConfigError: If it is too large.
        """
        rate, limit = self._settings.rate, found.largest_stable_rate
        if rate is not None and rate >= limit:
            raise ConfigError(
                f"rate: expected one below {limit:.4g}, at which gradient descent of "
                f"{self._specimen.label} on these points diverges, got {rate:g}. Say a "
                "smaller --rate, or leave it out for half of that."
            )

    def curve(self, found: GroupKernel) -> dict[str, Any] | None:
        """Return both curves, and how the kernel drifted; None if nothing is learned.

        Args:
            found: The kernel of all parameters.
        """
        settings, specimen, probes = self._settings, self._specimen, self._probes
        descent = found.descent(settings.rate)
        if descent is None:
            return None
        done, words = None, "as asked"
        if settings.rate is None:
            words = "half the largest stable rate of this kernel"
        if settings.steps:
            descent, done, more = self._descended(descent)
            words += more
        self._on_stage("prediction of gradient descent")
        steps = recorded_steps(settings.horizon)
        losses, method = predicted_losses(found.dense, specimen, probes, descent, steps)
        return {
            "rate": descent.rate,
            "rate_words": words,
            "largest_stable_rate": found.largest_stable_rate,
            "steps": settings.horizon,
            "step": steps.tolist(),
            "predicted_psnr": psnr_of(losses).tolist(),
            "predicted_loss": losses.tolist(),
            "method": method,
            **self._compared(done, steps, losses),
        }

    def _descended(
        self, descent: GradientDescent
    ) -> tuple[GradientDescent, MeasuredDescent, str]:
        """Return real descent, at a rate lowered until it does not overshoot."""
        first, tries = descent.rate, 0
        is_asked = self._settings.rate is not None
        while True:
            done = self._descent_at(descent.rate, math.inf if is_asked else _OVERSHOT)
            if is_asked or self._is_whole(done) or tries == _MOST_TRIES:
                break
            tries += 1
            descent = GradientDescent(descent.rate / _LOWERED)
        self._warn(done, first, descent.rate)
        if tries == 0:
            return descent, done, ""
        factor = _LOWERED**tries
        return descent, done, f", over {factor:.0f}, since real descent overshot"

    def _descent_at(self, rate: float, ceiling: float) -> MeasuredDescent:
        steps = self._settings.steps
        return measured_descent(
            self._specimen,
            self._probes,
            rate,
            steps,
            ceiling=ceiling,
            on_step=lambda step: self._on_stage(
                f"gradient descent at {rate:.2g}, step {step}/{steps}"
            ),
        )

    def _is_whole(self, done: MeasuredDescent) -> bool:
        return len(done.losses) == self._settings.steps + 1

    def _warn(self, done: MeasuredDescent, first: float, rate: float) -> None:
        if not self._is_whole(done):
            self.warnings.append(
                f"gradient descent at the rate {rate:.3g} was stopped after "
                f"{len(done.losses)} steps, because its loss grew beyond all bounds; a "
                "smaller --rate shows more."
            )
        elif rate < first:
            self.warnings.append(
                f"gradient descent at {first:.3g}, half the largest stable rate of the "
                "kernel at the start, overshot: the kernel grows in training. Both "
                f"curves are at the rate {rate:.3g}."
            )
        elif float(done.losses.max()) > _OVERSHOT * float(done.losses[0]):
            self.warnings.append(
                f"gradient descent at the rate {rate:.3g} overshot to "
                f"{float(done.losses.max() / done.losses[0]):.3g} times the first "
                "loss: the kernel grows in training, beyond what this rate allows. "
                "Leave --rate out, or say a smaller one."
            )

    def _compared(
        self, done: MeasuredDescent | None, steps: Tensor, predicted: Tensor
    ) -> dict[str, Any]:
        """Return what was measured, beside what was predicted."""
        told: dict[str, Any] = dict.fromkeys((
            "measured_psnr",
            "measured_loss",
            "largest_gap_db",
            "drift",
        ))
        if done is None:
            return told
        losses = done.at(steps)
        told["measured_psnr"] = psnr_of(losses).tolist()
        told["measured_loss"] = losses.tolist()
        if not self._is_whole(done):
            return told
        self._on_stage("drift of the NTK")
        gap = torch.max(torch.abs(psnr_of(losses) - psnr_of(predicted)))
        told["largest_gap_db"] = float(gap)
        told["drift"] = drift_of(self._specimen, done.specimen, "all", self._probes)
        return told
