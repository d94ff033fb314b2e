"""Read the JSON-style dictionaries that tiny-cuda-nn is configured with.

Every key is asked for by name. What nobody asked for is refused, except for a few keys
that well-known clients hand on to tiny-cuda-nn, which passes over them in silence.
"""

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import TypeVar

from tangrid.errors import ConfigError

_Choice = TypeVar("_Choice")

PASSED_OVER = frozenset({
    # Of the encoding or network around it in instant-nsr-pl and threestudio.
    "include_xyz", "start_level", "start_step", "update_steps", "n_masking_step",
    "sphere_init", "sphere_init_radius", "weight_norm",
    # Written by clients of older versions of tiny-cuda-nn.
    "feedback_alignment",
    # Where a nested encoding stands; the composite has read them.
    "n_dims_to_encode", "dims_to_encode_begin",
})  # fmt: skip
"""Keys that are accepted everywhere and change nothing."""


class Settings:
    """The keys and values of one component, which are taken one by one.

    Args:
        config: What the user wrote.
        where: What it configures, for messages.

    Raises:
        ConfigError: If it is no mapping from words to values.
    """

    def __init__(self, config: Mapping[str, object], where: str) -> None:
        if not isinstance(config, Mapping):
            raise ConfigError(
                f"{where}: expected a dictionary of settings, as in "
                f"{{'otype': 'HashGrid'}}, got {type(config).__name__}."
            )
        self.where = where
        self._values = dict(config)
        self._known: list[str] = []

    def has(self, key: str) -> bool:
        """Return whether a key is given.

        Args:
            key: Its name.
        """
        return key in self._values

    def take(self, key: str, default: object) -> object:
        """Return a value as it is written.

        Args:
            key: Its name.
            default: What holds if it is not given.
        """
        self._known.append(key)
        return self._values.get(key, default)

    def number(self, key: str, default: float) -> float:
        """Return a number.

        Args:
            key: Its name.
            default: What holds if it is not given.

        Raises:
            ConfigError: If the value is no number.
        """
        value = self.take(key, default)
        if isinstance(value, bool) or not isinstance(value, Real):
            raise self.wrong(key, "a number", value)
        return float(value)

    def count(self, key: str, default: int, least: int = 1) -> int:
        """Return a whole number.

        Args:
            key: Its name.
            default: What holds if it is not given.
            least: The smallest that makes sense.

        Raises:
            ConfigError: If the value is no whole number or too small.
        """
        value = self.number(key, default)
        if not value.is_integer() or value < least:
            written = self._values.get(key, default)
            raise self.wrong(key, f"a whole number from {least} on", written)
        return int(value)

    def flag(self, key: str, default: bool) -> bool:
        """Return whether something is switched on.

        Args:
            key: Its name.
            default: What holds if it is not given.

        Raises:
            ConfigError: If the value is neither true nor false.
        """
        value = self.take(key, default)
        if value not in (True, False):
            raise self.wrong(key, "true or false", value)
        return bool(value)

    def choice(self, key: str, default: str, choices: Mapping[str, _Choice]) -> _Choice:
        """Return what a word stands for, whether it is written large or small.

        Args:
            key: Its name.
            default: The word that holds if none is given.
            choices: What each word stands for.

        Raises:
            ConfigError: If the word is none of them.
        """
        value = self.take(key, default)
        by_small = {word.lower(): meaning for word, meaning in choices.items()}
        if not isinstance(value, str) or value.lower() not in by_small:
            raise self.wrong(key, f"one of {_listed(choices)}", value)
        return by_small[value.lower()]

    def wrong(self, key: str, expected: str, value: object) -> ConfigError:
        """Return the error that tells of a wrong value.

        Args:
            key: Its name.
            expected: What it should have been.
            value: What it is.
        """
        return ConfigError(
            f"{self.where}['{key}']: expected {expected}, got {value!r}."
        )

    def finish(self) -> None:
        """Refuse the keys that nobody has taken.

        Raises:
            ConfigError: If there are any; the message lists those that are known.
        """
        unknown = sorted(set(self._values) - set(self._known) - PASSED_OVER, key=str)
        if unknown:
            raise ConfigError(
                f"{self.where}: expected keys among {_listed(self._known)}, got "
                f"{_listed(map(str, unknown))}. tiny-cuda-nn passes over keys that it "
                "does not know, so that a slip of the pen stays unseen; remove or "
                "correct it."
            )


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in sorted(set(words)))
