"""Write frozen config dataclasses as plain JSON values and read them back.

Annotations drive the reading: nothing is guessed from the data. A class with a public
name carries it as ``kind``, so that a field annotated with a union, a parent class or a
protocol is rebuilt as the class it was.
"""

import math
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, Literal, TypeVar, overload

from tangrid.errors import ConfigError
from tangrid.registry import KINDS
from tangrid.runs.annotations import (
    SCALARS,
    added_later,
    describe,
    field_types,
    is_config,
    is_mapping,
    is_open,
    kinds_within,
    nearest,
    public_name,
    union_members,
)

_Config = TypeVar("_Config")


def to_plain(config: object) -> dict[str, Any]:
    """Write a frozen config dataclass as values that JSON knows.

    Args:
        config: A frozen dataclass of plain values and other such dataclasses.

    Returns:
        One entry per field, and ``kind`` in front where the class has a public name.

    Raises:
        ConfigError: If a value is not plain, or is a number that is not finite.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True, kw_only=True)
        ... class Grid:
        ...     num_levels: int = 16
        >>> to_plain(Grid(num_levels=12))
        {'num_levels': 12}
    """
    return _encode_config(config, "")


@overload
def from_plain(data: object, cls: type[_Config]) -> _Config: ...
@overload
def from_plain(data: object, cls: None = None) -> Any: ...  # noqa: ANN401
def from_plain(data: object, cls: type | None = None) -> Any:
    """Rebuild a config from what `to_plain` wrote.

    Args:
        data: Plain values, as read from JSON.
        cls: The class to build, or a parent of it; by default what ``kind`` names.

    Returns:
        The config; it equals the one that was written.

    Raises:
        ConfigError: If a field is unknown, missing or of the wrong type, or if the
            class refuses its values.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True, kw_only=True)
        ... class Grid:
        ...     num_levels: int = 16
        >>> from_plain({"num_levels": 12}, Grid)
        Grid(num_levels=12)
    """
    return decode(data, object if cls is None else cls, "")


def decode(data: object, annotation: Any, where: str) -> Any:  # noqa: ANN401
    """Read one plain value as an annotation says.

    Args:
        data: Plain value, as read from JSON.
        annotation: The type that is wanted.
        where: Dotted path of the value, for messages; empty at the top.

    Returns:
        A value of the wanted type.

    Raises:
        ConfigError: If the value is not of that type.
    """
    members = union_members(annotation)
    if len(members) > 1:
        return _decode_union(data, annotation, where)
    origin = typing.get_origin(annotation)
    if annotation in (*SCALARS, Path, type(None)):
        return _decode_scalar(data, annotation, where)
    if origin is Literal:
        return _decode_choice(data, annotation, where)
    if origin is tuple:
        return _decode_tuple(data, annotation, where)
    if is_mapping(annotation):
        return _decode_mapping(data, annotation, where)
    if is_config(annotation) or is_open(annotation):
        return _decode_config(data, annotation, where)
    raise ConfigError(
        f"{place(where)}: expected a field of plain values or configs, "
        f"got the annotation {annotation}. Change the annotation."
    )


def place(where: str) -> str:
    """Return a dotted path for the front of a message.

    Args:
        where: Dotted path; empty at the top.
    """
    return where or "config"


def join(where: str, name: str) -> str:
    """Return the dotted path of an entry.

    Args:
        where: Dotted path of what holds the entry; empty at the top.
        name: Name of the entry.
    """
    return f"{where}.{name}" if where else name


def unknown_field(where: str, name: str, cls: type) -> ConfigError:
    """Return the error for a field that a class lacks, with the nearest one.

    Args:
        where: Dotted path of the config; empty at the top.
        name: The name that was asked for.
        cls: The class of the config.
    """
    known = list(field_types(cls))
    listed = ", ".join(known) if known else "no field at all"
    return ConfigError(
        f"{place(where)}: expected fields of {public_name(cls) or cls.__name__} "
        f"({listed}), got '{name}'.{nearest(name, known)}"
    )


def _encode_config(config: object, where: str) -> dict[str, Any]:
    cls = type(config)
    if not is_config(cls) or not cls.__dataclass_params__.frozen:  # pyright: ignore
        raise ConfigError(
            f"{place(where)}: expected a frozen dataclass, got {cls.__name__}."
        )
    plain: dict[str, Any] = {}
    name = public_name(cls)
    if name is not None:
        _check_name(name, cls, where)
        plain["kind"] = name
    for field in field_types(cls):
        plain[field] = _encode(getattr(config, field), join(where, field))
    return plain


def _check_name(name: str, cls: type, where: str) -> None:
    holder = KINDS.get(name, cls)
    # A plugin that is loaded twice defines its classes twice, under the same name.
    if holder.__qualname__ != cls.__qualname__:
        raise ConfigError(
            f"{place(where)}: expected a class with a public name of its own, got "
            f"{cls.__name__}, which carries '{name}' of {holder.__name__}. Register it."
        )


