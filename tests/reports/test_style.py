import re
import subprocess
import sys

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.ticker import FuncFormatter

from tangrid.reports.style import (
    SERIES,
    new_axes,
    power_label,
    series_look,
    series_variable,
    to_svg,
)
from tests.reports.page_reader import PageReader


def drawing(description: str = "a line") -> str:
    figure, axes = new_axes()
    axes.plot([0, 1], [0, 1], **series_look(2))
    axes.set_xlabel("step")
    return to_svg(figure, description)


def test_a_drawing_is_one_element_with_colours_of_the_page():
    svg = drawing()
    assert PageReader(svg).tags[0][0] == "svg"
    assert "var(--c2)" in svg
    assert "var(--line)" in svg
    assert re.findall(r"#000[12]\w\w", svg) == []
    assert ">step</text>" in svg


def test_a_drawing_scales_with_the_page():
    (attributes,) = PageReader(drawing()).all("svg")
    _, _, width, height = map(float, attributes["viewbox"].split())
    assert float(attributes["width"]) == width
    assert float(attributes["height"]) == height


@pytest.mark.parametrize(
    "label", ["1", "1.5 %", "100 %", "5·10⁻¹²", "\N{MINUS SIGN}0.00015"]
)
def test_labels_stay_inside_whatever_their_length(label: str):
    figure, axes = new_axes()
    axes.plot([0, 1], [0, 1])
    axes.set_ylabel("share of the trace")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda _value, _: label))
    to_svg(figure, "a line")
    box = axes.yaxis.get_tightbbox(FigureCanvasAgg(figure).get_renderer())
    assert box.x0 >= 0
    assert axes.get_position().width > 0.6


def test_descriptions_are_escaped():
    (attributes,) = PageReader(drawing('<b> & "x"')).all("svg")
    assert attributes["aria-label"] == '<b> & "x"'


def test_the_same_figure_gives_the_same_drawing():
    assert drawing() == drawing()


def test_names_inside_two_drawings_do_not_meet():
    names = []
    for slope in (1, 2):
        figure, axes = new_axes()
        axes.plot([0, 1], [0, slope], marker="o")
        svg = to_svg(figure, "a line")
        names.append(set(re.findall(r' id="([^"]+)"', svg)))
        assert names[-1] == set(re.findall(r'(?:"|url\()#([\w.-]+)[")]', svg))
    assert names[0]
    assert not names[0] & names[1]


def test_more_lines_than_colours_differ_by_their_dashes():
    looks = [tuple(series_look(index).values()) for index in range(3 * len(SERIES))]
    assert len(set(looks)) == len(looks)
    assert series_variable(len(SERIES)) == series_variable(0)


@pytest.mark.parametrize(("power", "label"), [(0, "1"), (-12, "10⁻¹²"), (3, "10³")])
def test_powers(power: int, label: str):
    assert power_label(power) == label


def test_no_figure_manager_is_started():
    code = (
        "import sys, tangrid.reports; "
        "unwanted = {'matplotlib.pyplot', 'torch', 'numba'}; "
        "sys.exit(bool(unwanted & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
