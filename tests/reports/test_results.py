from math import isclose

from tangrid.reports.measures import COST, QUALITY
from tangrid.reports.results import Results, best_of

PSNR, SSIM = QUALITY[0], QUALITY[3]


def row(signal: str, model: str, psnr: float | None, seed: int = 0) -> dict:
    return {"signal": signal, "model": model, "psnr": psnr, "seed": seed, "steps": 5}


ROWS = (
    row("b", "siren", 20.0),
    row("b", "siren", 22.0, seed=1),
    row("b", "neurbf", 21.5),
    row("a", "neurbf", 40.0),
    row("a", "siren", None),
)


def test_order_is_that_of_the_runs():
    results = Results(rows=ROWS)
    assert results.signals == ["b", "a"]
    assert results.models == ["siren", "neurbf"]
    assert results.seeds == [0, 1]


def test_means_are_over_the_numbers_there_are():
    siren, neurbf = Results(rows=ROWS).of_signal("b")
    assert (siren.mean(PSNR), neurbf.mean(PSNR)) == (21.0, 21.5)
    assert isclose(siren.spread(PSNR), 2**0.5)
    assert neurbf.spread(PSNR) is None
    assert siren.mean(SSIM) is None
    failed = Results(rows=ROWS).of_signal("a")[0]
    assert failed.model == "siren"
    assert failed.mean(PSNR) is None


def test_only_measures_with_numbers_are_shown():
    shown = Results(rows=ROWS).shown((*QUALITY, *COST))
    assert [measure.key for measure in shown] == ["psnr", "steps"]


def test_the_best_is_the_largest_where_more_is_better():
    groups = Results(rows=(row("a", "x", 30.001), row("a", "y", 30.004))).of_signal("a")
    assert best_of(groups, PSNR) == "30.00"
    assert best_of(groups[:1], PSNR) is None
    assert best_of(groups, COST[2]) is None
    assert best_of([], PSNR) is None


def test_less_is_better_for_distances():
    chamfer = next(measure for measure in QUALITY if measure.key == "chamfer_l1")
    rows = tuple(
        {"signal": "a", "model": name, "chamfer_l1": value}
        for name, value in (("x", 0.1), ("y", 0.2))
    )
    assert best_of(Results(rows=rows).of_signal("a"), chamfer) == "0.10000"


def test_a_mean_over_fewer_runs_is_never_the_best():
    rows = (row("a", "x", 20.0), row("b", "x", 20.0), row("a", "y", 50.0))
    rows += (row("a", "z", 10.0), row("b", "z", 10.0))
    assert best_of(Results(rows=rows).of_models(), PSNR) == "20.00"
