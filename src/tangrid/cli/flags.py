"""Flags that several verbs share, and what they mean."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import UseAppendAction, arg

from tangrid.cli.flag_types import (
    Count,
    Crop,
    Device,
    File,
    Folder,
    Minutes,
    Number,
    Real,
    Switch,
)
from tangrid.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from tangrid.encodings import EncodingConfig


@dataclass(frozen=True, kw_only=True)
class PictureFlags:
    """Which part of the image is meant, and in which colours."""

    crop: Crop = None
    """Part in pixels: 256 or 256x192 (centre), 256x192+40+20 (at column 40, row 20)."""
    downscale: Number = 1
    """Whole factor by which the part is made smaller."""
    colour: Literal["srgb", "linear"] = "srgb"
    """Colour space of the values."""


@dataclass(frozen=True, kw_only=True)
class ImageFlags(PictureFlags):
    """Which part of the image is fitted, and which points of it."""

    holdout: Switch = False
    """Train on every second pixel along each axis and judge the others apart."""
    heldout_share: Real = None
    """Hold out this share of the pixels, drawn at random, and judge them apart."""
    sampling: Literal["auto", "all", "pixels", "continuous"] = "auto"
    """Points of each step; auto takes all pixels if they fit one batch."""


@dataclass(frozen=True, kw_only=True)
class ModelFlags:
    """How large the model is, where it begins, and what of it is changed."""

    params: Count = None
    """Size the model to this many trainable parameters, within 2 %."""
    seed: Number = 0
    """Source of all randomness."""
    seeds: Number = 1
    """Number of seeds, from --seed on; several make a table."""
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="PATH=VALUE")] = ()
    """Change any single setting, such as field.encoding.num-levels=12."""


@dataclass(frozen=True, kw_only=True)
class TrainingFlags(ModelFlags):
    """How large the model is and how it is trained."""

    steps: Count = None
    """Optimiser steps (default: 1000, 5000 of a scene, 50 of gauss-newton, or as
    --minutes say)."""
    minutes: Minutes = None
    """Wall time of training after which it stops."""
    batch_size: Count = None
    """Points per step (default: 65536 of an image, 32768 of a mesh or a scene)."""
    optimizer: Literal["adam", "gauss-newton", "exact"] = "adam"
    """What moves the parameters: gauss-newton for images and --loss l2 of a mesh; exact
    for models that are linear in them."""
    threads: Count = None
    """Threads to use (default: all that this process may)."""
    decoder_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the decoder; bfloat16 suits some processors, float16 GPUs."""
    table_dtype: Literal["float32", "float16"] = "float32"
    """As what tables are read; float16 halves a GPU's traffic, masters are float32."""
    device: Device = "cpu"
    """Where to compute: cpu, cuda, cuda:1 and so on, or auto (a GPU, if there is)."""


@dataclass(frozen=True, kw_only=True)
class PluginFlags:
    """What is loaded first, and how errors are shown."""

    plugin: File = None
    """Python file to run first; it may register encodings and fields of its own."""
    debug: Switch = False
    """Show where in the program an error came from."""


@dataclass(frozen=True, kw_only=True)
class OutputFlags(PluginFlags):
    """Where results go, what is loaded first, and how errors are shown."""

    out: Folder = None
    """Folder of the run (default: a name of its own below runs/)."""
    overwrite: Switch = False
    """Replace the run that is in that folder."""
    resume: Switch = False
    """Go on with the run that is in that folder."""


def check_flags(flags: TrainingFlags) -> None:
    """Refuse flags that no run can honour.

    Args:
        flags: What was asked for.

    Raises:
        ConfigError: If the device is not there, there is no seed, or steps or batches
            are asked of an exact solution.
    """
    of_steps = (flags.steps, flags.minutes, flags.batch_size)
    if optimizer_of(flags) == "exact" and any(n is not None for n in of_steps):
        raise ConfigError(
            "--optimizer exact: expected neither --steps nor --minutes nor "
            "--batch-size, got one: the solver takes all points and ends at the "
            "optimum. Leave it out."
        )
    check_device(flags.device)
    check_seeds(flags)


def check_device(name: str) -> None:
    """Refuse a device that is not there, before anything is opened.

    Args:
        name: What was asked for.
    """
    # PyTorch is heavy, and --help must answer at once.
    if name != "cpu":
        device_named(name)


def device_named(name: str) -> "torch.device":
    """Return the device that ``--device`` names.

    Args:
        name: What was asked for.
    """
    from tangrid.devices import find_device  # noqa: PLC0415

    return find_device(name, "--device")


def check_threads(threads: int | None) -> None:
    """Refuse a number of threads that is none.

    Args:
        threads: What was asked for.

    Raises:
        ConfigError: If it is below 1.
    """
    if threads is not None and threads < 1:
        raise ConfigError(
            f"--threads: expected a whole number >= 1, got {threads}. Leave it out to "
            "use all."
        )


