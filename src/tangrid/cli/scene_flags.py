"""Flags of fits to posed photographs, and what they mean."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tangrid.cli.flag_types import Count, File, Name, Number, Switch
from tangrid.cli.flags import TrainingFlags

if TYPE_CHECKING:
    from tangrid.metrics.lpips import Lpips
    from tangrid.training import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class SceneFlags:
    """Which photographs are fitted, and how views are judged."""

    downscale: Number = 1
    """Whole factor by which photographs are made smaller."""
    holdout: Count = None
    """Hold out every Nth view, where the data set does not say (default: 8)."""
    format: Name = None
    """blender, transforms, llff, colmap or nsvf (default: as recognised)."""
    protocol: Name = None
    """Rules of evaluation, as in `tangrid catalogue` (default: as suits the scene)."""
    no_ndc: Switch = False
    """Fit a view out of a window in the world, not in device coordinates."""
    lpips: File = None
    """Judge views by LPIPS too, with the network and weights in this file."""


def lpips_of(flags: SceneFlags) -> "Lpips | None":
    """Return the learned metric that is asked for, read from its file.

    Args:
        flags: What was asked for.
    """
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.metrics.lpips import read_lpips  # noqa: PLC0415

    return None if flags.lpips is None else read_lpips(flags.lpips)


def scene_training_of(flags: TrainingFlags) -> "TrainingSettings":
    """Return the recipe of fits to posed photographs.

    Args:
        flags: What was asked for.
    """
    from tangrid.training.settings import scene_training  # noqa: PLC0415

    return scene_training(
        flags.steps,
        flags.minutes,
        batch_size=flags.batch_size,
        threads=flags.threads,
    )
