"""What a Gauss-Newton step cannot honour, refused before anything runs."""

import dataclasses
from collections.abc import Collection

import torch

from tangrid.devices import HOST
from tangrid.errors import ConfigError
from tangrid.fields import Field
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
    if field.device not in (HOST, _META):
        raise ConfigError(
            f"training.optimizer: expected the cpu for gauss-newton, got {field.device}"
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
                f"training.optimizer: expected a {part} in float32 for gauss-newton, "
                f"whose systems half the digits do not solve, got {kind}. Leave "
                f"--{part}-dtype out."
            )
    _check_settings(settings, asked)


def _check_settings(settings: TrainingSettings, asked: Collection[str]) -> None:
    usual = {f.name: f.default for f in dataclasses.fields(settings)}
    changed = [n for n in _OF_ADAM if getattr(settings, n) != usual[n]]
    meant = [path for path in asked if path.startswith("training.rates")]
    for path in [*meant, *(f"training.{name}" for name in changed)]:
        raise ConfigError(
            f"{path}: expected none with --optimizer gauss-newton, which has a damping "
            "in place of rates and takes each step as it is found, got one. Leave it "
            "out, or leave --optimizer out."
        )
