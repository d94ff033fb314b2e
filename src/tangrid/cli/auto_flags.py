"""Flags of fits whose settings are chosen by prediction, and what they mean."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from tyro.conf import UseAppendAction, arg

from tangrid.cli.flag_types import Switch
from tangrid.cli.flags import ModelFlags, OutputFlags, names_in, settings_of
from tangrid.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from tangrid.experiments.auto_choice import AutoRequest, PlanOne
    from tangrid.experiments.choice import Choice
    from tangrid.experiments.fit_image import FitImage
    from tangrid.experiments.fit_sdf import FitSdf
    from tangrid.signals.image import ImageSignal
    from tangrid.signals.mesh import MeshSignal

    AnyAutoFit = TypeVar("AnyAutoFit", FitImage, FitSdf)


@dataclass(frozen=True, kw_only=True)
class AutoFlags:
    """Whether settings are chosen by what they are predicted to do on new points."""

    auto: Switch = False
    """Predict candidates on parts of the signal first and fit the best; --model may
    name several models then."""
    sweep: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=VALUES")] = ()
    """What --auto tries, such as sigma=1:64 or levels=4,8 (default: what suits the
    model)."""


@dataclass(frozen=True, kw_only=True)
class SceneAutoFlags:
    """What is told to whoever wants it of a scene."""

    auto: Switch = False
    """Not for scenes: settings are chosen so for images and meshes."""


def check_no_auto(flags: SceneAutoFlags) -> None:
    """Refuse to choose the settings of a scene.

    Args:
        flags: What was asked for.

    Raises:
        ConfigError: If it was asked for.
    """
    if flags.auto:
        raise ConfigError(
            "--auto: expected an image or a mesh, whose points can be predicted one by "
            "one, got a scene, of which photographs show none alone. Leave it out, and "
            "compare settings with `tangrid compare scene`."
        )


def check_auto(
    flags: AutoFlags, model: str, seeds: int, verb: Literal["image", "sdf"]
) -> None:
    """Refuse what cannot be chosen, before anything is opened.

    Args:
        flags: What was asked for.
        model: Name of the model, or names with commas.
        seeds: Number of seeds of the fit.
        verb: What is fitted.

    Raises:
        ConfigError: If there is nothing to choose from, or there are several fits.
    """
    if flags.sweep and not flags.auto:
        raise ConfigError(
            "--sweep: expected --auto, which chooses from what is swept, got a sweep "
            f"alone. Say --auto too, or rank settings with `tangrid predict {verb}`."
        )
    if flags.auto and seeds > 1:
        raise ConfigError(
            f"--auto: expected one fit, got --seeds {seeds}. Fit each seed by itself "
            "with --seed."
        )
    if flags.auto and not names_in(model):
        raise ConfigError(
            f"--model: expected a name, or names with commas, got '{model}'. Write for "
            "example --model instant-ngp,mulfagrid --auto."
        )
    if "," in model and not flags.auto:
        raise ConfigError(
            f"--model: expected one model, got '{model}'. Fit several with "
            f"`tangrid compare {verb}`."
        )


def planned_fit(
    flags: AutoFlags,
    model: str,
    training: ModelFlags,
    output: OutputFlags,
    signal: "ImageSignal | MeshSignal",
    plan_one: "Callable[[str, Mapping[str, str]], AnyAutoFit]",
    device: "torch.device",
) -> "tuple[AnyAutoFit, Choice | None, OutputFlags]":
    """Return a fit, how its settings were chosen if they were, and where it goes.

    A fit that is gone on with keeps what was chosen for it.

    Args:
        flags: Whether to choose, and from what.
        model: Name of the model, or names with commas.
        training: Budget and single settings.
        output: The folder of the fit.
        signal: What is fitted.
        plan_one: Plans the fit of a model with single settings.
        device: Where to compute.
    """
    settings = settings_of(training)
    if not flags.auto:
        return plan_one(model, settings), None, output
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.experiments.auto_choice import AutoRequest  # noqa: PLC0415

    request = AutoRequest(
        models=names_in(model),
        sweeps=flags.sweep,
        params=training.params,
        settings=settings,
    )
    out = output.out or f"runs/{signal.name}-{'-'.join(request.models)}-auto"
    output = replace(output, out=out)
    choice = _choice(request, output, signal, plan_one, device)
    return plan_one(choice.model, {**settings, **choice.settings}), choice, output


def _choice(
    request: "AutoRequest",
    output: OutputFlags,
    signal: "ImageSignal | MeshSignal",
    plan_one: "PlanOne",
    device: "torch.device",
) -> "Choice":
    from tangrid.experiments.auto_jobs import choose_or_recall  # noqa: PLC0415
    from tangrid.progress import StageLine  # noqa: PLC0415

    with StageLine() as line:
        return choose_or_recall(
            signal,
            plan_one,
            request,
            out=output.out,
            overwrite=output.overwrite,
            resume=output.resume,
            device=device,
            line=line,
        )
