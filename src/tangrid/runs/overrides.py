"""Change single settings of a config from text, as ``--set`` does."""

import dataclasses
import json
import math
import typing
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

from tangrid.errors import ConfigError
from tangrid.runs.annotations import (
    describe,
    field_types,
    is_config,
    is_mapping,
    kinds_within,
    nearest,
    union_members,
)
from tangrid.runs.codec import decode, join, place, unknown_field

_Config = TypeVar("_Config")

_BOOLS = {
    "true": True, "yes": True, "on": True, "1": True,
    "false": False, "no": False, "off": False, "0": False,
}  # fmt: skip


def with_overrides(config: _Config, settings: Mapping[str, str]) -> _Config:
    """Return a config with single settings changed.

    All settings are read before a config is rebuilt, so that two which are valid only
    together can be given together.

    Args:
        config: A frozen dataclass.
        settings: Text by dotted path, such as ``{"encoding.num_levels": "12"}``. Dashes
            stand for underscores, ``none`` for no value, commas between the items of a
            list, and the public name of a registered class for that class with its
            defaults.

    Returns:
        A new config; the given one stays as it was.

    Raises:
        ConfigError: If a path does not exist or a text is not of the annotated type.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True, kw_only=True)
        ... class Grid:
        ...     num_levels: int = 16
        >>> with_overrides(Grid(), {"num-levels": "12"})
        Grid(num_levels=12)
    """
    tree = _Setting()
    for path, text in settings.items():
        _plant(tree, path, text)
    return _rebuild(config, tree, "")


@dataclasses.dataclass
class _Setting:
    """What is asked of one value: a text for it, and settings below it."""

    text: str | None = None
    below: dict[str, "_Setting"] = dataclasses.field(default_factory=dict)


def _plant(tree: _Setting, path: str, text: str) -> None:
    names = [name.strip().replace("-", "_") for name in path.strip(" -").split(".")]
    if not all(names):
        raise ConfigError(
            f"setting '{path}': expected names joined by dots, got an empty one. "
            "Write for example encoding.num-levels=12."
        )
    for name in names:
        tree = tree.below.setdefault(name, _Setting())
    tree.text = text


def _rebuild(value: Any, tree: _Setting, where: str) -> Any:  # noqa: ANN401
    if not is_config(type(value)):
        raise ConfigError(
            f"{place(where)}: expected a config with fields of its own, got {value!r}. "
            f"Set {place(where)} itself first."
        )
    annotations = field_types(type(value))
    changes: dict[str, Any] = {}
    for name, setting in tree.below.items():
        if name not in annotations:
            raise unknown_field(where, name, type(value))
        changes[name] = _change(
            getattr(value, name), setting, annotations[name], join(where, name)
        )
    return dataclasses.replace(value, **changes)


def _rebuild_mapping(
    value: Mapping[str, Any],
    tree: _Setting,
    annotation: Any,  # noqa: ANN401
    where: str,
) -> dict[str, Any]:
    kinds = [member for member in union_members(annotation) if is_mapping(member)]
    entry = typing.get_args(kinds[0])[1] if kinds else Any
    changed = dict(value)
    for name, setting in tree.below.items():
        dashed = name.replace("_", "-")
        key = dashed if dashed in value and name not in value else name
        changed[key] = _change(value.get(key), setting, entry, join(where, key))
    return changed


def _change(current: Any, setting: _Setting, annotation: Any, where: str) -> Any:  # noqa: ANN401
    if setting.text is not None:
        current = parse(setting.text, annotation, where)
    if not setting.below:
        return current
    if isinstance(current, Mapping):
        return _rebuild_mapping(current, setting, annotation, where)
    return _rebuild(current, setting, where)


def parse(text: str, annotation: Any, where: str) -> Any:  # noqa: ANN401
    """Read a text as an annotation says.

    Args:
        text: What a person wrote.
        annotation: The type that is wanted.
        where: Dotted path of the value, for messages.

    Returns:
        A value of the wanted type.

    Raises:
        ConfigError: If the text does not say such a value.
    """
    members = union_members(annotation)
    if type(None) in members and text.strip().lower() in ("none", "null"):
        return None
    kinds = kinds_within(annotation)
    if text.strip() in kinds:
        return kinds[text.strip()]()
    if str not in members and text.lstrip()[:1] in ("{", "["):
        return decode(_load(text, where), annotation, where)
    # A string takes every text, so it comes last.
    for member in sorted(members, key=lambda member: member in (str, Path)):
        with suppress(ValueError, RecursionError):
            return _parse_one(text, member, where)
    raise ConfigError(
        f"{where}: expected {describe(annotation)}, got '{text}'.{nearest(text, kinds)}"
    )


def _load(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: expected JSON, got '{text[:60]}'.") from error


def _parse_one(text: str, annotation: Any, where: str) -> Any:  # noqa: ANN401
    """Return a text read as one type; a `ValueError` says that it is none."""
    if annotation in (str, Path):
        return annotation(text)
    if annotation is bool:
        return _look_up(text.strip().lower(), _BOOLS)
    if annotation is int:
        return int(text)
    if annotation is float:
        return _parse_float(text)
    origin = typing.get_origin(annotation)
    if origin is Literal:
        choices = {str(choice): choice for choice in typing.get_args(annotation)}
        return _look_up(text.strip(), choices)
    if origin is tuple:
        return _parse_items(text, annotation, where)
    raise ValueError(text)


def _look_up(text: str, known: Mapping[str, Any]) -> Any:  # noqa: ANN401
    if text not in known:
        raise ValueError(text)
    return known[text]


def _parse_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _parse_items(text: str, annotation: Any, where: str) -> tuple[Any, ...]:  # noqa: ANN401
    texts = [item.strip() for item in text.split(",") if item.strip()]
    kinds = typing.get_args(annotation)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(texts)
    if len(kinds) != len(texts):
        raise ValueError(text)
    return tuple(
        parse(item, kind, f"{where}[{index}]")
        for index, (item, kind) in enumerate(zip(texts, kinds, strict=True))
    )
