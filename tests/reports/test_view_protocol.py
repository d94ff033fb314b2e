from pathlib import Path

from tangrid.reports.view_protocol import (
    is_scene,
    protocol_lines,
    protocol_note,
    protocol_title,
)
from tangrid.runs import RunRecord
from tests.reports.page_reader import PageReader


def record(kind: str = "", drawn: str = "") -> RunRecord:
    return RunRecord(folder=Path(), config={"kind": kind}, pictures={"kind": drawn})


def test_a_scene_is_known_by_what_was_asked_or_by_its_pictures():
    assert is_scene(record("fit-scene"))
    assert is_scene(record(drawn="views"))
    assert not is_scene(record("fit-sdf", "shape"))


def test_the_note_says_how_values_were_rounded():
    told = {"title": "t", "rounds_to_8_bits": True, "num_views": 1}
    words = PageReader(protocol_note({"protocol": told}) or "").words()
    assert words == "Judged by t one test view PSNR of values rounded to 8 bits"
    told |= {"rounds_to_8_bits": False, "num_views": 1200}
    words = PageReader(protocol_note({"protocol": told}) or "").words()
    assert "means over 1,200 test views PSNR without rounding to 8 bits" in words


def test_what_made_an_lpips_is_told_beside_the_rules():
    made = {"version": "0.1", "network": "alex", "file": "a.pt", "weights_hash": "0f"}
    metrics = {"signal": "fox", "protocol": {"title": "t", "lpips": made}}
    told = "LPIPS: version 0.1, alex, weights of a.pt (0f)"
    assert PageReader(protocol_note(metrics) or "").words() == f"Judged by t {told}"
    assert protocol_lines([metrics, metrics]) == [f"fox: judged by t; {told}"]


def test_what_was_not_judged_has_no_note():
    for metrics in ({}, {"protocol": None}, {"protocol": {"name": "x"}}):
        assert protocol_title(metrics) is None
        assert protocol_note(metrics) is None
        assert protocol_lines([metrics]) == []
