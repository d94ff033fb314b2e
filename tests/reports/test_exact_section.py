"""The section of a fit that was solved exactly."""

from pathlib import Path

from tangrid.reports.exact_section import exact_section
from tangrid.reports.fit_report import fit_page
from tangrid.runs import RunFolder, read_run
from tests.reports.fake_runs import write_run

SCORES = (0.4, 0.1, 0.2)
RECORD = {
    "ridge": 0.25,
    "rule": "gcv",
    "normal_residual": 3e-7,
    "stored_residual": 4e-7,
    "mse": 0.002,
    "effective_parameters": 1234.4,
    "iterations": 17,
    "all_iterations": 58,
    "seconds": 1.25,
    "path": [
        {"ridge": 4.0 / 4**k, "score": score, "mse": 0.01}
        for k, score in enumerate(SCORES)
    ],
    "is_inside": True,
}


def test_the_page_of_a_solved_fit_has_the_section(tmp_path: Path):
    metrics = write_run(tmp_path / "run")
    assert "Exact solution" not in fit_page(read_run(tmp_path / "run"))
    folder = RunFolder(tmp_path / "run")
    folder.write_json("metrics.json", {**metrics, "exact": RECORD})
    page = fit_page(read_run(tmp_path / "run"))
    assert page.index("Curves") < page.index("Exact solution")


def test_the_section_says_ridge_and_what_is_left():
    shown = str(exact_section({"exact": RECORD}))
    for number in ("0.25", "3.0e-07", "4.0e-07", "1,234", "17", "58"):
        assert number in shown
    assert "chosen by generalised cross-validation" in shown
    assert "at the edge" not in shown
    assert shown.count("<svg") == 1


def test_a_ridge_at_the_edge_is_said_to_be():
    assert "at the edge" in str(
        exact_section({"exact": {**RECORD, "is_inside": False}})
    )


def test_a_given_ridge_has_no_figure():
    shown = str(exact_section({"exact": {**RECORD, "rule": "given", "path": []}}))
    assert "<svg" not in shown
    assert "0.25, given" in shown


def test_scores_that_are_none_are_left_out():
    path = [*RECORD["path"], {"ridge": 1e-3, "score": None, "mse": 0.0}]
    shown = str(exact_section({"exact": {**RECORD, "path": path}}))
    assert shown.count("<svg") == 1


def test_a_trained_fit_has_none():
    assert exact_section({}) is None
    assert exact_section({"exact": None}) is None
