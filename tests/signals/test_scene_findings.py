from pathlib import Path

import pytest

from tangrid.errors import DataError
from tangrid.signals.scene_findings import SceneFindings


def test_nothing_wrong_is_not_refused():
    findings = SceneFindings(folder=Path("toy"))
    findings.add_note("a remark")
    findings.refuse_errors()
    assert (findings.num_errors, findings.error_lines()) == (0, [])


def test_one_error_is_told_as_it_is():
    findings = SceneFindings(folder=Path("toy"))
    findings.add_error("pose", "view 3: no pose.")
    with pytest.raises(DataError) as caught:
        findings.refuse_errors()
    assert str(caught.value) == "view 3: no pose."


def test_others_are_counted_and_grouped():
    findings = SceneFindings(folder=Path("toy"))
    for number in range(5):
        findings.add_error("pose", f"view {number}: no pose.")
        findings.add_error("size", f"view {number}: too large.")
    with pytest.raises(DataError, match=r"^view 0: no pose. .* this one: 9; `tangrid"):
        findings.refuse_errors()
    lines = findings.error_lines()
    assert lines[3] == lines[7] == "And 2 more of this kind."
    assert lines[4] == "view 0: too large."
