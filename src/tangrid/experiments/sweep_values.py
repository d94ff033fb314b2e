"""The words of a sweep: ``LOW:HIGH``, ``LOW:HIGH:COUNT`` or ``a,b,c``.

Scales such as a bandwidth go up by equal factors, octave by octave unless a count says
otherwise; counts such as a number of levels go up by equal steps.
"""

import math
from dataclasses import dataclass
from typing import Literal

from tangrid.errors import ConfigError

Spacing = Literal["factors", "steps", "words"]
"""Whether a range goes up by equal factors, by equal steps, or is none."""

MOST_CANDIDATES = 64
"""More settings than this are refused: predicting them would take longer than fits."""
_FEWEST_OCTAVES, _MOST_OCTAVES = 3, 9
_USUAL_STEPS = 7


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Hold what one ``--sweep`` says.

    Attributes:
        name: What is swept, such as ``sigma``; dashes for underscores.
        text: Its values as they were written.
    """

    name: str
    text: str

    def values(self, spacing: Spacing, *, is_whole: bool) -> tuple[str, ...]:
        """Return every value as text, a range from its low end to its high one.

        Args:
            spacing: How a range goes up.
            is_whole: Whether values are whole numbers.

        Raises:
            ConfigError: If the text says no values, or too many.

        Example:
            >>> parse_sweep("sigma=1:64").values("factors", is_whole=False)
            ('1', '2', '4', '8', '16', '32', '64')
            >>> parse_sweep("levels=4:16:3").values("steps", is_whole=True)
            ('4', '10', '16')
        """
        if ":" in self.text:
            return self._range(spacing, is_whole=is_whole)
        words = tuple(word.strip() for word in self.text.split(","))
        if not all(words) or len(set(map(_as_number, words))) < len(words):
            raise self._refusal(
                "values with commas, each once", "Write for example", f"{self.name}=8"
            )
        return words

    def _range(self, spacing: Spacing, *, is_whole: bool) -> tuple[str, ...]:
        if spacing == "words":
            raise self._refusal(
                "names with commas", "Write for example", f"{self.name}=a,b"
            )
        low, high, count = self._ends()
        if is_whole and not (low.is_integer() and high.is_integer()):
            raise self._refusal(
                "whole numbers at both ends",
                "Write for example",
                f"{self.name}={max(math.floor(low), 1)}:{math.ceil(high)}",
            )
        if not low < high or (spacing == "factors" and low <= 0):
            raise self._refusal(
                "a low end above 0 and below the high one"
                if spacing == "factors"
                else "a low end below the high one",
                "Write for example",
                f"{self.name}=1:64" if spacing == "factors" else f"{self.name}=4:16",
            )
        if count is None:
            count = _usual_count(low, high, spacing)
        parts = [step / (count - 1) for step in range(count)]
        if spacing == "factors":
            rise = math.log(high) - math.log(low)
            between = [low * math.exp(rise * part) for part in parts]
        else:
            between = [low + (high - low) * part for part in parts]
        inner = [round(v) if is_whole else _shortened(v) for v in between[1:-1]]
        kept = [value for value in dict.fromkeys(inner) if low < value < high]
        return tuple(f"{value:.10g}" for value in (low, *kept, high))

    def _ends(self) -> tuple[float, float, int | None]:
        words = self.text.split(":")
        try:
            low, high = (float(word) for word in words[:2])
        except ValueError:
            low = high = math.nan
        if len(words) > 3 or not (math.isfinite(low) and math.isfinite(high)):
            raise self._refusal(
                "LOW:HIGH or LOW:HIGH:COUNT in numbers",
                "Write for example",
                f"{self.name}=1:64 or {self.name}=1:64:7",
            )
        try:
            count = int(words[2]) if len(words) == 3 else None
        except ValueError:
            count = 0
        if count is not None and not 2 <= count <= MOST_CANDIDATES:
            raise self._refusal(
                f"a count from 2 to {MOST_CANDIDATES}",
                "Write for example",
                f"{self.name}={words[0]}:{words[1]}:7",
            )
        return low, high, count

    def _refusal(self, wanted: str, advice: str, example: str) -> ConfigError:
        return ConfigError(
            f"--sweep {self.name}: expected {wanted}, got '{self.text}'. {advice} "
            f"--sweep {example}."
        )


def parse_sweep(text: str) -> Sweep:
    """Return what one ``--sweep`` says.

    Args:
        text: Such as ``sigma=1:64`` or ``normaliser=lin_add,lin_centred``.

    Raises:
        ConfigError: If it is not of the form NAME=VALUES.
    """
    name, _, values = (part.strip() for part in text.partition("="))
    name = name.strip("-").replace("_", "-").lower()
    if not name or not values:
        raise ConfigError(
            f"--sweep: expected NAME=LOW:HIGH or NAME=a,b,c, got '{text}'. Write for "
            "example --sweep sigma=1:64 or --sweep levels=4,8,16."
        )
    return Sweep(name=name, text=values)


def _as_number(word: str) -> float | str:
    """Return what tells two values apart: 4 and 4.0 are one."""
    try:
        number = float(word)
    except ValueError:
        return word
    return number if math.isfinite(number) else word


def _usual_count(low: float, high: float, spacing: Spacing) -> int:
    if spacing == "factors":
        octaves = round(math.log2(high) - math.log2(low)) + 1
        return min(max(octaves, _FEWEST_OCTAVES), _MOST_OCTAVES)
    return max(math.floor(min(high - low, _USUAL_STEPS - 1)) + 1, 2)


def _shortened(value: float) -> float:
    """Return a number with four digits that count, for short labels."""
    return float(f"{value:.4g}")
