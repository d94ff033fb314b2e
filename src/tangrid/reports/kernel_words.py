"""Numbers of tangent kernels in words: they span twenty powers of ten."""

import json
from collections.abc import Mapping, Sequence
from math import floor, log10
from statistics import fmean, stdev

from tangrid.reports.markup import Child, tag
from tangrid.reports.measures import MISSING, is_number
from tangrid.reports.style import power_label

_ROUNDING = 1e-9
"""Relative spread below which numbers of several seeds are the same."""


def short_number(value: object, digits: int = 3) -> str:
    """Return a number with few digits, however large or small it is.

    Args:
        value: A number; anything else gives a dash.
        digits: Digits that count.

    Example:
        >>> short_number(0.01234), short_number(4.5e-9), short_number(123456)
        ('0.0123', '4.5×10⁻⁹', '123,456')
    """
    if not is_number(value):
        return MISSING
    if value == 0:
        return "0"
    # Rounding first, for 9.996 is 10.0.
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = floor(log10(abs(rounded)))
    if -4 < exponent < 6:
        places = max(digits - 1 - exponent, 0)
        shown = f"{value if places == 0 else rounded:,.{places}f}"
        shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    else:
        mantissa = f"{rounded / 10.0**exponent:.{digits - 1}f}".rstrip("0").rstrip(".")
        times = "\N{MULTIPLICATION SIGN}"
        shown = f"{mantissa}{times}{power_label(exponent)}"
    return shown.replace("-", "\N{MINUS SIGN}")


def over_seeds(values: Sequence[float], digits: int = 3) -> list[Child]:
    """Return the mean of several seeds with its spread, or the one number.

    Args:
        values: A number per seed.
        digits: Digits that count.
    """
    if not values:
        return [MISSING]
    shown: list[Child] = [short_number(fmean(values), digits)]
    spread = stdev(values) if len(values) > 1 else 0.0
    if spread > _ROUNDING * abs(fmean(values)):
        shown.append(tag("small", f" ± {short_number(spread, 2)}"))
    return shown


def percent(share: float) -> str:
    """Return a share in percent.

    Args:
        share: From 0 to 1.

    Example:
        >>> percent(0.1234), percent(0.0004), percent(1e-9), percent(0.0)
        ('12 %', '0.04 %', '< 0.01 %', '0 %')
    """
    value = 100 * share
    if 0 < value < 0.01:
        return "< 0.01 %"
    return f"{value:.1g} %" if 0 < value < 0.995 else f"{value:.0f} %"


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them.

    Args:
        names: The names.

    Example:
        >>> listed(["a", "b", "c"])
        'a, b and c'
    """
    *heads, last = names or [""]
    return f"{', '.join(heads)} and {last}" if heads else last


def compact_json(value: object, indent: str = "") -> str:
    """Return JSON to look at: lists on one line, numbers with six digits.

    Args:
        value: Plain values.
        indent: What stands before each line.

    Example:
        >>> print(compact_json({"a": [1, 2.123456789], "b": {"c": None}}))
        {
          "a": [1, 2.12346],
          "b": {
            "c": null
          }
        }
    """
    inner = indent + "  "
    if isinstance(value, Mapping) and value:
        lines = [
            f"{inner}{json.dumps(str(name), ensure_ascii=False)}: "
            f"{compact_json(item, inner)}"
            for name, item in value.items()
        ]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, (list, tuple)):
        items = [compact_json(item, inner) for item in value]
        if any(isinstance(item, (Mapping, list, tuple)) for item in value):
            return "[\n" + ",\n".join(inner + item for item in items) + f"\n{indent}]"
        return f"[{', '.join(items)}]"
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value, ensure_ascii=False)
