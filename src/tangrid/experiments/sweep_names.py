"""What can be swept by a short name, and which settings of a model that changes."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tangrid.encodings import EncodingConfig, FourierConfig
from tangrid.experiments.sweep_values import Spacing
from tangrid.fields import EncodedFieldConfig, FieldConfig
from tangrid.training import TrainingSettings

_EVEN = ("num_", "log2_", "octaves")
"""How names of settings begin that go up by equal steps."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Hold the parts of a fit that a sweep may change."""

    field: FieldConfig
    training: TrainingSettings


@dataclass(frozen=True, kw_only=True)
class Knob:
    """Say what one name sweeps.

    Attributes:
        name: The name, such as ``sigma``.
        meaning: What it is, for people.
        spacing: How a range goes up.
        path: Where the setting is in a model, by dotted path; None where it is not.
        changed: Settings with another value, by dotted path; None where one setting is
            all that changes.
    """

    name: str
    meaning: str
    spacing: Spacing
    path: Callable[[Subject], str | None]
    changed: Callable[[Subject, float], Mapping[str, str]] | None = None

    def is_whole(self, subject: Subject) -> bool:
        """Return whether values are whole numbers.

        Args:
            subject: A model that has the setting.
        """
        path = self.path(subject)
        return path is not None and is_whole_number(value_at(subject, path))


def value_at(subject: Subject, path: str) -> Any:  # noqa: ANN401
    """Return the value at a dotted path, or `dataclasses.MISSING`.

    Args:
        subject: Where to look.
        path: Names joined by dots.
    """
    value: Any = subject
    for name in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(name, dataclasses.MISSING)
        elif dataclasses.is_dataclass(value):
            names = {field.name for field in dataclasses.fields(value)}
            value = getattr(value, name) if name in names else dataclasses.MISSING
        else:
            return dataclasses.MISSING
    return value


def is_whole_number(value: object) -> bool:
    """Return whether a setting takes whole numbers.

    Args:
        value: What it is now.
    """
    return isinstance(value, int) and not isinstance(value, bool)


def knob_at(path: str) -> Knob:
    """Return what sweeps one setting by its dotted path.

    Args:
        path: Names joined by dots.
    """
    own = path.rsplit(".", 1)[-1]
    return Knob(
        name=path,
        meaning="that setting",
        spacing="steps" if own.startswith(_EVEN) else "factors",
        path=lambda subject: None if _is_missing(subject, path) else path,
    )


def _is_missing(subject: Subject, path: str) -> bool:
    return value_at(subject, path) is dataclasses.MISSING


def _either(*paths: str) -> Callable[[Subject], str | None]:
    def find(subject: Subject) -> str | None:
        return next((path for path in paths if not _is_missing(subject, path)), None)

    return find


def _in_encoding(name: str) -> Callable[[Subject], str | None]:
    return _either(f"field.encoding.{name}", f"field.{name}")


def _sigma(subject: Subject) -> str | None:
    return _of_family(subject, ("gaussian",), "bandwidth_cycles")


def _frequencies(subject: Subject) -> str | None:
    families = ("nerf", "transformer", "posenc-new", "posenc-new-linear")
    found = _of_family(subject, families, "num_frequencies")
    if found is not None or isinstance(_encoding(subject), FourierConfig):
        return found
    return _either("field.encoding.num_frequencies")(subject)


def _octaves(subject: Subject) -> str | None:
    return _of_family(subject, ("posenc-new", "posenc-new-linear"), "octaves")


def _of_family(subject: Subject, families: tuple[str, ...], name: str) -> str | None:
    encoding = _encoding(subject)
    if not isinstance(encoding, FourierConfig) or encoding.family not in families:
        return None
    return f"field.encoding.{name}"


def _encoding(subject: Subject) -> EncodingConfig | None:
    field = subject.field
    return field.encoding if isinstance(field, EncodedFieldConfig) else None


def _finest(subject: Subject) -> str | None:
    """Return the setting by which an encoding reaches its finest resolution."""
    found = reaching(subject, 64.0) | reaching(subject, 512.0)
    return next(iter(found), None)


def reaching(subject: Subject, finest: float) -> dict[str, str]:
    """Return the settings that give a grid another finest resolution.

    Args:
        subject: The model.
        finest: Vertices along each axis.
    """
    encoding = _encoding(subject)
    if encoding is None:
        return {}
    reached = encoding.reaching(finest)
    return {
        f"field.encoding.{field.name}": f"{getattr(reached, field.name)!r}"
        for field in dataclasses.fields(encoding)
        if getattr(reached, field.name) != getattr(encoding, field.name)
    }


def _faster(subject: Subject, factor: float) -> dict[str, str]:
    return {
        f"training.rates.{group}": f"{rate * factor!r}"
        for group, rate in subject.training.rates.items()
    }


_LIST = (
    Knob(
        name="sigma",
        meaning="standard deviation of Gaussian frequencies, cycles per box side",
        spacing="factors",
        path=_sigma,
    ),
    Knob(
        name="frequencies",
        meaning="frequencies along each axis, of positional features or of a kernel",
        spacing="steps",
        path=_frequencies,
    ),
    Knob(
        name="octaves",
        meaning="band of positional features that are spaced evenly in it",
        spacing="steps",
        path=_octaves,
    ),
    Knob(
        name="base",
        meaning="vertices per axis of a grid's coarsest level",
        spacing="factors",
        path=_in_encoding("base_resolution"),
    ),
    Knob(
        name="growth",
        meaning="ratio of the resolutions of neighbouring levels",
        spacing="factors",
        path=_in_encoding("growth"),
    ),
    Knob(
        name="finest",
        meaning="vertices per axis of a grid's finest level",
        spacing="factors",
        path=_finest,
        changed=reaching,
    ),
    Knob(
        name="levels",
        meaning="levels or scales of a grid",
        spacing="steps",
        path=_either("field.encoding.num_levels", "field.encoding.num_scales"),
    ),
    Knob(
        name="table",
        meaning="logarithm of the most rows of a level",
        spacing="steps",
        path=_in_encoding("log2_table_size"),
    ),
    Knob(
        name="gate-bandwidth",
        meaning="standard deviation of the frequencies of MulFAGrid's gates",
        spacing="factors",
        path=_either("field.encoding.gate_bandwidth"),
    ),
    Knob(
        name="gates",
        meaning="gates of each of MulFAGrid's layers",
        spacing="factors",
        path=_either("field.encoding.num_gates"),
    ),
    Knob(
        name="normaliser",
        meaning="how MulFAGrid makes weights of kernel values",
        spacing="words",
        path=_either("field.encoding.normaliser"),
    ),
    Knob(
        name="omega",
        meaning="frequency by which a sine network multiplies (30 in SIREN)",
        spacing="factors",
        path=_either("field.frequency"),
    ),
    Knob(
        name="rate",
        meaning="factor on all learning rates of a model",
        spacing="factors",
        path=_either("training.rates"),
        changed=_faster,
    ),
)

KNOBS: Mapping[str, Knob] = MappingProxyType({knob.name: knob for knob in _LIST})
"""Everything that can be swept by a short name."""
