"""Two pictures in one frame, with a handle that moves the border between them."""

from tangrid.reports.markup import Html, tag
from tangrid.reports.pictures import Picture

TARGET, FIT = "target", "reconstruction"
"""Identifiers of the two pictures where they first stand on the page."""


def slider(
    target: Picture,
    fitted: Picture,
    names: tuple[str, str] = ("original", "reconstruction"),
) -> Html:
    """Return a slider between two pictures that the page holds already.

    Args:
        target: What stands left of the handle; its element has the identifier `TARGET`.
        fitted: What stands right of the handle; its element has the identifier `FIT`.
        names: What the two are called.
    """
    first, second = names
    width, height = fitted.width, fitted.height
    small = "pixelated" if max(width, height) < 200 else ""
    style = (
        f"aspect-ratio:{width}/{height};max-width:min(100%,{80 * width / height:.1f}vh)"
    )
    right = tag(
        "img",
        data_from=FIT,
        alt=f"The {second}, right of the handle",
        class_=f"right {small}".strip(),
    )
    left = tag(
        "img",
        data_from=TARGET,
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
        style=style,
    )
