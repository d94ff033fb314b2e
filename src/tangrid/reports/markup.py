"""Build HTML from nested calls; all text is escaped unless it is `Html` already."""

import html
from collections.abc import Iterable

_VOID = {"img", "input", "meta", "br"}


class Html(str):
    """Text that is HTML; any other text is escaped before it enters a page."""

    __slots__ = ()


Child = str | Iterable["Child"] | None
"""What a tag may hold: text, HTML, nothing, or several of them."""


def tag(name: str, /, *children: Child, **attributes: str | int | bool | None) -> Html:
    """Return an element.

    Args:
        name: Name of the element.
        children: Text, which is escaped, or HTML.
        attributes: Values by name; underscores stand for dashes, a trailing one is
            dropped. True writes a bare attribute, False and None write none.

    Example:
        >>> tag("p", "1 < 2", class_="note")
        '<p class="note">1 &lt; 2</p>'
    """
    opening = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{opening}>")
    return Html(f"<{name}{opening}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Html:
    """Return several pieces as one.

    Args:
        children: Text, which is escaped, or HTML.

    Example:
        >>> join(["a & b", Html("<br>")])
        'a &amp; b<br>'
    """
    return Html("".join(_escape(child) for child in children))


def _escape(child: Child) -> str:
    if child is None or isinstance(child, Html):
        return child or ""
    # Lone surrogates of odd file names cannot be written as UTF-8.
    if isinstance(child, str):
        return html.escape(child.encode("utf-8", "replace").decode())
    return join(child)


def _attribute(key: str, value: str | int | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{_escape(str(value))}"'
