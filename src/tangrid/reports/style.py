"""One look for all figures: drawn once, coloured by the page in light and dark mode."""

import hashlib
import io
import re
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from tangrid.reports.markup import Html

INK, MUTED, LINE = "#000101", "#000102", "#000103"
"""Stand-ins for colours of the page: for lines of data, for words, for the grid."""

SERIES = tuple(f"#0002{index:02x}" for index in range(8))
"""Stand-ins for the colours of the things compared."""

_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    **{stand_in: f"var(--c{index})" for index, stand_in in enumerate(SERIES)},
}

_SETTINGS: dict[Any, Any] = {
    "font.size": 8.5,
    "font.family": "DejaVu Sans",
    "svg.fonttype": "none",
    "axes.unicode_minus": True,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
    "text.color": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "xtick.major.pad": 5,
    "ytick.major.pad": 5,
}

_LEAST_LEFT = 0.15
"""Share of a figure to the left of its axes, where the labels there are short."""
_BESIDE_LABELS = 22.0
"""Points that the name of an axis and the gaps around the labels of its ticks take."""
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def series_variable(index: int) -> str:
    """Return the colour of one of the things compared, for HTML.

    Args:
        index: Its place in the comparison.
    """
    return f"var(--c{index % len(SERIES)})"


def series_look(index: int) -> dict[str, Any]:
    """Return how the line of one of the things compared is drawn.

    Args:
        index: Its place in the comparison; beyond the colours, lines are dashed.

    Returns:
        Arguments for `Axes.plot`.
    """
    styles = ("-", "--", ":", "-.")
    style = styles[index // len(SERIES) % len(styles)]
    return {"color": SERIES[index % len(SERIES)], "linestyle": style}


def new_axes() -> tuple[Figure, Axes]:
    """Return an empty figure and its axes, in the look of the house."""
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(3.5, 2.5), facecolor="none")
        # A layout that measures all its labels takes most of the time of a large page.
        figure.subplots_adjust(left=_LEAST_LEFT, right=0.97, bottom=0.18, top=0.96)
        return figure, figure.add_subplot()


def power_label(exponent: int) -> str:
    """Return a power of ten as people write it.

    Args:
        exponent: The power.

    Example:
        >>> power_label(-3), power_label(0)
        ('10⁻³', '1')
    """
    return "1" if exponent == 0 else "10" + str(exponent).translate(_SUPERSCRIPTS)


def to_svg(figure: Figure, description: str) -> Html:
    """Return a figure as SVG that stands inside a page.

    Args:
        figure: The figure.
        description: What it shows, for those who do not see it.

    Returns:
        One ``svg`` element whose colours come from the page.
    """
    buffer = io.StringIO()
    with mpl.rc_context({**_SETTINGS, "svg.hashsalt": "tangrid"}):  # pyright: ignore
        _make_room_for_labels(figure)
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    text = _rename(text)
    for stand_in, variable in _VARIABLES.items():
        text = text.replace(stand_in, variable)
    return Html(_relabel(text, description))


def _make_room_for_labels(figure: Figure) -> None:
    """Move the axes to the right where labels of their ticks are long."""
    font = FontProperties(size=_SETTINGS["ytick.labelsize"])
    widest = 0.0
    for axes in figure.axes:
        low, high = sorted(axes.get_ylim())
        ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
        for label in axes.yaxis.get_major_formatter().format_ticks(ticks):
            measured = text_to_path.get_text_width_height_descent(label, font, False)
            widest = max(widest, measured[0])
    needed = (widest + _BESIDE_LABELS) / (72.0 * figure.get_figwidth())
    figure.subplots_adjust(left=max(_LEAST_LEFT, needed))


def _rename(text: str) -> str:
    """Return SVG without names that nothing refers to, the others its own."""
    # Drawings of one page share its names, so the content makes them differ.
    own = hashlib.sha256(text.encode()).hexdigest()[:8]
    used = set(re.findall(r"#([\w.]+)[\")]", text))
    for name in set(re.findall(r' id="([^"]*)"', text)):
        kept = f' id="{name}-{own}"' if name in used else ""
        text = text.replace(f' id="{name}"', kept)
        text = re.sub(rf"#{re.escape(name)}([\")])", rf"#{name}-{own}\1", text)
    return text


def _relabel(text: str, description: str) -> str:
    """Return SVG whose opening tag has a label and no fixed size."""
    view = re.search(r'viewBox="([^"]*)"', text)
    box = view.group(1) if view else "0 0 288 194"
    label = (
        description.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    )
    _, _, width, height = box.split()
    opening = (
        f'<svg viewBox="{box}" width="{width}" height="{height}" role="img" '
        f'aria-label="{label}" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return opening + text[text.index(">") + 1 :]