def _encode(value: object, where: str) -> Any:  # noqa: ANN401
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigError(f"{place(where)}: expected a finite number, got {value}.")
        return float(value)
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, tuple):
        return [_encode(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return _encode_mapping(value, where)
    if is_config(type(value)):
        return _encode_config(value, where)
    raise ConfigError(
        f"{place(where)}: expected a plain value, a tuple, a dictionary or a config, "
        f"got {type(value).__name__}."
    )


def _encode_mapping(value: Mapping[Any, object], where: str) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, item in value.items():
        if not isinstance(name, str):
            raise ConfigError(f"{place(where)}: expected names as keys, got {name!r}.")
        plain[name] = _encode(item, join(where, name))
    return plain


def wrong_type(data: object, annotation: object, where: str) -> ConfigError:
    """Return the error for a value that its annotation does not allow.

    Args:
        data: The value that was found.
        annotation: The type that is wanted.
        where: Dotted path of the value; empty at the top.
    """
    return ConfigError(
        f"{place(where)}: expected {describe(annotation)}, got {_shorten(data)}."
    )


def _shorten(data: object, limit: int = 60) -> str:
    words = {True: "true", False: "false", None: "null"}
    is_word = data is None or isinstance(data, bool)
    text = words[data] if is_word else repr(data)  # pyright: ignore
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _decode_scalar(data: object, annotation: type, where: str) -> Any:  # noqa: ANN401
    if annotation is Path and isinstance(data, str):
        return Path(data)
    if annotation is float and type(data) in (int, float):
        return _decode_float(data, where)
    if type(data) is not annotation:
        raise wrong_type(data, annotation, where)
    return data


def _decode_float(data: Any, where: str) -> float:  # noqa: ANN401
    try:
        number = float(data)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise wrong_type(data, float, where)
    return number


def _decode_choice(data: object, annotation: object, where: str) -> object:
    choices = typing.get_args(annotation)
    for choice in choices:
        if type(choice) is type(data) and choice == data:
            return choice
    near = nearest(str(data), [str(choice) for choice in choices])
    raise ConfigError(f"{wrong_type(data, annotation, where)}{near}")


def _decode_tuple(data: object, annotation: object, where: str) -> tuple[Any, ...]:
    if not isinstance(data, Sequence) or isinstance(data, (str, bytes)):
        raise wrong_type(data, annotation, where)
    arguments = typing.get_args(annotation)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(data)
    if len(arguments) != len(data):
        raise ConfigError(
            f"{place(where)}: expected {describe(annotation)}, got {len(data)}: "
            f"{_shorten(data)}."
        )
    return tuple(
        decode(item, kind, f"{where}[{index}]")
        for index, (item, kind) in enumerate(zip(data, arguments, strict=True))
    )


def _decode_mapping(data: object, annotation: object, where: str) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise wrong_type(data, annotation, where)
    _, item_type = typing.get_args(annotation)
    found: dict[str, Any] = {}
    for name, item in data.items():
        if not isinstance(name, str):
            raise ConfigError(f"{place(where)}: expected names as keys, got {name!r}.")
        found[name] = decode(item, item_type, join(where, name))
    return found


def _decode_union(data: object, annotation: object, where: str) -> Any:  # noqa: ANN401
    members = union_members(annotation)
    if isinstance(data, Mapping) and "kind" in data and kinds_within(annotation):
        return _decode_config(data, annotation, where)
    suited = [member for member in members if _suits(data, member)]
    # One candidate speaks for itself: its error names the entry that is wrong.
    if len(suited) == 1:
        return decode(data, suited[0], where)
    for member in sorted(suited, key=lambda member: member is not type(data)):
        try:
            return decode(data, member, where)
        except ConfigError:
            continue
    raise wrong_type(data, annotation, where)


def _suits(data: object, annotation: Any) -> bool:  # noqa: ANN401
    """Return whether the outer shape of a value is that of one member of a union."""
    origin = typing.get_origin(annotation)
    if annotation in SCALARS or annotation is type(None):
        return type(data) is annotation or (annotation is float and type(data) is int)
    if annotation is Path:
        return isinstance(data, str)
    if origin is Literal:
        return any(type(data) is type(choice) for choice in typing.get_args(annotation))
    if origin is tuple:
        return isinstance(data, (list, tuple))
    return isinstance(data, Mapping)


def _decode_config(data: object, annotation: Any, where: str) -> Any:  # noqa: ANN401
    if not isinstance(data, Mapping):
        raise wrong_type(data, annotation, where)
    cls = _find_class(data, annotation, where)
    wanted = field_types(cls)
    given = {name: value for name, value in data.items() if name != "kind"}
    if public_name(cls) is None and "kind" in data:
        given["kind"] = data["kind"]
    for name in given:
        if name not in wanted:
            raise unknown_field(where, str(name), cls)
    lacking = [name for name in wanted if name not in given]
    missing = [name for name in lacking if name not in added_later(cls)]
    if missing:
        raise ConfigError(
            f"{place(where)}: expected all fields of "
            f"{public_name(cls) or cls.__name__}, got none for {', '.join(missing)}."
        )
    values = {
        name: decode(given[name], kind, join(where, name))
        for name, kind in wanted.items()
        if name in given
    }
    return cls(**values)


def _find_class(data: Mapping[Any, Any], annotation: Any, where: str) -> type:  # noqa: ANN401
    known = kinds_within(annotation)
    nameless = is_config(annotation) and public_name(annotation) is None
    if nameless and (not known or "kind" not in data):
        return annotation
    name = data.get("kind")
    if isinstance(name, str) and name in known:
        return known[name]
    got = f"'{name}'" if isinstance(name, str) else _shorten(name)
    advice = nearest(name, known) if isinstance(name, str) else ""
    if not known:
        raise wrong_type(data, annotation, where)
    raise ConfigError(
        f"{join(where, 'kind')}: expected one of {', '.join(sorted(known))}, got "
        f"{got if 'kind' in data else 'none'}.{advice}"
    )
