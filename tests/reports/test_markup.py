from hypothesis import given
from hypothesis import strategies as st

from tangrid.reports.markup import Html, join, tag
from tests.reports.page_reader import PageReader


@given(st.text().filter(lambda text: "\r" not in text and "\0" not in text))
def test_text_comes_back_as_it_was(text: str):
    reader = PageReader(tag("p", text, title=text))
    assert "".join(reader.text) == text
    assert reader.tags == [("p", {"title": text})]


def test_html_is_not_escaped_twice():
    inner = tag("b", "1 < 2")
    assert tag("p", inner, [" & ", None, (Html("<br>"),)]) == (
        "<p><b>1 &lt; 2</b> &amp; <br></p>"
    )


def test_attributes():
    shown = tag("img", class_="a", data_from=3, hidden=True, open=False, alt=None)
    assert shown == '<img class="a" data-from="3" hidden>'


def test_odd_file_names_can_be_written():
    assert join(["photo-\udcff"]).encode() == b"photo-?"
