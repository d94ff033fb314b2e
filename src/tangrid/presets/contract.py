"""What a preset is: a published or recommended model by name, with its source."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from tangrid.encodings import ENCODINGS
from tangrid.errors import ConfigError
from tangrid.fields import FIELDS, EncodedFieldConfig, FieldConfig
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
    summary: str = ""
    source: str = ""

    def at(self, site: Site) -> FieldConfig:
        """Return the settings of the field for a signal of some resolution.

        Args:
            site: Where the field will be built.
        """
        config = self.field
        if self.finest_fraction is None or site.resolution is None:
            return config
        if not isinstance(config, EncodedFieldConfig):
            return config
        finest = self.finest_fraction * max(site.resolution)
        return dataclasses.replace(config, encoding=config.encoding.reaching(finest))


TaskName = Literal["image", "sdf"]
"""What a model is fitted to."""

PRESETS: dict[str, Preset] = {}
"""Every preset by name, filled by the modules of this room."""

SDF_PRESETS: dict[str, Preset] = {}
"""Settings of the same models where they suit signed distances better."""


def file_for_sdf(preset: Preset) -> None:
    """Give a model settings of its own for signed distances.

    Args:
        preset: Its settings; the name is one that `find_model` knows.
    """
    SDF_PRESETS[preset.name] = preset


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


def find_model(name: str, task: TaskName = "image") -> Preset:
    """Return the preset of a name; an encoding comes with the default decoder.

    Args:
        name: A preset, a registered encoding or a registered field.
        task: What it is fitted to; some models have settings of their own for each.

    Raises:
        ConfigError: If nothing has that name; the nearest one is named.
    """
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


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0]
