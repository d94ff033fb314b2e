"""Flags of fits to signed distances, and what they mean."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tangrid.cli.flag_types import Count, Real
from tangrid.cli.flags import TrainingFlags, optimizer_of

if TYPE_CHECKING:
    from tangrid.tasks.sdf_losses import SdfLoss
    from tangrid.training import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class SdfFlags:
    """Which points are trained on, and how an error is counted."""

    points: Count = None
    """Points drawn before training (default: 4194304, or fewer for few steps)."""
    sampling: Literal["instant-ngp", "neurbf"] = "instant-ngp"
    """Whose rule says how far from the surface near points are."""
    loss: Literal["mape", "l1", "l2", "truncated-l1", "siren"] = "mape"
    """How a wrong distance is counted; siren is the paper's recipe, slopes included."""
    eikonal: Real = None
    """Weight of the loss of slopes that are not 1 (default: 0; 50 for siren)."""
    normals: Real = None
    """Weight of the loss of normals that are turned (default: 0; 100 for siren)."""


def loss_of(flags: SdfFlags) -> "SdfLoss":
    """Return how an error is counted.

    Args:
        flags: What was asked for.
    """
    from tangrid.tasks.sdf_losses import SdfLoss  # noqa: PLC0415

    return SdfLoss(kind=flags.loss, eikonal=flags.eikonal, normals=flags.normals)


def sdf_training(flags: TrainingFlags) -> "TrainingSettings":
    """Return training settings with the batch that suits signed distances.

    Args:
        flags: What was asked for.
    """
    from tangrid.training.settings import SDF_BATCH_SIZE, training_for  # noqa: PLC0415

    return training_for(
        flags.steps,
        flags.minutes,
        batch_size=SDF_BATCH_SIZE if flags.batch_size is None else flags.batch_size,
        threads=flags.threads,
        optimizer=optimizer_of(flags),
    )
