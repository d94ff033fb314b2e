"""Flags of the verbs that predict, and what they mean."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from tyro.conf import UseAppendAction, arg

from tangrid.cli.flag_types import Count, Folder, Number, Switch
from tangrid.cli.flags import TrainingFlags
from tangrid.errors import ConfigError

if TYPE_CHECKING:
    from tangrid.experiments.predict_settings import PredictionSettings


@dataclass(frozen=True, kw_only=True)
class PredictionFlags:
    """Which candidates there are, and how much of the signal is looked at."""

    sweep: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=VALUES")] = ()
    """Vary a setting: sigma=1:64, base=8:64:4 or frequencies=6,8,10; may be repeated,
    and models that have no such setting stay as they are."""
    windows: Number = 16
    """Small places of the signal that are looked at, per seed."""
    window_points: Number = 128
    """Training points in each of them, about."""
    lesson_steps: Count = None
    """Steps of the short training (default: a third of the fit's, 100 at least); 0
    predicts from untouched kernels alone."""
    no_diagnostics: Switch = False
    """Leave out bounds, spectra and curves of the untouched kernels."""
    trained: Folder = None
    """Folder of a comparison of these candidates: its results are put beside."""


def prediction_settings(flags: PredictionFlags) -> "PredictionSettings":
    """Return how much is looked at.

    Args:
        flags: What was asked for.
    """
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.experiments.predict_settings import PredictionSettings  # noqa: PLC0415

    return replace(
        PredictionSettings(),
        windows=flags.windows,
        points=flags.window_points,
        lesson_steps=flags.lesson_steps,
    )


def check_prediction_flags(flags: PredictionFlags, training: TrainingFlags) -> None:
    """Refuse what no prediction can honour, before anything is opened.

    Args:
        flags: What was asked for.
        training: How the candidates would be trained.

    Raises:
        ConfigError: If the optimiser is not the one whose fits are predicted, or the
            folder of trained fits is not there.
    """
    if training.optimizer != "adam":
        raise ConfigError(
            "--optimizer: expected adam, whose fits are predicted, got "
            f"{training.optimizer}. Leave it out."
        )
    if flags.trained is not None:
        from tangrid.experiments.predict_measured import check_trained  # noqa: PLC0415

        check_trained(flags.trained)
