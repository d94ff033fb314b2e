"""What a preset is: a published or recommended model by name, with its source."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from tangrid.decoders import SumConfig
from tangrid.encodings import ENCODINGS
from tangrid.encodings.table_grid import TableGridConfig
from tangrid.errors import ConfigError
from tangrid.fields import FIELDS, EncodedFieldConfig, FieldConfig
from tangrid.fields.radiance import RADIANCE_FIELDS, EncodedRadianceConfig
from tangrid.registry import unknown_name
from tangrid.signals.site import Site


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A model by name.

    Attributes:
        name: Public name.
        field: Settings of the field, before a budget sizes it.
        rates: Learning rates of its own, by parameter group.
        finest_fraction: Vertices of a grid's finest level per sample along the
            signal's longest side, where nothing else decides its size.
        params: Trainable parameters to size it to where no budget is given; None leaves
            it as it is.
        settings: Single settings of its task that it needs, by dotted path; what a
            person sets comes after them.
        summary: One line on what it is.
        source: Where its settings come from.
    """

    name: str
    field: FieldConfig
    rates: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: MappingProxyType({})
    )
    finest_fraction: float | None = None
    params: int | None = None
    settings: Mapping[str, str] = dataclasses.field(
        default_factory=lambda: MappingProxyType({})
    )
    summary: str = ""
    source: str = ""

    def at(self, site: Site) -> FieldConfig:
        """Return the settings of the field for a signal of some resolution.

        Levels that are summed get as many channels as the signal has.

        Args:
            site: Where the field will be built.
        """
        config = _with_channels(self.field, site)
        if self.finest_fraction is None or site.resolution is None:
            return config
        if not isinstance(config, EncodedFieldConfig):
            return config
        finest = self.finest_fraction * max(site.resolution)
        return dataclasses.replace(config, encoding=config.encoding.reaching(finest))


def _with_channels(config: FieldConfig, site: Site) -> FieldConfig:
    if not isinstance(config, EncodedFieldConfig):
        return config
    encoding = config.encoding
    if not isinstance(config.decoder, SumConfig) or not isinstance(
        encoding, TableGridConfig
    ):
        return config
    encoding = dataclasses.replace(encoding, channels_per_level=site.num_channels)
    return dataclasses.replace(config, encoding=encoding)


TaskName = Literal["image", "sdf", "scene"]
"""What a model is fitted to."""

PRESETS: dict[str, Preset] = {}
"""Every preset by name, filled by the modules of this room."""

SDF_PRESETS: dict[str, Preset] = {}
"""Settings of the same models where they suit signed distances better."""


SCENE_PRESETS: dict[str, Preset] = {}
"""Radiance fields by name; a name may be that of a model of images too."""


def file_for_sdf(preset: Preset) -> None:
    """Give a model settings of its own for signed distances.

    Args:
        preset: Its settings; the name is one that `find_model` knows.
    """
    SDF_PRESETS[preset.name] = preset


def file_for_scene(preset: Preset) -> None:
    """Add a model of scenes to `SCENE_PRESETS`.

    Args:
        preset: Its settings, which are those of a radiance field.
    """
    SCENE_PRESETS[preset.name] = preset


def file(preset: Preset) -> None:
    """Add a preset to `PRESETS`.

    Args:
        preset: The preset; it may have the name of the kind of field that it is, and
            give that kind its rates and its source.

    Raises:
        ConfigError: If the name is taken.
    """
    whole = {*FIELDS} - {preset.field.kind}
    if preset.name in {*PRESETS, *ENCODINGS, *whole}:
        raise ConfigError(
            f"preset '{preset.name}': expected a new name, got one that is taken."
        )
    PRESETS[preset.name] = preset


def model_names() -> list[str]:
    """Return every name that can be fitted: presets, encodings, whole fields."""
    whole = [name for name in FIELDS if name != EncodedFieldConfig.kind]
    return sorted({*PRESETS, *ENCODINGS, *whole})


def scene_model_names() -> list[str]:
    """Return every name that a scene can be fitted by: presets, encodings, kinds."""
    return sorted({*SCENE_PRESETS, *ENCODINGS, *RADIANCE_FIELDS})


def find_model(name: str, task: TaskName = "image") -> Preset:
    """Return the preset of a name; an encoding comes with the default decoder.

    Args:
        name: A preset, a registered encoding or a registered field.
        task: What it is fitted to; some models have settings of their own for each.
            Scenes ask for a radiance field, which an encoding becomes with the default
            heads.

    Raises:
        ConfigError: If nothing has that name, and then the nearest one is named, or if
            what has it is no model of scenes where one is asked for.
    """
    if task == "scene":
        return _find_radiance_field(name)
    if task == "sdf" and name in SDF_PRESETS:
        return SDF_PRESETS[name]
    if name in PRESETS:
        return PRESETS[name]
    if name in ENCODINGS:
        config = EncodedFieldConfig(encoding=ENCODINGS[name]())
        return Preset(name=name, field=config, summary=_first_line(ENCODINGS[name]))
    if name in FIELDS and name != EncodedFieldConfig.kind:
        return Preset(
            name=name, field=FIELDS[name](), summary=_first_line(FIELDS[name])
        )
    raise unknown_name("model", name, model_names())


def _find_radiance_field(name: str) -> Preset:
    if name in SCENE_PRESETS:
        return SCENE_PRESETS[name]
    if name in RADIANCE_FIELDS:
        kind = RADIANCE_FIELDS[name]
        return Preset(name=name, field=kind(), summary=_first_line(kind))
    if name in ENCODINGS:
        config = EncodedRadianceConfig(encoding=ENCODINGS[name]())
        return Preset(name=name, field=config, summary=_first_line(ENCODINGS[name]))
    if name in model_names():
        raise ConfigError(
            f"model '{name}': expected a model of scenes, one of "
            f"{', '.join(scene_model_names())}, got one that has settings for images "
            "and shapes alone. Choose one of these."
        )
    raise unknown_name("model", name, scene_model_names())


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0]
