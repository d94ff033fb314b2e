"""Flags of fits whose tangent kernel is tracked, and what they mean."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tangrid.cli.flag_types import Count, Steps, Switch
from tangrid.errors import ConfigError

if TYPE_CHECKING:
    from tangrid.experiments.fitting import Fit

    AnyFit = TypeVar("AnyFit", bound=Fit)


@dataclass(frozen=True, kw_only=True)
class TrackFlags:
    """When the tangent kernel is looked at while a field is trained."""

    track_kernel: Steps = None
    """Steps at which the tangent kernel is compared with the first one, or auto."""
    track_points: Count = None
    """Points of that kernel, drawn from those that are trained on (default: 512)."""
    track_only: Switch = False
    """Only look, and train nothing at those points to show beside the fit."""


def check_track(flags: TrackFlags, seeds: int) -> None:
    """Refuse what cannot be tracked, before anything is opened.

    Args:
        flags: What was asked for.
        seeds: Number of seeds of the fit.

    Raises:
        ConfigError: If numbers are none, or there are several fits.
    """
    if flags == TrackFlags():
        return
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.experiments.track_settings import tracking_of  # noqa: PLC0415

    tracking_of(flags.track_kernel, flags.track_points, predict=not flags.track_only)
    if seeds > 1:
        raise ConfigError(
            f"--track-kernel: expected one fit, got --seeds {seeds}. Fit each seed by "
            "itself with --seed."
        )


def tracked(experiment: "AnyFit", flags: TrackFlags, num_channels: int) -> "AnyFit":
    """Return a fit whose tangent kernel is tracked, if that is asked for.

    Args:
        experiment: What is fitted.
        flags: What was asked for.
        num_channels: Values per point of the kernel.
    """
    from tangrid.experiments.track_settings import (  # noqa: PLC0415
        tracking_of,
        with_tracking,
    )

    asked = tracking_of(
        flags.track_kernel, flags.track_points, predict=not flags.track_only
    )
    return with_tracking(experiment, asked, num_channels)
