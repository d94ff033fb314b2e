"""The section of a fit whose tangent kernel was tracked."""

import dataclasses
from pathlib import Path

from tangrid.reports.fit_report import fit_page
from tangrid.reports.track_section import track_section
from tangrid.runs import read_run
from tangrid.runs.kernel_track import write_track
from tangrid.runs.store import RunFolder
from tests.reports.fake_runs import write_run
from tests.reports.fake_tracks import track

TITLE = "How the tangent kernel moved"


def test_the_page_of_a_tracked_fit_has_the_section(tmp_path: Path):
    folder = tmp_path / "run"
    write_run(folder)
    assert TITLE not in fit_page(read_run(folder))
    write_track(RunFolder(folder), track())
    page = fit_page(read_run(folder))
    assert TITLE in page
    assert page.index("Curves") < page.index(TITLE) < page.index("Settings and machine")


def test_the_section_says_what_is_what():
    shown = str(track_section(track()))
    assert "64 pixels that are trained on (seed 3, mean over channels)" in shown
    assert "the fit, measured (trained on all points)" in shown
    assert "kernel held as at the start, Adam on these points alone" in shown
    assert "the field itself, Adam on these points alone" in shown
    assert "plain gradient descent on these points (rate 0.125)" in shown
    # Three figures of the kernel and one of the curves.
    assert shown.count("<svg") == 4
    assert "NTK in numbers" in shown
    assert "GTK in numbers" in shown
    for number in ("0.875", "42.5", "17.5", "25 %"):
        assert number in shown


def test_a_curve_that_could_not_be_says_why():
    shown = str(track_section(track(refused="the loss looks at slopes.")))
    assert "No curve of kernel held as at the start" in shown
    assert "the loss looks at slopes." in shown


def test_without_wanted_values_only_the_kernel_is_shown():
    shown = str(track_section(track(has_values=False)))
    assert shown.count("<svg") == 3
    assert "Predicted by the kernel" not in shown


def test_a_kernel_that_stays_is_no_line_of_change():
    still = track()
    looks = tuple(dataclasses.replace(still.looks[0], step=step) for step in (0, 100))
    shown = str(track_section(dataclasses.replace(still, looks=looks, curves=())))
    assert "Change since the start" not in shown
    assert TITLE in shown


def test_nothing_is_shown_of_nothing():
    assert track_section(None) is None
    assert track_section(dataclasses.replace(track(), looks=())) is None
