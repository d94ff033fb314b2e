from tangrid.reports.results import Results
from tangrid.reports.tables import (
    anchor,
    flatten,
    legend,
    mean_table,
    results_table,
    settings_table,
)
from tests.reports.page_reader import PageReader


def row(signal: str, model: str, psnr: float, seed: int = 0) -> dict:
    return {
        "signal": signal,
        "model": model,
        "psnr": psnr,
        "seed": seed,
        "run": f"{model}-{seed}",
    }


def test_settings_are_shown_by_their_path():
    values = {"a": {"b": 0.5, "c": {}}, "d": [1, 2], "e": None, "f": True, "g": "<b>"}
    assert dict(flatten(values)) == {
        "a.b": 0.5,
        "a.c": {},
        "d": [1, 2],
        "e": None,
        "f": True,
        "g": "<b>",
    }
    words = PageReader(settings_table("Settings", values)).words()
    assert words.endswith("c none d 1, 2 e none f yes g <b>")


def test_the_best_of_each_signal_is_bold():
    rows = (row("a", "x", 30), row("a", "y", 31), row("b", "x", 20), row("b", "y", 19))
    table = results_table(Results(rows=rows), lambda row: row["run"])
    assert table.count("<strong>") == 2
    assert "<strong>31.00</strong>" in table
    assert "<strong>20.00</strong>" in table
    assert 'href="x-0"' in table


def test_seeds_are_averaged_and_linked():
    rows = (row("a", "x", 30), row("a", "x", 32, seed=1), row("a", "y", 1))
    table = results_table(Results(rows=rows), lambda row: row["run"])
    assert "<strong>31.00</strong>" in table
    assert "± 1.41" in table
    assert 'href="x-0"' in table
    assert 'href="x-1"' in table


def test_means_say_over_how_many():
    rows = (row("a", "x", 30), row("b", "x", 20), row("a", "y", 90))
    words = PageReader(mean_table(Results(rows=rows))).words()
    assert words == "Model PSNR, dB Runs x 25.00 2 y 90.00 1 of 2"


def test_tables_scroll_by_themselves():
    (box,) = PageReader(mean_table(Results(rows=(row("a", "x", 30),)))).all("div")
    assert box["class"] == "scroll"
    assert box["tabindex"] == "0"


def test_without_a_target_there_is_no_link():
    assert anchor("x", None) == "<span>x</span>"


def test_legend_has_a_colour_for_each():
    assert legend([(0, "a"), (9, "<b>")]).count("var(--c") == 2
