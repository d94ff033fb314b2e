import re

from tangrid.reports.markup import tag
from tangrid.reports.page import (
    banner,
    captioned,
    code_block,
    curve_row,
    fold,
    header,
    page,
    section,
)
from tests.reports.page_reader import read_page


def test_a_page_carries_all_it_needs():
    text = page("A & B", header("small", "large", "one", None), section("S", "body"))
    reader = read_page(text)
    policies = [tag.get("content", "") for tag in reader.all("meta")]
    assert any(policy.startswith("default-src 'none';") for policy in policies)
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    assert "@import" not in text
    assert "url(" not in text
    assert reader.words().startswith("A & B small large one S body")


def test_it_is_made_for_both_modes_and_small_screens():
    text = page("x")
    assert "prefers-color-scheme: dark" in text
    assert "width=device-width" in text
    assert text.count("{") == text.count("}")


def test_colours_are_set_in_both_modes():
    text = page("x")
    light, dark = re.findall(r":root \{(.*?)\n *\}", text, flags=re.DOTALL)
    colours = r"(--(?:c\d|paper|card|ink|muted|line|accent|well|notice)):"
    assert set(re.findall(colours, light)) == set(re.findall(colours, dark))


def test_blocks_escape_their_words():
    blocks = [
        banner("<i>"),
        captioned("<i>", "<i>"),
        code_block("<i>"),
        fold("<i>", "<i>"),
        header("<i>", "<i>", "<i>"),
        section("<i>", "<i>", lead="<i>"),
    ]
    for block in blocks:
        assert "<i>" not in block
        assert "&lt;i&gt;" in block


def test_missing_curves_leave_no_frame():
    assert curve_row(tag("svg"), None, None).count("<figure>") == 1
    assert "Dashed" not in curve_row(tag("svg"), None, None)
