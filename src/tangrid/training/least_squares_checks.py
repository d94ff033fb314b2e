"""What fits by least squares cannot honour, refused before anything runs."""

import dataclasses
from collections.abc import Collection

import torch

from tangrid.devices import HOST
from tangrid.errors import ConfigError
from tangrid.fields import Field
from tangrid.linear.recognition import check_solvable
from tangrid.training.settings import TrainingSettings

_META = torch.device("meta")
_OF_ADAM = (
    "betas",
    "eps",
    "schedule",
    "final_rate",
    "hold",
    "warmup_steps",
    "milestones",
    "step_factor",
    "ema",
    "ema_interval",
    "loss_scale",
)
"""Settings that change nothing where there are no rates and no gradients' moments."""


def check_gauss_newton(
    settings: TrainingSettings,
    field: Field,
    *,
    is_least_squares: bool,
    asked: Collection[str] = (),
) -> None:
    """Refuse a fit that Gauss-Newton steps cannot do as it is asked for.

    Args:
        settings: How it is fitted.
        field: What is fitted; it may be on the meta device.
        is_least_squares: Whether the loss is the mean square of values' errors.
        asked: Dotted paths of settings that somebody has chosen.

    Raises:
        ConfigError: If the loss, the device, the arithmetic or a setting does not suit.
    """
    if not is_least_squares:
        raise ConfigError(
            "training.optimizer: expected a loss that is the mean square of the errors "
            "of values, as that of images and, of a mesh, --loss l2 without eikonal "
            "and normals, got another, of which gauss-newton knows nothing. Leave "
            "--optimizer out: adam minimises any loss."
        )
    _check_place("gauss-newton", field)
    does = "has a damping in place of rates and takes each step as it is found"
    _check_settings(settings, asked, _OF_ADAM, does)


def check_exact(
    settings: TrainingSettings,
    field: Field,
    model: str,
    *,
    has_points: bool,
    asked: Collection[str] = (),
) -> None:
    """Refuse a fit that has no exact solution, or not as it is asked for.

    Args:
        settings: How it is fitted.
        field: What is fitted; it may be on the meta device.
        model: Its name, for the message.
        has_points: Whether the loss is the squared error at points that stay the same.
        asked: Dotted paths of settings that somebody has chosen.

    Raises:
        ConfigError: If loss, model, device, arithmetic or a setting does not suit.
    """
    if not has_points:
        raise ConfigError(
            "--optimizer exact: expected a loss that is the squared error at points "
            "which stay the same, as of an image's pixels or, with --loss l2, of a "
            "mesh's points, got another. Leave --optimizer out."
        )
    check_solvable(field, model)
    check_solution(settings, field, asked)


def check_solution(
    settings: TrainingSettings, field: Field, asked: Collection[str] = ()
) -> None:
    """Refuse what an exact solution of a field that has one cannot honour.

    Args:
        settings: How it is fitted.
        field: What is fitted; it may be on the meta device.
        asked: Dotted paths of settings that somebody has chosen.

    Raises:
        ConfigError: If device, arithmetic or a setting does not suit.
    """
    _check_place("exact", field)
    does = "ends at the optimum, without steps, batches and rates"
    # Where the time is to end a fit there are no steps: nobody asked for any.
    unused = ("steps",) if settings.minutes is None else ("minutes",)
    if "training.batch_size" in asked:
        # The usual size is another for every task: only who asks for one means it.
        unused = ("batch_size", *unused)
    _check_settings(settings, asked, (*unused, *_OF_ADAM), does)


def _check_place(optimizer: str, field: Field) -> None:
    """Refuse another device than the processor, and half precision."""
    if field.device not in (HOST, _META):
        raise ConfigError(
            f"training.optimizer: expected the cpu for {optimizer}, got {field.device}"
            ". Say --device cpu, or leave --optimizer out."
        )
    encoding = getattr(field, "encoding", None)
    kinds = (
        ("decoder", getattr(field, "decoder_dtype", "float32")),
        ("table", getattr(encoding, "table_dtype", None) or "float32"),
    )
    for part, kind in kinds:
        if kind != "float32":
            raise ConfigError(
                f"training.optimizer: expected a {part} in float32 for {optimizer}, "
                f"whose systems half the digits do not solve, got {kind}. Leave "
                f"--{part}-dtype out."
            )


def _check_settings(
    settings: TrainingSettings,
    asked: Collection[str],
    unused: Collection[str],
    does: str,
) -> None:
    """Refuse settings that change nothing, which somebody has changed."""
    usual = {f.name: f.default for f in dataclasses.fields(settings)}
    refused = [path for path in asked if path.startswith("training.rates")]
    refused += [f"training.{n}" for n in unused if getattr(settings, n) != usual[n]]
    if refused:
        raise ConfigError(
            f"{refused[0]}: expected none with --optimizer {settings.optimizer}, which "
            f"{does}, got one. Leave it out, or leave --optimizer out."
        )
