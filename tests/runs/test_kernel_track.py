"""The record of a tracked kernel survives the disk, and damage is told."""

from pathlib import Path

import pytest

from tangrid.errors import DataError
from tangrid.runs.kernel_track import TRACK_FILE, all_finite, read_track, write_track
from tangrid.runs.record import read_run
from tangrid.runs.store import OWN_FILES, RunFolder
from tests.reports.fake_tracks import track


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder.create(tmp_path / "run")
    made.write_json("config.json", {"kind": "fit-image"})
    return made


def test_a_record_comes_back_as_it_was(folder: RunFolder):
    assert read_track(folder) is None
    write_track(folder, track())
    assert read_track(folder) == track()
    assert read_run(folder.path).kernel_track == track()


def test_a_record_counts_its_own_time():
    # Two looks of two seconds and three curves of one.
    assert track().seconds == 7
    assert track().kinds == ("all", "grid")


def test_a_refused_curve_is_none():
    assert track().curve("alone") is not None
    assert track(refused="it is too large.").curve("linearised") is None


def test_numbers_that_are_not_finite_are_none():
    assert all_finite([1.0, float("inf"), float("nan")]) == (1.0, None, None)


def test_a_damaged_record_is_told(folder: RunFolder):
    folder.write_json(TRACK_FILE, {"schema": 1, "points": "many"})
    with pytest.raises(DataError, match=r"kernel_track.json: .* run the fit again"):
        read_track(folder)


def test_a_record_is_removed_with_its_run():
    assert TRACK_FILE in OWN_FILES
