from pathlib import Path

from tangrid.reports.kernel_errors import error_section
from tests.reports.fake_kernels import analysis_with, model_with, read_section
from tests.reports.fake_runs import write_run


def test_without_runs_it_says_how_to_make_them(tmp_path: Path):
    entry = model_with() | {"run": "runs/gone"}
    for told in (model_with(), entry):
        words = read_section(
            error_section(analysis_with(told, folder=tmp_path))
        ).words()
        assert "tangrid fit image PATH --model NAME --out RUN" in words
        assert "tangrid analyze RUN" in words


def test_runs_show_their_errors_on_one_scale(tmp_path: Path):
    entries = []
    for name in ("a", "b"):
        write_run(tmp_path / name, model=name)
        entries += [
            model_with(name) | {"run": name, "state": state}
            for state in ("initial", "trained")
        ]
    reader = read_section(error_section(analysis_with(*entries, folder=tmp_path)))
    assert [image["alt"] for image in reader.all("img")] == [
        "The original",
        "Error of a",
        "Error of b",
    ]
    # One bar, below the original.
    assert reader.words().count("≥ 0.1") == 1
    assert reader.words().count(" dB") == 2
