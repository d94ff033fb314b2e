"""The skeleton of a page: styles, scripts and the few blocks that all pages share."""

from importlib import resources

from tangrid.reports.markup import Child, Html, join, tag
from tangrid.version import VERSION

# A page may show what it carries and nothing else: no network, whatever is in it.
_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'"
)


def page(title: str, *body: Child) -> str:
    """Return a whole HTML page that needs no other file.

    Args:
        title: Title of the window.
        body: Blocks in order.
    """
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=f"tangrid {VERSION}"),
        tag("title", title),
        tag("style", Html(_asset("page.css"))),
        tag("noscript", tag("style", Html(".needs-script{display:none}"))),
    )
    footer = tag("footer", f"Written by tangrid {VERSION}.")
    script = tag("script", Html(_asset("page.js")))
    content = tag("body", tag("main", *body), footer, script)
    return f"<!doctype html>\n{tag('html', head, content, lang='en')}\n"


def _asset(name: str) -> str:
    return (resources.files("tangrid.reports") / name).read_text(encoding="utf-8")


def header(eyebrow: str, title: Child, *facts: Child) -> Html:
    """Return the head of a page.

    Args:
        eyebrow: Small words above the title.
        title: The title.
        facts: What stands below it, in one line where it fits.
    """
    listed = tag("ul", (tag("li", fact) for fact in facts if fact), class_="facts")
    return tag("header", tag("p", eyebrow, class_="eyebrow"), tag("h1", title), listed)


def section(title: Child, *content: Child, lead: Child = None) -> Html:
    """Return a titled section.

    Args:
        title: Its title.
        content: What it holds.
        lead: A sentence below the title that says how to read it.
    """
    words = tag("p", lead, class_="lead") if lead else None
    return tag("section", tag("h2", title), words, *content)


def banner(*words: Child) -> Html:
    """Return a note that cannot be overlooked.

    Args:
        words: What it says.
    """
    return tag("p", *words, class_="banner", role="status")


def curve_row(steps: Child, seconds: Child, frequency: Child) -> Html:
    """Return curves side by side where there is room, else below each other.

    Args:
        steps: Training by step.
        seconds: Training by time.
        frequency: Error by spatial frequency.
    """
    key = tag("p", "Solid: the error. Dashed: the original.", class_="key")
    figures = (
        ("Training by step", steps, None),
        ("Training by time", seconds, None),
        ("Power by spatial frequency", frequency, key),
    )
    shown = (captioned(words, it, below) for words, it, below in figures if it)
    return tag("div", *shown, class_="figures")


def captioned(caption: Child, *content: Child, class_: str | None = None) -> Html:
    """Return a figure with a caption above it.

    Args:
        caption: What it shows.
        content: The figure.
        class_: Class for the style sheet.
    """
    return tag("figure", tag("figcaption", caption), *content, class_=class_)


def fold(title: str, *content: Child, is_open: bool = False) -> Html:
    """Return a part that opens on a click.

    Args:
        title: What stands there while it is closed.
        content: What it holds.
        is_open: Whether it is open at first.
    """
    return tag("details", tag("summary", title), join(content), open=is_open)


def code_block(text: str) -> Html:
    """Return text to copy, with a button that copies it.

    Args:
        text: A command or a file.
    """
    button = tag("button", "Copy", type="button", class_="copy needs-script")
    return tag(
        "div", tag("pre", tag("code", text), tabindex="0"), button, class_="code"
    )