def check_seeds(flags: ModelFlags) -> None:
    """Refuse a number of seeds that is none.

    Args:
        flags: What was asked for.

    Raises:
        ConfigError: If there is no seed.
    """
    if flags.seeds < 1:
        raise ConfigError(
            f"--seeds: expected a whole number >= 1, got {flags.seeds}. Say how many "
            "different seeds you want."
        )


def settings_of(flags: ModelFlags) -> dict[str, str]:
    """Return single settings by dotted path.

    Args:
        flags: What was asked for.

    Raises:
        ConfigError: If a text is not of the form PATH=VALUE, or a path is set twice.
    """
    settings = {}
    if isinstance(flags, TrainingFlags) and flags.decoder_dtype != "float32":
        settings["field.decoder_dtype"] = flags.decoder_dtype
    if isinstance(flags, TrainingFlags) and flags.table_dtype != "float32":
        settings["field.encoding.table_dtype"] = flags.table_dtype
    if isinstance(flags, TrainingFlags) and flags.optimizer != "adam":
        settings["training.optimizer"] = flags.optimizer
    for text in flags.set:
        path, separator, value = (part.strip() for part in text.partition("="))
        if not separator or not path:
            raise ConfigError(
                f"--set: expected PATH=VALUE, got '{text}'. Write for example --set "
                "field.encoding.num-levels=12."
            )
        path = path.replace("-", "_")
        if path in settings:
            raise ConfigError(
                f"--set: expected one value for {path}, got '{settings[path]}' and "
                f"'{value}'. Leave one of them out."
            )
        settings[path] = value
    return settings


def optimizer_of(flags: TrainingFlags) -> str:
    """Return what moves the parameters, however it was asked for.

    Args:
        flags: What was asked for.
    """
    return settings_of(flags).get("training.optimizer", flags.optimizer)


def check_decoder(
    flags: TrainingFlags, model: str, task: Literal["image", "sdf", "scene"] = "image"
) -> None:
    """Refuse an arithmetic for a model in which it cannot be chosen.

    Args:
        flags: What was asked for.
        model: Name of the model.
        task: What it is fitted to.

    Raises:
        ConfigError: If the model is unknown or has no such choice.
    """
    from tangrid.presets import find_model  # noqa: PLC0415

    if flags.decoder_dtype == flags.table_dtype == "float32":
        return
    field = find_model(model, task).field
    encoding = getattr(field, "encoding", None)
    if flags.table_dtype != "float32" and not _has_such_a_table(encoding, flags):
        raise ConfigError(
            "--table-dtype: expected a model of a plain grid, hash-grid or dense-grid, "
            f"whose table can be read so, got '{model}'. Leave --table-dtype out, or "
            "take instant-ngp."
        )
    if flags.decoder_dtype != "float32" and not hasattr(field, "decoder_dtype"):
        raise ConfigError(
            "--decoder-dtype: expected a model with a decoder whose arithmetic can be "
            f"chosen, got '{model}'. Leave --decoder-dtype out."
        )


def _has_such_a_table(encoding: "EncodingConfig | None", flags: TrainingFlags) -> bool:
    """Return whether the encoding can read a table as the flags want it."""
    if encoding is None or not hasattr(encoding, "table_dtype"):
        return False
    try:
        # Grids with more than interpolation inherit the setting and refuse it.
        replace(encoding, table_dtype=flags.table_dtype)
    except ConfigError:
        return False
    return True


def seeds_of(flags: ModelFlags) -> tuple[int, ...]:
    """Return all seeds.

    Args:
        flags: What was asked for.
    """
    return tuple(range(flags.seed, flags.seed + flags.seeds))


def names_in(text: str) -> tuple[str, ...]:
    """Return the names in a list with commas, each once.

    Args:
        text: Such as ``instant-ngp,mulfagrid``.

    Example:
        >>> names_in("instant-ngp, mulfagrid,")
        ('instant-ngp', 'mulfagrid')
    """
    names = (name.strip() for name in text.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def models_in(text: str) -> tuple[str, ...]:
    """Return the models in a list with commas, at least one.

    Args:
        text: Such as ``instant-ngp,mulfagrid``.

    Raises:
        ConfigError: If it names none.
    """
    models = names_in(text)
    if not models:
        raise ConfigError(
            f"--models: expected names with commas, got '{text}'. Write for example "
            "--models instant-ngp,mulfagrid."
        )
    return models


def distinct_names(paths: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Return a name for every image, no two the same.

    Args:
        paths: Where the images are.
        names: The names of their files, which may be the same in different folders.

    Example:
        >>> distinct_names(["a/x.png", "b/x.png", "y.png"], ["x", "x", "y"])
        ('x-a', 'x-b', 'y')
    """
    taken: set[str] = set()
    found = []
    for path, name in zip(paths, names, strict=True):
        wanted = name
        if names.count(name) > 1:
            wanted = f"{name}-{Path(path).absolute().parent.name}"
        # The same file twice, or folders of the same name.
        versions = (f"{wanted}-{number}" for number in count(2))
        free = (
            wanted
            if wanted not in taken
            else next(version for version in versions if version not in taken)
        )
        taken.add(free)
        found.append(free)
    return tuple(found)
