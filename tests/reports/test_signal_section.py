from pathlib import Path

from tangrid.reports.entries import Entry
from tangrid.reports.results import Group
from tangrid.reports.signal_section import signal_section
from tangrid.runs import read_run
from tests.reports.fake_runs import write_run
from tests.reports.page_reader import PageReader


def entry(folder: Path, model: str, index: int, blur: float) -> Entry:
    metrics = write_run(folder / model, model=model, blur=blur)
    group = Group(signal="rings", model=model, rows=(metrics,))
    return Entry(group=group, index=index, runs=(read_run(folder / model),), link=None)


def test_all_models_show_the_same_places(tmp_path: Path):
    entries = [entry(tmp_path, "soft", 0, 2.0), entry(tmp_path, "sharp", 1, 0.5)]
    reader = PageReader(signal_section("rings", entries, "rings"))
    alts = [image["alt"] for image in reader.all("img")]
    for number in (1, 2, 3):
        details = [alt for alt in alts if alt.endswith(f"at place {number}")]
        assert details == [
            f"Target at place {number}",
            f"Reconstruction of soft at place {number}",
            f"Reconstruction of sharp at place {number}",
            f"Error of soft at place {number}",
            f"Error of sharp at place {number}",
        ]
    sources = [image["src"] for image in reader.all("img")]
    assert len(set(sources)) == len(sources)


def test_the_best_model_is_bold(tmp_path: Path):
    entries = [entry(tmp_path, "soft", 0, 2.0), entry(tmp_path, "sharp", 1, 0.5)]
    shown = signal_section("rings", entries, "rings")
    best = entries[1].group.rows[0]["psnr"]
    assert f"<strong>{best:.2f}</strong> dB" in shown
    assert shown.count("<strong>") == 1


def test_a_model_without_runs_is_named(tmp_path: Path):
    lost = Entry(
        group=Group(signal="rings", model="lost", rows=({"psnr": 20.0},)),
        index=1,
        runs=(),
        link=None,
    )
    entries = [entry(tmp_path, "soft", 0, 2.0), lost]
    words = PageReader(signal_section("rings", entries, "rings")).words()
    assert "lost 20.00 dB no picture" in words
