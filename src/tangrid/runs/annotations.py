"""Read the type annotations of config dataclasses.

Annotations decide how a config is written, read back and overridden; this module is the
only one that takes them apart.
"""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union

from tangrid.registry import KINDS

SCALARS = (bool, int, float, str)
"""Types that stand for themselves in JSON."""

ADDED_LATER = {"added_later": True}
"""Metadata of a field that may lack in a file: its default says what was done before it
was there."""


@cache
def field_types(cls: type) -> dict[str, Any]:
    """Return the annotation of every field that the constructor takes.

    Args:
        cls: A dataclass.

    Returns:
        Annotations by field name, in order of definition, free of ``Annotated``.
    """
    hints = typing.get_type_hints(cls)
    return {
        field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init
    }


def added_later(cls: type) -> set[str]:
    """Return the fields that files of earlier versions do not have.

    Args:
        cls: A dataclass.
    """
    fields = dataclasses.fields(cls)
    return {field.name for field in fields if field.metadata == ADDED_LATER}


def is_config(annotation: object) -> bool:
    """Return whether an annotation is a dataclass.

    Args:
        annotation: Any annotation.
    """
    return isinstance(annotation, type) and dataclasses.is_dataclass(annotation)


def public_name(cls: type) -> str | None:
    """Return the name that stands as ``kind`` in a written config, if it has one.

    Args:
        cls: A dataclass.
    """
    name = getattr(cls, "kind", None)
    is_a_field = "kind" in {field.name for field in dataclasses.fields(cls)}
    return name if isinstance(name, str) and not is_a_field else None


def union_members(annotation: object) -> tuple[Any, ...]:
    """Return the members of a union, or the annotation itself as the only one.

    Args:
        annotation: Any annotation.
    """
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def is_mapping(annotation: object) -> bool:
    """Return whether an annotation is a dictionary with named entries.

    Args:
        annotation: Any annotation.
    """
    return typing.get_origin(annotation) in (dict, Mapping)


def kinds_within(annotation: object) -> dict[str, type]:
    """Return the classes, by public name, that a value of this annotation may have.

    A dataclass stands for itself and for what is registered below it; a protocol or
    ``object`` stands for everything that is registered.

    Args:
        annotation: Any annotation.
    """
    found: dict[str, type] = {}
    for member in union_members(annotation):
        if is_open(member):
            found |= {name: cls for name, cls in KINDS.items() if _fits(cls, member)}
        if is_config(member) and (name := public_name(member)) is not None:
            found.setdefault(name, member)
    return found


def is_open(annotation: object) -> bool:
    """Return whether an annotation leaves the class to the ``kind`` that is written.

    Args:
        annotation: Any annotation.
    """
    if annotation in (Any, object):
        return True
    is_plain = annotation in (*SCALARS, Path, type(None))
    return isinstance(annotation, type) and not is_plain


def _fits(cls: type, annotation: Any) -> bool:  # noqa: ANN401
    if annotation in (Any, object) or getattr(annotation, "_is_protocol", False):
        return True
    return issubclass(cls, annotation)


def describe(annotation: Any) -> str:  # noqa: ANN401
    """Say in words which values an annotation allows.

    Args:
        annotation: Any annotation.

    Returns:
        Words for a message, such as ``an integer or null``.
    """
    members = union_members(annotation)
    words = [_describe_one(member) for member in members if member is not type(None)]
    if type(None) in members:
        words.append("null")
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a finite number",
    str: "a string",
    Path: "a path",
}


def _describe_one(annotation: Any) -> str:  # noqa: ANN401
    if annotation in _WORDS:
        return _WORDS[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in arguments)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return f"a list, each {describe(arguments[0])}"
    if origin is tuple:
        return f"a list of {len(arguments)}"
    if is_mapping(annotation):
        return f"an object, each entry {describe(arguments[1])}"
    return f"an object ({getattr(annotation, '__name__', annotation)})"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return advice that names the nearest known name, or nothing.

    Args:
        name: The name that was asked for.
        known: The names that exist.

    Returns:
        A sentence with a leading space, or an empty string.
    """
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f" Did you mean '{near[0]}'?" if near else ""
