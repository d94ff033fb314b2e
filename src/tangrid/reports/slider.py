"""Two pictures in one frame, with a handle that moves the border between them."""

from collections.abc import Sequence
from dataclasses import dataclass

from tangrid.reports.markup import Html, tag
from tangrid.reports.pictures import Picture

TARGET, FIT = "target", "reconstruction"
"""Identifiers of the two pictures where they first stand on the page."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Two pictures that can be put into a slider."""

    label: str
    target: Picture
    fitted: Picture
    sources: tuple[str, str]
    """Identifiers of the elements that show them."""


def slider(
    target: Picture,
    fitted: Picture,
    names: tuple[str, str] = ("original", "reconstruction"),
    sources: tuple[str, str] = (TARGET, FIT),
) -> Html:
    """Return a slider between two pictures that the page holds already.

    Args:
        target: What stands left of the handle.
        fitted: What stands right of the handle.
        names: What the two are called.
        sources: Identifiers of the elements that show the two.
    """
    first, second = names
    width, height = fitted.width, fitted.height
    small = "pixelated" if max(width, height) < 200 else ""
    right = tag(
        "img",
        data_from=sources[1],
        alt=f"The {second}, right of the handle",
        class_=f"right {small}".strip(),
    )
    left = tag(
        "img",
        data_from=sources[0],
        alt=f"The {first}, left of the handle",
        class_=f"left {small}".strip(),
    )
    handle = tag(
        "input",
        type="range",
        min=0,
        max=100,
        step="any",
        value=50,
        aria_label=f"How much of the {first} is shown",
    )
    return tag(
        "div",
        right,
        left,
        handle,
        tag("span", class_="handle"),
        tag("span", first, class_="name first"),
        tag("span", second, class_="name second"),
        class_="slider needs-script",
        style=f"--ratio:{width / height:.4f}",
    )


def chooser(choices: Sequence[Choice], names: tuple[str, str]) -> Html | None:
    """Return a slider and, above it, buttons that put other pictures into it.

    Args:
        choices: Pairs of pictures that the page holds already.
        names: What the two of a pair are called.

    Returns:
        The slider with the first pair in it, or nothing if there is none.
    """
    if not choices:
        return None
    buttons = [
        tag(
            "button",
            it.label,
            type="button",
            data_left=it.sources[0],
            data_right=it.sources[1],
            data_ratio=f"{it.fitted.width / it.fitted.height:.4f}",
            aria_pressed="true" if it is choices[0] else "false",
        )
        for it in choices
    ]
    first = choices[0]
    return tag(
        "div",
        tag("div", buttons, class_="choices") if len(buttons) > 1 else None,
        slider(first.target, first.fitted, names, first.sources),
        class_="chooser needs-script",
    )
