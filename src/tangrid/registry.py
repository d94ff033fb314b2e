"""Public names for config classes: one registry per kind of component.

A registered class carries its public name as ``kind``, which is also how it stands in
``config.json``. Every registered class of every registry is found in `KINDS`.
"""

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tangrid.errors import ConfigError

_Class = TypeVar("_Class", bound=type)

KINDS: dict[str, type] = {}
"""Every registered config class by its public name, over all registries."""


def unknown_name(what: str, name: str, known: Iterable[str]) -> ConfigError:
    """Return the error for a name that nobody registered, with the nearest one.

    Args:
        what: Kind of thing, in words, such as "model".
        name: The name that was asked for.
        known: The names that exist.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    advice = f" Did you mean '{near[0]}'?" if near else ""
    return ConfigError(f"{what} '{name}': expected one of {', '.join(names)}.{advice}")


class Registry:
    """Map public names to frozen config dataclasses of one kind.

    Args:
        what: Kind of component, in words; used in messages.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._classes: dict[str, type] = {}

    def register(self, name: str) -> Callable[[_Class], _Class]:
        """Return a class decorator that files a config class under a public name.

        Args:
            name: Kebab-case name, unique over all registries.
        """

        def file(cls: _Class) -> _Class:
            self._check(name, cls)
            cls.kind = name
            self._classes[name] = cls
            KINDS[name] = cls
            return cls

        return file

    def _check(self, name: str, cls: type) -> None:
        # Its own: a parent's would hide fields that are none.
        params = cls.__dict__.get("__dataclass_params__")
        if params is None or not params.frozen:
            raise ConfigError(
                f"{self.what} '{name}': expected a frozen dataclass, got "
                f"{cls.__name__}."
            )
        missing = [
            field.name
            for field in dataclasses.fields(cls)
            if field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        ]
        if missing:
            raise ConfigError(
                f"{self.what} '{name}': expected a default for every field, "
                f"got none for {', '.join(missing)}."
            )
        if name in KINDS and _whole_name(KINDS[name]) != _whole_name(cls):
            raise ConfigError(
                f"{self.what} '{name}': expected a new name, got one that "
                f"{KINDS[name].__qualname__} holds already."
            )

    def __getitem__(self, name: str) -> type:
        """Return the config class filed under a name, or raise with the nearest."""
        if name not in self._classes:
            raise unknown_name(self.what, name, self._classes)
        return self._classes[name]

    def __contains__(self, name: object) -> bool:
        """Return whether a name is filed here."""
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        """Return an iterator over the public names in alphabetical order."""
        return iter(sorted(self._classes))


def _whole_name(cls: type) -> tuple[str, str]:
    """Return what a class is called, which loading its file again does not change."""
    return cls.__module__, cls.__qualname__
