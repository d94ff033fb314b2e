"""Reads a page as a browser would, and notes what must never be in one."""

from collections import Counter
from html.parser import HTMLParser

VOID = {"img", "input", "meta", "br", "wbr"}


class PageReader(HTMLParser):
    """Text, tags and attributes of a page; fails on tags that do not match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]

    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def read_page(page: str) -> PageReader:
    """Read a page and check what holds for every page."""
    reader = PageReader(page)
    for _, attributes in reader.tags:
        for name in ("src", "href", "xlink:href", "action"):
            target = attributes.get(name) or "#"
            assert target.startswith(("data:image/", "#")) or is_relative(target)
    for image in reader.all("img"):
        assert image["alt"]
        assert ("src" in image and int(image["width"]) > 0) or image["data-from"]
    for drawing in reader.all("svg"):
        assert drawing["aria-label"]
    ids = Counter(
        attributes["id"] for _, attributes in reader.tags if "id" in attributes
    )
    assert [name for name, count in ids.items() if count > 1] == []
    for image in reader.all("img"):
        assert image.get("data-from") is None or image["data-from"] in ids
    return reader


def is_relative(target: str) -> bool:
    return ":" not in target and not target.startswith("/")
